//! The canonical form of a configuration: what is read is what is written, and runs or is refused with words.
#![no_main]

use std::path::Path;

use gateway::config::weakening::weakens;
use gateway::config::{Config, Effective};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let effective = match Effective::read(bytes) {
        Ok(effective) => effective,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(effective.bytes(), bytes, "one form");
    assert!(effective.differences(&effective).is_empty());
    match Config::of_effective(&effective, Path::new("/nonexistent")) {
        Ok(config) => assert!(weakens(&config, &config).is_empty(), "nothing weakens itself"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
