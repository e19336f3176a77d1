//! One image's walk, as all tests of signatures ask for it.

use std::path::PathBuf;

use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::TrustStore;
use firmware_verifier::{Gauntlet, Request, Verdict};
use hal::clock::Wall;

#[allow(dead_code, reason = "not every test has one signature")]
/// The verdict on `image` with this signature, for a controller of acme, in pieces as a wire has them.
pub(crate) fn verdict(signature: SignatureFile, store: &TrustStore, image: &[u8], now: Wall) -> Verdict {
    let request = Request {
        slot: Slot::new("pump-3").unwrap(),
        product: Product::new("acme", "px-200").unwrap(),
        identity: None,
        signature: Some(signature),
        policy_epoch: 1,
        state_counter: 1,
        expires: Wall { ms: now.ms + 1, ..now },
    };
    let mut gauntlet = Gauntlet::new(request, store, now);
    image.chunks(1400).for_each(|piece| gauntlet.absorb(piece));
    gauntlet.finish()
}

/// A folder of the test vectors; `None` when there are none here, which CI does not allow.
#[allow(dead_code, reason = "not every test has vectors")]
pub(crate) fn vectors(folder: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let all = std::env::var_os("HEADGATE_VECTORS").map_or(beside, PathBuf::from);
    let folder = all.join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", folder.display());
    eprintln!("skipped: {} is missing", folder.display());
    None
}
