//! A signed checkpoint: what is read is written back byte for byte, and what is accepted is of the key's own log. The
//! seeds are made by hand and signed with OpenSSL; each is named for what it holds.
#![no_main]

use gateway::audit::checkpoint::{LogKey, Note};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(note) = Note::parse(text) else { return };
    assert_eq!(note.to_string(), text);
    if let Ok(checkpoint) = note.verify(&key()) {
        assert_eq!(checkpoint.origin, key().name());
        assert!(text.starts_with(&checkpoint.text()));
    }
});

/// The key of RFC 6979 §A.2.5, whose private half the RFC prints: it signed the seeds.
fn key() -> LogKey {
    let half = |hex: &str| gateway::vault::from_hex(hex).expect("64 digits");
    let x = half("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
    let y = half("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    LogKey::from_coordinates("plant.example/headgate-1", &x, &y).expect("a name")
}
