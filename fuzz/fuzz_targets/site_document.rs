//! Documents that people sign offline, in their envelope and bare: what is read is written back the same.
#![no_main]

use firmware_verifier::document::round_trip;
use firmware_verifier::dsse::Envelope;
use libfuzzer_sys::fuzz_target;

const KINDS: [&str; 8] =
    ["advisories", "approval", "downgrade", "break-glass", "config", "replacement", "vouch", "trust-bundle"];

fuzz_target!(|data: &[u8]| {
    for kind in KINDS {
        check(&format!("application/vnd.headgate.{kind}.v1+json"), data);
    }
    if let Ok(envelope) = Envelope::parse(data) {
        let json = envelope.to_json().expect("an envelope that was read can be written");
        assert_eq!(Envelope::parse(json.as_bytes()).expect("and read again"), envelope);
        assert_eq!(envelope.verify([]).keys().count(), 0, "signed by nobody");
        check(envelope.payload_type(), envelope.payload());
    }
});

fn check(kind: &str, payload: &[u8]) {
    if let Some(again) = round_trip(kind, payload) {
        assert_eq!(again, payload);
    }
}
