//! Checks an attestation offline. Each finding is a line of its own, and all are looked at.

use firmware_verifier::trust::PublicKey;
use hal::clock::Wall;
use hal::tpm::{AttestationKey, EkPublic, EvidenceKey, SiteKeyPublic};

use super::devid::{initial, local};
use super::maker::Makers;
use super::record::{Attestation, Ek};
use crate::devid::Request;
use crate::receipt::check::{bad, good, not_looked, quote, short};
use crate::receipt::{Finding, envelope};

/// What whoever checks knows from elsewhere.
#[derive(Debug, Default)]
pub struct Given {
    /// What the gateway was asked to attest for.
    pub nonce: Vec<u8>,
    /// The attestation key, as it was noted.
    pub attestation_key: Option<PublicKey>,
    /// Makers of TPMs that are believed.
    pub makers: Makers,
    /// A request for a certificate that came from the gateway.
    pub request: Option<Request>,
}

/// What there is to find, in the order of the checks. It is to be believed when nothing is bad.
pub fn check(of: &Attestation, given: &Given, now: Wall) -> Vec<Finding> {
    let evidence = SiteKeyPublic::from_pem(&of.quote.site_key)
        .and_then(|site| EvidenceKey::from_public(&of.quote.evidence_public.0, &site))
        .and_then(|key| SiteKeyPublic::from_pem(&key.to_pem()));
    let evidence = match evidence {
        Ok(key) => PublicKey::from(&key),
        Err(e) => return vec![bad("evidence key", e.to_string())],
    };
    let mut findings = quote(&of.quote, (&given.nonce, NONCE), &evidence, given.attestation_key.as_ref());
    findings.extend(endorsements(of, &given.makers, now));
    findings.extend(local(of, given.request.as_ref()));
    findings.push(initial(of, &given.makers, now));
    findings.push(challenge(of));
    findings
}

fn endorsements(of: &Attestation, makers: &Makers, now: Wall) -> Vec<Finding> {
    const WHAT: &str = "endorsement key";
    match (of.endorsements.as_slice(), makers.is_empty()) {
        ([], true) => vec![not_looked(WHAT, "the TPM holds no certificate of its maker".into())],
        ([], false) => {
            vec![bad(WHAT, "the TPM holds no certificate of its maker, and makers were given".into())]
        }
        (_, true) => {
            vec![not_looked(WHAT, "no maker was given: --ca takes certificates of those you trust".into())]
        }
        (eks, false) => eks.iter().map(|ek| endorsed(ek, makers, now)).collect(),
    }
}

fn endorsed(ek: &Ek, makers: &Makers, now: Wall) -> Finding {
    let name = ek.kind.name();
    let vouched = EkPublic::from_public(ek.kind, &ek.public.0)
        .map_err(|e| e.to_string())
        .and_then(|key| makers.vouch(&ek.certificate.0, &key.to_der(), now));
    match vouched {
        Ok(()) => good("endorsement key", format!("{name}, certified by a maker that was given")),
        Err(why) => bad("endorsement key", format!("{name}: {why}")),
    }
}

/// What no file can show: that both keys live in one TPM. The gateway has to answer a challenge for it.
fn challenge(of: &Attestation) -> Finding {
    let Ok(ak) = AttestationKey::from_public(&of.quote.attestation_public.0) else {
        return bad("same TPM", "its public area is no attestation key".into());
    };
    let id = envelope::key_id(&ak.to_der());
    not_looked(
        "same TPM",
        format!(
            "attestation key {} beside the endorsement key: headgate attest --challenge shows it, once; Name {}",
            short(&id),
            ak.name()
        ),
    )
}

/// What the nonce is when it fits, and when not.
const NONCE: [&str; 2] = ["the one that was given", "not the one that was given: a quote of another time"];
