//! Changes of trust from outside: bundles that site keys have signed, and what they do to images and releases.

use firmware_verifier::Digest;
use firmware_verifier::document::{Downgrade, NewFloor, NewKey, TrustBundle};
use firmware_verifier::identity::Slot;
use firmware_verifier::trust::{KeyId, PublicKey, Role, Threshold, Thresholds};
use hal::clock::Clock;
use headgate_tests::papers::{approver, document, key};
use headgate_tests::peers::{python, run};
use headgate_tests::{Bench, Plc, eventually, image};

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn new_firmware() -> Vec<u8> {
    image().into_iter().take(20_001).collect()
}

fn site_key(bench: &Bench, name: &str) -> PublicKey {
    let made = key(bench, name);
    bench.headgate(&["trust", "add", &format!("{name}.pub"), "--name", name, "--role", "site"]);
    made
}

fn new_key(key: &PublicKey, name: &str, role: Role) -> NewKey {
    let (vendor, model) = if role == Role::Vendor { ("acme", "px-200") } else { ("*", "*") };
    NewKey {
        key: key.as_bytes().iter().map(|b| format!("{b:02x}")).collect(),
        key_number: None,
        issuer: None,
        kind: "ed25519".into(),
        models: vec![model.into()],
        name: name.into(),
        role,
        signer: None,
        valid_from: None,
        valid_until: None,
        vendor: vendor.into(),
    }
}

fn bundle(bench: &Bench, file: &str, content: TrustBundle, keys: &[&str]) {
    document(bench, file, "bench", content, keys);
}

fn refused(bench: &Bench, args: &[&str], exit: i32, code: &str) {
    let (found, error) = bench.refused(args);
    assert!(found == exit && error.contains(code), "{args:?}: {found} {error}");
}

#[test]
fn a_bundle_changes_trust_when_it_is_accepted_and_not_before() {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.start();
    site_key(&bench, "site-a");
    let acme = key(&bench, "acme");
    let add = |sequence| TrustBundle {
        sequence,
        add: vec![new_key(&acme, "acme", Role::Vendor)],
        ..TrustBundle::default()
    };
    key(&bench, "stranger");
    bundle(&bench, "none.json", add(1), &[]);
    bundle(&bench, "stranger.json", add(1), &["stranger"]);
    bundle(&bench, "two.json", add(2), &["site-a"]);
    document(&bench, "elsewhere.json", "another", add(1), &["site-a"]);
    for (file, exit, code) in
        [("none.json", 13, "HG-1091"), ("stranger.json", 13, "HG-1091"), ("two.json", 2, "HG-1073")]
    {
        refused(&bench, &["trust", "import", file, "--yes"], exit, code);
    }
    let (_, error) = bench.refused(&["trust", "import", "elsewhere.json", "--yes"]);
    assert!(error.contains("\"another\"") && error.contains("\"bench\""), "{error}");

    bundle(&bench, "one.json", add(1), &["site-a"]);
    let shown = bench.headgate(&["trust", "import", "one.json"]);
    assert!(shown.contains("nothing is changed yet"), "{shown}");
    bench.openssl(&["pkey", "-pubin", "-in", "acme.pub", "-outform", "DER", "-out", "acme.der"]);
    let print = Digest::of(&std::fs::read(bench.path("acme.der")).expect("just written"));
    assert!(shown.contains(&format!("fingerprint {print}")), "as its owner's tools print it: {shown}");
    let before = bench.json(&["trust", "show"]);
    assert_eq!((&before["bundle"], before["anchors"].as_array().map(Vec::len)), (&0.into(), Some(1)));

    let said = bench.headgate(&["trust", "import", "one.json", "--yes"]);
    assert!(said.contains("applied") && said.contains(&acme.id().to_string()), "{said}");
    let after = bench.json(&["trust", "show"]);
    assert_eq!(after["bundle"], 1, "{after}");
    assert_eq!(
        after["generation"],
        before["generation"].as_u64().map_or(0, |g| g + 1),
        "one change: {after}"
    );
    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains(&format!("added {}", acme.id())), "{log}");
    bench.release("new.bin", &new_firmware(), plc.id);

    let (_, error) = bench.refused(&["trust", "import", "one.json", "--yes"]);
    assert!(error.contains("HG-1095"), "a bundle counts once: {error}");
    bench.kill();
    bench.start();
    assert_eq!(bench.json(&["trust", "show"])["bundle"], 1, "and after a restart");
}

#[test]
fn site_keys_are_rotated_by_the_old_and_the_new_together() {
    let mut bench = Bench::new();
    bench.start();
    let old = site_key(&bench, "site-a");
    let (b, c) = (key(&bench, "site-b"), key(&bench, "site-c"));
    for role in ["site", "approver"] {
        let (code, error) = bench.refused(&["trust", "add", "site-b.pub", "--name", "b", "--role", role]);
        assert!(code != 0 && error.contains("trust bundle"), "{role}: {code} {error}");
    }
    let rotate = || TrustBundle {
        sequence: 1,
        add: vec![new_key(&b, "site b", Role::Site), new_key(&c, "site c", Role::Site)],
        remove: vec![old.id()],
        thresholds: Some(Thresholds::default().role(Role::Site, Threshold::TWO)),
        ..TrustBundle::default()
    };
    bundle(&bench, "old-alone.json", rotate(), &["site-a"]);
    bundle(&bench, "one-of-two.json", rotate(), &["site-a", "site-b"]);
    for file in ["old-alone.json", "one-of-two.json"] {
        let (_, error) = bench.refused(&["trust", "import", file, "--yes"]);
        assert!(error.contains("HG-1082"), "{file}: {error}");
    }
    bundle(&bench, "rotate.json", rotate(), &["site-a", "site-b", "site-c"]);
    let said = bench.headgate(&["trust", "import", "rotate.json", "--yes"]);
    assert!(said.contains("removed") && said.contains("site 2") && said.contains("were site 1"), "{said}");
    let next = || TrustBundle { sequence: 2, ..TrustBundle::default() };
    bundle(&bench, "by-old.json", next(), &["site-a"]);
    bundle(&bench, "by-one.json", next(), &["site-b"]);
    assert!(bench.refused(&["trust", "import", "by-old.json"]).1.contains("HG-"), "the old key is out");
    assert!(bench.refused(&["trust", "import", "by-one.json"]).1.contains("HG-1082"), "one of two");
    bundle(&bench, "by-two.json", next(), &["site-b", "site-c"]);
    bench.headgate(&["trust", "import", "by-two.json", "--yes"]);
}

/// A gateway with a released image and a site key, and a station that tries to load it.
fn released() -> (Bench, Plc, String) {
    released_with(&[])
}

/// As [`released`], with approvers: where there is a site key, they would need a bundle.
fn released_with(approvers: &[&str]) -> (Bench, Plc, String) {
    let mut bench = Bench::new();
    for name in approvers {
        approver(&bench, name);
    }
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.trust_acme();
    bench.start();
    site_key(&bench, "site-a");
    let digest = bench.release("new.bin", &new_firmware(), plc.id);
    (bench, plc, digest)
}

fn load(bench: &Bench, plc: &Plc, file: &str) -> i32 {
    let path = bench.path(file).display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

/// Revokes as an operator does: draft, sign, look, accept.
fn revoke(bench: &Bench, what: &str, out: &str) {
    bench.headgate(&["trust", "revoke", what, "--reason", "found on a stolen laptop", "-o", out]);
    bench.headgate(&["sign-document", out, "--key", "site-a.pem"]);
    bench.headgate(&["trust", "import", out, "--yes"]);
}

fn refused_everywhere(bench: &Bench, plc: &Plc, digest: &str, code: &str) {
    refused(bench, &["verify", "new.bin", "--plc", plc.id], 14, code);
    refused(bench, &["stage", "new.bin", "--plc", plc.id], 14, code);
    refused(bench, &["release", digest, "--plc", plc.id], 14, code);
    eventually("the controller is connected", || {
        let (exit, error) = bench.refused(&["deliver", digest, "--plc", plc.id]);
        (exit == 14 && error.contains(code)).then_some(())
    });
    assert_eq!(load(bench, plc, "new.bin"), 1, "and the release that there is opens nothing on the wire");
    assert_eq!(plc.flash(), old_firmware(), "the flash is as it was");
    let case = bench.headgate(&["explain", "C-000001"]);
    assert!(case.contains("refused") && case.contains(code), "the case says why: {case}");
}

#[test]
fn a_revoked_image_is_refused_everywhere_although_it_is_released() {
    let (bench, plc, digest) = released();
    revoke(&bench, &digest, "revoke.json");
    refused_everywhere(&bench, &plc, &digest, "HG-1081");
    let shown = bench.headgate(&["trust", "show"]);
    assert!(shown.contains("revoked: 0 keys, 1 images") && shown.contains(&digest), "{shown}");
    let (code, error) = bench.refused(&["trust", "revoke", &digest, "--reason", "again"]);
    assert!(code == 2 && error.contains("stolen laptop"), "{code} {error}");
}

#[test]
fn an_image_whose_signer_is_revoked_is_refused_everywhere_although_it_is_released() {
    let (bench, plc, digest) = released();
    let acme = std::fs::read(bench.path("acme.pub")).expect("the vendor's key");
    let id: KeyId = PublicKey::parse(&acme).expect("a key").id();
    revoke(&bench, &id.to_string(), "revoke.json");
    refused_everywhere(&bench, &plc, &digest, "HG-1080");
    bench.headgate(&["trust", "remove", &id.to_string()]);
    let again = ["trust", "add", "acme.pub", "--name", "a", "--vendor", "acme", "--model", "px-200"];
    let (_, error) = bench.refused(&again);
    assert!(error.contains("stolen laptop"), "never trusted again: {error}");
}

fn floor(bench: &Bench, value: u64) {
    let floors = vec![NewFloor { model: "px-200".into(), value, vendor: "acme".into() }];
    let content = TrustBundle { sequence: 1, floors, ..TrustBundle::default() };
    bundle(bench, "floor.json", content, &["site-a"]);
    bench.headgate(&["trust", "import", "floor.json", "--yes"]);
}

#[test]
fn a_floor_refuses_an_older_image_and_what_does_not_say_how_old_it_is() {
    let (bench, plc, digest) = released();
    floor(&bench, 5);
    let stage = |version| ["stage", "new.bin", "--plc", plc.id, "--security-version", version];
    refused(&bench, &["release", &digest, "--plc", plc.id], 50, "HG-5002");
    assert_eq!(load(&bench, &plc, "new.bin"), 1, "released before the floor rose");
    assert_eq!(plc.flash(), old_firmware());
    refused(&bench, &stage("5"), 60, "HG-4013");
    bench.headgate(&["withdraw", &digest, "--plc", plc.id]);
    refused(&bench, &stage("4"), 50, "HG-5001");
    bench.headgate(&stage("5"));
    assert!(bench.headgate(&["vault", "list"]).contains("security version 5"));
    assert!(bench.headgate(&["audit", "list"]).contains("security version 5"));
    bench.headgate(&["release", &digest, "--plc", plc.id]);
    eventually("the update passes", || (load(&bench, &plc, "new.bin") == 0).then_some(()));
    plc.wait_flash(&new_firmware());
}

#[test]
fn an_update_that_is_confirmed_raises_the_floor() {
    let (bench, plc, digest) = released();
    bench.headgate(&["withdraw", &digest, "--plc", plc.id]);
    bench.headgate(&["stage", "new.bin", "--plc", plc.id, "--security-version", "7"]);
    bench.headgate(&["release", &digest, "--plc", plc.id]);
    assert_eq!(
        bench.json(&["trust", "show"])["floors"],
        serde_json::json!([]),
        "staging alone raises nothing"
    );
    eventually("the update passes", || (load(&bench, &plc, "new.bin") == 0).then_some(()));
    plc.wait_flash(&new_firmware());
    eventually("the floor rises", || {
        let floors = bench.json(&["trust", "show"])["floors"].clone();
        (floors[0]["value"] == 7 && floors[0]["by"].as_str()?.starts_with("C-")).then_some(())
    });
    refused(&bench, &["stage", "new.bin", "--plc", plc.id, "--security-version", "6"], 50, "HG-5001");
    bench.headgate(&["release", &digest, "--plc", plc.id]);
}

/// The file of the only receipt, once there is one.
fn receipt_file(bench: &Bench) -> Option<String> {
    let list = std::fs::read_dir(bench.path("data/receipts")).ok()?;
    let mut names = list.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| name.ends_with(".json"))
}

/// Changes the database of a stopped gateway.
fn sql(bench: &Bench, text: &str) {
    let program =
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()";
    let db = bench.path("data/state.db").display().to_string();
    let said = run(&bench.path("."), "python3", &["-c", program, &db, text]);
    assert_eq!(said.code, 0, "{}", said.text);
}

#[test]
fn a_floor_that_was_not_raised_with_its_update_is_raised_at_the_next_start() {
    let (mut bench, plc, digest) = released();
    bench.headgate(&["withdraw", &digest, "--plc", plc.id]);
    bench.headgate(&["stage", "new.bin", "--plc", plc.id, "--security-version", "7"]);
    bench.headgate(&["release", &digest, "--plc", plc.id]);
    bench.kill();
    // The TPM was written as often today as it may be.
    let day = Clock::system().wall().ms / 86_400_000;
    let spent = format!("{day:016x}{:016x}", 64);
    sql(&bench, &format!("INSERT OR REPLACE INTO meta VALUES ('nv-writes', x'{spent}')"));
    bench.start();
    eventually("the update passes", || (load(&bench, &plc, "new.bin") == 0).then_some(()));
    plc.wait_flash(&new_firmware());
    eventually("its receipt is signed", || receipt_file(&bench));
    assert_eq!(bench.json(&["trust", "show"])["floors"], serde_json::json!([]));
    bench.kill();
    sql(&bench, "DELETE FROM meta WHERE key = 'nv-writes'");
    for start in ["the floor is made up for", "once"] {
        bench.start();
        eventually(start, || (bench.json(&["trust", "show"])["floors"][0]["value"] == 7).then_some(()));
        bench.kill();
    }
    assert_eq!(bench.headgate(&["audit", "list"]).matches("raised to security version 7").count(), 1);
}

#[test]
fn a_downgrade_ticket_lets_one_older_image_through_once() {
    let (mut bench, plc, digest) = released_with(&["boss"]);
    bench.headgate(&["withdraw", &digest, "--plc", plc.id]);
    bench.headgate(&["stage", "new.bin", "--plc", plc.id, "--security-version", "4"]);
    floor(&bench, 5);
    let release = |ticket: &'static str| ["release", &digest, "--plc", plc.id, "--ticket-file", ticket];
    refused(&bench, &["release", &digest, "--plc", plc.id], 50, "HG-5001");
    let image = Digest::of(&new_firmware());
    let ticket = |plc: &str, image| Downgrade::new(Slot::new(plc).expect("an id"), image);
    document(&bench, "pump-4.json", "bench", ticket("pump-4", image), &["boss"]);
    document(&bench, "other.json", "bench", ticket("pump-3", Digest::of(b"another")), &["boss"]);
    document(&bench, "by-site.json", "bench", ticket("pump-3", image), &["site-a"]);
    for file in ["pump-4.json", "other.json", "by-site.json"] {
        refused(&bench, &release(file), 50, "HG-5001");
    }
    let draft = format!(
        "{{\"gateway\": \"bench\", \"reason\": \"the new one stalls\", \"content\": {{\"controller\": \"pump-3\",
          \"image\": \"{image}\", \"uses\": 1, \"window\": null}}}}"
    );
    bench.write("draft.json", draft.as_bytes());
    let sign =
        ["sign-document", "draft.json", "--draft", "downgrade", "--key", "boss.pem", "-o", "ticket.json"];
    bench.headgate(&sign);
    bench.headgate(&["vault", "rm", &digest]);
    let stage = ["stage", "new.bin", "--plc", plc.id, "--security-version", "4"];
    refused(&bench, &stage, 50, "HG-5001");
    bench.headgate(&[&stage[..], &["--ticket-file", "ticket.json"]].concat());
    bench.headgate(&release("ticket.json"));
    refused(&bench, &release("ticket.json"), 50, "may be used 1 time(s), and was");
    bench.kill();
    bench.start();
    eventually("the update passes", || (load(&bench, &plc, "new.bin") == 0).then_some(()));
    plc.wait_flash(&new_firmware());
    refused(&bench, &release("ticket.json"), 50, "HG-5001");
    refused(&bench, &["release", &digest, "--plc", plc.id], 50, "HG-5001");
    assert_eq!(bench.json(&["trust", "show"])["floors"][0]["value"], 5, "the floor stays where it is");
    assert!(bench.headgate(&["audit", "list"]).contains("spent, use 1 of 1"));
    let receipt = eventually("its receipt is signed", || {
        let name = receipt_file(&bench)?;
        Some(bench.headgate(&["receipt", name.strip_suffix(".json")?]))
    });
    assert!(receipt.contains("(downgrade)"), "{receipt}");
}

#[test]
fn the_key_that_approves_boot_states_may_be_the_site_key_and_one_key_signs_once() {
    let bench = Bench::new();
    bench.headgate(&["trust", "add", "site.pub", "--name", "site", "--role", "site"]);
    bundle(&bench, "one.json", TrustBundle { sequence: 1, ..TrustBundle::default() }, &[]);
    let sign = |key| ["sign-document", "one.json", "--key", key];
    let said = bench.headgate(&sign("site.key"));
    assert!(
        said.contains("\"sequence\": 1") && said.contains("a test of trust"),
        "what is signed is shown: {said}"
    );
    let (code, error) = bench.refused(&sign("site.key"));
    assert!(code == 2 && error.contains("signed it already"), "{code} {error}");
    let (code, error) = bench.refused(&sign("site.pub"));
    assert!(code == 2 && error.contains("public key of kind ECDSA P-256"), "{code} {error}");
    let before = std::fs::read(bench.path("one.json")).expect("it is there");
    bench.write("other.json", b"{\"payload\":\"e30=\",\"payloadType\":\"text/plain\",\"signatures\":[]}");
    let (_, error) = bench.refused(&["sign-document", "other.json", "--key", "site.key"]);
    assert!(error.contains("HG-1090"), "what is not read here is not signed: {error}");
    assert_eq!(std::fs::read(bench.path("one.json")).expect("it is there"), before);
    bench.headgate(&["trust", "import", "one.json", "--yes"]);
    for args in [
        ["trust", "add", "acme.pub", "--name", "a", "--role", "vendor"].as_slice(),
        ["trust", "add", "acme.pub", "--name", "a", "--role", "approver", "--vendor", "acme"].as_slice(),
    ] {
        assert_eq!(bench.refused(args).0, 2, "{args:?}");
    }
}
