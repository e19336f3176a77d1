//! Key files: every kind of bytes is a strong public key or refused with words.
#![no_main]

use firmware_verifier::trust::PublicKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match PublicKey::parse(data) {
        Ok(key) => assert_eq!(PublicKey::new(key.kind(), key.as_bytes()), Ok(key)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
