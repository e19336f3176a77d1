//! Requests for a certificate (PKCS #10, RFC 2986): made for a key that something else holds, and read where an
//! authority decides about them.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, KeyUsagePurpose,
};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;

use super::certificate::words;
use super::der::{BIT_STRING, Der, INTEGER, OID, SEQUENCE};

/// Largest file that is read, in bytes; ours have less than 1 KiB.
const MAX: usize = 8 << 10;
/// X.520 serialNumber, which IEEE 802.1AR §8.6 wants in the subject.
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];
/// ecdsa-with-SHA256 (RFC 5758 §3.2).
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A request, read; its own signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whom it is to be about, in words.
    pub subject: String,
    /// SubjectPublicKeyInfo, in DER.
    pub key: Vec<u8>,
}

/// A file that is no request of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Over the limit.
    #[error("{0} bytes, at most {MAX} are read")]
    TooLarge(usize),
    /// Not PKCS #10.
    #[error("no request for a certificate in it; headgate attest --csr writes one, in PEM")]
    Unreadable,
    /// Whoever made it does not have the key, or it was edited.
    #[error("its own signature does not hold; was it edited?")]
    Signature,
}

/// A request in PEM for a certificate of `key` as the box `gateway`, which is unique by `serial`.
///
/// # Errors
/// What the key says when it does not sign, in words.
pub fn make(gateway: &str, serial: &str, key: &impl rcgen::SigningKey) -> Result<String, String> {
    let words = |e: rcgen::Error| e.to_string();
    let mut params = CertificateParams::new(Vec::new()).map_err(words)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, gateway);
    let printable = rcgen::string::PrintableString::try_from(serial).map_err(words)?;
    params
        .distinguished_name
        .push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), DnValue::PrintableString(printable));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serialize_request(key).and_then(|request| request.pem()).map_err(words)
}

impl Request {
    /// Reads a file in PEM, and checks that whoever made it had the key.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(file: &[u8]) -> Result<Request, RequestError> {
        if file.len() > MAX {
            return Err(RequestError::TooLarge(file.len()));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(file).map_err(|_| RequestError::Unreadable)?;
        let (request, signed, signature) = read(&der).ok_or(RequestError::Unreadable)?;
        // The key is the last part of its SubjectPublicKeyInfo: 65 bytes of an uncompressed point.
        let point = &request.key[request.key.len() - 65..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(signed, signature)
            .map_err(|_| RequestError::Signature)?;
        Ok(request)
    }
}

/// The request, what of it was signed, and the signature.
fn read(der: &[u8]) -> Option<(Request, &[u8], &[u8])> {
    let mut outer = Der::new(Der::only(der, SEQUENCE)?);
    let info = outer.take(SEQUENCE)?;
    let mut algorithm = Der::new(outer.take(SEQUENCE)?.inner);
    // No bit of the last byte is unused.
    let signature = outer.take(BIT_STRING)?.inner.strip_prefix(&[0])?;
    let ecdsa = algorithm.take(OID)?.inner == ECDSA_SHA256 && algorithm.is_empty() && outer.is_empty();
    let mut of = Der::new(info.inner);
    let version = of.take(INTEGER)?.inner;
    let subject = words(of.take(SEQUENCE)?.inner)?;
    let key = of.take(SEQUENCE)?.whole;
    let p256 = key.len() == P256_HEAD.len() + 64 && key.starts_with(&P256_HEAD);
    // Attributes are what an authority may copy; here nobody looks at them.
    of.take(ATTRIBUTES)?;
    let whole = ecdsa && p256 && version == [0] && of.is_empty();
    whole.then(|| (Request { subject, key: key.to_vec() }, info.whole, signature))
}

const ATTRIBUTES: u8 = 0xa0;
/// id-ecPublicKey, prime256v1, and the head of a bit string of an uncompressed point (RFC 5480 §2).
const P256_HEAD: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::PublicKeyData as _;
    use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};

    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    fn pem(der: &[u8]) -> String {
        use base64::Engine as _;
        let inside = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{inside}\n-----END CERTIFICATE REQUEST-----\n")
    }

    #[test]
    fn a_request_of_another_kind_edited_or_cut_is_refused() {
        let key = KeyPair::generate().unwrap();
        let good = make("cell-4", &"ab".repeat(32), &key).unwrap();
        let bytes = der(&good);
        for len in 0..bytes.len() {
            assert_eq!(Request::parse(pem(&bytes[..len]).as_bytes()), Err(RequestError::Unreadable), "{len}");
        }
        let mut edited = bytes.clone();
        let at = bytes.windows(6).position(|w| w == b"cell-4").unwrap();
        edited[at + 5] = b'5';
        assert_eq!(Request::parse(pem(&edited).as_bytes()), Err(RequestError::Signature));
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let other = make("cell-4", "00", &p384).unwrap();
        for bad in ["", &other, &good.replace("CERTIFICATE REQUEST", "CERTIFICATE")] {
            assert_eq!(Request::parse(bad.as_bytes()), Err(RequestError::Unreadable));
        }
        assert_eq!(Request::parse(&vec![0; MAX + 1]), Err(RequestError::TooLarge(MAX + 1)));
        assert!(make("cell-4", "no_printable", &key).is_err());
        let read = Request::parse(good.as_bytes()).unwrap();
        assert_eq!(read.key, key.subject_public_key_info());
        assert_eq!(read.subject, format!("CN=cell-4, serialNumber={}", "ab".repeat(32)));
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found(at in 0usize..400, with: u8) {
            let key = KeyPair::generate().unwrap();
            let mut bytes = der(&make("cell-4", "00", &key).unwrap());
            let at = at % bytes.len();
            let same = std::mem::replace(&mut bytes[at], with) == with;
            prop_assert_eq!(Request::parse(pem(&bytes).as_bytes()).is_ok(), same);
        }
    }
}
