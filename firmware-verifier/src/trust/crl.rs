//! Revocation lists of authorities (RFC 5280 §5), as the site imports them.
//!
//! A list is taken only from an authority that is pinned, signed by it, and no older than the one before. Once there is
//! one, it counts at each use of a certificate, and one whose time is over lets no certificate of that authority pass: who
//! imports lists has to go on importing them.

use hal::clock::Wall;
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::BorrowedCertRevocationList;
use webpki::aws_lc_rs as algorithm;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
    SHA_512_WITH_RSA_ENCRYPTION,
};
use x509_cert::der::{Decode as _, Encode as _};

use super::credential::{Certified, subject_text};
use crate::digest::Digest;
use crate::signature::der_scan;

/// Largest list in bytes: some two thousand revoked certificates.
pub const MAX_CRL: usize = 64 * 1024;

/// A list, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    authority: Digest,
    issued: u64,
}

impl Crl {
    /// Reads a list in DER or PEM; one of `authorities` must have signed it.
    pub fn read<'a>(
        file: &[u8],
        authorities: impl Iterator<Item = &'a Certified>,
        now: Wall,
    ) -> Result<Crl, CrlError> {
        if file.len() > MAX_CRL / 3 * 4 + MAX_CRL / 48 + 200 {
            return Err(CrlError::TooLarge { found: file.len() });
        }
        let der = match std::str::from_utf8(file).ok().filter(|text| text.contains(PEM)) {
            Some(text) => decode_pem(text).ok_or(CrlError::NoList)?,
            None => file.to_vec(),
        };
        let (list, ()) = (parse(&der)?, strict(&der)?);
        if list.tbs_cert_list.crl_extensions.iter().flatten().any(|extension| extension.extn_id == PARTIAL) {
            return Err(CrlError::Unusable { why: "it is of some certificates only".to_owned() });
        }
        let issuer = subject_text(&list.tbs_cert_list.issuer);
        let pinned = authorities
            .filter_map(|pinned| Some((pinned, Certificate::from_der(pinned.authority()).ok()?)))
            .filter(|(_, certificate)| certificate.tbs_certificate.subject == list.tbs_cert_list.issuer);
        let signed = pinned.into_iter().find(|(_, certificate)| is_signed(&list, certificate));
        let (pinned, _) = signed.ok_or(CrlError::NotSigned { issuer })?;
        let issued = list.tbs_cert_list.this_update.to_unix_duration().as_secs();
        let ends = list.tbs_cert_list.next_update.map(|end| end.to_unix_duration().as_secs());
        let now_s = u64::try_from(now.ms / 1000).unwrap_or(0);
        if now.trusted && (issued > now_s || ends.is_none_or(|end| end <= now_s)) {
            return Err(CrlError::NotNow { now });
        }
        Ok(Crl { der, authority: pinned.authority_id(), issued })
    }

    /// A list that was read before, as the store keeps it.
    pub(super) fn stored(der: Vec<u8>, authority: Digest) -> Option<Crl> {
        let list = parse(&der).ok().filter(|_| strict(&der).is_ok())?;
        let issued = list.tbs_cert_list.this_update.to_unix_duration().as_secs();
        Some(Crl { der, authority, issued })
    }

    /// The list in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The name and key of the authority that signed it, as [`Certified::authority_id`] has it.
    pub fn authority(&self) -> &Digest {
        &self.authority
    }

    /// When it was issued, in seconds since 1970.
    pub fn issued(&self) -> u64 {
        self.issued
    }
}

fn parse(der: &[u8]) -> Result<CertificateList, CrlError> {
    match der.len() > MAX_CRL {
        true => Err(CrlError::TooLarge { found: der.len() }),
        false if der_scan::check(der, der_scan::MANY).is_err() => Err(CrlError::NoList),
        false => CertificateList::from_der(der).map_err(|_| CrlError::NoList),
    }
}

/// Whether the library that will ask the list can read it: not of some reasons alone, no delta.
fn strict(der: &[u8]) -> Result<(), CrlError> {
    BorrowedCertRevocationList::from_der(der).map(drop).map_err(|e| CrlError::Unusable { why: e.to_string() })
}

fn is_signed(list: &CertificateList, authority: &Certificate) -> bool {
    let Ok(message) = list.tbs_cert_list.to_der() else { return false };
    let key = authority.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
    let signature = list.signature.raw_bytes();
    let holds = |verifier: &dyn SignatureVerificationAlgorithm| {
        verifier.verify_signature(key, &message, signature).is_ok()
    };
    list.tbs_cert_list.signature == list.signature_algorithm
        && verifiers(list.signature_algorithm.oid).into_iter().any(holds)
}

/// What can check it; a key of another kind makes each of them fail.
fn verifiers(oid: ObjectIdentifier) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    match oid {
        ECDSA_WITH_SHA_256 => vec![algorithm::ECDSA_P256_SHA256, algorithm::ECDSA_P384_SHA256],
        ECDSA_WITH_SHA_384 => vec![algorithm::ECDSA_P256_SHA384, algorithm::ECDSA_P384_SHA384],
        SHA_256_WITH_RSA_ENCRYPTION => vec![algorithm::RSA_PKCS1_2048_8192_SHA256],
        SHA_384_WITH_RSA_ENCRYPTION => vec![algorithm::RSA_PKCS1_2048_8192_SHA384],
        SHA_512_WITH_RSA_ENCRYPTION => vec![algorithm::RSA_PKCS1_2048_8192_SHA512],
        ED25519 => vec![algorithm::ED25519],
        _ => vec![],
    }
}

fn decode_pem(text: &str) -> Option<Vec<u8>> {
    let (label, der) = x509_cert::der::pem::decode_vec(text.trim().as_bytes()).ok()?;
    (label == "X509 CRL").then_some(der)
}

/// issuingDistributionPoint (RFC 5280 §5.2.5): the list says nothing about the rest.
const PARTIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
const PEM: &str = "-----BEGIN";
/// RFC 8410 §3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A file that is no list to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// Over the limit.
    #[error("a revocation list of {found} bytes; at most {MAX_CRL} are taken")]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// No list.
    #[error("not an X.509 revocation list of version 2; give it as PEM (X509 CRL) or DER")]
    NoList,
    /// A kind that is not asked.
    #[error("a revocation list that cannot be used: {why}; give a full list of all reasons")]
    Unusable {
        /// Why.
        why: String,
    },
    /// Past its time, or of the future.
    #[error("a revocation list that is past its time or of the future at {now}; give the current one")]
    NotNow {
        /// What the clock says.
        now: Wall,
    },
    /// Of an authority that is not pinned, or not signed by it.
    #[error("no authority that is pinned has signed this list of {issuer:?}; pin the one that issues it")]
    NotSigned {
        /// Whose list it says it is.
        issuer: String,
    },
}
