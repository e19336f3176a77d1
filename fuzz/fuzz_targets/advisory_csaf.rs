//! Advisories from vendors: whatever is read refers to products it has, and makes a database that is read again.
#![no_main]

use firmware_verifier::advisory::csaf::Csaf;
use firmware_verifier::advisory::database::{Builder, Database, Key};
use firmware_verifier::advisory::kev::Kev;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Kev::parse(data);
    let Ok(csaf) = Csaf::parse(data) else { return };
    for vulnerability in &csaf.vulnerabilities {
        assert!(vulnerability.statements.iter().all(|s| s.product < csaf.products.len()));
    }
    let names: Vec<String> =
        csaf.products.iter().flat_map(|p| &p.identities).filter_map(|i| i.product.clone()).collect();
    let mut builder = Builder::new();
    builder.add(csaf);
    let Ok(bytes) = builder.finish() else { return };
    let database = Database::open(bytes.as_slice()).expect("what was written can be read");
    for name in names {
        for block in database.find(&Key::name(&name)).expect("a whole database").unwrap_or_default() {
            block.said.iter().for_each(|said| drop(database.entry(said.entry).expect("an entry that is there")));
        }
    }
});
