//! Ranges, package URLs and CPE names: read or refused; one line a range, the next a version.
#![no_main]

use firmware_verifier::advisory::cpe::Cpe;
use firmware_verifier::advisory::purl::Purl;
use firmware_verifier::advisory::version::{Containment, Versions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(purl) = Purl::parse(text) {
        assert!(!purl.name().is_empty() && purl.package().starts_with(purl.kind()));
    }
    if let Ok(cpe) = Cpe::parse(text) {
        let _ = (cpe.product(), cpe.version());
    }
    let (range, version) = text.split_once('\n').unwrap_or((text, "1.0"));
    let versions = Versions::parse(range);
    let found = versions.contain(version, None);
    assert!(versions.is_readable() || found == Containment::Incomparable);
});
