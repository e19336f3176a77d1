//! `headgate sbom`: what an image is made of, found by looking into it. It needs no configuration, TPM or gateway.

use std::path::{Path, PathBuf};

use clap::Args;
use firmware_verifier::inspect::{Found, Report};
use firmware_verifier::sbom::{Inspected, MAX_SBOM, written};
use firmware_verifier::{Digest, MAX_IMAGE, digest::DigestStream, reasons};
use hal::clock::Clock;
use serde_json::{Value, json};

use super::{Said, open_image, unreadable, write_new};
use crate::inspect::{Inspection, LIMITS, inspect, sandbox};
use crate::judge::Failure;

#[derive(Debug, Args)]
pub(super) struct SbomOf {
    /// The image.
    image: PathBuf,
    /// Where to write the list, as CycloneDX 1.6; the file must not be there.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn sbom(of: &SbomOf) -> Result<Said, Failure> {
    let (image, digest, len) = copied(&of.image)?;
    let inspection = inspect(image, &sandbox(LIMITS)).map_err(|e| Failure::internal(e.to_string()))?;
    let name = of.image.file_name().map_or("image".into(), |name| name.to_string_lossy());
    let list = written(&Inspected {
        name: &name,
        digest,
        len,
        report: &inspection.report,
        landlock: inspection.landlock.word(),
        made: Clock::system().wall(),
        tool: env!("CARGO_PKG_VERSION"),
    });
    if let Some(out) = &of.out {
        let text = list.to_string();
        if text.len() > MAX_SBOM {
            let text = format!("a list of {} bytes; at most {MAX_SBOM} are read again", text.len());
            return Err(Failure::new(reasons::INSPECTION_TOO_MUCH, text));
        }
        write_new(out, (text + "\n").as_bytes(), false)?;
    }
    let exit = if inspection.report.findings.is_empty() { 0 } else { EXIT_FINDING };
    Ok(Said::Judged(
        words(&inspection, digest, of.out.as_deref()),
        value(&inspection, digest, list, of),
        exit,
    ))
}

/// The image, copied and hashed in one go.
fn copied(path: &Path) -> Result<(std::fs::File, Digest, u64), Failure> {
    let (mut file, len) = open_image(path)?;
    let too_large = |len: String| {
        let text = format!("{}: {len} bytes; at most {MAX_IMAGE}", path.display());
        Failure::new(reasons::IMAGE_TOO_LARGE, text)
    };
    if len > MAX_IMAGE {
        return Err(too_large(len.to_string()));
    }
    let (mut hasher, mut len) = (DigestStream::new(), 0);
    let copied = hal::sandbox::copy(&mut file, MAX_IMAGE, &mut |piece| {
        hasher.update(piece);
        len += piece.len() as u64;
    });
    let copied = copied.map_err(|e| match e.kind() {
        std::io::ErrorKind::FileTooLarge => too_large("more".into()),
        _ => unreadable(path, &e),
    })?;
    if len == 0 {
        return Err(Failure::new(reasons::IMAGE_EMPTY, format!("{}: no bytes", path.display())));
    }
    Ok((copied, hasher.finish(), len))
}

fn value(inspection: &Inspection, digest: Digest, list: Value, of: &SbomOf) -> Value {
    let Report { containers, components, findings, unpacked, entries } = &inspection.report;
    json!({
        "schema": 1, "sha256": digest.to_hex(), "whole": inspection.report.is_whole(),
        "landlock": inspection.landlock.word(), "unpacked": unpacked, "entries": entries,
        "containers": containers, "components": components, "findings": findings,
        "written": of.out, "sbom": of.out.is_none().then_some(list),
    })
}

fn words(inspection: &Inspection, digest: Digest, out: Option<&Path>) -> String {
    let report = &inspection.report;
    let mut text = format!("{digest}\n");
    if report.components.is_empty() {
        text += "no component was known by its texts, symbols or packages\n";
    } else {
        let rows: Vec<[String; 5]> = report.components.iter().map(row).collect();
        let head = ["component", "version", "sure", "by", "where"].map(String::from);
        let width = |n: usize| rows.iter().chain([&head]).map(|r| r[n].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for [name, version, sure, by, place] in [&head].into_iter().chain(&rows) {
            let [a, b, c, d] = widths;
            text += &format!("{name:a$}  {version:b$}  {sure:>c$}  {by:d$}  {place}\n");
        }
    }
    let containers = report.containers.len();
    text += &format!("{containers} containers, {} files, {} bytes unpacked", report.entries, report.unpacked);
    text += &format!("; Landlock {}\n", inspection.landlock.word());
    for finding in &report.findings {
        let place = if finding.place.is_empty() { String::new() } else { format!(" at {}", finding.place) };
        text += &format!("{}{place}: {}\n", finding.code, finding.text);
    }
    if !report.is_whole() {
        text += "not everything was looked at\n";
    }
    if let Some(out) = out {
        text += &format!("written to {}\n", out.display());
    }
    text
}

fn row(found: &Found) -> [String; 5] {
    let first = found.occurrences.first();
    let place = first.map_or(String::new(), |o| match o.place.as_str() {
        "" => format!("{:#x}", o.offset),
        place => format!("{place} +{:#x}", o.offset),
    });
    let more = found.occurrences.len().saturating_sub(1);
    let place = if more == 0 { place } else { format!("{place} and {more} more") };
    let by = serde_json::to_value(found.by).ok().and_then(|v| v.as_str().map(String::from));
    let version = found.version.clone().unwrap_or_else(|| "?".into());
    [found.name.clone(), version, format!("{}%", found.confidence), by.unwrap_or_default(), place]
}

/// Something is wrong with the image, or not all of it was looked at (docs/cli.md).
const EXIT_FINDING: u8 = 30;
