//! The local identity: it signs in every boot state, in its own TPM alone, and leaves nothing in it.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;

use hal::tpm::{LocalIdentity, QuoteRefused, TpmError};
use tpm_bench::{Bench, LONG};

const DIGEST: [u8; 32] = [0x5a; 32];

#[test]
fn it_signs_whatever_was_booted_and_no_other_tpm_does() {
    let (mut bench, other) = (Bench::measured(), Bench::measured());
    let (provisioned, _) = bench.provision();
    let (strange, _) = other.provision();
    let made = bench.tpm.make_local_identity(&provisioned, LONG).unwrap();
    // What is on disk is all there is.
    let made: LocalIdentity = serde_json::from_str(&serde_json::to_string(&made).unwrap()).unwrap();
    assert!(matches!(other.tpm.sign_local(&made, &DIGEST, LONG), Err(TpmError::SrkChanged { .. })));
    let moved = LocalIdentity { srk_name: strange.srk_name, ..made.clone() };
    assert!(other.tpm.sign_local(&moved, &DIGEST, LONG).is_err(), "a blob of another TPM");
    let mut another = made.clone();
    another.schema.push('2');
    assert!(matches!(bench.tpm.sign_local(&another, &DIGEST, LONG), Err(TpmError::Malformed { .. })));

    let before = bench.leftovers();
    let signature = bench.tpm.sign_local(&made, &DIGEST, LONG).unwrap();
    assert_eq!(signature[0], 0x30);
    let said = bench.tpm.certify_local(&provisioned, &made, LONG).unwrap();
    assert_eq!(bench.leftovers(), before);
    let (key, ak) = (made.public_key().unwrap(), provisioned.attestation_key().unwrap());
    said.verify_local(&ak, &key).unwrap();
    // A word about one key is none about another, and not of another kind.
    let second = bench.tpm.make_local_identity(&provisioned, LONG).unwrap().public_key().unwrap();
    assert!(matches!(said.verify_local(&ak, &second), Err(QuoteRefused::Certified { .. })));
    let evidence = provisioned.evidence_key().unwrap();
    assert!(matches!(said.verify(&ak, &evidence), Err(QuoteRefused::Nonce { .. })));

    bench.swtpm.restart().unwrap();
    // The connection was lost with the TPM; the first question after it may still find that out.
    let again = (0..3).find_map(|_| bench.tpm.sign_local(&made, &DIGEST, LONG).ok());
    assert!(again.is_some(), "PCRs are zero now, and it signs all the same");
    assert_eq!(bench.tpm.initial_identity(&provisioned, LONG).unwrap(), None);
}
