//! CMS signatures (RFC 5652; PKCS #7 before it) over an image, as `openssl cms -sign -binary` makes them.
//!
//! The signer is an X.509 certificate. It counts when its name is the one that was pinned and a chain leads from it to the
//! pinned authority (RFC 5280), made for signing code where it says what for. Signed attributes are required, with the
//! content's type and SHA-256 among them: a signature without them is one of the bytes alone, and attributes could pass
//! for an image (RFC 5652 §11, security considerations on the omission of attributes).

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use hal::clock::Wall;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithm;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::der::oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use x509_cert::der::oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION;
use x509_cert::der::oid::db::rfc5912::{ECDSA_WITH_SHA_256, ID_RSASSA_PSS, ID_SHA_256, RSA_ENCRYPTION};
use x509_cert::der::{Decode as _, Encode as _};

use super::der_scan;
use crate::digest::Digest;
use crate::trust::credential::subject_text;
use crate::trust::{Certified, Crl};

/// Most signers of one file.
pub const MAX_SIGNERS: usize = 4;
/// Most certificates that come along.
/// Certificates of one name would have a verifier try chains of them in every order.
pub const MAX_CERTIFICATES: usize = 6;
/// Most certificates of one subject: an old one and its successor.
const MAX_NAMESAKES: usize = 2;

/// Who signed, read but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cms {
    content: Option<Digest>,
    signers: Vec<CmsSigner>,
    certificates: Vec<Vec<u8>>,
}

/// One signer and the certificate that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmsSigner {
    certificate: Certificate,
    der: Vec<u8>,
    image: Digest,
    algorithm: Algorithm,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rsa,
    RsaPss,
    Ecdsa,
}

impl Cms {
    /// Reads the DER of a ContentInfo with signed data, detached or with the image inside.
    pub(super) fn parse(der: &[u8]) -> Result<Cms, CmsFault> {
        der_scan::check(der, der_scan::FEW).map_err(|_| CmsFault::Damaged("its DER"))?;
        let outer = ContentInfo::from_der(der).map_err(|_| CmsFault::Damaged("its outermost part"))?;
        if outer.content_type != ID_SIGNED_DATA {
            return Err(CmsFault::Kind);
        }
        let data: SignedData = outer.content.decode_as().map_err(|_| CmsFault::Damaged("its signed data"))?;
        let content = data.encap_content_info.econtent.as_ref();
        let content =
            content.map(|any| any.decode_as::<OctetString>().map(|octets| Digest::of(octets.as_bytes())));
        let content = content.transpose().map_err(|_| CmsFault::Damaged("the content inside"))?;
        let given = data.certificates.as_ref().map(|set| set.0.iter()).into_iter().flatten();
        let given: Vec<&Certificate> = given.filter_map(plain).collect();
        let infos = data.signer_infos.0.iter();
        if given.len() > MAX_CERTIFICATES || infos.len() > MAX_SIGNERS {
            return Err(CmsFault::TooMany { certificates: given.len(), signers: infos.len() });
        }
        // Other types are what certificates for code sign elsewhere, such as Authenticode: their content is no image.
        if data.encap_content_info.econtent_type != ID_DATA {
            return Err(CmsFault::Kind);
        }
        let signers: Vec<CmsSigner> =
            infos.map(|info| CmsSigner::read(info, &given)).collect::<Result<_, _>>()?;
        let twice = |(at, signer): (usize, &CmsSigner)| signers.iter().take(at).any(|s| s.der == signer.der);
        if signers.iter().enumerate().any(twice)
            || given.iter().any(|of| namesakes(of, &given) > MAX_NAMESAKES)
        {
            return Err(CmsFault::Alike);
        }
        if signers.is_empty() {
            return Err(CmsFault::Damaged("its signers: there are none"));
        }
        let encoded = given.iter().map(|certificate| certificate.to_der());
        let certificates =
            encoded.collect::<Result<_, _>>().map_err(|_| CmsFault::Damaged("a certificate"))?;
        Ok(Cms { content, signers, certificates })
    }

    /// Its signers.
    pub fn signers(&self) -> &[CmsSigner] {
        &self.signers
    }

    /// Whether `signer` of this file signed the image, as the one that is pinned.
    pub fn check(
        &self,
        signer: &CmsSigner,
        (pinned, list): (&Certified, Option<&Crl>),
        image: &Digest,
        now: Wall,
    ) -> Result<(), CmsRefusal> {
        if signer.image != *image || self.content.is_some_and(|content| content != *image) {
            return Err(CmsRefusal::OtherImage { found: signer.image });
        }
        if !pinned.names(&signer.certificate.tbs_certificate.subject) {
            return Err(CmsRefusal::OtherSigner);
        }
        let usage = signer.certificate.tbs_certificate.get::<x509_cert::ext::pkix::KeyUsage>();
        let usage = usage.map_err(|_| CmsRefusal::Chain("its key usage cannot be read".to_owned()))?;
        if usage.is_some_and(|(_, usage)| !usage.digital_signature() && !usage.non_repudiation()) {
            return Err(CmsRefusal::Purpose);
        }
        let leaf = CertificateDer::from(signer.der.as_slice());
        let leaf = EndEntityCert::try_from(&leaf).map_err(CmsRefusal::of_chain)?;
        self.chain(&leaf, pinned, list, now)?;
        let holds = |verifier| leaf.verify_signature(verifier, &signer.signed, &signer.signature).is_ok();
        match signer.algorithm.verifiers().into_iter().any(holds) {
            true => Ok(()),
            false => Err(CmsRefusal::Signature),
        }
    }

    fn chain(
        &self,
        leaf: &EndEntityCert<'_>,
        pinned: &Certified,
        list: Option<&Crl>,
        now: Wall,
    ) -> Result<(), CmsRefusal> {
        let authority = CertificateDer::from(pinned.authority());
        let anchors = [webpki::anchor_from_trusted_cert(&authority).map_err(CmsRefusal::of_chain)?];
        let given: Vec<CertificateDer<'_>> =
            self.certificates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let seconds = u64::try_from(now.ms / 1000).ok().filter(|_| now.trusted).ok_or(CmsRefusal::Clock)?;
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let usage = KeyUsage::required_if_present(CODE_SIGNING);
        let read = |list: &Crl| webpki::OwnedCertRevocationList::from_der(list.der());
        let list = list.map(read).transpose().map_err(CmsRefusal::of_chain)?.map(CertRevocationList::from);
        let lists: Vec<&CertRevocationList<'_>> = list.iter().collect();
        // Whom the authority lets certify others has a list of his own, which nobody has here.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let path = leaf.verify_for_usage(CHAIN, &anchors, &given, time, usage, revocation, None);
        let between = path.map_err(CmsRefusal::of_chain)?.intermediate_certificates().count();
        match pinned.path_len() {
            Some(limit) if between > usize::from(limit) => {
                Err(CmsRefusal::Chain(format!("{between} authorities between, and it allows {limit}")))
            }
            _ => Ok(()),
        }
    }
}

impl CmsSigner {
    fn read(info: &SignerInfo, given: &[&Certificate]) -> Result<CmsSigner, CmsFault> {
        if info.digest_alg.oid != ID_SHA_256 {
            return Err(CmsFault::Hash(info.digest_alg.oid.to_string()));
        }
        let algorithm = Algorithm::of(info.signature_algorithm.oid)
            .ok_or_else(|| CmsFault::Algorithm(info.signature_algorithm.oid.to_string()))?;
        let certificate = given.iter().find(|certificate| is_of(certificate, &info.sid));
        let certificate = (*certificate.ok_or(CmsFault::NoCertificate)?).clone();
        let attributes = info.signed_attrs.as_ref().ok_or(CmsFault::NoAttributes)?;
        let kind: ObjectIdentifier = one(attributes.iter(), ID_CONTENT_TYPE)?;
        let digest: OctetString = one(attributes.iter(), ID_MESSAGE_DIGEST)?;
        if kind != ID_DATA {
            return Err(CmsFault::Damaged("its attribute of the content's type"));
        }
        let damaged = CmsFault::Damaged("its attribute of the content's digest");
        let image = <[u8; Digest::LEN]>::try_from(digest.as_bytes()).map_err(|_| damaged)?;
        // RFC 5652 §5.4: what is signed is the SET OF, not the tag that it has inside.
        let signed = attributes.to_der().map_err(|_| CmsFault::Damaged("its signed attributes"))?;
        Ok(CmsSigner {
            der: certificate.to_der().map_err(|_| CmsFault::Damaged("a certificate"))?,
            certificate,
            image: Digest::from_bytes(image),
            algorithm,
            signed,
            signature: info.signature.as_bytes().to_vec(),
        })
    }

    /// The key of its certificate, as its subjectPublicKey has it.
    pub fn key(&self) -> &[u8] {
        self.certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes()
    }

    /// The subject of its certificate, for people.
    pub fn subject(&self) -> String {
        subject_text(&self.certificate.tbs_certificate.subject)
    }
}

impl Algorithm {
    /// Algorithms whose hash is SHA-256. Ed25519 asks for SHA-512 (RFC 8419 §3).
    fn of(oid: ObjectIdentifier) -> Option<Algorithm> {
        Some(match oid {
            RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION => Algorithm::Rsa,
            ID_RSASSA_PSS => Algorithm::RsaPss,
            ECDSA_WITH_SHA_256 => Algorithm::Ecdsa,
            _ => return None,
        })
    }

    /// What can check it; the key of the certificate decides which one does.
    fn verifiers(self) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
        match self {
            Algorithm::Rsa => vec![algorithm::RSA_PKCS1_2048_8192_SHA256],
            Algorithm::RsaPss => vec![algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
            Algorithm::Ecdsa => vec![algorithm::ECDSA_P256_SHA256, algorithm::ECDSA_P384_SHA256],
        }
    }
}

/// The one value of the one attribute of this type.
fn one<'a, T>(attributes: impl Iterator<Item = &'a Attribute>, oid: ObjectIdentifier) -> Result<T, CmsFault>
where
    T: x509_cert::der::DecodeOwned,
{
    let damaged = || CmsFault::Damaged("its signed attributes");
    let mut found = attributes.filter(|attribute| attribute.oid == oid);
    let (Some(attribute), None) = (found.next(), found.next()) else { return Err(damaged()) };
    let [value] = attribute.values.as_slice() else { return Err(damaged()) };
    value.to_der().ok().and_then(|der| T::from_der(&der).ok()).ok_or_else(damaged)
}

fn plain(choice: &CertificateChoices) -> Option<&Certificate> {
    match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    }
}

fn namesakes(of: &Certificate, given: &[&Certificate]) -> usize {
    given.iter().filter(|other| other.tbs_certificate.subject == of.tbs_certificate.subject).count()
}

fn is_of(certificate: &Certificate, sid: &SignerIdentifier) -> bool {
    let tbs = &certificate.tbs_certificate;
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(of) => {
            tbs.issuer == of.issuer && tbs.serial_number == of.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            let own = tbs.get::<x509_cert::ext::pkix::SubjectKeyIdentifier>().ok().flatten();
            own.is_some_and(|(_, own)| own == *id)
        }
    }
}

/// id-kp-codeSigning (RFC 5280 §4.2.1.12), without tag and length.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

/// Signatures of certificates that are taken.
static CHAIN: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithm::ECDSA_P256_SHA256,
    algorithm::ECDSA_P256_SHA384,
    algorithm::ECDSA_P384_SHA256,
    algorithm::ECDSA_P384_SHA384,
    algorithm::ED25519,
    algorithm::RSA_PKCS1_2048_8192_SHA256,
    algorithm::RSA_PKCS1_2048_8192_SHA384,
    algorithm::RSA_PKCS1_2048_8192_SHA512,
    algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
];

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmsFault {
    /// A part that cannot be read.
    #[error("a CMS signature: {0} cannot be read")]
    Damaged(&'static str),
    /// Enveloped, encrypted or other data.
    #[error("CMS data that is no signature of plain data (openssl cms -sign -binary makes one)")]
    Kind,
    /// Over a limit.
    #[error(
        "a CMS signature with {certificates} certificates and {signers} signers; at most {MAX_CERTIFICATES} and {MAX_SIGNERS} are read"
    )]
    TooMany {
        /// Certificates.
        certificates: usize,
        /// Signers.
        signers: usize,
    },
    /// Several certificates of one name, or one signer twice.
    #[error(
        "a CMS signature with more than {MAX_NAMESAKES} certificates of one name, or twice by one certificate"
    )]
    Alike,
    /// Another hash.
    #[error("a CMS signature whose hash is {0}, not SHA-256")]
    Hash(String),
    /// Another algorithm.
    #[error("a CMS signature by algorithm {0}; RSA, RSA-PSS and ECDSA with SHA-256 are checked")]
    Algorithm(String),
    /// Without the certificate of its signer.
    #[error("a CMS signature without its signer's certificate (openssl cms -sign without -nocerts adds it)")]
    NoCertificate,
    /// Without signed attributes.
    #[error("a CMS signature without signed attributes (openssl cms -sign without -noattr adds them)")]
    NoAttributes,
}

/// Why a signer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmsRefusal {
    /// Of another image.
    #[error("a CMS signature of {found}")]
    OtherImage {
        /// What was signed.
        found: Digest,
    },
    /// Another name.
    #[error("a CMS signature by somebody else")]
    OtherSigner,
    /// No chain to the authority.
    #[error("a certificate that the pinned authority does not stand behind: {0}")]
    Chain(String),
    /// Past its time.
    #[error("a certificate that has expired")]
    Expired,
    /// Before its time.
    #[error("a certificate that is not valid yet")]
    NotYet,
    /// For another purpose.
    #[error("a certificate that is not for signing code")]
    Purpose,
    /// On the authority's list.
    #[error("a certificate that its authority has revoked")]
    Revoked,
    /// The authority's list is past its time.
    #[error("a certificate whose authority's revocation list is past its time")]
    ListExpired,
    /// The time is not known.
    #[error("a certificate whose time cannot be judged: the clock is not trusted")]
    Clock,
    /// The signature is wrong.
    #[error("a CMS signature that is not by its certificate's key")]
    Signature,
}

impl CmsRefusal {
    fn of_chain(error: webpki::Error) -> CmsRefusal {
        match error {
            webpki::Error::CertExpired { .. } => CmsRefusal::Expired,
            webpki::Error::CertNotValidYet { .. } => CmsRefusal::NotYet,
            webpki::Error::CertRevoked => CmsRefusal::Revoked,
            webpki::Error::CrlExpired { .. } => CmsRefusal::ListExpired,
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
                CmsRefusal::Purpose
            }
            other => CmsRefusal::Chain(other.to_string()),
        }
    }
}
