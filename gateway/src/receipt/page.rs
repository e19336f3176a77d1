//! A receipt on one page: plain text, 80 columns, for people.

use super::check::short;
use super::limits::plain;
use super::record::{Reading, Signer, Stage, Terms};
use super::statement::Statement;

/// Columns of the page.
const WIDTH: usize = 80;
/// Columns of the first column.
const LABEL: usize = 13;

/// Whether anybody vouches for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The file is signed by the gateway's evidence key.
    Signed {
        /// Id of the key.
        key: String,
    },
    /// It is not, and why.
    Unsigned(String),
}

/// The page.
pub fn page(statement: &Statement, standing: &Standing) -> String {
    let record = statement.record();
    let mut page = Page(String::new());
    page.row("RECEIPT", &format!("of an update: {}", record.case));
    page.0 += &format!("{}\n", "=".repeat(WIDTH));
    match standing {
        Standing::Signed { key } => {
            page.row("Signed", &format!("by the TPM of the gateway, key {}", short(key)))
        }
        Standing::Unsigned(why) => page.row("NOT SIGNED", why),
    }
    let code = record.code.as_ref().map_or(String::new(), |code| format!(" {code}"));
    let held = record.code.as_deref() == Some("HG-4010") && record.release.is_none();
    let outcome = match record.outcome.as_str() {
        // It is the case of the approval: what the release permits has cases of its own.
        "done" if held => "no update: the release that was held in this case was given; the update that used it has its own case".into(),
        outcome => format!("{}: {outcome}{code}", statement.predicate.verification_result),
    };
    page.row("Outcome", &outcome);
    let ended = record.ended.as_ref().map_or(String::new(), |at| format!(", ended {at}"));
    page.row("Time", &format!("opened {}{ended}", record.opened));
    let image = statement.image();
    let bytes = record.delivered_bytes.map_or(String::new(), |n| format!("{n} bytes"));
    let name = if image.name.is_empty() { "without a name" } else { &image.name };
    page.row("Image", &format!("{name}, {}", if bytes.is_empty() { "size not known" } else { &bytes }));
    page.row("SHA-256", if image.digest.sha256.is_empty() { "not known" } else { &image.digest.sha256 });
    if let Some(glass) = &record.break_glass {
        page.row("NOT VERIFIED", &format!("break-glass {}, {}: {}", glass.id, glass.action, glass.reason));
    }
    if let Some(program) = &record.program {
        page.row("NOT VERIFIED", program);
    }
    let words = |s: &Signer| format!("{} (key {})", s.name, s.id);
    match record.basis.as_deref() {
        Some("site-vouched") => {
            let who: Vec<String> = record.vouched_by.iter().map(words).collect();
            page.row("Not signed", &format!("site-vouched: by {}", who.join(" and ")));
        }
        _ => {
            page.row("Signed by", &record.signer.as_ref().map_or_else(|| "nobody known".into(), words));
        }
    }
    page.gap();
    let c = &record.controller;
    page.row("Controller", &format!("{} ({} {} by the configuration)", c.id, c.vendor, c.model));
    page.row("Before", &c.before.as_ref().map_or("not read".into(), reading));
    page.row("After", &c.after.as_ref().map_or("not read".into(), reading));
    page.row(
        "Read back",
        match c.read_back.as_str() {
            "identity-only" => "identity only: the controller's own word; nobody compared its memory",
            _ => "none: the controller did not say who it is",
        },
    );
    if let Some(watch) = &record.watch {
        page.row("Watched", &format!("{}, {}: {}", watch.state, watch.at, watch.text));
    }
    page.row("Way", &format!("{}, from {}", record.way, record.station));
    page.gap();
    match &record.release {
        Some(terms) => released(&mut page, terms),
        None if held => page.row("Released", "as headgate held show of this case says"),
        None => page.row("Released", "by nobody"),
    }
    page.gap();
    for (n, stage) in record.stages.iter().enumerate() {
        page.row(if n == 0 { "Stages" } else { "" }, &stage_words(stage));
    }
    if record.stages.is_empty() {
        page.row("Stages", "none is on record");
    }
    page.gap();
    page.row("Policy", &statement.predicate.policy.uri);
    page.row("Settings", &record.configuration.sha256);
    let gateway = &record.gateway;
    page.row(
        "Gateway",
        &format!("{}, headgate {}, key {}", gateway.name, gateway.version, short(&gateway.evidence_key)),
    );
    if let Some(quote) = &record.quote {
        page.row("TPM", &format!("quoted PCRs {:?}", quote.pcrs.selection().indices()));
    }
    if let Some(audit) = &record.audit {
        let under = if audit.checkpoint.is_some() { "under a checkpoint" } else { "no checkpoint yet" };
        page.row("Audit log", &format!("entry {} of {}, {under}", audit.index, audit.origin));
    }
    page.0
}

fn released(page: &mut Page, terms: &Terms) {
    page.row("Released", &format!("by {}, {}", terms.by, terms.given));
    for (n, a) in terms.approvers.iter().enumerate() {
        let case = terms.held.as_deref().unwrap_or_default();
        let label = if n == 0 { "Approved by" } else { "" };
        page.row(label, &format!("{} (key {}), {} {case}", a.name, a.id, a.at));
    }
    page.row("Ticket", terms.ticket.as_deref().unwrap_or("none"));
    let window = terms.window.as_ref().map(|w| format!("{} to {}", w.from, w.to));
    page.row("Window", &window.unwrap_or_else(|| format!("none; until {}", terms.expires)));
    let stations = if terms.stations.is_empty() { "any station".into() } else { terms.stations.join(", ") };
    page.row("For", &format!("{stations}; {} use(s)", terms.uses));
}

fn reading(reading: &Reading) -> String {
    let parts = [&reading.vendor, &reading.product, &reading.revision];
    let words: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).map(String::as_str).collect();
    format!("{}, read {}", words.join(" "), reading.at)
}

fn stage_words(stage: &Stage) -> String {
    let code = stage.code.as_ref().map_or(String::new(), |code| format!(" {code}"));
    let age = stage.input_age_seconds.map_or(String::new(), |s| format!("; its input was {s} s old"));
    format!("{} {}{code}: {}{age}", stage.stage, stage.outcome, stage.found)
}

/// Lines of two columns, wrapped.
struct Page(String);

impl Page {
    fn gap(&mut self) {
        self.0.push('\n');
    }

    /// A row; what is longer than the page goes on below, broken at blanks where there are any.
    fn row(&mut self, label: &str, text: &str) {
        let room = WIDTH - LABEL;
        let mut label = label;
        let mut rest: Vec<char> = plain(text).trim().chars().collect();
        loop {
            let cut = if rest.len() <= room {
                rest.len()
            } else {
                rest[..=room].iter().rposition(|c| *c == ' ').filter(|at| *at > 0).unwrap_or(room)
            };
            let tail = rest.split_off(cut);
            let line: String = rest.into_iter().collect();
            self.0.push_str(format!("{label:<LABEL$}{line}").trim_end());
            self.0.push('\n');
            label = "";
            rest = tail.into_iter().skip_while(|c| *c == ' ').collect();
            if rest.is_empty() {
                return;
            }
        }
    }
}
