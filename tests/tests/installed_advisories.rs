//! The gate asks the advisory database: approvers sign it, a gateway takes it in, and from then on images, and what runs
//! already, are held against it. On a real TPM, with the real program, and keys that OpenSSL makes.

#![allow(clippy::panic)] // a test that fails says why

use firmware_verifier::Digest;
use firmware_verifier::document::{AdvisoryRelease, Document, Moment, NewKey, TrustBundle};
use firmware_verifier::trust::{Role, Threshold, Thresholds};
use hal::clock::{Clock, Wall};
use headgate_tests::papers::{document, key, made, sign, signed};
use headgate_tests::{Bench, image};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

fn now() -> Wall {
    Clock::system().wall()
}

/// The day that lies `days` back.
fn ago(days: i64) -> Wall {
    Wall::trusted((now().ms - days * DAY_MS) / 1000 * 1000)
}

/// A controller in a zone with `more`, an image that acme has signed, and approvers ann and bob, of whom two must sign.
fn site(more: &str) -> Bench {
    let mut bench = Bench::new();
    let _plc = bench.controller("pump-3", "generic-file-record", "match", &image());
    bench.reconfigure(
        "[[plc]]\n",
        &format!(
            "[[zone]]\nid = \"wet-well\"\n{more}[[plc]]\nzone = \"wet-well\"\nversion_scheme = \"dotted\"\n"
        ),
    );
    bench.trust_acme();
    key(&bench, "site-desk");
    bench.headgate(&["trust", "add", "site-desk.pub", "--name", "desk", "--role", "site"]);
    let approver = |name: &str| {
        let public = key(&bench, name);
        NewKey {
            issuer: None,
            key: public.as_bytes().iter().map(|b| format!("{b:02x}")).collect(),
            key_number: None,
            kind: "ed25519".into(),
            models: vec!["*".into()],
            name: name.into(),
            role: Role::Approver,
            signer: None,
            valid_from: None,
            valid_until: None,
            vendor: "*".into(),
        }
    };
    let bundle = TrustBundle {
        add: vec![approver("ann"), approver("bob")],
        sequence: 1,
        thresholds: Some(Thresholds::default().role(Role::Approver, Threshold::TWO)),
        ..TrustBundle::default()
    };
    document(&bench, "bundle.json", "bench", bundle, &["site-desk"]);
    bench.headgate(&["trust", "import", "bundle.json", "--yes"]);
    key(&bench, "mallory");
    bench.write("new.bin", &image());
    bench.openssl(&[
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        "acme.pem",
        "-in",
        "new.bin",
        "-out",
        "new.bin.sig",
    ]);
    bench.start();
    bench
}

fn advisory(id: &str, cve: &str, range: &str, released: Wall) -> Value {
    json!({
        "document": {
            "category": "csaf_security_advisory", "csaf_version": "2.0", "title": id,
            "publisher": { "category": "vendor", "name": "Acme PSIRT", "namespace": "https://psirt.acme.example" },
            "tracking": { "id": id, "status": "final", "version": "1", "revision_history": [],
                "initial_release_date": released.to_string(), "current_release_date": released.to_string() },
        },
        "product_tree": { "branches": [{ "category": "vendor", "name": "Acme", "branches": [
            { "category": "product_name", "name": "PX-200", "branches": [
                { "category": "product_version_range", "name": range, "product": { "product_id": "p", "name": "PX-200" } } ] } ] }] },
        "vulnerabilities": [{ "cve": cve, "product_status": { "known_affected": ["p"] },
            "scores": [{ "products": ["p"], "cvss_v3": { "version": "3.1", "vectorString": "", "baseScore": 7.5 } }] }],
    })
}

/// Builds database `name` of advisories that came out then; an exploited hole is below 2.0, another below 3.0.
fn build(bench: &Bench, name: &str, released: Wall) -> Digest {
    let folder = format!("{name}.d");
    std::fs::create_dir(bench.path(&folder)).expect("a new folder");
    for (id, cve, range) in [("ACME-1", "CVE-2026-0001", "<2.0"), ("ACME-2", "CVE-2026-0002", "<3.0")] {
        bench
            .write(&format!("{folder}/{id}.json"), advisory(id, cve, range, released).to_string().as_bytes());
    }
    let kev = json!({ "dateReleased": "2020-01-01", "vulnerabilities": [{ "cveID": "CVE-2026-0001" }] });
    bench.write("kev.json", kev.to_string().as_bytes());
    bench.headgate(&["advisories", "build", &folder, "-o", name, "--kev", "kev.json"]);
    Digest::of(&std::fs::read(bench.path(name)).expect("just built"))
}

/// The document about a database, signed by `keys`.
fn leave(bench: &Bench, file: &str, (database, current): (Digest, Wall), keys: &[&str]) {
    let content = AdvisoryRelease { current: Moment::new(current), database };
    document(bench, file, "bench", content, keys);
}

fn refused(bench: &Bench, args: &[&str], exit: i32, parts: &[&str]) {
    let (found, error) = bench.refused(args);
    assert!(found == exit && parts.iter().all(|part| error.contains(part)), "{args:?}: {found} {error}");
}

fn import(bench: &Bench, database: &str, document: &str) -> String {
    bench.headgate(&["advisories", "import", database, "--document", document, "--yes"])
}

fn not_imported(bench: &Bench, (database, document): (&str, &str), exit: i32, parts: &[&str]) {
    refused(bench, &["advisories", "import", database, "--document", document, "--yes"], exit, parts);
}

/// What lies in the data folder.
fn kept(bench: &Bench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path("data/advisories")).expect("the folder");
    entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

fn verify(bench: &Bench, version: &str, exit: i32, parts: &[&str]) {
    let args = ["verify", "new.bin", "--plc", "pump-3", "--version", version];
    if exit != 0 {
        return refused(bench, &args, exit, parts);
    }
    let said = bench.headgate(&args);
    assert!(parts.iter().all(|part| said.contains(part)), "{version}: {said}");
}

#[test]
fn only_what_enough_approvers_have_signed_of_this_file_and_this_time_is_imported() {
    let bench = site("");
    let current = ago(3);
    let database = build(&bench, "acme.db", current);
    let other = build(&bench, "other.db", ago(5));
    verify(&bench, "1.5", 0, &["no advisory database was imported, and the zone demands none"]);
    assert!(bench.headgate(&["advisories", "show"]).contains("no advisory database was imported"));

    leave(&bench, "mallory.json", (database, current), &["mallory"]);
    not_imported(&bench, ("acme.db", "mallory.json"), 13, &["HG-1091", "no signature by a approver key"]);
    leave(&bench, "one.json", (database, current), &["ann"]);
    not_imported(&bench, ("acme.db", "one.json"), 13, &["HG-1082"]);
    leave(&bench, "good.json", (database, current), &["ann", "bob"]);
    not_imported(&bench, ("other.db", "good.json"), 12, &["HG-1010", &other.to_hex()]);
    leave(&bench, "when.json", (database, ago(1)), &["ann", "bob"]);
    not_imported(&bench, ("acme.db", "when.json"), 12, &["HG-1010", "sources are of"]);
    let content = AdvisoryRelease { current: Moment::new(current), database };
    let past = |ms: i64| Moment::new(Wall { ms: now().ms - ms, ..now() });
    let ended = Document {
        issued: past(2 * DAY_MS),
        expires: past(DAY_MS),
        ..made("ended.json", "bench", content.clone())
    };
    signed(&bench, "ended.json", &ended, &["ann", "bob"]);
    not_imported(&bench, ("acme.db", "ended.json"), 14, &["HG-1093", "expired"]);
    document(&bench, "elsewhere.json", "other-gateway", content, &["ann", "bob"]);
    not_imported(&bench, ("acme.db", "elsewhere.json"), 13, &["HG-1092", "other-gateway"]);
    bench.write("none.db", b"headgate advisory database v1\n\0\0 and then nothing");
    let none = Digest::of(&std::fs::read(bench.path("none.db")).expect("just written"));
    leave(&bench, "none.json", (none, current), &["ann", "bob"]);
    not_imported(&bench, ("none.db", "none.json"), 51, &["HG-3014"]);
    not_imported(&bench, ("absent.db", "good.json"), 3, &["absent.db"]);
    assert_eq!(kept(&bench), [""; 0], "nothing of them stays");
    verify(&bench, "1.5", 0, &["no advisory database was imported"]);

    // Looked at, nothing is changed.
    let said = bench.headgate(&["advisories", "import", "acme.db", "--document", "good.json"]);
    assert!(said.contains("nothing is changed yet") && said.contains("replaces nothing"), "{said}");
    assert!(said.contains("2 holes") && said.contains("ann") && said.contains("bob"), "{said}");
    assert_eq!(kept(&bench), [""; 0]);
    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains("advisory database refused"), "{log}");
}

#[test]
fn an_image_with_a_known_hole_is_refused_until_its_version_is_a_mended_one_also_after_a_restart() {
    let mut bench = site("vulnerabilities = \"reject\"\nadvisories_max_age_days = 30\n");
    verify(&bench, "3.0", 51, &["HG-3024", "no advisory database"]);
    bench.wait_alarm("HG-3024");
    let current = ago(3);
    let database = build(&bench, "acme.db", current);
    leave(&bench, "good.json", (database, current), &["ann", "bob"]);
    let said = import(&bench, "acme.db", "good.json");
    assert!(said.contains("imported: every image is held against it from now on"), "{said}");
    assert_eq!(kept(&bench), [format!("{}.db", database.to_hex())]);
    bench.wait_status("the alarm ends", |s| {
        headgate_tests::alarm(s, "HG-3024").is_none_or(|a| a["active"] == false)
    });
    let log = bench.headgate(&["audit", "list"]);
    assert!(["imported, signed by", "\"ann\" (", "\"bob\" ("].iter().all(|part| log.contains(part)), "{log}");

    for _ in 0..2 {
        verify(&bench, "1.5", 31, &["HG-3020", "CVE-2026-0001: affected", "KNOWN EXPLOITED"]);
        verify(&bench, "2.5", 32, &["HG-3021", "CVE-2026-0002: affected (CVSS 7.5; ACME-2)"]);
        verify(&bench, "new", 32, &["HG-3022", "CVE-2026-0002: cannot compare"]);
        refused(&bench, &["stage", "new.bin", "--plc", "pump-3", "--version", "1.5"], 31, &["HG-3020"]);
        verify(&bench, "3.0", 0, &["no hole that counts is told of acme px-200", "3 d old"]);
        bench.kill();
        bench.start();
    }
    // The same program asks the same database away from the gateway.
    let away = [
        "verify",
        "new.bin",
        "--anchor",
        "acme.pub",
        "--advisories",
        "acme.db",
        "--vendor",
        "acme",
        "--product",
    ];
    let of = |version: &'static str| {
        [&away[..], &["px-200", "--version-scheme", "dotted", "--version", version]].concat()
    };
    refused(&bench, &of("1.5"), 31, &["HG-3020"]);
    assert!(bench.headgate(&of("3.0")).contains("no hole that counts is told of acme px-200"));

    let shown = bench.json(&["advisories", "show"]);
    assert_eq!(shown["installed"]["digest"], database.to_hex(), "{shown}");
    assert_eq!(shown["installed"]["age_days"], 3, "{shown}");

    // Nothing older comes back; what is altered on the disk says nothing, and the same file mends it.
    let older = build(&bench, "older.db", ago(4));
    leave(&bench, "older.json", (older, ago(4)), &["ann", "bob"]);
    not_imported(&bench, ("older.db", "older.json"), 50, &["HG-3015"]);
    bench.kill();
    let file = bench.path(&format!("data/advisories/{}.db", database.to_hex()));
    let mut bytes = std::fs::read(&file).expect("it is kept");
    bytes[200] ^= 1;
    std::fs::write(&file, bytes).expect("writable");
    bench.start();
    verify(&bench, "3.0", 51, &["HG-3014", "was altered"]);
    bench.wait_alarm("HG-3014");
    import(&bench, "acme.db", "good.json");
    verify(&bench, "3.0", 0, &["no hole that counts"]);
}

#[test]
fn old_advisories_clear_nothing_and_newer_ones_tell_what_is_staged_already() {
    let bench = site("vulnerabilities = \"hold\"\nadvisories_max_age_days = 30\n");
    let old = ago(40);
    let database = build(&bench, "old.db", old);
    leave(&bench, "old.json", (database, old), &["ann", "bob"]);
    import(&bench, "old.db", "old.json");
    verify(&bench, "3.0", 51, &["HG-3023", "40 days old"]);
    verify(&bench, "1.5", 31, &["HG-3020"]);
    bench.wait_alarm("HG-3023");

    // One of today, by which only what is below 1.0 has a hole.
    std::fs::create_dir(bench.path("new.d")).expect("a new folder");
    let put = |range: &str, at: Wall| {
        bench.write("new.d/a.json", advisory("ACME-3", "CVE-2026-0003", range, at).to_string().as_bytes());
    };
    put("<1.0", ago(2));
    bench.headgate(&["advisories", "build", "new.d", "-o", "new.db"]);
    let digest_of = |name: &str| Digest::of(&std::fs::read(bench.path(name)).expect("just built"));
    leave(&bench, "new.json", (digest_of("new.db"), ago(2)), &["ann"]);
    sign(&bench, "new.json", "bob");
    import(&bench, "new.db", "new.json");
    let staged = bench.headgate(&["stage", "new.bin", "--plc", "pump-3", "--version", "1.5"]);
    assert!(staged.contains("staged"), "{staged}");

    put("<2.0", ago(1));
    bench.headgate(&["advisories", "build", "new.d", "-o", "newer.db"]);
    leave(&bench, "newer.json", (digest_of("newer.db"), ago(1)), &["ann", "bob"]);
    let looked = bench.headgate(&["advisories", "import", "newer.db", "--document", "newer.json"]);
    assert!(looked.contains("HG-3021 staged for pump-3: 1.5"), "{looked}");
    let said = import(&bench, "newer.db", "newer.json");
    assert!(said.contains("staged for pump-3: 1.5") && said.contains("CVE-2026-0003"), "{said}");
    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains("staged for pump-3"), "{log}");
    let digest = Digest::of(&image()).to_hex();
    refused(&bench, &["release", &digest, "--plc", "pump-3"], 32, &["HG-3021", "holds such images"]);
}
