//! `headgate sign-document`: for a machine that is not a gateway. It needs no configuration, TPM or daemon.
//!
//! One person signs at a time: a signature is added to those that are there. What is signed is shown, as a
//! signature on something unread is worth nothing.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use clap::Args;
use clap::builder::PossibleValuesParser;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use firmware_verifier::document::{
    self, Approval, BreakGlass, Content, Document, DocumentError, DocumentId, Downgrade, Moment, TrustBundle,
    Vouch,
};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::{KeyKind, PublicKey};
use hal::clock::{Clock, Wall};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::trust::read_envelope;
use super::{Said, read_text, write_new};
use crate::judge::Failure;

#[derive(Debug, Args)]
pub(super) struct SignDocument {
    /// The document: a DSSE envelope, as `trust revoke` writes it.
    document: PathBuf,
    /// Private key: Ed25519 or ECDSA P-256, PKCS#8 in PEM, as `openssl genpkey` and `site-key new` write it.
    #[arg(long, value_name = "PEM")]
    key: PathBuf,
    /// The file is no envelope yet but what is to be signed, as JSON: content, gateway and reason; id, issued and
    /// expires (30 days) are filled in.
    #[arg(long, value_name = "KIND", requires = "out", value_parser = PossibleValuesParser::new(KINDS))]
    draft: Option<String>,
    /// Where to write it with the signature added; without it, the document itself is replaced.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn sign(verb: &SignDocument) -> Result<Said, Failure> {
    let bad = |e: &dyn std::fmt::Display| {
        Failure::new(
            firmware_verifier::reasons::DOCUMENT_UNREADABLE,
            format!("{}: {e}", verb.document.display()),
        )
    };
    let text = read_envelope(&verb.document)?;
    let mut envelope = match &verb.draft {
        None => Envelope::parse(text.as_bytes()).map_err(|e| bad(&e))?,
        Some(kind) => draft(kind, &text, Clock::system().wall())?.map_err(|e| bad(&e))?,
    };
    let payload = document::round_trip(envelope.payload_type(), envelope.payload());
    if payload.as_deref() != Some(envelope.payload()) {
        return Err(bad(&format!(
            "found a payload of type {:?}, expected a document of Headgate",
            envelope.payload_type()
        )));
    }
    let key = Key::read(&verb.key)?;
    let public = key.public()?;
    if envelope.verify([&public]).contains(&public) {
        return Err(Failure::usage(format!("{} has signed it already", public.id()))
            .next("one key counts once: have another person sign"));
    }
    let signature = key.sign(&envelope.message())?;
    envelope.attach(&public.id().to_string(), &signature).map_err(|e| bad(&e))?;
    let text = envelope.to_json().map_err(|e| bad(&e))?;
    match &verb.out {
        Some(out) => write_new(out, text.as_bytes(), false)?,
        None => replace(&verb.document, text.as_bytes())?,
    }
    let said: Value = serde_json::from_slice(envelope.payload()).unwrap_or_default();
    let out = verb.out.as_ref().unwrap_or(&verb.document);
    let words = format!(
        "signed by {}:\n{}\nwritten: {}",
        public.id(),
        serde_json::to_string_pretty(&said).unwrap_or_default(),
        out.display()
    );
    Ok(Said::Words(words, json!({ "schema": 1, "document": out, "key": public.id(), "content": said })))
}

/// The envelope of a draft, with what can be filled in filled in.
fn draft(kind: &str, text: &str, now: Wall) -> Result<Result<Envelope, DocumentError>, Failure> {
    fn one<C: Content>(value: Value) -> Result<Envelope, DocumentError> {
        serde_json::from_value::<Document<C>>(value)?.to_envelope()
    }
    let mut value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(e) => return Ok(Err(e.into())),
    };
    if let Value::Object(map) = &mut value {
        let mut id = [0; DocumentId::LEN];
        rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
        let end = Wall { ms: now.ms.saturating_add(DRAFT_LIFE_MS), ..now };
        map.entry("id").or_insert_with(|| DocumentId::from_bytes(id).to_string().into());
        map.entry("issued").or_insert_with(|| Moment::new(now).to_string().into());
        map.entry("expires").or_insert_with(|| Moment::new(end).to_string().into());
    }
    Ok(match kind {
        "approval" => one::<Approval>(value),
        "break-glass" => one::<BreakGlass>(value),
        "downgrade" => one::<Downgrade>(value),
        "vouch" => one::<Vouch>(value),
        _ => one::<TrustBundle>(value),
    })
}

/// A private key for documents.
enum Key {
    Ed25519(Box<SigningKey>),
    P256(EcdsaKeyPair),
}

impl Key {
    fn read(path: &Path) -> Result<Key, Failure> {
        let text = Zeroizing::new(read_text(path)?);
        if let Ok(key) = SigningKey::from_pkcs8_pem(&text) {
            return Ok(Key::Ed25519(Box::new(key)));
        }
        let pair = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).ok().and_then(|der| {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der()).ok()
        });
        pair.map(Key::P256).ok_or_else(|| {
            Failure::usage(format!(
                "{}: found {}, expected a private key (Ed25519 or ECDSA P-256, PKCS#8 in PEM, not encrypted)",
                path.display(),
                super::site_key::what_is(&text)
            ))
            .next("openssl genpkey -algorithm ed25519 -out key.pem makes one")
        })
    }

    fn public(&self) -> Result<PublicKey, Failure> {
        let key = match self {
            Key::Ed25519(key) => PublicKey::new(KeyKind::Ed25519, key.verifying_key().as_bytes()),
            Key::P256(pair) => PublicKey::new(KeyKind::EcdsaP256, pair.public_key()),
        };
        key.map_err(|e| Failure::usage(e.to_string()))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Key::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Key::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.map(|s| s.as_ref().to_vec()).map_err(|_| Failure::internal("no random numbers"))
            }
        }
    }
}

/// Puts the new document in the place of the old one, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    write_new(&new, bytes, false)?;
    std::fs::rename(&new, path).map_err(|e| {
        let _ = std::fs::remove_file(&new); // it is ours
        Failure::usage(format!("{}: {e}", path.display())).next("name another file with --out")
    })
}

/// Kinds that can be drafted by hand.
const KINDS: [&str; 5] = ["break-glass", "trust-bundle", "approval", "downgrade", "vouch"];
/// How long a drafted document counts where it does not say: time for several people to sign.
const DRAFT_LIFE_MS: i64 = 30 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall::trusted(1_790_000_000_000);
    const TICKET: &str = r#"{"gateway": "cell-4", "reason": "the new one stalls", "content": {"controller": "pump-3",
        "image": "sha256:0707070707070707070707070707070707070707070707070707070707070707", "uses": 1,
        "window": null}}"#;

    #[test]
    fn a_draft_becomes_a_document_that_is_read_back() {
        let envelope = draft("downgrade", TICKET, NOW).unwrap().unwrap();
        let document = Document::<Downgrade>::parse(envelope.payload()).unwrap();
        assert_eq!((document.gateway.as_str(), document.issued), ("cell-4", Moment::new(NOW)));
        assert_eq!(document.expires.wall().ms - NOW.ms, DRAFT_LIFE_MS);
        let again = Document::<Downgrade>::parse(draft("downgrade", TICKET, NOW).unwrap().unwrap().payload());
        assert_ne!(again.unwrap().id, document.id, "each draft has a number of its own");
    }

    #[test]
    fn what_is_no_draft_of_its_kind_is_refused() {
        for (what, kind, text) in [
            ("another kind", "trust-bundle", TICKET),
            ("no use", "downgrade", &TICKET.replace("\"uses\": 1", "\"uses\": 0")),
            ("an unknown field", "downgrade", &TICKET.replace("\"uses\"", "\"all\": true, \"uses\"")),
            ("no object", "downgrade", "[]"),
            ("no JSON", "downgrade", "{"),
        ] {
            assert!(draft(kind, text, NOW).unwrap().is_err(), "{what}");
        }
    }
}
