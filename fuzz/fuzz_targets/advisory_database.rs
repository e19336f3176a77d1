//! The advisory database, which may come from somebody who wants it to be read wrongly: every answer or an error.
#![no_main]

use firmware_verifier::advisory::database::{Database, Key};
use firmware_verifier::advisory::matching::{Controller, matches, matches_controller};
use firmware_verifier::sbom::Component;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(database) = Database::open(data) else { return };
    let _ = database.sources();
    let _ = database.find(&Key::patterns("acme"));
    for product in ["PX-200", "6PX7 200-1AK01-0AB0"] {
        let _ = matches_controller(&database, &Controller { vendor: "Acme", product, version: Some("2.9.3"), scheme: None });
    }
    let component = Component {
        name: "Lib".into(),
        version: Some("1.0".into()),
        supplier: None,
        purl: Some("pkg:generic/acme/lib@1.1".into()),
        cpe: Some("cpe:2.3:a:acme:lib:1.1:*:*:*:*:*:*:*".into()),
        sha256: None,
    };
    let _ = matches(&database, &component);
});
