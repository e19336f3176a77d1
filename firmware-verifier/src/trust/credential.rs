//! What shows that somebody signed: a key of his own, or a name that an authority certifies.
//!
//! Invariant: a [`Certified`] has the certificate of an authority (X.509 v3, RFC 5280 §4.2.1.9) and the name of one
//! signer below it. The authority alone is no signer: it certifies others, too.

use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::name::Name;

use super::key::{KeyId, KeyKind, PublicKey};
use crate::digest::Digest;
use crate::identity::{IdentityError, required};
use crate::signature::der_scan;

/// Largest certificate of an authority in bytes.
pub const MAX_AUTHORITY: usize = 4 * 1024;

/// What a signature is checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A public key.
    Key(PublicKey),
    /// A signer whom an authority certifies (CMS signatures).
    Certified(Box<Certified>),
}

impl Credential {
    /// The key, where it is one.
    pub fn key(&self) -> Option<&PublicKey> {
        match self {
            Credential::Key(key) => Some(key),
            Credential::Certified(_) => None,
        }
    }

    /// Its name everywhere.
    pub fn id(&self) -> KeyId {
        match self {
            Credential::Key(key) => key.id(),
            Credential::Certified(signer) => KeyId::of(&signer.identity()),
        }
    }

    /// What two people compare on the telephone: SHA-256 of the point of a key, or of the authority's certificate, as
    /// `openssl x509 -fingerprint -sha256` prints it.
    pub fn fingerprint(&self) -> Digest {
        match self {
            Credential::Key(key) => Digest::of(key.as_bytes()),
            Credential::Certified(signer) => Digest::of(&signer.authority),
        }
    }

    /// Bytes that are the same for two names of one signer, and for no others.
    pub(super) fn identity(&self) -> Vec<u8> {
        match self {
            Credential::Key(key) => key.as_bytes().to_vec(),
            Credential::Certified(signer) => signer.identity(),
        }
    }

    /// Its kind, as it is stored and printed.
    pub fn kind(&self) -> &'static str {
        match self {
            Credential::Key(key) => match key.kind() {
                KeyKind::Ed25519 => "ed25519",
                KeyKind::EcdsaP256 => "ecdsa-p256",
                KeyKind::Minisign { .. } => "minisign",
            },
            Credential::Certified(_) => X509,
        }
    }

    /// Bytes of a store that it takes beyond those of a key.
    pub(super) fn weight(&self) -> usize {
        match self {
            Credential::Key(_) => 0,
            Credential::Certified(signer) => signer.authority.len(),
        }
    }
}

impl From<PublicKey> for Credential {
    fn from(key: PublicKey) -> Credential {
        Credential::Key(key)
    }
}

impl From<Certified> for Credential {
    fn from(signer: Certified) -> Credential {
        Credential::Certified(Box::new(signer))
    }
}

impl std::fmt::Display for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credential::Key(key) => key.kind().fmt(f),
            Credential::Certified(signer) => write!(f, "x509 signer {:?}", signer.signer),
        }
    }
}

/// A signer, named below the certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    authority: Vec<u8>,
    signer: String,
}

impl Certified {
    /// `authority` is a certificate in DER that may certify others; `signer` the common name of the signer's
    /// certificate, or, where it holds a `=`, the whole subject as RFC 4514 writes it.
    pub fn new(authority: &[u8], signer: &str) -> Result<Certified, CredentialError> {
        if authority.len() > MAX_AUTHORITY {
            return Err(CredentialError::TooLarge { found: authority.len() });
        }
        der_scan::check(authority).map_err(|_| CredentialError::NoCertificate)?;
        let read = Certificate::from_der(authority).map_err(|_| CredentialError::NoCertificate)?;
        webpki::anchor_from_trusted_cert(&CertificateDer::from(authority))
            .map_err(|_| CredentialError::NoCertificate)?;
        let constraints = read.tbs_certificate.get::<BasicConstraints>().ok().flatten();
        if !constraints.is_some_and(|(_, basic)| basic.ca) {
            return Err(CredentialError::NoAuthority {
                subject: subject_text(&read.tbs_certificate.subject),
            });
        }
        Ok(Certified { authority: authority.to_vec(), signer: required("signer", signer)? })
    }

    /// The same from a file: one certificate in DER, or in PEM with nothing behind it.
    pub fn read(file: &[u8], signer: &str) -> Result<Certified, CredentialError> {
        if file.len() > 2 * MAX_AUTHORITY {
            return Err(CredentialError::TooLarge { found: file.len() });
        }
        let text = std::str::from_utf8(file).ok().filter(|text| text.trim_start().starts_with(PEM_BEGIN));
        let Some(text) = text else { return Certified::new(file, signer) };
        match x509_cert::der::pem::decode_vec(text.trim().as_bytes()) {
            Ok(("CERTIFICATE", der)) => Certified::new(&der, signer),
            Ok(_) | Err(_) => Err(CredentialError::NoCertificate),
        }
    }

    /// The authority's certificate in DER.
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// The name that the signer's certificate must have.
    pub fn signer(&self) -> &str {
        &self.signer
    }

    /// Whether a certificate with this subject names the signer. Compared exactly: names that differ in case are
    /// different people to an authority that gives out both.
    pub fn names(&self, subject: &Name) -> bool {
        match self.signer.contains('=') {
            true => subject.to_string() == self.signer,
            false => matches!(common_names(subject).as_slice(), [Some(one)] if *one == self.signer),
        }
    }

    fn identity(&self) -> Vec<u8> {
        [X509.as_bytes(), &[0], &self.authority, &[0], self.signer.as_bytes()].concat()
    }
}

/// A subject for people: at most 200 characters, none of them a control character.
pub(crate) fn subject_text(subject: &Name) -> String {
    subject.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

/// Every common name in a subject; `None` for one in an encoding that is not read. More than one, and nobody can say
/// which is meant.
fn common_names(subject: &Name) -> Vec<Option<String>> {
    let attributes = subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let names = attributes.filter(|attribute| attribute.oid == CN);
    let text = |attribute: &x509_cert::attr::AttributeTypeAndValue| match attribute.value.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(&attribute.value).ok().map(|s| s.to_string()),
        Tag::PrintableString => PrintableStringRef::try_from(&attribute.value).ok().map(|s| s.to_string()),
        Tag::TeletexString => TeletexStringRef::try_from(&attribute.value).ok().map(|s| s.to_string()),
        _ => None,
    };
    names.map(text).collect()
}

const PEM_BEGIN: &str = "-----BEGIN ";
/// How a [`Certified`] is stored.
pub(super) const X509: &str = "x509";

/// What cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Over the limit.
    #[error("a certificate of {found} bytes; at most {MAX_AUTHORITY} are taken")]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// No certificate.
    #[error("not an X.509 certificate that can serve as an authority; give one, as PEM or DER")]
    NoCertificate,
    /// A certificate that certifies nobody.
    #[error(
        "the certificate of {subject:?} may not certify others (no CA); give the authority's, and the signer by name"
    )]
    NoAuthority {
        /// Whose it is.
        subject: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] IdentityError),
}
