//! What people sign away from the gateway: keys that OpenSSL makes, and documents that `sign-document` signs.

use firmware_verifier::document::{Content, Document, DocumentId, Moment};
use firmware_verifier::trust::PublicKey;
use hal::clock::{Clock, Wall};

use crate::Bench;

/// Makes an Ed25519 key with OpenSSL: NAME.pem and NAME.pub.
pub fn key(bench: &Bench, name: &str) -> PublicKey {
    let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
    bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", &private]);
    bench.openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
    PublicKey::parse(&std::fs::read(bench.path(&public)).expect("just written")).expect("a key")
}

/// Makes an approver's key and trusts it; where there is a site key, only a trust bundle does.
pub fn approver(bench: &Bench, name: &str) -> PublicKey {
    let made = key(bench, name);
    bench.headgate(&["trust", "add", &format!("{name}.pub"), "--name", name, "--role", "approver"]);
    made
}

/// A document for `gateway` that counts for a day; its number is made of `file`.
pub fn made<C: Content>(file: &str, gateway: &str, content: C) -> Document<C> {
    let now = Clock::system().wall();
    let day = Wall { ms: now.ms + 86_400_000, ..now };
    let tag = u8::try_from(file.bytes().map(u32::from).sum::<u32>() % 251).expect("below 256");
    Document {
        content,
        expires: Moment::new(day),
        gateway: gateway.into(),
        id: DocumentId::from_bytes([tag; DocumentId::LEN]),
        issued: Moment::new(now),
        reason: "a test of trust".into(),
    }
}

/// Writes a document and has each of `keys` sign it in turn.
pub fn signed<C: Content>(bench: &Bench, file: &str, document: &Document<C>, keys: &[&str]) {
    let envelope = document.to_envelope().expect("a document");
    bench.write(file, envelope.to_json().expect("JSON").as_bytes());
    for key in keys {
        sign(bench, file, key);
    }
}

/// As [`signed`], for a document that counts for a day.
pub fn document<C: Content>(bench: &Bench, file: &str, gateway: &str, content: C, keys: &[&str]) {
    signed(bench, file, &made(file, gateway, content), keys);
}

/// Has one key sign a document, as a person does.
pub fn sign(bench: &Bench, file: &str, key: &str) {
    bench.headgate(&["sign-document", file, "--key", &format!("{key}.pem")]);
}
