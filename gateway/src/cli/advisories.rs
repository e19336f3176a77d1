//! `headgate advisories`: the offline database of what vendors say of holes. Only `import`, and `show` without a file, ask
//! the gateway; the others need no configuration, no TPM and no network.

mod import;
mod signed;
mod words;

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use firmware_verifier::Digest;
use firmware_verifier::advisory::csaf::{Csaf, MAX_CSAF};
use firmware_verifier::advisory::database::{BuildError, Builder, Database, DatabaseError, MAX_DATABASE};
use firmware_verifier::advisory::kev::{Kev, MAX_KEV};
use firmware_verifier::advisory::known::Advisories as Known;
use firmware_verifier::advisory::matching::{Controller, matches_controller};
use firmware_verifier::trust::PublicKey;
use firmware_verifier::version::VersionScheme;
use hal::clock::{Clock, Wall};
use hal::reason::ReasonCode;
use serde_json::json;

use super::{Context, Said, open_image, read_at_most, read_small, unreadable, write_new};
use crate::advisories::AdvisoryFile;
use crate::judge::{Failure, Request};

pub(super) use import::{import_words, installed_words};

#[derive(Debug, Subcommand)]
pub(super) enum Advisories {
    /// Make a database of the CSAF 2.0 files in folders; the same files give the same bytes.
    Build(Build),
    /// Show what a signed database brings to the gateway; with --yes, have it go by that.
    Import(Import),
    /// What is in a database, and how old it is; without FILE, the one that the gateway goes by.
    Show(Show),
    /// What a database says of a controller; exit code 31 or 32 when it may be affected.
    Match(Match),
}

#[derive(Debug, Args)]
pub(super) struct Build {
    /// Folders with advisories (*.json), with all folders in them.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Where to write the database; the file must not be there.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// CISA's catalogue of known exploited vulnerabilities, as JSON.
    #[arg(long, value_name = "FILE")]
    kev: Option<PathBuf>,
    /// Build without files that are refused; the database says how many there were.
    #[arg(long)]
    leave_out: bool,
    /// Write the document that approvers sign, too: which file it is, and how long one may go by it.
    #[arg(long, value_name = "FILE", requires = "reason")]
    document: Option<PathBuf>,
    /// Why it is signed, for whoever reads the record.
    #[arg(long, value_parser = super::typed::line)]
    reason: Option<String>,
    /// How many days one may go by it.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The database.
    file: PathBuf,
    /// The document about it, signed by approvers.
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    /// Go by it.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The database.
    file: Option<PathBuf>,
    /// The signed document beside it, which is checked.
    #[arg(long, value_name = "FILE", requires_all = ["key", "file"])]
    document: Option<PathBuf>,
    /// A public key whose signature counts, PEM. May be repeated; one of them is enough here.
    #[arg(long, value_name = "PEM", requires = "document")]
    key: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Match {
    /// The database.
    file: PathBuf,
    /// Whose the controller is, as advisories name it.
    #[arg(long, value_parser = super::typed::line)]
    vendor: String,
    /// The product, or its model or order number.
    #[arg(long, value_parser = super::typed::line)]
    product: String,
    /// The version of its firmware.
    #[arg(long, value_parser = super::typed::line)]
    version: String,
    /// How its versions count; without it, numbers with dots and letters behind.
    #[arg(long, value_name = "SCHEME", value_parser = scheme)]
    version_scheme: Option<VersionScheme>,
}

pub(super) fn advisories(context: &Context, verb: &Advisories) -> Result<Said, Failure> {
    match verb {
        Advisories::Import(of) => import::import(context, of),
        Advisories::Build(build) => make(build),
        Advisories::Show(of) => match &of.file {
            Some(path) => show(path, of),
            None => context.ask(&Request::AdvisoriesShow),
        },
        Advisories::Match(of) => find(of),
    }
}

fn make(build: &Build) -> Result<Said, Failure> {
    let mut builder = Builder::new();
    let (mut taken, mut refused, mut notes) = (0u32, vec![], vec![]);
    for path in files(&build.folders)? {
        match advisory(&path)? {
            Ok(csaf) => {
                notes.extend(csaf.notes.iter().map(|note| format!("{}: {note}", path.display())));
                builder.add(csaf);
                taken += 1;
            }
            Err((code, text)) => {
                builder.leave_out();
                refused.push((code, text));
            }
        }
    }
    refused.extend(builder.contradictions().iter().map(|e| (e.code(), e.to_string())));
    builder.leave_out_contradictions();
    if let (Some((code, _)), false) = (refused.first(), build.leave_out) {
        let texts: Vec<&str> = refused.iter().map(|(_, text)| text.as_str()).collect();
        let text = format!(
            "{} of {} files refused:\n{}",
            refused.len(),
            refused.len() as u32 + taken,
            texts.join("\n")
        );
        return Err(Failure::new(*code, text));
    }
    if let Some(path) = &build.kev {
        let bytes = read_at_most(path, MAX_KEV as u64)?;
        let kev =
            Kev::parse(&bytes).map_err(|e| Failure::new(e.code(), format!("{}: {e}", path.display())))?;
        builder.known_exploited(kev);
    }
    let bytes = builder.finish().map_err(|e| failed(&e))?;
    let digest = Digest::of(&bytes);
    let database = Database::open(bytes.as_slice()).map_err(|e| damaged(&build.out, &e))?;
    let document = match (&build.document, &build.reason) {
        (Some(out), Some(reason)) => {
            let text = signed::draft(digest, database.current(), build.days, reason, Clock::system().wall())?;
            Some((out, text))
        }
        _ => None,
    };
    write_new(&build.out, &bytes, false)?;
    if let Some((out, text)) = &document {
        write_new(out, text.as_bytes(), false)?;
    }
    let refused: Vec<String> = refused.into_iter().map(|(_, text)| text).collect();
    let mut words =
        format!("written: {}, {} bytes, {digest}\n{taken} advisories\n", build.out.display(), bytes.len());
    if let Some((out, _)) = &document {
        words +=
            &format!("written: {0}; have it signed: headgate sign-document {0} --key PEM\n", out.display());
    }
    refused.iter().for_each(|text| words += &format!("left out: {text}\n"));
    notes.iter().for_each(|text| words += &format!("note: {text}\n"));
    let value = json!({
        "schema": 1, "database": build.out, "bytes": bytes.len(), "digest": digest, "advisories": taken,
        "document": build.document, "left_out": refused, "notes": notes,
    });
    Ok(Said::Words(words, value))
}

fn failed(e: &BuildError) -> Failure {
    Failure::new(e.code(), e.to_string())
}

/// One advisory; the inner error is one of the file alone.
fn advisory(path: &Path) -> Result<Result<Csaf, (ReasonCode, String)>, Failure> {
    let (mut file, len) = open_image(path)?;
    if len > MAX_CSAF as u64 {
        let text = format!("{}: {len} bytes, at most {MAX_CSAF} are read", path.display());
        return Ok(Err((firmware_verifier::reasons::ADVISORY_UNREADABLE, text)));
    }
    let mut bytes = vec![];
    io::Read::read_to_end(&mut file, &mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(Csaf::parse(&bytes).map_err(|e| (e.code(), format!("{}: {e}", path.display()))))
}

/// The advisories in these folders, in an order that does not depend on the disk.
fn files(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let (mut open, mut found): (Vec<PathBuf>, Vec<PathBuf>) = (folders.to_vec(), vec![]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| unreadable(&folder, &e))? {
            let entry = entry.map_err(|e| unreadable(&folder, &e))?;
            let (kind, path) = (entry.file_type().map_err(|e| unreadable(&folder, &e))?, entry.path());
            // A link may lead back up.
            if kind.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "json") {
                found.push(path);
            }
            if open.len() + found.len() > MAX_FILES {
                return Err(Failure::usage(format!("more than {MAX_FILES} files in these folders"))
                    .next("name the folders that have the advisories themselves"));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn show(path: &Path, of: &Show) -> Result<Said, Failure> {
    let database = open(path)?;
    let wrong = |e: DatabaseError| damaged(path, &e);
    let (sources, digest) = (database.sources().map_err(wrong)?, digest(path)?);
    let now = Clock::system().wall();
    let (current, age) = (database.current(), age_days(database.current(), now));
    let checked = match &of.document {
        Some(document) => {
            let keys: Vec<PublicKey> = of.key.iter().map(|key| read_key(key)).collect::<Result<_, _>>()?;
            Some(signed::check(document, &keys, digest, current, now)?)
        }
        None => None,
    };
    let mut words = format!(
        "{digest}\n{} holes; sources of {} and before, {age} days old\n",
        database.entries(),
        current
    );
    if let Some((signers, until)) = &checked {
        words += &format!("signed by {}, to go by until {until}\n", signers.join(", "));
    }
    for source in &sources {
        words += &format!("  {}: {}, the last of {}\n", source.name, source.count, source.newest);
    }
    if database.left_out() > 0 {
        words += &format!("built without {} files that were refused\n", database.left_out());
    }
    let row = |s: &firmware_verifier::advisory::database::Source| json!({ "name": s.name, "count": s.count, "newest": s.newest.to_string() });
    let value = json!({
        "schema": 1, "digest": digest, "holes": database.entries(), "current": current.to_string(),
        "signed_by": checked.as_ref().map(|(signers, _)| signers),
        "expires": checked.as_ref().map(|(_, until)| until.to_string()),
        "age_days": age, "left_out": database.left_out(), "sources": sources.iter().map(row).collect::<Vec<_>>(),
    });
    Ok(Said::Words(words, value))
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let key = PublicKey::parse(&read_small(path)?);
    key.map_err(|e| Failure::new(e.code(), format!("{}: {e}", path.display())))
}

fn find(of: &Match) -> Result<Said, Failure> {
    let database = open(&of.file)?;
    let controller = Controller {
        vendor: &of.vendor,
        product: &of.product,
        version: Some(&of.version),
        scheme: of.version_scheme,
    };
    let answer = matches_controller(&database, &controller).map_err(|e| damaged(&of.file, &e))?;
    let current = database.current();
    let age = age_days(current, Clock::system().wall());
    let mut words = words::answer(&controller, &answer);
    words += &format!("sources of {current} and before, {age} days old\n");
    let value = json!({
        "schema": 1, "vendor": of.vendor, "product": of.product, "version": of.version,
        "product_known": answer.is_known, "vendor_known": answer.is_vendor_known,
        "findings": answer.findings.iter().map(words::finding_value).collect::<Vec<_>>(),
        "elsewhere": answer.elsewhere, "current": current.to_string(), "age_days": age,
    });
    Ok(Said::Judged(words, value, words::exit(&answer)))
}

fn open(path: &Path) -> Result<Database<AdvisoryFile>, Failure> {
    let (file, _) = open_image(path)?;
    AdvisoryFile::database(file).map_err(|e| damaged(path, &e))
}

/// A database as the gauntlet asks it.
pub(super) fn known(path: &Path) -> Result<Known, Failure> {
    let digest = digest(path)?;
    let (file, _) = open_image(path)?;
    let file = AdvisoryFile::new(file).map_err(|e| damaged(path, &e))?;
    Known::open(Box::new(file), digest).map_err(|e| damaged(path, &e))
}

fn damaged(path: &Path, e: &DatabaseError) -> Failure {
    Failure::new(e.code(), format!("{}: {e}", path.display()))
}

/// What the signers of a database sign.
fn digest(path: &Path) -> Result<Digest, Failure> {
    let (mut file, len) = open_image(path)?;
    if len > MAX_DATABASE {
        return Err(damaged(path, &DatabaseError::NoDatabase));
    }
    let mut stream = firmware_verifier::digest::DigestStream::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match io::Read::read(&mut file, &mut piece).map_err(|e| unreadable(path, &e))? {
            0 => return Ok(stream.finish()),
            n => stream.update(piece.get(..n).unwrap_or_default()),
        }
    }
}

fn age_days(current: Wall, now: Wall) -> i64 {
    (now.ms - current.ms).div_euclid(86_400_000)
}

pub(super) fn scheme(text: &str) -> Result<VersionScheme, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "one of semver, dotted, date, lexical, letters, deb".to_owned())
}

/// Most files in the folders that are given.
const MAX_FILES: usize = 1_000_000;
