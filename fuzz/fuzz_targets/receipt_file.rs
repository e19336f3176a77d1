//! The file of a receipt: any bytes are refused or are read, checked and printed; what is read has one form, and nothing
//! is good under a key that did not sign it. The seeds are receipts of a bench with a software TPM, whole and edited.
#![no_main]

use firmware_verifier::trust::{KeyKind, PublicKey};
use gateway::receipt::{Standing, Statement, check, envelope, page};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(statement) = Statement::parse(data) {
        // What a later version has added is passed over in reading, so it may be less.
        let again = statement.to_json().expect("text and integers only");
        assert_eq!(Statement::parse(&again).expect("the form it was read in"), statement);
        printed(&statement);
    }
    let Ok((envelope, statement)) = envelope::open(data) else { return };
    printed(&statement);
    assert!(Statement::nonce(envelope.payload()).is_ok());
    let checked = check(data, &key(), Some(&key())).expect("it was opened");
    assert!(!checked.is_good(), "nobody signed this with the key of RFC 6979");
});

fn printed(statement: &Statement) {
    let text = page(statement, &Standing::Unsigned("fuzz".into()));
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}

/// The key of RFC 6979 §A.2.5.
fn key() -> PublicKey {
    let half = |hex: &str| gateway::vault::from_hex(hex).expect("64 digits");
    let x = half("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
    let y = half("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    PublicKey::new(KeyKind::EcdsaP256, [&[4], &x[..], &y[..]].concat()).expect("a point of the curve")
}
