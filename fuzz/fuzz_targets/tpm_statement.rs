//! What a TPM signs: any bytes are refused or are the one form of a statement, and none passes for a quote of
//! a key that did not sign it.
#![no_main]

use hal::tpm::{Attest, AttestationKey, Certification, PcrValues, Quote, SiteKeyPublic};
use libfuzzer_sys::fuzz_target;

/// TPMT_PUBLIC of an attestation key up to its point, behind its length.
const HEAD: [u8; 22] = [
    0x00, 0x58, 0x00, 0x23, 0x00, 0x0b, 0x00, 0x05, 0x04, 0x72, 0x00, 0x00, 0x00, 0x10, 0x00, 0x18, 0x00,
    0x0b, 0x00, 0x03, 0x00, 0x10,
];
/// The generator of P-256 (SP 800-186 §3.2.1.3): a point everybody has. Its private key is 1, so somebody could
/// sign with it; mutations do not.
const GENERATOR: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----
";
/// TPMT_SIGNATURE of ECDSA P-256: four bytes of algorithms, r and s behind their lengths.
const SIGNATURE: usize = 72;

fuzz_target!(|data: &[u8]| {
    // The first byte says what the rest is.
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        0 => signed(rest),
        1 => match Attest::parse(rest) {
            Ok(said) => {
                assert_eq!(said.marshal(), rest);
                assert!(said.qualified_signer.len() <= 66 && said.extra_data.len() <= 66);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        _ => {
            if let Ok(key) = AttestationKey::from_public(rest) {
                // A number may be written with or without its leading zeros; everything else is fixed.
                assert!(rest.len() <= 90 && key.to_pem().contains("PUBLIC KEY"));
            }
        }
    }
});

/// A signature, then what it is said to sign.
fn signed(rest: &[u8]) {
    let Some((signature, attest)) = rest.split_at_checked(SIGNATURE) else { return };
    let point = SiteKeyPublic::from_pem(GENERATOR).expect("it is on the curve");
    let (x, y) = point.point()[1..].split_at(32);
    let public = [&HEAD[..], &[0, 32], x, &[0, 32], y].concat();
    let key = AttestationKey::from_public(&public).expect("the form of an attestation key");
    let pcrs = PcrValues::new(vec![(0, [0x11; 32])]).expect("one PCR");
    let quote = Quote { attest: attest.to_vec(), signature: signature.to_vec(), pcrs };
    assert!(quote.verify(&key, b"nonce", &quote.pcrs).is_err());
    let same = Certification { attest: quote.attest, signature: quote.signature };
    assert!(serde_json::to_string(&same).is_ok());
}
