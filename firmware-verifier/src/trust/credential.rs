//! What shows that somebody signed: a key of his own, a name that an authority certifies, or an identity that sigstore's
//! authority certified for the few minutes in which it signed.
//!
//! Invariant: a [`Certified`] has the certificate of an authority (X.509 v3, RFC 5280 §4.2.1.9) and the name of one
//! signer below it; a [`Keyless`] has the keys of an instance of sigstore, and who vouched for which identity. Neither
//! authority alone is a signer: it certifies others, too.

use rustls_pki_types::CertificateDer;
use sigstore_verify::Verifier;
use sigstore_verify::trust_root::TrustedRoot;
use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::name::Name;

use super::key::{KeyId, KeyKind, PublicKey};
use crate::digest::Digest;
use crate::identity::IdentityError;
use crate::signature::der_scan;

/// Largest file with sigstore's keys in bytes; that of the public instance has about 7 KiB.
pub const MAX_ROOT: usize = 32 * 1024;
/// Longest name of a signer, identity or issuer in bytes: an address of a build workflow has some 150.
pub const MAX_NAME: usize = 512;
/// Largest certificate of an authority in bytes.
pub const MAX_AUTHORITY: usize = 4 * 1024;

/// What a signature is checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A public key.
    Key(PublicKey),
    /// A signer whom an authority certifies (CMS signatures).
    Certified(Box<Certified>),
    /// An identity that signs without a key of its own (sigstore).
    Keyless(Box<Keyless>),
}

impl Credential {
    /// The key, where it is one.
    pub fn key(&self) -> Option<&PublicKey> {
        match self {
            Credential::Key(key) => Some(key),
            Credential::Certified(_) | Credential::Keyless(_) => None,
        }
    }

    /// Its name everywhere.
    pub fn id(&self) -> KeyId {
        match self {
            Credential::Key(key) => key.id(),
            Credential::Certified(signer) => KeyId::of(&signer.identity()),
            Credential::Keyless(signer) => KeyId::of(&signer.identity()),
        }
    }

    /// What two people compare on the telephone, each with a tool of his own: SHA-256 of a key's SubjectPublicKeyInfo
    /// (`openssl pkey -pubin -outform DER | sha256sum`; of the 32 bytes of a minisign key), of the authority's certificate
    /// (`openssl x509 -fingerprint -sha256`), or of the file with sigstore's keys.
    pub fn fingerprint(&self) -> Digest {
        match self {
            Credential::Key(key) => Digest::of(&key.to_spki().unwrap_or(key.as_bytes().to_vec())),
            Credential::Certified(signer) => Digest::of(&signer.authority),
            Credential::Keyless(signer) => Digest::of(&signer.root),
        }
    }

    /// Bytes that are the same for two names of one signer, and for no others.
    pub(super) fn identity(&self) -> Vec<u8> {
        match self {
            Credential::Key(key) => key.as_bytes().to_vec(),
            Credential::Certified(signer) => signer.identity(),
            Credential::Keyless(signer) => signer.identity(),
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
            Credential::Keyless(_) => SIGSTORE,
        }
    }

    /// Bytes of a store that it takes beyond those of a key.
    pub(super) fn weight(&self) -> usize {
        match self {
            Credential::Key(_) => 0,
            Credential::Certified(signer) => signer.authority.len(),
            Credential::Keyless(signer) => signer.root.len(),
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

impl From<Keyless> for Credential {
    fn from(signer: Keyless) -> Credential {
        Credential::Keyless(Box::new(signer))
    }
}

impl std::fmt::Display for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credential::Key(key) => key.kind().fmt(f),
            Credential::Certified(signer) => write!(f, "x509 signer {:?}", signer.signer),
            Credential::Keyless(signer) => {
                write!(f, "sigstore identity {:?} of {:?}", signer.identity, signer.issuer)
            }
        }
    }
}

/// A signer, named below the certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    authority: Vec<u8>,
    authority_id: Digest,
    path_len: Option<u8>,
    signer: String,
}

impl Certified {
    /// `authority` is a certificate in DER that may certify others; `signer` the common name of the signer's
    /// certificate, or, where it holds a `=`, the whole subject as RFC 4514 writes it.
    pub fn new(authority: &[u8], signer: &str) -> Result<Certified, CredentialError> {
        if authority.len() > MAX_AUTHORITY {
            return Err(CredentialError::TooLarge { found: authority.len() });
        }
        der_scan::check(authority, der_scan::FEW).map_err(|_| CredentialError::NoCertificate)?;
        let read = Certificate::from_der(authority).map_err(|_| CredentialError::NoCertificate)?;
        webpki::anchor_from_trusted_cert(&CertificateDer::from(authority))
            .map_err(|_| CredentialError::NoCertificate)?;
        let tbs = &read.tbs_certificate;
        let usage = tbs.get::<KeyUsage>().map_err(|_| CredentialError::NoCertificate)?;
        let constraints = tbs.get::<BasicConstraints>().ok().flatten().map(|(_, basic)| basic);
        let constraints = constraints
            .filter(|basic| basic.ca && usage.is_none_or(|(_, usage)| usage.key_cert_sign()))
            .ok_or_else(|| CredentialError::NoAuthority { subject: subject_text(&tbs.subject) })?;
        let (path_len, authority_id) = (constraints.path_len_constraint, authority_id(&read)?);
        Ok(Certified {
            authority: authority.to_vec(),
            authority_id,
            path_len,
            signer: named("signer", signer)?,
        })
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

    /// What its revocation lists are kept by: the authority's name and key, which a renewed certificate keeps.
    pub fn authority_id(&self) -> Digest {
        self.authority_id
    }

    /// How many authorities may stand between it and a signer, where it says so (RFC 5280 §4.2.1.9).
    pub fn path_len(&self) -> Option<u8> {
        self.path_len
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

/// An identity, below the keys of an instance of sigstore (its `trusted_root.json`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyless {
    root: Vec<u8>,
    identity: String,
    issuer: String,
}

impl Keyless {
    /// `root` is the file; `identity` what the certificate's subject alternative name must be, a mail address or URI;
    /// `issuer` the provider that must have vouched for it.
    pub fn new(root: &[u8], identity: &str, issuer: &str) -> Result<Keyless, CredentialError> {
        if root.len() > MAX_ROOT {
            return Err(CredentialError::RootTooLarge { found: root.len() });
        }
        let refused = |why: String| CredentialError::NoRoot { why: why.chars().take(200).collect() };
        let read = trusted_root(root).map_err(refused)?;
        if read.certificate_authorities.is_empty() {
            return Err(refused("it names no certificate authority".to_owned()));
        }
        if read.tlogs.is_empty() || read.ctlogs.is_empty() {
            return Err(refused("it names no log, so nothing could ever be checked with it".to_owned()));
        }
        Verifier::new(&read).map_err(|e| refused(e.to_string()))?;
        let (identity, issuer) = (named("identity", identity)?, named("issuer", issuer)?);
        Ok(Keyless { root: root.to_vec(), identity, issuer })
    }

    /// The file with sigstore's keys.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// The identity.
    pub fn identity_text(&self) -> &str {
        &self.identity
    }

    /// Who vouches for it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Without the file: under newer keys it is the same signer.
    fn identity(&self) -> Vec<u8> {
        [SIGSTORE.as_bytes(), &[0], self.issuer.as_bytes(), &[0], self.identity.as_bytes()].concat()
    }
}

/// SHA-256 over name and key of an authority.
fn authority_id(of: &Certificate) -> Result<Digest, CredentialError> {
    let parts = [of.tbs_certificate.subject.to_der(), of.tbs_certificate.subject_public_key_info.to_der()];
    let parts: Vec<Vec<u8>> =
        parts.into_iter().collect::<Result<_, _>>().map_err(|_| CredentialError::NoCertificate)?;
    Ok(Digest::of(&parts.concat()))
}

/// A name as certificates have it: one line, compared byte for byte.
fn named(field: &'static str, text: &str) -> Result<String, IdentityError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(IdentityError::Empty { field });
    }
    if text.len() > MAX_NAME {
        return Err(IdentityError::TooLong { field, len: text.len() });
    }
    match text.chars().any(|c| c.is_control() || REORDERING.contains(&c)) {
        true => Err(IdentityError::Control { field, found: text.chars().take(40).collect() }),
        false => Ok(text.to_owned()),
    }
}

/// Reads `trusted_root.json`.
pub(crate) fn trusted_root(json: &[u8]) -> Result<TrustedRoot, String> {
    let text = std::str::from_utf8(json).map_err(|_| "it is not text".to_owned())?;
    TrustedRoot::from_json(text).map_err(|e| e.to_string())
}

/// A subject for people, none of its characters a control character.
pub(crate) fn subject_text(subject: &Name) -> String {
    subject.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_NAME).collect()
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

/// Characters that show a text in another order than it is compared in (Unicode, UAX #9).
const REORDERING: [char; 11] = [
    '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];
const PEM_BEGIN: &str = "-----BEGIN ";
/// How a [`Certified`] is stored.
pub(super) const X509: &str = "x509";
/// How a [`Keyless`] is stored.
pub(super) const SIGSTORE: &str = "sigstore";

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
    /// Over the limit.
    #[error("a trusted_root.json of {found} bytes; at most {MAX_ROOT} are taken")]
    RootTooLarge {
        /// Its size.
        found: usize,
    },
    /// Not what sigstore's clients go by.
    #[error("not the trusted_root.json of a sigstore instance: {why}")]
    NoRoot {
        /// Why.
        why: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] IdentityError),
}
