//! `headgate advisories` from outside: folders of advisories become a database that is asked about a controller,
//! and that people sign with OpenSSL's keys.

#![allow(clippy::panic)] // a test that fails says why

use std::path::Path;
use std::process::{Command, Output, Stdio};

use headgate_tests::headgate;
use headgate_tests::peers::run;
use serde_json::{Value, json};

/// A folder with two advisories of ours about the PX-200, and a catalogue that knows one of the holes to be used.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let world = World { dir: tempfile::tempdir().expect("a temporary folder") };
        std::fs::create_dir_all(world.path("in/2026")).expect("a folder");
        world.write("in/acme-1.json", &advisory("ACME-1", "CVE-2026-0001", "<V2.9.4", "final"));
        world.write(
            "in/2026/acme-2.json",
            &advisory("ACME-2", "CVE-2026-0002", "vers:generic/>=2.0|<2.9", "interim"),
        );
        world.write("in/README.txt", &json!("not an advisory"));
        world.write(
            "kev.json",
            &json!({ "dateReleased": "2026-11-20T00:00:00Z", "vulnerabilities": [{ "cveID": "CVE-2026-0002" }] }),
        );
        world
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) {
        std::fs::write(self.path(name), value.to_string()).expect("writable");
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(headgate());
        command.current_dir(self.dir.path()).args(args).stdin(Stdio::null());
        command.output().expect("headgate runs")
    }

    /// Runs with `--json`; the exit code and what is said.
    fn json(&self, args: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[args, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("JSON alone: {e}: {text}"));
        (output.status.code(), value)
    }

    fn ask(&self, product: &str, version: &str) -> (Option<i32>, Value) {
        let of = ["--vendor", "acme", "--product", product, "--version", version];
        self.json(&[&["advisories", "match", "db"], &of[..]].concat())
    }

    fn build(&self, more: &[&str]) -> (Option<i32>, Value) {
        self.json(&[&["advisories", "build", "in", "-o", "db"], more].concat())
    }
}

fn advisory(id: &str, cve: &str, range: &str, status: &str) -> Value {
    json!({
        "document": {
            "category": "csaf_security_advisory", "csaf_version": "2.0", "title": format!("Hole {id}"),
            "publisher": { "category": "vendor", "name": "Acme PSIRT", "namespace": "https://psirt.acme.example" },
            "tracking": { "id": id, "status": status, "version": "1", "revision_history": [],
                "initial_release_date": "2026-11-01T00:00:00Z", "current_release_date": "2026-11-02T00:00:00Z" },
        },
        "product_tree": { "branches": [{ "category": "vendor", "name": "Acme", "branches": [
            { "category": "product_name", "name": "PX-200", "branches": [
                { "category": "product_version_range", "name": range, "product": { "product_id": "p", "name": "PX-200",
                    "product_identification_helper": { "model_numbers": ["6PX7200-1AK0?-0AB0"] } } } ] } ] }] },
        "vulnerabilities": [{ "cve": cve, "product_status": { "known_affected": ["p"] },
            "scores": [{ "products": ["p"], "cvss_v3": { "version": "3.1", "vectorString": "", "baseScore": 7.5 } }] }],
    })
}

#[test]
fn a_controller_is_asked_about_without_a_gateway() {
    let world = World::new();
    let (code, said) = world.build(&["--kev", "kev.json"]);
    assert_eq!((code, &said["advisories"]), (Some(0), &json!(2)), "{said}");
    for (product, version, exit, expected) in [
        ("px-200", "V2.8.1", 31, json!([["CVE-2026-0002", "affected"], ["CVE-2026-0001", "affected"]])),
        (
            "6PX7 200-1AK01-0AB0",
            "2.8.1",
            31,
            json!([["CVE-2026-0002", "affected"], ["CVE-2026-0001", "affected"]]),
        ),
        ("PX-200", "2.9.1", 32, json!([["CVE-2026-0001", "affected"]])),
        (
            "PX-200",
            "2.9-beta",
            31,
            json!([["CVE-2026-0002", "cannot-compare"], ["CVE-2026-0001", "cannot-compare"]]),
        ),
        ("PX-200", "2.9.4", 0, json!([])),
        ("PX-900", "2.9.4", 3, json!([])),
    ] {
        let (code, said) = world.ask(product, version);
        let found: Vec<[&Value; 2]> =
            said["findings"].as_array().expect("a list").iter().map(|f| [&f["id"], &f["verdict"]]).collect();
        assert_eq!((code, json!(found)), (Some(exit), expected), "{product} {version}: {said}");
        assert_eq!(said["product_known"], json!(exit != 3), "{said}");
        assert_eq!(said["current"], "2026-11-20T00:00:00.000Z");
    }
    let words =
        world.run(&["advisories", "match", "db", "--vendor", "Nobody", "--product", "x", "--version", "1"]);
    assert_eq!(words.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&words.stdout).contains("nothing is known of \"x\""));
}

#[test]
fn what_is_refused_stops_the_building_unless_it_is_left_out_and_told() {
    let world = World::new();
    world.write("in/draft.json", &advisory("ACME-3", "CVE-2026-0003", "<1", "draft"));
    let (code, said) = world.build(&[]);
    assert_eq!((code, &said["code"]), (Some(2), &json!("HG-3012")), "{said}");
    assert!(!world.path("db").exists(), "nothing is written");
    let (code, said) = world.build(&["--leave-out"]);
    assert_eq!((code, said["left_out"].as_array().map(Vec::len)), (Some(0), Some(1)), "{said}");
    let (_, shown) = world.json(&["advisories", "show", "db"]);
    assert_eq!((&shown["left_out"], &shown["holes"]), (&json!(1), &json!(2)), "{shown}");

    // One id, one date, two contents: nobody can tell which of them counts.
    std::fs::remove_file(world.path("db")).expect("ours");
    std::fs::remove_file(world.path("in/draft.json")).expect("ours");
    world.write("in/again.json", &advisory("ACME-1", "CVE-2026-0009", "<V2.9.4", "final"));
    let (code, said) = world.build(&[]);
    assert_eq!((code, &said["code"]), (Some(2), &json!("HG-3013")), "{said}");
    let (code, said) = world.build(&["--leave-out"]);
    assert_eq!((code, said["left_out"].as_array().map(Vec::len)), (Some(0), Some(1)), "{said}");
    let (_, shown) = world.json(&["advisories", "show", "db"]);
    assert_eq!((&shown["left_out"], &shown["holes"]), (&json!(2), &json!(1)), "{shown}");
}

#[test]
fn the_same_advisories_give_the_same_bytes_wherever_they_lie() {
    let world = World::new();
    let (_, first) = world.build(&[]);
    let bytes = std::fs::read(world.path("db")).expect("a database");
    std::fs::remove_file(world.path("db")).expect("ours");
    std::fs::rename(world.path("in/acme-1.json"), world.path("in/2026/zzz.json")).expect("ours");
    let (_, second) = world.build(&[]);
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(bytes, std::fs::read(world.path("db")).expect("a database"));
}

#[test]
fn a_signed_document_says_which_file_one_may_go_by() {
    let world = World::new();
    let dir: &Path = world.dir.path();
    for key in ["boss", "other"].map(|name| [format!("{name}.pem"), format!("{name}.pub")]) {
        let [private, public] = key.each_ref().map(String::as_str);
        assert_eq!(run(dir, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", private]).code, 0);
        assert_eq!(run(dir, "openssl", &["pkey", "-in", private, "-pubout", "-out", public]).code, 0);
    }
    let (code, said) = world.build(&["--document", "db.dsse.json", "--reason", "advisories of November"]);
    assert_eq!(code, Some(0), "{said}");
    let show = |db: &str, key: &str| {
        world.json(&["advisories", "show", db, "--document", "db.dsse.json", "--key", key])
    };
    assert_eq!(show("db", "boss.pub").1["code"], "HG-1091", "not signed yet");
    let signed = world.run(&["sign-document", "db.dsse.json", "--key", "boss.pem"]);
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let (code, said) = show("db", "boss.pub");
    assert_eq!((code, said["signed_by"].as_array().map(Vec::len)), (Some(0), Some(1)), "{said}");
    assert_eq!(show("db", "other.pub").1["code"], "HG-1091", "signed by somebody else");
    let mut bytes = std::fs::read(world.path("db")).expect("a database");
    let title = bytes.windows(4).position(|part| part == b"Hole").expect("a title");
    bytes[title] = b'h';
    std::fs::write(world.path("changed"), &bytes).expect("writable");
    assert_eq!(show("changed", "boss.pub").1["code"], "HG-1010", "another file than the signed one");
    std::fs::write(world.path("cut"), &bytes[..bytes.len() - 1]).expect("writable");
    let (code, said) = show("cut", "boss.pub");
    assert_eq!((code, &said["code"]), (Some(51), &json!("HG-3014")), "{said}");
}
