use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::advisory::csaf::tests::{document, hole, parse, tree};
use crate::advisory::csaf::{Csaf, Stated};
use crate::advisory::kev::Kev;
use crate::digest::Digest;

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.add(parse(&document(tree(), hole(json!({ "known_affected": ["cpu-old"] })))).unwrap());
    builder
}

fn kev() -> Kev {
    let text = r#"{"dateReleased": "2026-05-01", "vulnerabilities": [{"cveID": "CVE-2026-0001"}]}"#;
    Kev::parse(text.as_bytes()).unwrap()
}

#[test]
fn what_went_in_is_found_by_its_keys() {
    let mut builder = builder();
    builder.known_exploited(kev());
    builder.leave_out();
    let bytes = builder.finish().unwrap();
    let database = Database::open(bytes.as_slice()).unwrap();
    assert_eq!((database.entries(), database.left_out()), (1, 1));
    assert_eq!(database.current().to_string(), "2026-05-01T00:00:00.000Z");
    let sources: Vec<(String, u32)> =
        database.sources().unwrap().into_iter().map(|s| (s.name, s.count)).collect();
    assert_eq!(sources, [("Acme PSIRT".into(), 1), ("CISA known exploited vulnerabilities".into(), 1)]);
    let blocks = database.find(&Key::product("ACME", "px-200")).unwrap().unwrap();
    assert_eq!(blocks[0].stated, Stated::Range("<V2.9.4".into()));
    let entry = database.entry(blocks[0].said[0].entry).unwrap();
    assert_eq!((entry.id.as_str(), entry.is_exploited), ("CVE-2026-0001", true));
    assert_eq!(entry.remedy, "Update to V2.9.4 (https://acme.example/fw)");
    assert_eq!(entry.score.map(|score| score.tenths()), Some(98));
    assert!(database.find(&Key::product("acme", "px-400")).unwrap().is_none());
    assert!(database.find(&Key::vendor("acme")).unwrap().is_some());
}

#[test]
fn the_same_sources_give_the_same_bytes_in_any_order_and_the_newest_version_of_each_stays() {
    let version = |release: &str, cve: &str| {
        let mut value = document(tree(), hole(json!({ "known_affected": ["cpu-old"] })));
        value["document"]["tracking"]["current_release_date"] = json!(release);
        value["vulnerabilities"][0]["cve"] = json!(cve);
        parse(&value).unwrap()
    };
    let other = || {
        let mut value = document(tree(), hole(json!({ "fixed": ["cpu-old"] })));
        value["document"]["tracking"]["id"] = json!("ACME-2");
        parse(&value).unwrap()
    };
    let all = [version("2026-03-04", "CVE-2026-1"), other(), version("2026-03-05", "CVE-2026-2")];
    let build = |order: [usize; 3]| {
        let mut builder = Builder::new();
        order.into_iter().for_each(|n| builder.add(all[n].clone()));
        builder.finish().unwrap()
    };
    let bytes = build([0, 1, 2]);
    assert_eq!(Digest::of(&bytes), Digest::of(&build([2, 1, 0])));
    assert_eq!(Digest::of(&bytes), Digest::of(&build([1, 2, 0])));
    assert!(!String::from_utf8_lossy(&bytes).contains("CVE-2026-1"), "an older version was kept");
    let mut builder = Builder::new();
    builder.add(version("2026-03-04", "CVE-2026-1"));
    builder.add(version("2026-03-04", "CVE-2026-1"));
    assert!(builder.contradictions().is_empty(), "the same file twice");
    assert!(matches!(Builder::new().finish(), Err(BuildError::Empty)));
}

#[test]
fn two_contents_of_one_advisory_are_refused_or_left_out_in_any_order_until_a_later_one_settles_it() {
    let version = |id: &str, release: &str, cve: &str| {
        let mut value = document(tree(), hole(json!({ "known_affected": ["cpu-old"] })));
        value["document"]["tracking"]["id"] = json!(id);
        value["document"]["tracking"]["current_release_date"] = json!(release);
        value["vulnerabilities"][0]["cve"] = json!(cve);
        parse(&value).unwrap()
    };
    let (one, two) = (version("A", "2026-03-04", "CVE-2026-1"), version("A", "2026-03-04", "CVE-2026-2"));
    let older = version("A", "2026-03-03", "CVE-2026-3");
    let other = version("B", "2026-03-04", "CVE-2026-4");
    let built = |order: [&Csaf; 4]| {
        let mut builder = Builder::new();
        order.into_iter().for_each(|csaf| builder.add(csaf.clone()));
        assert_eq!(builder.contradictions().len(), 1);
        builder.leave_out_contradictions();
        builder.finish().unwrap()
    };
    let bytes = built([&one, &two, &older, &other]);
    assert_eq!(bytes, built([&older, &other, &two, &one]));
    let database = Database::open(bytes.as_slice()).unwrap();
    assert_eq!((database.entries(), database.left_out()), (1, 2), "the older one does not come back");

    let mut builder = Builder::new();
    [&one, &two, &other].into_iter().for_each(|csaf| builder.add(csaf.clone()));
    builder.add(version("A", "2026-03-05", "CVE-2026-5"));
    assert!(builder.contradictions().is_empty());
    let mut builder = Builder::new();
    [one, two].into_iter().for_each(|csaf| builder.add(csaf));
    assert!(matches!(builder.finish(), Err(BuildError::Twice { .. })));
}

#[test]
fn thousands_of_keys_are_all_found() {
    let bytes = many(5000);
    let database = Database::open(bytes.as_slice()).unwrap();
    for n in 0..5000 {
        let blocks = database.find(&Key::purl(&format!("generic/acme/lib{n}"))).unwrap().unwrap();
        assert_eq!(database.entry(blocks[0].said[0].entry).unwrap().id, format!("CVE-2026-{n}"));
        assert!(database.find(&Key::purl(&format!("generic/other/lib{n}"))).unwrap().is_none());
    }
}

/// A database of `count` packages, each with a hole.
fn many(count: u32) -> Vec<u8> {
    let mut builder = Builder::new();
    for n in 0..count {
        let entry = Entry {
            id: format!("CVE-2026-{n}"),
            advisory: format!("A-{n}"),
            publisher: "Acme".into(),
            title: "a hole".into(),
            url: String::new(),
            remedy: String::new(),
            score: None,
            is_exploited: false,
            published: Wall::trusted(0),
            released: Wall::trusted(1),
        };
        builder.add_entry(
            entry,
            vec![(Key::purl(&format!("generic/acme/lib{n}")), Block::affected("lib", "<2"))],
        );
    }
    builder.finish().unwrap()
}

#[test]
fn another_file_and_one_cut_short_are_told_apart() {
    let bytes = builder().finish().unwrap();
    let open = |bytes: &[u8]| Database::open(bytes).map(|_| ()).unwrap_err();
    assert!(matches!(open(b""), DatabaseError::NoDatabase));
    assert!(matches!(open(&[b'{'; 500]), DatabaseError::NoDatabase));
    assert!(matches!(open(&bytes[..bytes.len() - 1]), DatabaseError::Length { .. }));
    let mut newer = bytes.clone();
    newer[28] = b'2';
    assert!(matches!(open(&newer), DatabaseError::Version));
}

/// Asks everything there is to ask; gives whether nothing was found wrong.
fn ask_all(bytes: &[u8]) -> Result<(), DatabaseError> {
    let database = Database::open(bytes)?;
    database.sources()?;
    let keys =
        [Key::product("acme", "px-200"), Key::model("acme", "px200"), Key::patterns("acme"), Key::name("x")];
    for key in keys {
        for block in database.find(&key)?.unwrap_or_default() {
            block.versions().contain("1.0", None);
            for said in block.said {
                database.entry(said.entry)?;
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_database_changed_anywhere_is_read_or_said_to_be_damaged(
        changes in proptest::collection::vec((0usize..4000, any::<u8>()), 1..4)
    ) {
        let mut bytes = builder().finish().unwrap();
        ask_all(&bytes).unwrap();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = ask_all(&bytes);
    }

    #[test]
    fn any_bytes_behind_the_magic_are_read_or_said_to_be_damaged(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(((MAGIC.len() + 8 + tail.len()) as u64).to_le_bytes());
        bytes.extend(tail);
        let _ = ask_all(&bytes);
    }
}
