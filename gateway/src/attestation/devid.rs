//! Checks the device identities of an attestation: that their keys live beside the attestation key, and are those that a
//! request or a certificate is about.

use hal::clock::Wall;
use hal::tpm::{AttestationKey, Certification, InitialKey, LocalKey};

use super::maker::Makers;
use super::record::{Attestation, Initial, Local};
use crate::devid::{Certificate, Request};
use crate::receipt::Finding;
use crate::receipt::check::{bad, good, not_looked};
use crate::receipt::record::Certified;

/// The local identity, and the request that was made for it.
pub(super) fn local(of: &Attestation, request: Option<&Request>) -> Vec<Finding> {
    const WHAT: &str = "LDevID";
    let key = match &of.local {
        None => Err(not_looked(WHAT, "no key was made for a certificate of the site".into())),
        Some(local) => certified(of, local).map_err(|why| bad(WHAT, why)),
    };
    let (first, key) = match key {
        Ok(key) => (good(WHAT, format!("lives beside the attestation key; Name {}", key.name())), Some(key)),
        Err(finding) => (finding, None),
    };
    let second = request.map(|request| match key {
        Some(key) if key.to_der() == request.key => {
            good("request", format!("{}, for this key", request.subject))
        }
        Some(_) => bad("request", format!("{}, for another key", request.subject)),
        None => bad("request", format!("{}, for a key that this attestation does not show", request.subject)),
    });
    std::iter::once(first).chain(second).collect()
}

fn certified(of: &Attestation, local: &Local) -> Result<LocalKey, String> {
    let key = LocalKey::from_public(&local.public.0).map_err(|e| e.to_string())?;
    let said = certification(&local.certification);
    said.verify_local(&attestation_key(of)?, &key).map_err(|e| e.to_string())?;
    Ok(key)
}

/// The identity that the box's maker gave it.
pub(super) fn initial(of: &Attestation, makers: &Makers, now: Wall) -> Finding {
    const WHAT: &str = "IDevID";
    let Some(found) = &of.initial else {
        return not_looked(WHAT, "the TPM holds none: its maker gave the box no identity".into());
    };
    let (certificate, key) = match same_key(found) {
        Ok(both) => both,
        Err(why) => return bad(WHAT, why),
    };
    let Some(said) = &found.certification else {
        let why: String = found.uncertified.iter().flat_map(|why| why.chars()).take(200).collect();
        let text = format!(
            "{}: the TPM does not let the attestation key certify its key ({why:?})",
            certificate.subject
        );
        return not_looked(WHAT, text);
    };
    let beside = attestation_key(of)
        .and_then(|ak| certification(said).verify_initial(&ak, &key).map_err(|e| e.to_string()));
    if let Err(why) = beside {
        return bad(WHAT, why);
    }
    let issuer = match makers.vouch_device(&found.certificate.0, &key.to_der(), now) {
        Ok(()) => "which was given".to_owned(),
        Err(_) if makers.is_empty() => "and no maker was given".to_owned(),
        Err(why) => format!("but {why}"),
    };
    let Certificate { subject, issuer: by, .. } = certificate;
    good(WHAT, format!("{subject}, whose key lives beside the attestation key; issued by {by}, {issuer}"))
}

fn same_key(found: &Initial) -> Result<(Certificate, InitialKey), String> {
    let certificate = Certificate::parse(&found.certificate.0).ok_or("its certificate cannot be read")?;
    let key = InitialKey::from_public(&found.public.0).map_err(|e| e.to_string())?;
    match key.to_der() == certificate.key {
        true => Ok((certificate, key)),
        false => Err(format!("its certificate ({}) is about another key", certificate.subject)),
    }
}

fn attestation_key(of: &Attestation) -> Result<AttestationKey, String> {
    AttestationKey::from_public(&of.quote.attestation_public.0).map_err(|e| e.to_string())
}

fn certification(of: &Certified) -> Certification {
    Certification { attest: of.attest.0.clone(), signature: of.signature.0.clone() }
}
