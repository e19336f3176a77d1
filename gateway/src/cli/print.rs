//! What a verb prints: words for people on standard output, or JSON alone; failures on standard error.

use std::io::Write;

use serde_json::{Value, json};

use super::Said;
use crate::judge::rows::{AlarmRow, CaseRow, PlcRow, Status};
use crate::judge::{Answered, Failure};
use crate::reasons;

/// Prints what a verb said; the exit code is 0.
pub(super) fn said(said: Said, json: bool) -> u8 {
    match said {
        Said::Nothing => {}
        Said::Words(_, value) if json => out(&value.to_string()),
        Said::Words(words, _) => out(&words),
        Said::Answer(answer) if json => out(&as_json(&answer).to_string()),
        Said::Answer(answer) => out(&words(&answer)),
    }
    0
}

/// One write to standard output; a reader that has gone (`| head`) is no failure.
fn out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}

/// Prints a failure and gives its exit code.
pub(super) fn failure(failure: &Failure, as_json: bool) -> u8 {
    let reason = failure.code.and_then(reasons::find);
    if as_json {
        let value = json!({
            "schema": 1, "error": failure.text, "code": failure.code.map(|c| c.to_string()), "exit": failure.exit,
            "next": reason.map(|r| r.next), "evidence": failure.evidence,
        });
        out(&value.to_string());
        return failure.exit;
    }
    eprintln!("headgate: {failure}");
    if let Some(reason) = reason
        && !failure.text.contains(reason.next)
    {
        eprintln!("  next: {}", reason.next);
    }
    failure.exit
}

pub(super) fn as_json(answer: &Answered) -> Value {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("schema".into(), json!(1));
    }
    value
}

fn words(answer: &Answered) -> String {
    match answer {
        Answered::Done { text } => text.clone(),
        Answered::Verdict(v) => {
            let kept = if v.staged { "staged" } else { "verified" };
            format!(
                "{kept}: sha256:{}\n  {} bytes, for {}\n  signed by {}",
                v.digest, v.size, v.plc, v.signer
            )
        }
        Answered::Status(status) => status_words(status),
        Answered::Vault { images, quarantine } => {
            let mut out = String::from("vault\n");
            for i in images {
                out += &format!(
                    "  {}  {:>9}  {} {}\n",
                    i.digest,
                    i.size,
                    i.name,
                    i.version.as_deref().unwrap_or("")
                );
            }
            out += "quarantine\n";
            for i in quarantine {
                let why = i.refused.as_ref().map_or(String::new(), |(code, case)| format!("{code} {case}"));
                out += &format!("  {}  {:>9}  {} {why}\n", i.digest, i.size, i.name);
            }
            out
        }
        Answered::Releases { releases } => {
            let line = |r: &crate::judge::rows::ReleaseRow| {
                let until = r.terms.expires.map_or(String::new(), |e| e.to_string());
                format!("{}  {}  {} of {} left, until {until}\n", r.digest, r.plc, r.uses_left, r.terms.uses)
            };
            releases.iter().map(line).collect()
        }
        Answered::Trust { generation, anchors } => {
            let line = |a: &crate::judge::rows::AnchorRow| {
                let until = a.valid_until.map_or("no end".into(), |u| format!("until {u}"));
                format!(
                    "  {}  {:8}  {}  {} {}  {until}\n",
                    a.id,
                    a.kind,
                    a.name,
                    a.vendor,
                    a.models.join(",")
                )
            };
            format!("generation {generation}\n{}", anchors.iter().map(line).collect::<String>())
        }
        Answered::ApprovalRequest { request } => request.clone(),
        Answered::Plcs { plcs } => plcs.iter().map(plc_words).collect(),
        Answered::Cases { cases } => cases.iter().map(case_words).collect(),
        Answered::Alarms { alarms } => alarms.iter().map(alarm_words).collect(),
        Answered::Signals { signals, buses } => {
            let buses: String = buses.iter().map(super::signals::bus::list).collect();
            super::signals::list(signals, true) + &buses
        }
        Answered::Audit { entries, .. } => super::audit::list(entries),
        Answered::AuditReport(report) => super::audit::report(report),
        Answered::Receipt(row) => super::receipt::page(row),
        Answered::Keys { evidence, attestation } => format!("{evidence}{attestation}"),
        Answered::Learned { habits } => format!("{} habits", habits.len()),
    }
}

fn status_words(s: &Status) -> String {
    let run = if s.running { "running" } else { "not running; this is what the data folder says" };
    let mut out = format!("gateway {} ({}), {run}\ngate    {}\n", s.gateway, s.version, s.gate.text);
    out += &s.plcs.iter().map(plc_words).collect::<String>();
    out += &format!("outbox  {} messages waiting for the broker\n", s.outbox);
    if s.nv_writes.0 > 0 {
        out += &format!("tpm     {} of {} writes to its memory today\n", s.nv_writes.0, s.nv_writes.1);
    }
    for case in &s.open_cases {
        out += &format!("case    {} {} {}\n", case.case, case.plc, case.state);
    }
    out += &s.alarms.iter().map(alarm_words).collect::<String>();
    out
}

fn plc_words(p: &PlcRow) -> String {
    let says = p.identity.as_deref().unwrap_or("has not said who it is");
    let mut out = format!("plc     {} ({} {}, {}): {says}\n", p.id, p.vendor, p.model, p.mode);
    for r in &p.routes {
        let way = match (&r.way, &r.profile) {
            (Some(way), Some(profile)) => format!("{way}, {profile}"),
            _ => "no updates".into(),
        };
        let link = match r.connected {
            Some(true) => ", connected",
            Some(false) => ", not connected",
            None => "",
        };
        out += &format!("          {} -> {} ({way}{link})\n", r.listen, r.target);
    }
    if let Some(lock) = &p.locked {
        out += &format!("          LOCKED after {lock}\n");
    }
    if let Some(since) = p.changed_outside {
        out += &format!("          CHANGED OUTSIDE THE GATE, noticed {since}\n");
    }
    if let Some((case, done, len)) = &p.delivery {
        out += &format!("          delivery {case}: {done} of {len} bytes\n");
    }
    out
}

fn alarm_words(a: &AlarmRow) -> String {
    let state = match (a.standing, a.acknowledged) {
        (true, false) => "ACTIVE",
        (true, true) => "active, acknowledged",
        (false, false) => "over, not acknowledged",
        (false, true) => "over",
    };
    let latched = if a.latched && a.standing { ", latched" } else { "" };
    format!(
        "alarm   {} {} {}: {} x{} ({state}{latched})\n          {}\n          next: {}\n",
        a.last, a.source, a.code, a.title, a.count, a.text, a.next
    )
}

fn case_words(c: &CaseRow) -> String {
    let code = c
        .code
        .map_or(String::new(), |code| format!(" {code} {}", reasons::find(code).map_or("", |r| r.title)));
    let mut out = format!("{} {} from {} ({}): {}{code}\n", c.case, c.plc, c.station, c.way, c.state);
    if let Some(digest) = &c.digest {
        out += &format!("  image sha256:{digest}\n");
    }
    for (at, text) in &c.story {
        out += &format!("  {at}  {text}\n");
    }
    out
}
