//! The report as one page that needs nothing else: no script, no style sheet, no font and no picture from elsewhere.
//! Every text is escaped, also inside the receipts, since parts of it were typed by whoever staged an image.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firmware_verifier::Digest;

use super::{Answer, Change, Report};

/// The page.
pub fn html(report: &Report) -> String {
    let mut out = String::with_capacity(16 << 10);
    let style = STANDARD.encode(Digest::of(STYLE.as_bytes()).as_bytes());
    let title = format!("CIP-010-4 R1 Part 1.6: {}", report.gateway);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{style}'\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        text(&title)
    );
    head(&mut out, report);
    changes(&mut out, &report.changes);
    outside(&mut out, report);
    others(&mut out, report);
    controllers(&mut out, report);
    method(&mut out, report);
    report.changes.iter().for_each(|change| receipt(&mut out, change));
    out += "</body>\n</html>\n";
    out
}

fn head(out: &mut String, report: &Report) {
    let shown = report.changes.iter().filter(|c| c.is_shown()).count();
    let (all, outside) = (report.changes.len(), report.outside.len());
    let verdict = match report.is_complete() {
        true => {
            "<p class=\"verdict yes\">Every change in this period is shown to have been verified before it.</p>"
        }
        false => {
            "<p class=\"verdict no\">Not every change in this period is shown to have been verified before it.</p>"
        }
    };
    let _ = write!(
        out,
        "<h1>Verification of software before changes</h1>\n<p class=\"sub\">NERC CIP-010-4 R1 Part 1.6, gateway \
         <b>{}</b>, {} to {} (UTC, the end is not included)</p>\n{verdict}\n<dl class=\"figures\">\n\
         <div><dt>Changes in effect</dt><dd>{all}</dd></div>\n<div><dt>Shown by a receipt</dt><dd>{shown}</dd></div>\n\
         <div><dt>Not shown</dt><dd>{}</dd></div>\n<div><dt>Outside the gate</dt><dd>{outside}</dd></div>\n\
         <div><dt>Refused or not completed</dt><dd>{}</dd></div>\n</dl>\n",
        text(&report.gateway),
        report.from,
        report.to,
        all - shown,
        report.others.len()
    );
    if let Some(forgotten) = &report.forgotten {
        let _ = writeln!(out, "<p class=\"no\">{}</p>", text(forgotten));
    }
}

fn changes(out: &mut String, changes: &[Change]) {
    *out += "<h2>Changes in effect</h2>\n";
    if changes.is_empty() {
        *out += "<p>None.</p>\n";
        return;
    }
    *out += "<table>\n<thead><tr><th>Case</th><th>Controller</th><th>In effect</th><th>Firmware</th>\
             <th>Authorised</th><th>1.6.1 source</th><th>1.6.2 integrity</th><th>Before the change</th>\
             <th>Evidence</th></tr></thead>\n<tbody>\n";
    for change in changes {
        let unknown = || "not known".to_string();
        let revisions = [&change.before, &change.after].map(|r| r.clone().unwrap_or_else(unknown));
        let image = change.image.as_deref().and_then(|d| d.get(..12)).unwrap_or("not known");
        let name = change.name.as_deref().unwrap_or("");
        let by = change.released_by.as_deref().unwrap_or("nobody known");
        let ticket = change.ticket.as_deref().map_or("no ticket".into(), |t| format!("ticket {t}"));
        let _ = writeln!(
            out,
            "<tr><td><a href=\"#{0}\">{0}</a></td><td>{1}</td><td>{2}</td><td>{3} to {4}<br><code>{5}</code> {6}</td>\
             <td>{7}<br>{8}</td>{9}{10}{11}{12}</tr>",
            text(&change.case),
            text(&change.controller),
            change.at,
            text(&revisions[0]),
            text(&revisions[1]),
            text(image),
            text(name),
            text(by),
            text(&ticket),
            cell(&change.source),
            cell(&change.integrity),
            cell(&change.before_change),
            cell(&change.evidence),
        );
    }
    *out += "</tbody>\n</table>\n";
}

fn cell(answer: &Answer) -> String {
    let (class, word) = if answer.shown { ("yes", "shown") } else { ("no", "not shown") };
    format!("<td><b class=\"{class}\">{word}</b><br>{}</td>", text(&answer.text))
}

fn outside(out: &mut String, report: &Report) {
    *out += "<h2>Changes that no transfer explains</h2>\n";
    if report.outside.is_empty() {
        *out += "<p>None was seen. The gateway reads the identity of each controller again and again; a change that \
                 leaves the identity as it was cannot be seen so.</p>\n";
        return;
    }
    *out += "<table>\n<thead><tr><th>Seen</th><th>Controller</th><th>What</th><th>Audit entry</th></tr></thead>\n<tbody>\n";
    for one in &report.outside {
        let (plc, what) = (text(&one.controller), text(&one.text));
        let _ =
            writeln!(out, "<tr><td>{}</td><td>{plc}</td><td>{what}</td><td>{}</td></tr>", one.at, one.entry);
    }
    *out += "</tbody>\n</table>\n";
}

fn others(out: &mut String, report: &Report) {
    *out += "<h2>Refused or not completed</h2>\n";
    if report.others.is_empty() {
        *out += "<p>None.</p>\n";
        return;
    }
    *out += "<table>\n<thead><tr><th>Case</th><th>Controller</th><th>Opened</th><th>From</th><th>Outcome</th></tr></thead>\n<tbody>\n";
    for other in &report.others {
        let why = other.why.as_deref().map_or(String::new(), |why| format!(": {}", text(why)));
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}{why}</td></tr>",
            text(&other.case),
            text(&other.controller),
            other.at,
            text(&other.station),
            text(&other.state)
        );
    }
    *out += "</tbody>\n</table>\n";
}

fn controllers(out: &mut String, report: &Report) {
    *out += "<h2>Controllers behind this gateway now</h2>\n<table>\n<thead><tr><th>Controller</th><th>Product</th>\
             <th>Mode</th><th>Says of itself</th></tr></thead>\n<tbody>\n";
    for asset in &report.controllers {
        let runs =
            asset.runs.as_ref().map_or("not read yet".into(), |(what, at)| format!("{}, {at}", text(what)));
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{} {}</td><td>{}</td><td>{runs}</td></tr>",
            text(&asset.id),
            text(&asset.vendor),
            text(&asset.model),
            text(&asset.mode)
        );
    }
    *out += "</tbody>\n</table>\n";
}

fn method(out: &mut String, report: &Report) {
    let checkpoint = report.log.checkpoint.as_deref().unwrap_or("no checkpoint yet");
    let _ = write!(
        out,
        "<h2>How to check this</h2>\n<p>A row says <b class=\"yes\">shown</b> only where its receipt is signed by the \
         gateway's evidence key and says so. This page is not signed: the receipts are. Save one by its link below and \
         run <code>headgate receipt --verify FILE --key evidence.pem</code>, or OpenSSL, jq and tpm2-tools as \
         docs/receipts.md shows. Compare the key with the one that was noted when the gateway was put into service:</p>\n\
         <p>SHA-256 of the evidence key: <code>{}</code></p>\n<pre>{}{}</pre>\n\
         <p>The audit log was read from end to end when this report was made and is whole: {} entries, root \
         <code>{}</code>. Its newest checkpoint:</p>\n<pre>{}</pre>\n<p>Report made {}.</p>\n",
        text(&report.evidence_key),
        text(&report.keys[0]),
        text(&report.keys[1]),
        report.log.entries,
        text(&report.log.root),
        text(checkpoint),
        report.made
    );
}

fn receipt(out: &mut String, change: &Change) {
    let case = text(&change.case);
    let _ = write!(out, "<section id=\"{case}\">\n<h2>{case}</h2>\n<pre>{}</pre>\n", text(&change.page));
    if let Some(file) = &change.receipt {
        let data = STANDARD.encode(file);
        let _ = writeln!(
            out,
            "<p><a download=\"{case}.receipt.json\" href=\"data:application/json;base64,{data}\">{case}.receipt.json\
             </a>: the signed receipt</p>"
        );
    }
    *out += "</section>\n";
}

/// Text inside an element or a quoted attribute.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' => out.push('\n'),
            // Neither moves the reader's eye nor ends a line: control characters and those that turn the direction.
            c if c.is_control() || is_turning(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn is_turning(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const STYLE: &str = "\
body{font:15px/1.45 'DejaVu Sans',Verdana,Helvetica,Arial,sans-serif;color:#1b1b1b;background:#fff;max-width:1400px;margin:2em auto;padding:0 1.5em}
h1{font-size:1.6em;margin:0 0 .2em}h2{font-size:1.15em;margin:2em 0 .5em;border-bottom:1px solid #ccc;padding-bottom:.2em}
.sub{color:#444;margin:0 0 1em}.verdict{font-weight:bold;padding:.7em 1em;border-left:6px solid}
.yes{color:#17693a}.no{color:#a11212}p.verdict.yes{background:#eaf5ee}p.verdict.no{background:#fbeaea}
.figures{display:flex;flex-wrap:wrap;gap:1em;margin:1em 0}.figures div{border:1px solid #ccc;padding:.5em 1em;min-width:9em}
dt{color:#555;font-size:.85em}dd{margin:0;font-size:1.5em}
table{border-collapse:collapse;width:100%;font-size:.85em}th,td{border:1px solid #ccc;padding:.35em .5em;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{background:#f2f2f2;white-space:nowrap;overflow-wrap:normal}td:first-child{white-space:nowrap;overflow-wrap:normal}code,pre{font-family:'DejaVu Sans Mono',Consolas,monospace;font-size:.9em}code{overflow-wrap:anywhere}
pre{background:#f7f7f7;border:1px solid #ddd;padding:.7em;overflow-x:auto}section{break-before:page}
@media print{body{margin:0;max-width:none}a{color:inherit}}
";
