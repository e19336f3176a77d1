//! Signature files: every kind of bytes is a signature or refused with words.
#![no_main]

use firmware_verifier::signature::SignatureFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match SignatureFile::parse(data) {
        Ok(signature) => assert_eq!(SignatureFile::parse(data), Ok(signature)),
        Err(error) => assert!(error.rejection().to_string().starts_with("HG-1")),
    }
});
