//! What is stated of an image's age: it stays as it was under a release, is signed for with it, and older versions are
//! told apart by the scheme of their controller.

use firmware_verifier::Digest;
use firmware_verifier::document::Downgrade;
use firmware_verifier::identity::Slot;
use headgate_tests::papers::{approver, document, sign};
use headgate_tests::peers::{python, run};
use headgate_tests::{Bench, Plc, eventually, image};

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn firmware(len: usize) -> Vec<u8> {
    image().into_iter().take(len).collect()
}

/// A gateway with a controller in way `match`; `more` stands in its table.
fn site(more: &str) -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.reconfigure("mode = \"enforce\"", &format!("mode = \"enforce\"\n{more}"));
    bench.trust_acme();
    for name in ["ann", "ben"] {
        approver(&bench, name);
    }
    bench.start();
    (bench, plc)
}

fn refused(bench: &Bench, args: &[&str], exit: i32, parts: &[&str]) {
    let (found, error) = bench.refused(args);
    assert!(found == exit && parts.iter().all(|part| error.contains(part)), "{args:?}: {found} {error}");
}

/// Signs an image as its vendor; gives its digest.
fn signed(bench: &Bench, name: &str, image: &[u8]) -> String {
    bench.write(name, image);
    let sig = format!("{name}.sig");
    bench.openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", name, "-out", &sig]);
    gateway::vault::hex(Digest::of(image).as_bytes())
}

fn load(bench: &Bench, plc: &Plc, name: &str) -> i32 {
    let path = bench.path(name).display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

fn approve(bench: &Bench, case: &str) {
    for name in ["ann", "ben"] {
        let file = format!("{case}-{name}.json");
        bench.headgate(&["held", "approve", case, "--out", &file]);
        sign(bench, &file, name);
        bench.headgate(&["held", "approve", case, "--approval", &file]);
    }
}

fn floors(bench: &Bench) -> serde_json::Value {
    bench.json(&["trust", "show"])["floors"].clone()
}

const MOST: &str = "18446744073709551615";

#[test]
fn what_people_released_is_not_restated_and_the_floor_rises_to_what_they_saw() {
    let (bench, plc) = site("approvals = 2");
    let digest = signed(&bench, "n4.bin", &firmware(9001));
    let stage = |n: &'static str| ["stage", "n4.bin", "--plc", "pump-3", "--security-version", n];
    bench.headgate(&stage("3"));
    bench.headgate(&stage("4"));
    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains("restated: security version 4") && log.contains("was security version 3"), "{log}");
    assert_eq!(bench.refused(&["release", &digest, "--plc", plc.id]).0, 60);
    let shown = bench.headgate(&["held", "show", "C-000001"]);
    assert!(shown.contains("security version  4"), "{shown}");
    refused(&bench, &stage(MOST), 60, &["HG-4013", "headgate held refuse C-000001", "security version 4"]);
    refused(&bench, &["stage", "n4.bin", "--plc", plc.id], 60, &["HG-4013", "security version none"]);
    bench.headgate(&["held", "approve", "C-000001", "--out", "draft.json"]);
    let draft = bench.headgate(&["sign-document", "draft.json", "--key", "ann.pem"]);
    assert!(draft.contains("\"security_version\": 4") && draft.contains("\"uses\": 1"), "{draft}");

    approve(&bench, "C-000001");
    refused(&bench, &stage(MOST), 60, &["HG-4013", "headgate withdraw"]);
    assert!(
        bench.headgate(&["audit", "list"]).contains(&format!("not restated: found security version {MOST}"))
    );
    bench.headgate(&stage("4"));
    eventually("the update passes", || (load(&bench, &plc, "n4.bin") == 0).then_some(()));
    plc.wait_flash(&firmware(9001));
    eventually("the floor rises", || (floors(&bench)[0]["value"] == 4).then_some(()));

    bench.headgate(&stage(MOST));
    assert_eq!(floors(&bench)[0]["value"], 4, "staging raises nothing");
    assert_eq!(load(&bench, &plc, "n4.bin"), 1, "it must be released anew");
    assert_eq!(bench.refused(&["release", &digest, "--plc", plc.id]).0, 60);
    assert!(bench.headgate(&["held", "list"]).contains(MOST), "and its approvers see it");
}

/// Changes what a stopped gateway has on its disk.
fn on_the_disk(bench: &mut Bench, change: impl Fn(&Bench)) {
    bench.kill();
    change(bench);
    bench.start();
    bench.wait_status("the controller is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
}

fn sql(bench: &Bench, text: &str) {
    let program =
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()";
    let db = bench.path("data/state.db").display().to_string();
    let said = run(&bench.path("."), "python3", &["-c", program, &db, text]);
    assert_eq!(said.code, 0, "{}", said.text);
}

#[test]
fn a_release_that_permits_something_else_than_was_signed_opens_nothing() {
    let (mut bench, plc) = site("approvals = 2");
    let digest = signed(&bench, "n4.bin", &firmware(9001));
    bench.headgate(&["stage", "n4.bin", "--plc", plc.id, "--security-version", "4"]);
    assert_eq!(bench.refused(&["release", &digest, "--plc", plc.id, "--station", "192.0.2.20"]).0, 60);
    approve(&bench, "C-000001");
    let deliver = ["deliver", &digest, "--plc", plc.id];
    for (column, wrong, right) in [
        ("uses", "9, uses_left = 9", "1, uses_left = 1"),
        ("stations", "''", "'192.0.2.20'"),
        ("window_from", "1, window_to = 9000000000000", "NULL, window_to = NULL"),
    ] {
        on_the_disk(&mut bench, |bench| sql(bench, &format!("UPDATE releases SET {column} = {wrong}")));
        refused(&bench, &deliver, 13, &["HG-4012", "192.0.2.20"]);
        on_the_disk(&mut bench, |bench| sql(bench, &format!("UPDATE releases SET {column} = {right}")));
    }
    let sidecar = format!("data/vault/{digest}.json");
    let was = std::fs::read_to_string(bench.path(&sidecar)).expect("it lies beside the image");
    let higher = was.replace("\"security_version\":4", "\"security_version\":8");
    assert_ne!(was, higher);
    on_the_disk(&mut bench, |bench| bench.write(&sidecar, higher.as_bytes()));
    refused(&bench, &deliver, 13, &["HG-4012", "security version 4", "security version 8"]);
    assert_eq!(plc.flash(), old_firmware());
    on_the_disk(&mut bench, |bench| bench.write(&sidecar, was.as_bytes()));
    bench.headgate(&deliver);
    plc.wait_flash(&firmware(9001));
}

#[test]
fn an_older_version_is_refused_by_the_scheme_of_its_controller() {
    let (mut bench, plc) = site("version_scheme = \"semver\"");
    let lens = [("v2.bin", 9002), ("v1.bin", 9001), ("same.bin", 9003), ("v3.bin", 9004)];
    let digests: Vec<String> = lens.iter().map(|(name, len)| signed(&bench, name, &firmware(*len))).collect();
    let stage =
        |name: &'static str, version: &'static str| ["stage", name, "--plc", "pump-3", "--version", version];
    bench.headgate(&stage("v1.bin", "1.9.0")); // nothing was accepted yet
    bench.headgate(&["release", &digests[1], "--plc", plc.id]);
    bench.headgate(&["stage", "same.bin", "--plc", plc.id]);
    bench.headgate(&stage("v2.bin", "2.0.0"));
    bench.headgate(&["withdraw", &digests[1], "--plc", plc.id]);
    bench.headgate(&["release", &digests[0], "--plc", plc.id]);
    eventually("the update passes", || (load(&bench, &plc, "v2.bin") == 0).then_some(()));
    plc.wait_flash(&firmware(9002));
    let older = ["HG-5001", "1.9.0", "2.0.0"];
    eventually("the version is accepted", || {
        let found = bench.try_headgate(&["verify", "v1.bin", "--plc", "pump-3", "--version", "1.9.0"]);
        (found.status.code() == Some(50)).then_some(())
    });
    refused(&bench, &stage("v1.bin", "1.9.0"), 50, &older);
    refused(&bench, &["release", &digests[1], "--plc", plc.id], 50, &older);
    refused(&bench, &["stage", "same.bin", "--plc", plc.id], 50, &["HG-5002", "states no version"]);
    refused(&bench, &stage("same.bin", "B7"), 50, &["HG-5002", "cannot be compared by the scheme semver"]);
    let ticket = Downgrade::new(Slot::new(plc.id).expect("an id"), Digest::of(&firmware(9001)));
    document(&bench, "ticket.json", "bench", ticket, &["ann"]);
    bench.kill();
    bench.start();
    refused(&bench, &stage("v1.bin", "1.9.0"), 50, &older);
    bench.headgate(&stage("same.bin", "2.0"));
    bench.headgate(&["release", &digests[2], "--plc", plc.id]);
    bench.headgate(&["withdraw", &digests[2], "--plc", plc.id]);
    bench.headgate(&["release", &digests[1], "--plc", plc.id, "--ticket-file", "ticket.json"]);
    eventually("the older one passes", || (load(&bench, &plc, "v1.bin") == 0).then_some(()));
    plc.wait_flash(&firmware(9001));
    bench.headgate(&stage("v3.bin", "2.1.0-rc.1"));
    bench.headgate(&["release", &digests[3], "--plc", plc.id]);
    eventually("the newer one passes", || (load(&bench, &plc, "v3.bin") == 0).then_some(()));
    plc.wait_flash(&firmware(9004));
    eventually("the version is accepted", || {
        let found = bench.try_headgate(&["verify", "same.bin", "--plc", "pump-3", "--version", "2.0"]);
        (found.status.code() == Some(50)).then_some(())
    });
    bench.kill();
    bench.reconfigure("version_scheme = \"semver\"\n", "");
    bench.start();
    bench.headgate(&stage("same.bin", "2.0")); // without the key nothing is compared
    bench.headgate(&["stage", "v1.bin", "--plc", plc.id]);
}
