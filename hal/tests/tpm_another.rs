//! One more sealed key: it opens where the first one opens, and nowhere else.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;

use hal::tpm::{KeyBlobs, TpmError};
use tpm_bench::{Bench, LONG};

#[test]
fn another_key_opens_in_the_approved_boot_state_and_in_no_other() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let approvals = [approval];
    let (blobs, key) = bench.tpm.seal_another(&provisioned, LONG).unwrap();
    let open = |blobs: &KeyBlobs| bench.tpm.unseal_another(&provisioned, &approvals, blobs, LONG);
    assert_eq!(open(&blobs).unwrap().key.as_slice(), key.as_slice());
    let first = bench.tpm.unseal(&provisioned, &approvals, LONG).unwrap();
    assert_ne!(first.key.as_slice(), key.as_slice());
    let (more, other) = bench.tpm.seal_another(&provisioned, LONG).unwrap();
    assert_ne!(other.as_slice(), key.as_slice(), "each is new");
    let swapped = KeyBlobs { public: blobs.public.clone(), private: more.private.clone() };
    assert!(open(&swapped).is_err(), "half of one and half of another is none");
    assert_eq!(bench.leftovers(), "");

    bench.extend(7, 0x99);
    assert!(matches!(open(&blobs), Err(TpmError::NoApproval { .. })), "another boot state");
    let now = bench.approve_now(&provisioned);
    let again = bench.tpm.unseal_another(&provisioned, &[now], &blobs, LONG).unwrap();
    assert_eq!(again.key.as_slice(), key.as_slice(), "approved, and nothing was sealed again");
}

#[test]
fn another_key_moved_to_another_tpm_does_not_open() {
    let (here, there) = (Bench::measured(), Bench::measured());
    let (provisioned, _) = here.approved();
    let (blobs, key) = here.tpm.seal_another(&provisioned, LONG).unwrap();
    let bytes = [blobs.public.as_slice(), &blobs.private].concat();
    assert!(!bytes.windows(8).any(|part| key.windows(8).any(|clear| clear == part)), "not in clear");
    let (elsewhere, approval) = there.approved();
    let approvals = [approval];
    assert!(there.tpm.unseal_another(&elsewhere, &approvals, &blobs, LONG).is_err());
    let moved = there.tpm.unseal_another(&provisioned, &approvals, &blobs, LONG);
    assert!(matches!(moved, Err(TpmError::SrkChanged { .. })), "{moved:?}");
    let made = there.tpm.seal_another(&provisioned, LONG);
    assert!(matches!(made, Err(TpmError::SrkChanged { .. })));
}
