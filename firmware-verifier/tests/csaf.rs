//! The test files of the CSAF 2.0 standard and its examples. They are not part of this repository; the folder is
//! `HEADGATE_VECTORS`, or `shared/vectors` beside the workspace.
//!
//! A consumer is no validator: it has to notice what would make it match the wrong product, or excuse one. The
//! table says for each mandatory test of section 6.1 what becomes of a document that fails it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use firmware_verifier::advisory::csaf::Csaf;
use firmware_verifier::advisory::database::{Builder, Database};
use serde_json::Value;

/// What is done about a document that fails a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    /// It is refused as a whole.
    Refused,
    /// It is read, and a note says what was left aside.
    Noted,
    /// It is read as it is: what is wrong changes no match.
    Taken,
}
use Becomes::{Noted, Refused, Taken};

/// The mandatory tests, each with what becomes of files that fail it, and why.
const MANDATORY: [(&str, Becomes, &str); 43] = [
    ("6.1.1", Refused, "a product that is not defined"),
    ("6.1.2", Refused, "a product defined twice"),
    ("6.1.3", Refused, "a product made of itself"),
    ("6.1.4", Refused, "a group that is not defined"),
    ("6.1.5", Refused, "a group defined twice"),
    ("6.1.6", Refused, "affected and not affected"),
    ("6.1.7", Noted, "several scores: the highest counts"),
    ("6.1.8", Taken, "a CVSS object without a field that is not read"),
    ("6.1.9", Taken, "scores that the vector does not give; the stated base score is shown"),
    ("6.1.10", Taken, "CVSS metrics that differ from the vector; they are not read"),
    ("6.1.11", Taken, "the CWE is not read"),
    ("6.1.12", Taken, "the language is not read"),
    ("6.1.13", Noted, "no package URL: not used"),
    ("6.1.14", Taken, "the order of the history is not read"),
    ("6.1.15", Taken, "the translator is not read"),
    ("6.1.16", Taken, "the history is not read; the release date orders versions"),
    ("6.1.17", Refused, "a draft's number on a final document"),
    ("6.1.18", Taken, "a draft's number in the history, which is not read"),
    ("6.1.19", Taken, "a pre-release in the history, which is not read"),
    ("6.1.20", Refused, "a pre-release that is called final"),
    ("6.1.21", Taken, "the history is not read"),
    ("6.1.22", Taken, "the history is not read"),
    ("6.1.23", Refused, "one CVE twice: which states count?"),
    ("6.1.24", Taken, "who is involved is not read"),
    ("6.1.25", Noted, "two digests for one file: neither is used"),
    ("6.1.26", Taken, "the category changes nothing but for VEX"),
    ("6.1.27.1", Taken, "notes are not read"),
    ("6.1.27.2", Taken, "references are not needed"),
    ("6.1.27.3", Taken, "a category that says there are no vulnerabilities, beside some: they count"),
    ("6.1.27.4", Taken, "no products: nothing can match"),
    ("6.1.27.5", Taken, "notes are not read"),
    ("6.1.27.6", Taken, "no states: nothing can match"),
    ("6.1.27.7", Taken, "no states: nothing can match"),
    ("6.1.27.8", Taken, "no CVE: the advisory's id names it"),
    ("6.1.27.9", Noted, "not affected without a reason: not used"),
    ("6.1.27.10", Taken, "affected without advice: it is affected"),
    ("6.1.27.11", Taken, "no vulnerabilities: nothing can match"),
    ("6.1.28", Taken, "the language is not read"),
    ("6.1.29", Taken, "a remedy for no product"),
    ("6.1.30", Taken, "the history is not read"),
    ("6.1.31", Noted, "a range in the place of a version: read as a range, where it has one meaning"),
    ("6.1.32", Taken, "a flag for no product justifies nothing"),
    ("6.1.33", Noted, "several justifications"),
];

/// The folder, or `None` when there are no vectors here, which CI does not allow.
fn folder() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("HEADGATE_VECTORS").map_or(beside, PathBuf::from).join("csaf-2.0");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "no vectors in {}", folder.display());
    eprintln!("skipped: no vectors in {}", folder.display());
    None
}

/// The files of each test: those that fail it, and those that pass.
fn cases(folder: &Path) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let data = folder.join("test/validator/data");
    let list: Value = serde_json::from_slice(&std::fs::read(data.join("testcases.json")).unwrap()).unwrap();
    let names = |test: &Value, which: &str| {
        let all = test[which].as_array().cloned().unwrap_or_default();
        all.iter().map(|case| case["name"].as_str().unwrap().to_owned()).collect()
    };
    let test =
        |test: &Value| (test["id"].as_str().unwrap().into(), (names(test, "failures"), names(test, "valid")));
    list["tests"].as_array().unwrap().iter().map(test).collect()
}

fn read(folder: &Path, name: &str) -> Result<Csaf, String> {
    let bytes = std::fs::read(folder.join("test/validator/data").join(name)).unwrap();
    Csaf::parse(&bytes).map_err(|e| e.to_string())
}

#[test]
fn what_fails_a_mandatory_test_is_refused_noted_or_harmless() {
    let Some(folder) = folder() else { return };
    let cases = cases(&folder);
    for (id, expected, why) in MANDATORY {
        let (failures, _) = &cases[id];
        assert!(!failures.is_empty(), "{id}");
        for name in failures {
            let (found, text) = match read(&folder, name) {
                Err(e) => (Refused, e),
                Ok(csaf) if csaf.notes.is_empty() => (Taken, String::new()),
                Ok(csaf) => (Noted, csaf.notes.iter().map(|n| n.to_string()).collect::<Vec<_>>().join("; ")),
            };
            println!("{id:<10}{found:?}: {text} [{why}]");
            assert_eq!(found, expected, "{id} {name}: {text}");
        }
    }
}

#[test]
fn every_valid_file_and_every_optional_failure_is_read() {
    let Some(folder) = folder() else { return };
    let mut count = 0;
    for (id, (failures, valid)) in cases(&folder) {
        let is_mandatory = id.starts_with("6.1.");
        for name in valid.iter().chain(failures.iter().filter(|_| !is_mandatory)) {
            let result = read(&folder, name);
            let is_draft = result.as_ref().err().is_some_and(|e| e.contains("a draft"));
            assert!(result.is_ok() || is_draft, "{name}: {:?}", result.err());
            if valid.contains(name) && !is_draft {
                let notes = result.unwrap().notes;
                assert!(notes.is_empty(), "{name}: {notes:?}");
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} files");
}

#[test]
fn the_examples_make_a_database() {
    let Some(folder) = folder() else { return };
    let mut builder = Builder::new();
    for folder in [folder.join("examples/csaf"), folder.join("examples/csaf/csaf_vex")] {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "json") {
                let csaf =
                    Csaf::parse(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{path:?}: {e}"));
                builder.add(csaf);
            }
        }
    }
    let bytes = builder.finish().unwrap();
    let database = Database::open(bytes.as_slice()).unwrap();
    assert!(database.entries() > 15 && database.sources().unwrap().len() > 3);
}
