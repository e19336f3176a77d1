//! What an auditor asks for under NERC CIP-010-4 R1 Part 1.6, for a period: of each change of firmware, that the source
//! was known (1.6.1) and the software unaltered (1.6.2), and that both were found before the change.
//!
//! Values in, values and a page out; it opens nothing and reads no clock. Each answer is taken from the signed receipt
//! of the change, which is checked here as `headgate receipt --verify` checks it and goes along with the report. What
//! is not shown by a receipt is said to be not shown.

mod html;
#[cfg(test)]
mod tests;

use firmware_verifier::trust::PublicKey;
use hal::clock::Wall;
use serde::Serialize;

use crate::receipt::record::{Stage, Terms};
use crate::receipt::{self, Checked, Said as Found, Standing, Statement};

pub use html::html;

/// Name of this kind of report in its JSON.
pub const KIND: &str = "cip-010-r1.6";

/// What a report is made of.
#[derive(Debug)]
pub struct Evidence {
    /// Name of the gateway.
    pub gateway: String,
    /// First moment of the period.
    pub from: Wall,
    /// First moment after it.
    pub to: Wall,
    /// When the report is made.
    pub made: Wall,
    /// The gateway's evidence key, and both its keys in PEM.
    pub key: PublicKey,
    /// Evidence keys of boxes whose place this one took.
    pub predecessors: Vec<PublicKey>,
    /// Evidence key and attestation key in PEM.
    pub keys: [String; 2],
    /// Transfers of the period, oldest first.
    pub transfers: Vec<Transfer>,
    /// Changes that no transfer explains.
    pub outside: Vec<Outside>,
    /// The controllers behind the gateway.
    pub controllers: Vec<Asset>,
    /// The audit log.
    pub log: Log,
    /// What is no longer kept.
    pub forgotten: Option<String>,
}

/// A transfer as the gateway's own record has it.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// The case.
    pub case: String,
    /// The controller.
    pub controller: String,
    /// Where it came from.
    pub station: String,
    /// When it was opened.
    pub opened: Wall,
    /// When it ended.
    pub ended: Option<Wall>,
    /// What became of it.
    pub state: String,
    /// Why, in words.
    pub why: Option<String>,
    /// Whether the image is in the controller.
    pub took_effect: bool,
    /// Its signed receipt.
    pub receipt: Option<String>,
    /// Why there is none.
    pub unsigned: String,
}

/// A change that was seen and that no transfer explains.
#[derive(Debug, Clone, Serialize)]
pub struct Outside {
    /// When it was seen.
    pub at: Wall,
    /// The controller.
    pub controller: String,
    /// What was seen.
    pub text: String,
    /// Entry of the audit log.
    pub entry: u64,
}

/// A controller behind the gateway.
#[derive(Debug, Clone, Serialize)]
pub struct Asset {
    /// Id.
    pub id: String,
    /// Vendor by the configuration.
    pub vendor: String,
    /// Model by the configuration.
    pub model: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// What it said of itself last, and when.
    pub runs: Option<(String, Wall)>,
}

/// The audit log, read from end to end.
#[derive(Debug, Clone, Serialize)]
pub struct Log {
    /// Entries.
    pub entries: u64,
    /// Root of the tree, in base64.
    pub root: String,
    /// The newest checkpoint.
    pub checkpoint: Option<String>,
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    /// [`KIND`].
    pub report: &'static str,
    /// Name of the gateway.
    pub gateway: String,
    /// First moment of the period.
    pub from: Wall,
    /// First moment after it.
    pub to: Wall,
    /// When the report was made.
    pub made: Wall,
    /// Id of the evidence key that receipts were checked with.
    pub evidence_key: String,
    /// Changes that took effect.
    pub changes: Vec<Change>,
    /// Transfers that did not.
    pub others: Vec<Other>,
    /// Changes that no transfer explains.
    pub outside: Vec<Outside>,
    /// The controllers.
    pub controllers: Vec<Asset>,
    /// The audit log.
    pub log: Log,
    /// What is no longer kept.
    pub forgotten: Option<String>,
    /// Evidence key and attestation key in PEM.
    pub keys: [String; 2],
}

/// One change that took effect.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The case.
    pub case: String,
    /// The controller.
    pub controller: String,
    /// When it took effect.
    pub at: Wall,
    /// Identity before and after, in words.
    pub before: Option<String>,
    /// See `before`.
    pub after: Option<String>,
    /// SHA-256 of the image.
    pub image: Option<String>,
    /// What its bringer called it.
    pub name: Option<String>,
    /// Who released it, and under which ticket.
    pub released_by: Option<String>,
    /// See `released_by`.
    pub ticket: Option<String>,
    /// Part 1.6.1: identity of the software source.
    pub source: Answer,
    /// Part 1.6.2: integrity of the software.
    pub integrity: Answer,
    /// Both were found before the change.
    pub before_change: Answer,
    /// The receipt is signed by the gateway and unaltered.
    pub evidence: Answer,
    /// The receipt, as `headgate receipt --verify` takes it.
    pub receipt: Option<String>,
    /// The receipt on one page.
    pub page: String,
}

/// One answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether it is shown.
    pub shown: bool,
    /// What shows it, or what does not.
    pub text: String,
}

/// A transfer that has not taken effect.
#[derive(Debug, Serialize)]
pub struct Other {
    /// The case.
    pub case: String,
    /// The controller.
    pub controller: String,
    /// Where it came from.
    pub station: String,
    /// When it was opened.
    pub at: Wall,
    /// What became of it.
    pub state: String,
    /// Why.
    pub why: Option<String>,
}

impl Change {
    /// Whether all that is asked for is shown.
    pub fn is_shown(&self) -> bool {
        [&self.source, &self.integrity, &self.before_change, &self.evidence].iter().all(|a| a.shown)
    }
}

impl Report {
    /// Whether each change in the period is shown to have been verified, and none went past the gateway.
    pub fn is_complete(&self) -> bool {
        self.changes.iter().all(Change::is_shown) && self.outside.is_empty() && self.forgotten.is_none()
    }
}

/// The report on this evidence.
pub fn report(evidence: Evidence) -> Report {
    let Evidence { key, predecessors, from, to, .. } = &evidence;
    let in_period = |at: Wall| at.ms >= from.ms && at.ms < to.ms;
    let landed = |t: &&Transfer| t.took_effect && in_period(t.ended.unwrap_or(t.opened));
    let changes = evidence.transfers.iter().filter(landed).map(|t| change(t, key, predecessors)).collect();
    let other = |t: &&Transfer| !t.took_effect && in_period(t.opened);
    Report {
        schema: 1,
        report: KIND,
        evidence_key: receipt::check::id_of(key),
        changes,
        others: evidence.transfers.iter().filter(other).map(Other::from).collect(),
        gateway: evidence.gateway,
        from: evidence.from,
        to: evidence.to,
        made: evidence.made,
        outside: evidence.outside,
        controllers: evidence.controllers,
        log: evidence.log,
        forgotten: evidence.forgotten,
        keys: evidence.keys,
    }
}

fn change(transfer: &Transfer, key: &PublicKey, predecessors: &[PublicKey]) -> Change {
    let check = |file: &str, key| receipt::check(file.as_bytes(), key, None).map_err(|e| e.to_string());
    let checked = match &transfer.receipt {
        None => Err(format!("no signed receipt: {}", transfer.unsigned)),
        Some(file) => {
            let older = predecessors.iter().find_map(|key| check(file, key).ok().filter(Checked::is_good));
            older.map_or_else(
                || check(file, key).map(|checked| (checked, "the gateway's TPM")),
                |checked| Ok((checked, "the TPM of a box that this gateway replaced")),
            )
        }
    };
    let checked = checked.and_then(|(checked, by)| Ok((of_this_case(transfer, checked)?, by)));
    match checked {
        Ok((checked, by)) => shown(transfer, &checked, by),
        Err(why) => not_shown(transfer, &why),
    }
}

/// A receipt says whose it is: one of another case proves nothing here.
fn of_this_case(transfer: &Transfer, checked: Checked) -> Result<Checked, String> {
    let record = checked.statement.record();
    let case = record.case.rsplit('/').next().unwrap_or_default();
    match case == transfer.case && record.controller.id == transfer.controller {
        true => Ok(checked),
        false => Err(format!("the receipt is of {} and {}", record.case, record.controller.id)),
    }
}

fn shown(transfer: &Transfer, checked: &Checked, by: &str) -> Change {
    let statement = &checked.statement;
    let (record, image) = (statement.record(), statement.image());
    let reading = |r: &Option<receipt::record::Reading>| {
        r.as_ref().map(|r| format!("{} {} {}", r.vendor, r.product, r.revision).trim().to_string())
    };
    let evidence = evidence(checked, by);
    // What the receipt says counts only when the receipt does.
    let counts = |answer: Answer| Answer { shown: answer.shown && evidence.shown, ..answer };
    Change {
        case: transfer.case.clone(),
        controller: transfer.controller.clone(),
        at: transfer.ended.unwrap_or(transfer.opened),
        before: reading(&record.controller.before),
        after: reading(&record.controller.after),
        image: Some(image.digest.sha256.clone()),
        name: Some(image.name.clone()).filter(|name| !name.is_empty()),
        released_by: record.release.as_ref().map(released_by),
        ticket: record.release.as_ref().and_then(|r| r.ticket.clone()),
        source: counts(source(statement)),
        integrity: counts(integrity(statement)),
        before_change: counts(before_change(statement)),
        page: page(statement, &evidence),
        evidence,
        receipt: transfer.receipt.clone(),
    }
}

fn not_shown(transfer: &Transfer, why: &str) -> Change {
    let none = || Answer { shown: false, text: "no receipt shows it".into() };
    Change {
        case: transfer.case.clone(),
        controller: transfer.controller.clone(),
        at: transfer.ended.unwrap_or(transfer.opened),
        before: None,
        after: None,
        image: None,
        name: None,
        released_by: None,
        ticket: None,
        source: none(),
        integrity: none(),
        before_change: none(),
        evidence: Answer { shown: false, text: why.into() },
        receipt: transfer.receipt.clone(),
        page: format!("{} has no receipt that could be believed: {why}", transfer.case),
    }
}

fn page(statement: &Statement, evidence: &Answer) -> String {
    let key = statement.record().gateway.evidence_key.clone();
    let standing = match evidence.shown {
        true => Standing::Signed { key },
        false => Standing::Unsigned(evidence.text.clone()),
    };
    receipt::page(statement, &standing)
}

/// Who asked for a release, and who approved it.
fn released_by(terms: &Terms) -> String {
    let names: Vec<&str> = terms.approvers.iter().map(|a| a.name.as_str()).collect();
    match names.is_empty() {
        true => terms.by.clone(),
        false => format!("{}, approved by {}", terms.by, names.join(" and ")),
    }
}

fn stage<'a>(statement: &'a Statement, name: &str) -> Option<&'a Stage> {
    statement.record().stages.iter().find(|s| s.stage == name)
}

fn passed(stage: Option<&Stage>) -> bool {
    stage.is_some_and(|s| s.outcome == "passed")
}

/// 1.6.1: whose key signed the image.
fn source(statement: &Statement) -> Answer {
    if let Some(answer) = unverified(statement) {
        return answer;
    }
    let signature = stage(statement, "signature");
    if is_vouched(statement) {
        let names: Vec<&str> = statement.record().vouched_by.iter().map(|s| s.name.as_str()).collect();
        let text = format!("not signed by its source; site-vouched: by {}", names.join(" and "));
        return Answer { shown: false, text };
    }
    match (&statement.record().signer, passed(signature)) {
        (Some(signer), true) => {
            Answer { shown: true, text: format!("signed with the key of {} ({})", signer.name, signer.id) }
        }
        (None, true) => Answer { shown: false, text: "the receipt names no signer".into() },
        (_, false) => {
            let found = signature.map_or("not looked at".into(), |s| format!("{}: {}", s.outcome, s.found));
            Answer { shown: false, text: format!("signature {found}") }
        }
    }
}

/// Nothing is shown of what went in, or on, without a verdict.
fn unverified(statement: &Statement) -> Option<Answer> {
    if let Some(program) = &statement.record().program {
        return Some(Answer { shown: false, text: program.clone() });
    }
    let glass = statement.record().break_glass.as_ref()?;
    let text = format!("NOT VERIFIED: break-glass {} ({}): {}", glass.id, glass.action, glass.reason);
    Some(Answer { shown: false, text })
}

/// Whether people of the site stand behind the image, and its vendor does not.
fn is_vouched(statement: &Statement) -> bool {
    statement.record().basis.as_deref() == Some("site-vouched")
}

/// 1.6.2: the signature is over this digest, and what was delivered has it.
fn integrity(statement: &Statement) -> Answer {
    if let Some(answer) = unverified(statement) {
        return answer;
    }
    let digest = &statement.image().digest.sha256;
    let bytes =
        statement.record().delivered_bytes.map_or(String::new(), |n| format!(", {n} bytes delivered"));
    let shown = passed(stage(statement, "intake")) && passed(stage(statement, "signature"));
    let shown = shown && statement.predicate.verification_result == "PASSED";
    let word = match (shown, is_vouched(statement)) {
        (true, false) => "the signature covers",
        (true, true) => "no signature of its source, and the site's word alone covers",
        (false, _) => "nothing covers",
    };
    Answer { shown: shown && !is_vouched(statement), text: format!("{word} SHA-256 {digest}{bytes}") }
}

/// Verified first, changed then.
fn before_change(statement: &Statement) -> Answer {
    let verified = &statement.predicate.time_verified;
    if let Some(Answer { text, .. }) = unverified(statement) {
        return Answer { shown: false, text: format!("{text}; let in {verified}") };
    }
    let Some(ended) = &statement.record().ended else {
        return Answer {
            shown: false,
            text: format!("verified {verified}; when it took effect is not known"),
        };
    };
    let times = (verified.parse::<Wall>(), ended.parse::<Wall>());
    let shown = matches!(times, (Ok(verified), Ok(ended)) if verified.ms <= ended.ms);
    Answer { shown, text: format!("verified {verified}, in effect {ended}") }
}

fn evidence(checked: &Checked, by: &str) -> Answer {
    let wrong: Vec<String> = checked
        .findings
        .iter()
        .filter(|f| f.said == Found::Bad)
        .map(|f| format!("{}: {}", f.what, f.text))
        .collect();
    match wrong.is_empty() {
        true => Answer { shown: true, text: format!("receipt signed by {by}, and unaltered") },
        false => Answer { shown: false, text: wrong.join("; ") },
    }
}

impl From<&Transfer> for Other {
    fn from(transfer: &Transfer) -> Other {
        Other {
            case: transfer.case.clone(),
            controller: transfer.controller.clone(),
            station: transfer.station.clone(),
            at: transfer.opened,
            state: transfer.state.clone(),
            why: transfer.why.clone(),
        }
    }
}
