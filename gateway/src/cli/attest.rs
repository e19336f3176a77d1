//! `headgate attest`: the TPM's word about this gateway, its check elsewhere, and answers to challenges.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use clap::Args;
use hal::clock::Clock;
use serde_json::json;

use super::receipt::{failure, finding_lines, finding_rows, read_key};
use super::{Context, Said, read_at_most, read_small, write_new};
use crate::attestation::{self, Attestation, FILE, Given, Hex, MAX_FILE, Makers};
use crate::devid;
use crate::judge::{Answered, CertificateRow, Failure, Request};
use crate::reasons;
use crate::receipt::Said as Found;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("doing").args(["verify", "challenge", "csr", "certificate"]))]
pub(super) struct Attest {
    /// 1 to 32 bytes that the quote is made for, in hexadecimal: whoever asks chooses them anew. Without it the gateway
    /// chooses, which shows nobody else that the quote is new.
    #[arg(long, value_name = "HEX")]
    nonce: Option<Hex>,
    /// A new folder for the files, or with --challenge and --csr a new file.
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Check the folder of an attestation, without configuration, TPM or network.
    #[arg(long, value_name = "FOLDER", requires = "nonce", conflicts_with = "out")]
    verify: Option<PathBuf>,
    /// With --verify: certificates of makers of TPMs that you trust, PEM or DER. May be repeated.
    #[arg(long, value_name = "FILE", requires = "verify")]
    ca: Vec<PathBuf>,
    /// With --verify: the gateway's attestation key in PEM, as it was noted.
    #[arg(long, value_name = "PEM", requires = "verify")]
    attestation_key: Option<PathBuf>,
    /// With --verify: a request for a certificate that came from the gateway (attest --csr).
    #[arg(long, value_name = "FILE", requires = "verify")]
    request: Option<PathBuf>,
    /// Answer a challenge that tpm2_makecredential wrote.
    #[arg(long, value_name = "FILE", conflicts_with = "nonce")]
    challenge: Option<PathBuf>,
    /// Write a request for a certificate of the key that the TPM holds (LDevID); makes the key the first time.
    #[arg(long, conflicts_with = "nonce")]
    csr: bool,
    /// Install the certificate that an authority has issued for it: PEM, this gateway's first, then its issuers'.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nonce", "out"])]
    certificate: Option<PathBuf>,
}

pub(super) fn attest(context: &Context, v: &Attest) -> Result<Said, Failure> {
    match (&v.verify, &v.challenge) {
        (Some(folder), _) => verify(folder, v),
        (_, Some(challenge)) => answer(context, challenge, v.out.as_deref()),
        _ if v.csr => request(context, v.out.as_deref()),
        _ => match &v.certificate {
            Some(chain) => install(context, chain),
            None => quote(context, v),
        },
    }
}

fn quote(context: &Context, v: &Attest) -> Result<Said, Failure> {
    let nonce = match &v.nonce {
        Some(nonce) => nonce.clone(),
        None => {
            let mut fresh = [0; 32];
            rand::fill(&mut fresh).map_err(|_| Failure::internal("no random numbers"))?;
            Hex(fresh.to_vec())
        }
    };
    let Answered::Attestation(made) = context.answer(&Request::Attest { nonce })? else {
        return Err(Failure::internal("the gateway answered something else"));
    };
    let mut words = words(&made);
    if let Some(folder) = &v.out {
        let all = attestation::files(&made).map_err(|e| Failure::internal(e.to_string()))?;
        std::fs::create_dir(folder).map_err(|e| {
            Failure::usage(format!("{}: {e}", folder.display())).next("name a folder that is not there yet")
        })?;
        for (name, bytes) in &all {
            write_new(&folder.join(name), bytes, false)?;
        }
        words += &format!("written: {} files in {}\n", all.len(), folder.display());
    }
    let mut value = serde_json::to_value(&*made).map_err(|e| Failure::internal(e.to_string()))?;
    value["answer"] = "attestation".into();
    Ok(Said::Words(words, value))
}

/// The attestation for people.
pub(super) fn words(made: &Attestation) -> String {
    let hex = |value: &[u8; 32]| crate::vault::hex(value);
    let mut out = format!("{} at {}, quoted for nonce {}\n", made.gateway, made.at, made.nonce);
    for (index, value) in made.quote.pcrs.values() {
        out += &format!("  PCR {index:>2}  {}\n", hex(value));
    }
    let eks: Vec<&str> = made.endorsements.iter().map(|ek| ek.kind.name()).collect();
    out += &match eks.is_empty() {
        true => "endorsement keys: none that the TPM's maker has certified\n".to_owned(),
        false => format!("endorsement keys with a certificate: {}\n", eks.join(", ")),
    };
    if made.local.is_some() {
        out += "LDevID: the key of its requests for certificates\n";
    }
    if let Some(initial) = &made.initial {
        let subject =
            devid::Certificate::parse(&initial.certificate.0).map_or("unreadable".into(), |c| c.subject);
        out += &format!("IDevID: {subject}\n");
    }
    if !made.replaces.is_empty() {
        out += &format!("took the place of: {}\n", made.replaces.join(", "));
    }
    if let Some(log) = &made.event_log {
        out += &format!("event log: {log}\n");
    }
    out
}

fn answer(context: &Context, challenge: &Path, out: Option<&Path>) -> Result<Said, Failure> {
    let challenge = read_small(challenge)?;
    let Answered::Secret { secret } = context.answer(&Request::AnswerChallenge { challenge })? else {
        return Err(Failure::internal("the gateway answered something else"));
    };
    let value = json!({ "schema": 1, "answer": "secret", "secret": secret });
    match out {
        None => Ok(Said::Words(secret.to_string(), value)),
        Some(out) => {
            write_new(out, &secret.0, true)?;
            Ok(Said::Words(
                format!("written: {}", out.display()),
                json!({ "schema": 1, "answer": "secret", "file": out }),
            ))
        }
    }
}

fn request(context: &Context, out: Option<&Path>) -> Result<Said, Failure> {
    let Answered::CertificateRequest { request } = context.answer(&Request::CertificateRequest)? else {
        return Err(Failure::internal("the gateway answered something else"));
    };
    let value = json!({ "schema": 1, "answer": "certificate-request", "request": request, "file": out });
    match out {
        None => Ok(Said::Words(request, value)),
        Some(out) => {
            write_new(out, request.as_bytes(), false)?;
            let words = format!("written: {}\nnext: docs/devid.md shows how it is signed", out.display());
            Ok(Said::Words(words, value))
        }
    }
}

fn install(context: &Context, chain: &Path) -> Result<Said, Failure> {
    let file = read_at_most(chain, MAX_READ)?;
    // Here already: what is no chain need not travel.
    devid::Chain::parse(&file)
        .map_err(|e| Failure::new(reasons::CERTIFICATE_UNREADABLE, format!("{}: {e}", chain.display())))?;
    let answer = context.answer(&Request::InstallCertificate { file })?;
    let Answered::Certificate(row) = &answer else {
        return Err(Failure::internal("the gateway answered something else"));
    };
    let value = json!({ "schema": 1, "answer": "certificate", "certificate": row });
    Ok(Said::Words(certificate_words(row), value))
}

/// The installed certificate for people.
pub(super) fn certificate_words(row: &CertificateRow) -> String {
    let warning = row.warning.as_ref().map(|why| format!("        WARNING {why}\n")).unwrap_or_default();
    format!("ldevid  {}, issued by {}, until {}\n{warning}", row.subject, row.issuer, row.until)
}

fn verify(folder: &Path, v: &Attest) -> Result<Said, Failure> {
    let file = folder.join(FILE);
    let format = |e: &dyn std::fmt::Display| failure(11, format!("{}: {e}", file.display()));
    let made = Attestation::parse(&read_at_most(&file, MAX_FILE as u64)?).map_err(|e| format(&e))?;
    let mut makers = Makers::default();
    for ca in &v.ca {
        makers.add(&read_small(ca)?).map_err(|e| failure(11, format!("{}: {e}", ca.display())))?;
    }
    let given = Given {
        nonce: v.nonce.clone().map(|nonce| nonce.0).unwrap_or_default(),
        attestation_key: v.attestation_key.as_deref().map(read_key).transpose()?,
        makers,
        request: v.request.as_deref().map(read_request).transpose()?,
    };
    let mut findings = attestation::check(&made, &given, Clock::system().wall());
    findings.push(beside(folder, &made)?);
    let lines = finding_lines(&findings);
    if findings.iter().any(|f| f.said == Found::Bad) {
        return Err(failure(12, format!("{}: not to be believed\n{}", folder.display(), lines.trim_end())));
    }
    let value = json!({
        "schema": 1, "answer": "attestation-checked", "findings": finding_rows(&findings), "attestation": made,
    });
    Ok(Said::Words(format!("{lines}\n{}", words(&made)), value))
}

fn read_request(file: &Path) -> Result<devid::Request, Failure> {
    let bytes = read_small(file)?;
    devid::Request::parse(&bytes).map_err(|e| failure(11, format!("{}: {e}", file.display())))
}

/// Whether the other files of the folder say what the one says that was checked: people go on with them.
fn beside(folder: &Path, made: &Attestation) -> Result<crate::receipt::Finding, Failure> {
    let all = attestation::files(made).map_err(|e| Failure::internal(e.to_string()))?;
    let differs = |(name, bytes): &&(String, Vec<u8>)| {
        let path = folder.join(name);
        name != FILE && path.exists() && read_small(&path).ok().as_ref() != Some(bytes)
    };
    let odd: Vec<&str> = all.iter().filter(differs).map(|(name, _)| name.as_str()).collect();
    Ok(match odd.is_empty() {
        true => crate::receipt::check::good("files", format!("the others say what {FILE} says")),
        false => crate::receipt::check::bad("files", format!("not what {FILE} says: {}", odd.join(", "))),
    })
}

/// Largest file that is read to say what is wrong with it, in bytes.
const MAX_READ: u64 = 1 << 20;
