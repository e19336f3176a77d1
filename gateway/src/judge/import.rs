//! Changes of trust that the site keys have signed: looked at, accepted, and drafted for them to sign.
//!
//! [`TrustBundle::apply`] decides; nothing here does. A bundle is one change of the store, whatever it holds, and
//! so one write of the TPM's memory. Invariant: without `yes` nothing is written.

use aws_lc_rs::rand;
use firmware_verifier::document::{Document, DocumentId, Moment, RevokedDigest, RevokedKey, TrustBundle};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::bundle::KeyChange;
use firmware_verifier::trust::{Changes, KeyId, Role, Threshold, Thresholds};
use firmware_verifier::{Digest, reasons};
use hal::clock::Wall;

use super::Judge;
use super::failure::Failure;
use super::message::Answered;
use super::rows::{ChangeRow, ChangesRow};
use super::trust::gate_failure;
use crate::audit::Kind;

impl Judge {
    /// Shows what a trust bundle changes, and with `yes` changes it.
    pub(super) fn trust_import(&mut self, bundle: &str, yes: bool) -> Result<Answered, Failure> {
        self.gate_open().map_err(gate_failure)?;
        let envelope = Envelope::parse(bundle.as_bytes())
            .map_err(|e| Failure::new(reasons::DOCUMENT_UNREADABLE, e.to_string()))?;
        let store = self.trust().map_err(gate_failure)?;
        let applied = TrustBundle::apply(&envelope, store, &self.config.name, self.now());
        let (next, changes) = match applied {
            Ok(applied) => applied,
            Err(e) => {
                let (code, text) = (e.code(), format!("trust bundle refused: {e}"));
                self.note_with(Kind::Trust, "bundle", &text, Some(code), None);
                return Err(Failure::new(code, e.to_string()));
            }
        };
        let rows = rows(&changes);
        if yes {
            self.write_trust(next)?;
            let digest = *Digest::of(envelope.payload()).as_bytes();
            let text = format!("trust bundle {} applied: {} changes", changes.sequence, rows.len());
            self.note_with(Kind::Trust, "bundle", &text, None, Some(digest));
            rows.iter().for_each(|row| self.note(Kind::Trust, &row.subject, &row.to_string()));
        }
        Ok(Answered::TrustChanges(ChangesRow { sequence: changes.sequence, applied: yes, changes: rows }))
    }

    /// The next trust bundle for this gateway, which revokes a key or an image once the site keys have signed it.
    pub(super) fn trust_revoke(&mut self, what: &str, reason: &str) -> Result<Answered, Failure> {
        let store = self.trust().map_err(gate_failure)?;
        let sequence = store.bundle().saturating_add(1);
        let reason = reason.to_owned();
        let mut content = TrustBundle { sequence, ..TrustBundle::default() };
        let there = match Revoked::parse(what)? {
            Revoked::Key(key) => {
                content.revoke_keys.push(RevokedKey { key, reason: reason.clone() });
                store.revoked_key(key)
            }
            Revoked::Image(image) => {
                content.revoke_digests.push(RevokedDigest { image, reason: reason.clone() });
                store.revoked_digest(&image)
            }
        };
        if let Some(there) = there {
            return Err(Failure::usage(format!("{what} was {there} already")));
        }
        let now = self.now();
        if !now.trusted {
            let text = format!("a bundle counts for a limited time, and the clock ({now}) is not trusted");
            return Err(Failure::new(reasons::CLOCK_UNTRUSTED, text));
        }
        let mut id = [0; DocumentId::LEN];
        rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
        let document = Document {
            content,
            expires: Moment::new(Wall { ms: now.ms.saturating_add(DRAFT_LIFE_MS), ..now }),
            gateway: self.config.name.clone(),
            id: DocumentId::from_bytes(id),
            issued: Moment::new(now),
            reason,
        };
        let envelope = document.to_envelope().map_err(|e| Failure::usage(e.to_string()))?;
        let document = envelope.to_json().map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Answered::Document { document })
    }
}

/// What can be revoked.
#[derive(Debug, PartialEq, Eq)]
enum Revoked {
    Key(KeyId),
    Image(Digest),
}

impl Revoked {
    /// A key id, or a whole SHA-256: half of one would revoke more than is meant.
    fn parse(text: &str) -> Result<Revoked, Failure> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        let image = || digits.parse().map(Revoked::Image);
        digits.parse().map(Revoked::Key).or_else(|_| image()).map_err(|_| {
            Failure::usage(format!(
                "{text:?} is neither a key id (16 hexadecimal digits, from trust show) nor a SHA-256 (64)"
            ))
        })
    }
}

/// What it takes away first, then what it brings.
fn rows(changes: &Changes) -> Vec<ChangeRow> {
    let row =
        |change: &str, subject: String, text: String| ChangeRow { change: change.into(), subject, text };
    let key = |change: &str, key: &KeyChange| row(change, key.id.to_string(), key_words(key));
    let mut rows: Vec<ChangeRow> = changes.removed.iter().map(|k| key("removed", k)).collect();
    rows.extend(changes.revoked_keys.iter().map(|(id, anchor, reason)| {
        let whose = anchor.as_ref().map_or("no key that is trusted here".to_owned(), key_words);
        row("revoked", id.to_string(), format!("{whose}: {reason}"))
    }));
    let digest =
        |(image, reason): &(Digest, String)| row("revoked", image.to_hex(), format!("image: {reason}"));
    rows.extend(changes.revoked_digests.iter().map(digest));
    rows.extend(changes.added.iter().map(|k| key("added", k)));
    rows.extend(changes.not_added.iter().map(|k| key("not-added", k)));
    rows.extend(changes.floors.iter().map(|(product, before, now)| {
        let before = before.map_or("none".to_owned(), |before| before.to_string());
        row("floor", product.clone(), format!("security version {now}, was {before}"))
    }));
    if let Some((before, now)) = &changes.thresholds {
        let text = format!("{}; were {}", threshold_words(now), threshold_words(before));
        rows.push(row("thresholds", "signers".into(), text));
    }
    rows
}

fn key_words(key: &KeyChange) -> String {
    let until = key.valid_until.map_or("no end".to_owned(), |until| format!("until {until}"));
    let KeyChange { credential, fingerprint, name, role, scope, .. } = key;
    let scope = if *role == Role::Vendor { format!(" for {scope}") } else { String::new() };
    format!("{name}, {role}{scope}, {credential}, {until}, fingerprint {fingerprint}")
}

/// How many keys of each role must sign, on one line.
pub(crate) fn threshold_words(thresholds: &Thresholds) -> String {
    let of = |role: Role| format!("{role} {}", thresholds.of(role));
    let mut words = [Role::Site, Role::Approver, Role::Vendor].map(of).join(", ");
    let vendor = |(vendor, n): (&str, Threshold)| format!(", {vendor} {n}");
    words.extend(thresholds.vendors().map(vendor));
    words
}

impl std::fmt::Display for ChangeRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.change, self.subject, self.text)
    }
}

/// How long a drafted bundle may be on its way between those who sign it.
const DRAFT_LIFE_MS: i64 = 30 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_and_a_whole_digest_can_be_revoked_and_nothing_shorter() {
        let digest = Digest::of(b"image");
        let key = KeyId::from_bytes([7; KeyId::LEN]);
        let cases = [
            ("a key id", key.to_string(), Some(Revoked::Key(key))),
            ("a digest", digest.to_hex(), Some(Revoked::Image(digest))),
            ("a digest as it is printed", digest.to_string(), Some(Revoked::Image(digest))),
            ("upper case", digest.to_hex().to_uppercase(), Some(Revoked::Image(digest))),
            ("the first digits", digest.to_hex()[..12].to_owned(), None),
            ("nothing", String::new(), None),
        ];
        for (what, text, expected) in cases {
            assert_eq!(Revoked::parse(&text).ok(), expected, "{what}");
        }
    }

    #[test]
    fn each_change_is_one_line_with_what_was_and_what_is() {
        let key = KeyChange {
            id: KeyId::from_bytes([7; KeyId::LEN]),
            credential: "ed25519".into(),
            fingerprint: Digest::of(b"key"),
            name: "acme".into(),
            role: Role::Vendor,
            scope: "acme px-200".into(),
            valid_until: Some(Wall::trusted(0)),
        };
        let two = Thresholds::default().role(Role::Site, Threshold::TWO);
        let changes = Changes {
            sequence: 4,
            removed: vec![KeyChange { role: Role::Site, valid_until: None, ..key.clone() }],
            added: vec![key.clone()],
            revoked_keys: vec![(key.id, None, "lost".into())],
            floors: vec![("acme px-200".into(), Some(3), 5)],
            thresholds: Some((Thresholds::default(), two)),
            ..Changes::default()
        };
        let lines: Vec<String> = rows(&changes).iter().map(ToString::to_string).collect();
        let print = Digest::of(b"key");
        let id = "0707070707070707";
        assert_eq!(
            lines,
            [
                format!("removed {id}: acme, site, ed25519, no end, fingerprint {print}"),
                format!("revoked {id}: no key that is trusted here: lost"),
                format!(
                    "added {id}: acme, vendor for acme px-200, ed25519, until 1970-01-01T00:00:00.000Z, fingerprint {print}"
                ),
                "floor acme px-200: security version 5, was 3".into(),
                "thresholds signers: site 2, approver 1, vendor 1; were site 1, approver 1, vendor 1".into(),
            ]
        );
    }
}
