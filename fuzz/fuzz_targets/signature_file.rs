//! Signature files and statements: every kind of bytes is a signature or refused with words.
#![no_main]

use firmware_verifier::Digest;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::statement::Statement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(statement) = Statement::parse(data) {
        assert!(!statement.is_about(&Digest::of(data)), "nobody can name the digest of what he writes");
    }
    match SignatureFile::parse(data) {
        Ok(signature) => assert_eq!(SignatureFile::parse(data), Ok(signature)),
        Err(error) => assert!(error.rejection().to_string().starts_with("HG-1")),
    }
});
