//! SquashFS: any bytes behind a good superblock are looked into within the limits.
#![no_main]

use firmware_verifier::inspect::{Limits, inspect};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits =
    Limits { total: 8 << 20, item: 4 << 20, entries: 2000, attempts: 64, work: 256 << 20, reported: 100, ..Limits::USUAL };

fuzz_target!(|data: &[u8]| {
    let image = [b"hsqs", data].concat();
    let report = inspect(&image, &LIMITS);
    assert!(report.unpacked <= LIMITS.total + (8 << 20));
    assert!(report.components.len() <= LIMITS.reported && report.findings.len() <= 65);
});
