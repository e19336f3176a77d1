//! What a verb prints: words for people on standard output, or JSON alone; failures on standard error.

use std::io::Write;

use serde_json::{Value, json};

use super::Said;
use crate::judge::failure::EvidenceRow;
use crate::judge::rows::{AlarmRow, BootRow, CaseRow, PlcRow, Status};
use crate::judge::{Answered, Failure};
use crate::reasons;

/// Prints what a verb said; the exit code is 0.
pub(super) fn said(said: Said, json: bool) -> u8 {
    match said {
        Said::Nothing => {}
        Said::Judged(words, value, exit) => {
            out(&if json { value_text(&value) } else { lines(&words) });
            return exit;
        }
        Said::Words(_, value) if json => out(&value_text(&value)),
        Said::Words(words, _) => out(&lines(&words)),
        Said::Answer(answer) if json => out(&value_text(&as_json(&answer))),
        Said::Answer(answer) => out(&lines(&words(&one_liners(*answer)))),
    }
    0
}

/// One write to standard output; a reader that has gone (`| head`) is no failure.
fn out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}

/// Prints a failure and gives its exit code. `usual` is what to do where the failure itself does not say.
pub(super) fn failure(failure: &Failure, as_json: bool, usual: Option<&str>) -> u8 {
    let (text, own) = failure.told();
    let usual = usual.filter(|_| failure.exit == 2 && failure.code.is_none());
    let next = own.or_else(|| failure.code.and_then(reasons::find).map(|r| r.next)).or(usual);
    if as_json {
        let value = json!({
            "schema": 1, "error": text, "code": failure.code.map(|c| c.to_string()), "exit": failure.exit,
            "next": next, "evidence": failure.evidence,
        });
        out(&value_text(&value));
        return failure.exit;
    }
    let code = failure.code.map_or(String::new(), |c| format!("{c}: "));
    eprintln!("headgate: {code}{}", lines(text));
    eprint!("{}", lines(&stages(&failure.evidence)));
    // For people the usual advice is noise: the text says it, or clap's usage does.
    if let Some(next) = next.filter(|next| !text.contains(*next) && Some(*next) != usual) {
        eprintln!("  next: {}", lines(next));
    }
    failure.exit
}

/// Prints a mistake in the command line, or the help that was asked for, and gives its exit code.
pub(super) fn parsing(e: &clap::Error) -> u8 {
    let text = e.to_string();
    if text.chars().any(|c| is_control(c) && c != '\n') {
        eprintln!("{}", lines(text.trim_end())); // it repeats what was typed
    } else {
        let _ = e.print();
    }
    if e.use_stderr() { 2 } else { 0 }
}

/// A remark about what was asked, on standard error: it is done all the same.
pub(super) fn warning(text: &str) {
    eprintln!("headgate: warning: {}", line(text));
}

/// Whether a terminal, or a reader of a log, could be misled by this character: the control characters
/// (Unicode category Cc), line separators, and what changes the direction of text (Unicode UAX #9 §2).
pub(super) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of several lines, safe to print: what came from a wire, a file or a controller may hold anything.
fn lines(text: &str) -> String {
    escaped(text, |c| is_control(c) && c != '\n')
}

/// As [`lines`], where a second line could pass for one of ours.
fn line(text: &str) -> String {
    escaped(text, is_control)
}

fn escaped(text: &str, bad: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if bad(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// JSON escapes the control characters of ASCII itself; the others are escaped here in its own way.
fn value_text(value: &Value) -> String {
    value.to_string().chars().fold(String::new(), |mut out, c| {
        if is_control(c) {
            out += &format!("\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// The answer with every text in it on one line: only what is composed here has several.
fn one_liners(answer: Answered) -> Answered {
    use Answered as A;
    let composed = matches!(
        answer,
        A::Done { .. }
            | A::ApprovalRequest { .. }
            | A::Document { .. }
            | A::Receipt(_)
            | A::Keys { .. }
            | A::AuditReport(_)
    );
    if composed {
        return answer;
    }
    let mut value = serde_json::to_value(&answer).unwrap_or_default();
    clean(&mut value);
    serde_json::from_value(value).unwrap_or(answer)
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = line(text),
        Value::Array(all) => all.iter_mut().for_each(clean),
        Value::Object(all) => all.values_mut().for_each(clean),
        _ => {}
    }
}

pub(super) fn as_json(answer: &Answered) -> Value {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("schema".into(), json!(1));
    }
    value
}

/// What each stage of the gauntlet saw, one line each.
fn stages(evidence: &[EvidenceRow]) -> String {
    let text = |row: &EvidenceRow, key| row.0[key].as_str().unwrap_or_default().to_owned();
    let line = |row: &EvidenceRow| {
        let (stage, outcome, found) = (text(row, "stage"), text(row, "outcome"), text(row, "found"));
        let code = row.0["code"].as_str().map_or(String::new(), |code| format!("{code}: "));
        let age = row.0["input_age_s"].as_u64().map_or(String::new(), |s| format!(", {} old", age_words(s)));
        format!("  {stage:<15} {outcome:<10} {code}{found}{age}\n")
    };
    evidence.iter().map(line).collect()
}

/// An age in its largest whole unit.
fn age_words(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn words(answer: &Answered) -> String {
    match answer {
        Answered::Done { text } => text.clone(),
        Answered::Verdict(v) => {
            let kept = if v.staged { "staged" } else { "verified" };
            let whose = match v.plc == super::image::NO_PLC {
                true => "checked against the given keys only: not a verdict of the gate".into(),
                false => format!("for {}", v.plc),
            };
            let stages = stages(&v.evidence);
            format!("{kept}: sha256:{}\n  {} bytes, {whose}\n  {}\n{stages}", v.digest, v.size, v.backing)
        }
        Answered::Status(status) => status_words(status),
        Answered::Vault { images, quarantine } => {
            let mut out = String::from("vault\n");
            for i in images {
                let version = i.version.as_deref().unwrap_or("");
                let security = i.security_version.map_or(String::new(), |v| format!(" security version {v}"));
                let vouched = if i.site_vouched { " site-vouched, not signed" } else { "" };
                let program = if i.program { " program, not verified" } else { "" };
                let marks = format!("{version}{security}{vouched}{program}");
                out += &format!("  {}  {:>9}  {} {marks}\n", i.digest, i.size, i.name);
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
        Answered::Held { held } => super::held::words(held),
        Answered::Tickets { tickets } => super::ticket::words(tickets),
        Answered::Trust(store) => super::trust::store_words(store),
        Answered::TrustChanges(changes) => super::trust::changes_words(changes),
        Answered::AdvisoryImport(row) => super::advisories::import_words(row),
        Answered::Advisories(row) => super::advisories::installed_words(row),
        Answered::Document { document } => document.clone(),
        Answered::BootStates { epoch, approvals } => boot_words(*epoch, approvals),
        Answered::ApprovalRequest { request } => request.clone(),
        Answered::Plcs { plcs } => plcs.iter().map(plc_words).collect(),
        Answered::Cases { cases } => cases.iter().map(case_words).collect(),
        Answered::Alarms { alarms } => alarms.iter().map(alarm_words).collect(),
        Answered::Signals { signals, buses } => {
            let buses: String = buses.iter().map(super::signals::bus::list).collect();
            super::signals::list(signals, true) + &buses
        }
        Answered::Config(row) => super::config::words(row),
        Answered::Doctor { running, checks } => super::doctor::words(*running, checks),
        Answered::Audit { entries, .. } => super::audit::list(entries),
        Answered::AuditReport(report) => super::audit::report(report),
        Answered::Receipt(row) => super::receipt::page(row),
        Answered::Attestation(made) => super::attest::words(made),
        Answered::Secret { secret } => secret.to_string(),
        Answered::CertificateRequest { request } => request.clone(),
        Answered::Certificate(row) => super::attest::certificate_words(row),
        Answered::Keys { evidence, attestation } => format!("{evidence}{attestation}"),
        Answered::Period(row) => format!("{} transfers are on record\n", row.transfers.len()),
        Answered::Learned { habits } => format!("{} habits", habits.len()),
    }
}

fn boot_words(epoch: u64, approvals: &[BootRow]) -> String {
    let line = |b: &BootRow| {
        let BootRow { id, epoch, pcrs, state, gateway } = b;
        format!("  {id}  epoch {epoch}  PCRs {pcrs:?}  {state}; asked for by {gateway} (not signed)\n")
    };
    format!("epoch {epoch}\n{}", approvals.iter().map(line).collect::<String>())
}

fn status_words(s: &Status) -> String {
    let run = if s.running { "running" } else { "not running; this is what the data folder says" };
    let mut out = format!("gateway {} ({}), {run}\ngate    {}\n", s.gateway, s.version, s.gate.text);
    out += &format!("config  {}\n", s.configuration);
    out += &s.certificate.as_ref().map(super::attest::certificate_words).unwrap_or_default();
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
    if let Some(permissive) = &p.permissive {
        out += &format!("          permissive {permissive}\n");
    }
    if let Some(lock) = &p.locked {
        out += &format!("          LOCKED after {lock}\n");
    }
    if let Some(since) = p.changed_outside {
        out += &format!("          CHANGED OUTSIDE THE GATE, noticed {since}\n");
    }
    if let Some(vouched) = &p.site_vouched {
        out += &format!("          last update {vouched}\n");
    }
    if let Some(unverified) = &p.not_verified {
        out += &format!("          last update {unverified}\n");
    }
    if let Some(glass) = &p.break_glass {
        out += &format!("          BREAK-GLASS IN FORCE: {glass}\n");
    }
    if let Some((case, done, len)) = &p.delivery {
        let how_far = if *len > 0 { format!("{done} of {len} bytes") } else { "begins".into() };
        out += &format!("          delivery {case}: {how_far}\n");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::rows::ImageRow;

    /// A name as it may come from a wire: it clears the screen and writes a line of its own.
    const NAME: &str = "x\u{1b}[2J\nvault  trusted\u{9b}1m\u{202e}.bin";

    fn answer() -> Answered {
        let row = ImageRow {
            digest: "00".into(),
            size: 1,
            name: NAME.into(),
            version: None,
            security_version: None,
            site_vouched: false,
            program: false,
            refused: None,
        };
        Answered::Vault { images: vec![row], quarantine: vec![] }
    }

    #[test]
    fn nothing_that_is_printed_holds_a_control_character() {
        let shown = lines(&words(&one_liners(answer())));
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(!shown.chars().any(|c| is_control(c) && c != '\n'), "{shown:?}");
        assert!(shown.contains(r"x\u{1b}[2J\nvault  trusted\u{9b}1m\u{202e}.bin"), "{shown}");
        let text = value_text(&as_json(&answer()));
        assert!(!text.chars().any(is_control), "{text:?}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["images"][0]["name"], NAME, "a program reads what was there");
    }
}
