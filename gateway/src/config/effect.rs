//! Allow rules that cannot do what they say: functions that no list lets pass, registers that only an update
//! may write.
//!
//! The conduit refuses such accesses whatever the list says, so the rule is a mistake of whoever wrote it. A
//! rule that allows nothing at all is an error; one that allows less than it says is a warning.

use std::ops::Range;

use super::Plc;
use super::check::Checked;
use crate::protocol::modbus::pdu::Request;
use crate::protocol::modbus::profile::{Data, Profile};
use crate::shield::allow::Rule;
use crate::shield::learn::join;

/// Warnings about the rules of `plc`; an error for one that can never allow anything.
pub(super) fn check(plc: &Plc) -> Checked<Vec<String>> {
    let mut warnings = Vec::new();
    for route in &plc.routes {
        let profile = route.update.as_ref().map(|(_, profile)| profile.as_ref());
        for (n, rule) in route.allow.rules().iter().enumerate() {
            let said = |what: String| format!("allow rule {}: {what}", n + 1);
            let dead = dead_functions(rule, profile).map_err(said)?;
            let shut = profile.map(|p| shut_addresses(rule, p)).transpose().map_err(said)?.flatten();
            warnings.extend(dead.into_iter().chain(shut).map(said));
        }
    }
    Ok(warnings)
}

fn dead_functions(rule: &Rule, profile: Option<&Profile>) -> Checked<Option<String>> {
    let by_update =
        |f: u8| f == WRITE_FILE && profile.is_some_and(|p| matches!(p.data, Data::FileRecord { .. }));
    let all = || (1..=127).filter(|f| rule.functions.contains(*f));
    let dead: Vec<String> =
        all().filter(|f| !Request::may_pass(*f) || by_update(*f)).map(|f| f.to_string()).collect();
    let what = || {
        format!(
            "function {}: no allow-list lets it pass, as it can stop or reprogram a controller or is not known",
            dead.join(", ")
        )
    };
    match dead.len() {
        0 => Ok(None),
        n if n < all().count() => Ok(Some(format!("{}; take it out", what()))),
        _ => Err(format!("{}; so this rule allows nothing: remove it", what())),
    }
}

fn shut_addresses(rule: &Rule, profile: &Profile) -> Checked<Option<String>> {
    let writes: Vec<String> =
        WRITES.iter().filter(|f| rule.functions.contains(**f)).map(u8::to_string).collect();
    let guarded = join(profile.guarded());
    let meets = |a: &Range<u32>| guarded.iter().any(|g| a.start < g.end && g.start < a.end);
    let within = |a: &Range<u32>| guarded.iter().any(|g| g.start <= a.start && a.end <= g.end);
    let shut: Vec<String> = rule.addresses.iter().filter(|a| meets(a)).map(span).collect();
    if writes.is_empty() || shut.is_empty() {
        return Ok(None);
    }
    let what = format!(
        "addresses {} are update registers of profile {:?}: no rule lets function {} write there, only a step \
         of an update may",
        shut.join(", "),
        profile.id,
        writes.join(", ")
    );
    let more = (1..=127).any(|f| rule.functions.contains(f) && !WRITES.contains(&f) && Request::may_pass(f));
    match !more && rule.addresses.iter().all(within) {
        true => Err(format!("{what}; so this rule allows nothing: remove it")),
        false => Ok(Some(what)),
    }
}

/// As the configuration writes it.
fn span(addresses: &Range<u32>) -> String {
    match addresses.end - addresses.start {
        1 => addresses.start.to_string(),
        _ => format!("{}-{}", addresses.start, addresses.end - 1),
    }
}

/// Writes file records (V1.1b3 §6.15): with a profile of file records every one is a step or refused.
const WRITE_FILE: u8 = 21;
/// Functions that write holding registers (V1.1b3 §6.6, §6.12, §6.16, §6.17).
const WRITES: &[u8] = &[6, 16, 22, 23];
