//! The configuration: every text is a valid configuration or refused with words.
#![no_main]

use std::path::Path;

use gateway::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A line of its own cuts the text into files, as in conf.d.
    let files: Vec<(String, String)> =
        text.split("\n---\n").enumerate().map(|(n, text)| (format!("{n}.toml"), text.to_string())).collect();
    match Config::parse(&files, Path::new("/nonexistent")) {
        Ok(config) => {
            for plc in &config.plcs {
                assert!(!plc.routes.is_empty());
                assert_eq!(config.plc(plc.slot.as_str()).map(|p| &p.slot), Some(&plc.slot), "ids are unique");
            }
            let topic = |text: &str| !text.is_empty() && !text.contains(['/', '+', '#', '\0']);
            assert!(topic(&config.name) && config.plcs.iter().all(|p| topic(p.slot.as_str())));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
