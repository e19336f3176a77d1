//! An attestation as a folder, for people and for other tools.

use hal::tpm::Certification;
use serde_json::to_vec_pretty;

use super::record::Attestation;
use crate::receipt::record::Certified;

/// The file that says everything; the others say parts of it in the form that other tools take.
pub const FILE: &str = "attestation.json";

/// Name and content of every file, [`FILE`] first.
///
/// # Errors
/// The file cannot be written as JSON; never for what was read from it.
pub fn files(of: &Attestation) -> Result<Vec<(String, Vec<u8>)>, serde_json::Error> {
    let quote = &of.quote;
    let pcrs: Vec<u8> = quote.pcrs.values().iter().flat_map(|(_, value)| *value).collect();
    let mut files: Vec<(String, Vec<u8>)> = [
        (FILE, to_vec_pretty(of)?),
        // tpm2_checkquote -u, -m, -s, -f
        ("attestation.pem", quote.attestation_key.clone().into_bytes()),
        ("quote.msg", quote.attest.0.clone()),
        ("quote.sig", quote.signature.0.clone()),
        ("quote.pcrs", pcrs),
        ("attestation.pub", quote.attestation_public.0.clone()),
        ("evidence.pub", quote.evidence_public.0.clone()),
        ("site.pem", quote.site_key.clone().into_bytes()),
        ("certification.msg", quote.certification.attest.0.clone()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into();
    files.extend(signature("certification.sig", &quote.certification));
    for ek in &of.endorsements {
        let name = ek.kind.name();
        files.push((format!("ek-{name}.der"), ek.certificate.0.clone()));
        files.push((format!("ek-{name}.pub"), ek.public.0.clone()));
    }
    if let Some(local) = &of.local {
        files.push(("ldevid.pub".into(), local.public.0.clone()));
        files.push(("ldevid-certification.msg".into(), local.certification.attest.0.clone()));
        files.extend(signature("ldevid-certification.sig", &local.certification));
    }
    if let Some(initial) = &of.initial {
        files.push(("idevid.der".into(), initial.certificate.0.clone()));
        files.push(("idevid.pub".into(), initial.public.0.clone()));
        if let Some(certification) = &initial.certification {
            files.push(("idevid-certification.msg".into(), certification.attest.0.clone()));
            files.extend(signature("idevid-certification.sig", certification));
        }
    }
    Ok(files)
}

/// A signature as OpenSSL takes it; no file where it is no signature at all, which a check finds.
fn signature(name: &str, of: &Certified) -> Option<(String, Vec<u8>)> {
    let Certified { attest, signature } = of;
    let certification = Certification { attest: attest.0.clone(), signature: signature.0.clone() };
    certification.signature_der().map(|der| (name.to_owned(), der))
}
