//! Public vectors of signatures: Wycheproof (Ed25519, ECDSA P-256) and ed25519-speccheck. They are not part of this repository; the
//! folder is `HEADGATE_VECTORS`, or `shared/vectors` beside the workspace.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use ed25519_dalek::{Signature, VerifyingKey};
use firmware_verifier::Digest;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::signature::ecdsa::EcdsaSignature;
use firmware_verifier::signature::ed25519::{SignatureFault, StrictStream, verify};
use firmware_verifier::trust::{KeyKind, PublicKey};
use serde_json::Value;

/// A vector file as JSON; `None` when there are no vectors here, which CI does not allow.
fn vectors(path: &str) -> Option<Value> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("HEADGATE_VECTORS").map_or(beside, PathBuf::from);
    match std::fs::read(folder.join(path)) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{path} in {}: {error}", folder.display()),
        Err(error) => {
            eprintln!("skipped: {path} in {}: {error}", folder.display());
            None
        }
    }
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Our verdict, after checking that one piece, single bytes and `verify_strict` all agree.
fn strict(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> Result<(), SignatureFault> {
    let ours = verify(key, signature, &[message]);
    let bytewise = StrictStream::new(key, signature).and_then(|mut stream| {
        message.iter().for_each(|b| stream.update(&[*b]));
        stream.finish()
    });
    assert_eq!(ours, bytewise);
    let theirs = VerifyingKey::from_bytes(key)
        .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)));
    assert_eq!(ours.is_ok(), theirs.is_ok(), "verify_strict disagrees: {ours:?}");
    ours
}

#[test]
fn wycheproof_is_met_in_full() {
    let Some(file) = vectors("wycheproof/ed25519_test.json") else { return };
    let (mut valid, mut invalid, mut never_parsed, mut not_below_order) = (0, 0, 0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        let key: [u8; 32] = hex(&group["publicKey"]["pk"]).try_into().unwrap();
        PublicKey::new(KeyKind::Ed25519, key).unwrap();
        let pem = PublicKey::parse(group["publicKeyPem"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(pem.as_bytes(), key);
        for test in group["tests"].as_array().unwrap() {
            let (id, raw) = (&test["tcId"], hex(&test["sig"]));
            let expected = test["result"] == "valid";
            let Ok(signature) = <[u8; 64]>::try_from(raw.as_slice()) else {
                // Cut short, too long, or compressed: such bytes are no signature file at all.
                assert!(!expected && SignatureFile::parse(&raw).is_err(), "{id}");
                never_parsed += 1;
                invalid += 1;
                continue;
            };
            let ours = strict(&key, &signature, &hex(&test["msg"]));
            assert_eq!(ours.is_ok(), expected, "{id} {} {ours:?}", test["comment"]);
            not_below_order += u32::from(ours == Err(SignatureFault::S));
            if test["flags"][0] == "SignatureMalleability" {
                assert_eq!(ours, Err(SignatureFault::S), "{id}");
            }
            if expected { valid += 1 } else { invalid += 1 }
        }
    }
    println!("{valid} valid, {invalid} invalid; {never_parsed} never parsed, {not_below_order} by S");
    assert_eq!((valid, invalid), (88, 63));
    assert_eq!(valid + invalid, file["numberOfTests"].as_u64().unwrap());
}

/// Values that are not strictly DER are no signature file; the rest is right or wrong as the vectors say.
#[test]
fn wycheproof_is_met_in_full_by_ecdsa() {
    let Some(file) = vectors("wycheproof/ecdsa_secp256r1_sha256_test.json") else { return };
    let (mut valid, mut invalid, mut never_parsed) = (0, 0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        let key = PublicKey::parse(group["publicKeyPem"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(key.kind(), KeyKind::EcdsaP256);
        for test in group["tests"].as_array().unwrap() {
            let image = Digest::of(&hex(&test["msg"]));
            let read = EcdsaSignature::from_der(&hex(&test["sig"]));
            let good = read.as_ref().is_some_and(|signature| signature.is_by(&key, &image));
            assert_eq!(good, test["result"] == "valid", "{} {}", test["tcId"], test["comment"]);
            never_parsed += u32::from(read.is_none());
            if good { valid += 1 } else { invalid += 1 }
        }
    }
    println!("{valid} valid, {invalid} invalid; {never_parsed} never parsed");
    assert!(valid > 100 && invalid > 100 && never_parsed > 50);
    assert_eq!(valid + invalid, file["numberOfTests"].as_u64().unwrap());
}

/// The twelve cases of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko; 2020), in their order.
const SPECCHECK: [(&str, Result<(), SignatureFault>); 12] = [
    ("0: small-order A and R, S = 0", Err(SignatureFault::Key)),
    ("1: small-order A, mixed R", Err(SignatureFault::Key)),
    ("2: mixed A, small-order R", Err(SignatureFault::R)),
    ("3: mixed A and R, good with and without the cofactor", Ok(())),
    ("4: good with the cofactor only", Err(SignatureFault::Mismatch)),
    ("5: good with the cofactor only, after reduction", Err(SignatureFault::Mismatch)),
    ("6: S above the group order", Err(SignatureFault::S)),
    ("7: S far above the group order", Err(SignatureFault::S)),
    ("8: non-canonical small-order R", Err(SignatureFault::R)),
    ("9: non-canonical small-order R, hashed as reduced", Err(SignatureFault::R)),
    ("10: non-canonical small-order A", Err(SignatureFault::Key)),
    ("11: non-canonical small-order A, hashed as reduced", Err(SignatureFault::Key)),
];

#[test]
fn of_the_speccheck_cases_only_number_3_is_accepted() {
    let Some(file) = vectors("ed25519-speccheck/cases.json") else { return };
    let cases = file.as_array().unwrap();
    assert_eq!(cases.len(), SPECCHECK.len());
    for (case, (what, expected)) in cases.iter().zip(SPECCHECK) {
        let key: [u8; 32] = hex(&case["pub_key"]).try_into().unwrap();
        let signature = hex(&case["signature"]).try_into().unwrap();
        assert_eq!(strict(&key, &signature, &hex(&case["message"])), expected, "{what}");
        if expected == Err(SignatureFault::Key) {
            assert!(PublicKey::new(KeyKind::Ed25519, key).is_err(), "{what}: the key becomes no anchor");
        }
    }
}
