//! What is said of a controller, for people and as JSON.

use firmware_verifier::advisory::matching::{Answer, Controller, Finding, Verdict};
use serde_json::{Value, json};

/// 31: known to be exploited, 32: affected, or nobody can tell, 3: nothing is known of the product (docs/cli.md).
pub(super) fn exit(answer: &Answer) -> u8 {
    let is_clear = |f: &&Finding| matches!(f.verdict, Verdict::Fixed | Verdict::NotAffected);
    let found: Vec<&Finding> = answer.findings.iter().filter(|f| !is_clear(f)).collect();
    if !answer.is_known {
        return 3;
    }
    match (found.is_empty(), found.iter().any(|f| f.entry.is_exploited)) {
        (true, _) => 0,
        (false, true) => 31,
        (false, false) => 32,
    }
}

/// The answer on a terminal.
pub(super) fn answer(controller: &Controller<'_>, answer: &Answer) -> String {
    let Controller { vendor, product, .. } = controller;
    let version = controller.version.unwrap_or("of unknown version");
    let mut out = match (answer.is_known, answer.is_vendor_known) {
        (false, Some(false)) => {
            return format!("no advisory here names {vendor:?}: nothing is known of {product:?}\n");
        }
        (false, _) => {
            return format!("no advisory here names {product:?} of {vendor:?}: nothing is known of it\n");
        }
        (true, _) => format!("{vendor} {product} {version}: {} findings\n", answer.findings.len()),
    };
    answer.findings.iter().for_each(|finding| out += &finding_words(finding));
    if answer.elsewhere > 0 {
        out += &format!("{} holes in other versions\n", answer.elsewhere);
    }
    out
}

fn finding_words(finding: &Finding) -> String {
    let Finding { verdict, entry, evidence } = finding;
    if matches!(verdict, Verdict::Fixed | Verdict::NotAffected) {
        return format!("  {verdict}: {} says {}\n", clean(&entry.id), clean(&entry.advisory));
    }
    let score = entry.score.map_or("no score".into(), |score| format!("CVSS {score}"));
    let exploited = if entry.is_exploited { ", KNOWN EXPLOITED" } else { "" };
    let mut out = format!(
        "  {verdict}: {} ({score}{exploited}) {}\n    {} {} by {}, found by {}: {} [{}]\n",
        clean(&entry.id),
        clean(&entry.title),
        clean(&entry.advisory),
        clean(&entry.url),
        clean(&entry.publisher),
        evidence.by,
        clean(&evidence.product),
        clean(&evidence.versions),
    );
    if !evidence.condition.is_empty() {
        out += &format!("    if {}\n", clean(&evidence.condition));
    }
    if !entry.remedy.is_empty() {
        out += &format!("    {}\n", clean(&entry.remedy));
    }
    out
}

/// Text from a vendor on a terminal: one line, nothing that moves the cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A finding as JSON.
pub(super) fn finding_value(finding: &Finding) -> Value {
    let Finding { verdict, entry, evidence } = finding;
    json!({
        "verdict": verdict.to_string().replace(' ', "-"),
        "id": entry.id, "advisory": entry.advisory, "publisher": entry.publisher, "title": entry.title,
        "url": entry.url, "remedy": entry.remedy,
        "score": entry.score.map(|score| f64::from(score.tenths()) / 10.0),
        "known_exploited": entry.is_exploited,
        "published": entry.published.to_string(), "released": entry.released.to_string(),
        "found_by": evidence.by.to_string(), "found_product": evidence.product,
        "found_versions": evidence.versions, "condition": evidence.condition,
    })
}
