//! `headgate explain CODE|CASE`.

use clap::Args;
use hal::reason::{ReasonCode, Who};
use serde_json::json;

use super::{Context, Said};
use crate::judge::{Failure, Request};
use crate::reasons;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A reason code (HG-1010), a case (C-000123 or GATEWAY/C-000123), or `all`.
    what: String,
}

pub(super) fn explain(context: &Context, v: &Explain) -> Result<Said, Failure> {
    if v.what == "all" {
        let lines: Vec<String> = reasons::all().map(|r| format!("{}  {}", r.code, r.title)).collect();
        let rows: Vec<_> = reasons::all().map(row).collect();
        return Ok(Said::Words(lines.join("\n"), json!({ "schema": 1, "reasons": rows })));
    }
    if let Ok(code) = v.what.parse::<ReasonCode>() {
        let r = reasons::find(code).ok_or_else(|| Failure::not_found(format!("no reason code {code}")))?;
        let words = format!(
            "{} {}\n\n  Meaning     {}\n  Often       {}\n  Next        {}\n  Who         {}\n  Exit code   {}",
            r.code,
            r.title,
            r.meaning,
            r.cause,
            r.next,
            who(r.who),
            r.exit
        );
        return Ok(Said::Words(words, row(r)));
    }
    if let Some(case) = case(context, &v.what)? {
        return context.ask(&Request::Case { case });
    }
    Err(Failure::usage(format!("{:?} is neither a reason code (HG-1010) nor a case (C-000123)", v.what)))
}

/// The case's number here, of `C-000123` or of its worldwide name `GATEWAY/C-000123`.
fn case(context: &Context, what: &str) -> Result<Option<String>, Failure> {
    let (gateway, number) = what.split_once('/').map_or((None, what), |(g, n)| (Some(g), n));
    if !number.starts_with(['C', 'c']) {
        return Ok(None);
    }
    if let Some(gateway) = gateway {
        let ours = context.load()?.name;
        if gateway != ours {
            return Err(Failure::not_found(format!(
                "{what:?} is a case of another gateway, {gateway:?}; this one is {ours:?}"
            ))
            .next("ask there, or with --config FILE if it is on this machine, too"));
        }
    }
    Ok(Some(number.to_ascii_uppercase()))
}

fn row(r: &hal::reason::Reason) -> serde_json::Value {
    json!({
        "schema": 1, "code": r.code.to_string(), "title": r.title, "meaning": r.meaning, "cause": r.cause,
        "next": r.next, "who": who(r.who), "exit": r.exit,
    })
}

fn who(who: Who) -> &'static str {
    match who {
        Who::Engineer => "the engineer at the station",
        Who::Vendor => "the vendor of the controller",
        Who::Approver => "whoever approves updates",
        Who::Integrator => "whoever looks after the gateway",
        Who::Operator => "the plant's operator",
    }
}
