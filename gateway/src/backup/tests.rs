//! Backups: written and read, and each way of not being one.

use std::io::{Cursor, Read as _};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use firmware_verifier::document::Moment;
use hal::clock::Wall;
use hal::tpm::SiteKeyPublic;
use proptest::prelude::*;

use super::*;

fn entries() -> Vec<(Entry, Vec<u8>)> {
    let me = Predecessor::of(&[7; 32]);
    vec![
        (Entry::Config, b"{}".to_vec()),
        (Entry::Trust, vec![]),
        (Entry::Receipt("C-000001.json".into()), vec![1; 70_000]),
        (Entry::Log(me.clone(), "checkpoints.log".into()), b"log".to_vec()),
        (Entry::Key(me), b"pem".to_vec()),
        (Entry::About([1; 32]), b"{}".to_vec()),
        (Entry::Image([1; 32]), b"image".to_vec()),
    ]
}

fn written(entries: &[(Entry, Vec<u8>)], change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let key = SiteKeyPublic::new(pair.public_key().as_ref()).unwrap().to_pem();
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (entry, bytes) in entries {
        writer.entry(entry, bytes.len() as u64, &mut bytes.as_slice()).unwrap();
    }
    let (content, entries) = writer.content();
    let mut manifest = Manifest {
        attestation_key: "000b".into(),
        checkpoint: None,
        content,
        entries,
        epoch: 3,
        evidence_key: key.clone(),
        gateway: "cell-4".into(),
        made: Moment::new(Wall::trusted(1)),
        site_key: key,
        version: "0".into(),
    };
    change(&mut manifest);
    let mut envelope = manifest.to_envelope().unwrap();
    let signature = pair.sign(&SystemRandom::new(), &envelope.message()).unwrap();
    envelope.attach("", signature.as_ref()).unwrap();
    writer.finish(&envelope).unwrap()
}

fn read(file: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, BackupError> {
    let mut opened = Opened::new(Cursor::new(file))?;
    opened.check()?;
    let mut reader = opened.entries()?;
    let mut found = Vec::new();
    while let Some((entry, len)) = reader.entry()? {
        let bytes = reader.all("entry", 1 << 20)?;
        assert_eq!(bytes.len() as u64, len);
        found.push((entry, bytes));
    }
    reader.finish()?;
    Ok(found)
}

#[test]
fn what_is_written_is_read_and_an_entry_may_be_passed_over() {
    let file = written(&entries(), |_| ());
    assert_eq!(read(&file).unwrap(), entries());
    let mut opened = Opened::new(Cursor::new(&file)).unwrap();
    let mut reader = opened.entries().unwrap();
    let mut first = [0; 1];
    reader.entry().unwrap();
    reader.read_exact(&mut first).unwrap();
    let names: Vec<Entry> = std::iter::from_fn(|| reader.entry().unwrap().map(|(name, _)| name)).collect();
    assert_eq!(names.len(), entries().len() - 1);
    reader.finish().unwrap();
}

#[test]
fn every_cut_and_every_changed_byte_is_refused() {
    let small: Vec<_> = entries().into_iter().filter(|(_, bytes)| bytes.len() < 100).collect();
    let file = written(&small, |_| ());
    for len in 0..file.len() {
        assert!(read(&file[..len]).is_err(), "cut to {len}");
    }
    for at in 0..file.len() {
        let mut bad = file.clone();
        bad[at] ^= 1;
        // A key id is a hint that nothing covers; all else is.
        if let Ok(found) = read(&bad) {
            assert_eq!(found, small, "byte {at}");
        }
    }
    let end = file.len();
    assert!(read(&[&file[..end - 20], &[0][..], &file[end - 20..]].concat()).is_err());
}

#[test]
fn what_was_signed_otherwise_is_told() {
    for (what, change, why) in [
        ("one entry more", (|m| m.entries -= 1) as fn(&mut Manifest), "one more than was signed"),
        ("one entry less", |m| m.entries += 1, "its content is"),
        ("other bytes", |m| m.content = firmware_verifier::Digest::of(b""), "its content is"),
        (
            "another key",
            |m| m.evidence_key = hal::tpm::SiteKey::generate().unwrap().public().to_pem(),
            "not signed",
        ),
        ("no key", |m| m.evidence_key.clear(), "manifest cannot be read"),
        ("a long text", |m| m.version = "v".repeat(5000), "too long"),
        ("too many", |m| m.entries = MAX_ENTRIES + 1, "entries"),
    ] {
        let error = read(&written(&entries(), change)).unwrap_err().to_string();
        assert!(error.contains(why), "{what}: {error}");
    }
}

#[test]
fn a_name_that_is_no_entry_of_a_backup_is_refused() {
    for (entry, _) in entries() {
        assert_eq!(Entry::parse(&entry.to_string()), Some(entry));
    }
    let id = "a".repeat(32);
    for bad in [
        "",
        "config/",
        "/trust",
        "receipt/",
        "receipt/..",
        "receipt/.hidden",
        "receipt/a/b",
        "receipt/a b",
        "log/x/y",
        &format!("log/{id}/../x"),
        &format!("log/{}/x", id.to_uppercase()),
        &format!("key/{id}/x"),
        "image/12",
        "vault/x",
        "receipt/ä",
    ] {
        assert_eq!(Entry::parse(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), len in 0u32..400) {
        prop_assert!(read(&bytes).is_err());
        let framed = [&HEAD[..], &bytes, &len.to_be_bytes(), &END].concat();
        prop_assert!(read(&framed).is_err());
    }

    #[test]
    fn any_name_is_one_entry_or_none(name in "\\PC{0,60}") {
        if let Some(entry) = Entry::parse(&name) {
            prop_assert_eq!(entry.to_string(), name);
        }
    }
}
