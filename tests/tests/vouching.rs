//! Site vouching: the one road for an image that nobody signed, and every way it ends.

use firmware_verifier::Digest;
use firmware_verifier::document::{Document, Moment, RevokedDigest, RevokedKey, TrustBundle, Vouch};
use firmware_verifier::identity::Slot;
use firmware_verifier::trust::{KeyId, PublicKey};
use hal::clock::{Clock, Wall};
use headgate_tests::papers::{approver, document, key, made, sign, signed};
use headgate_tests::peers::python;
use headgate_tests::{Bench, Plc, eventually, image};

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn legacy() -> Vec<u8> {
    image().into_iter().take(20_001).collect()
}

/// A gateway that trusts no vendor, but three approvers and a site key; `legacy.bin` has no signature.
fn site() -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.controller("pump-4", "generic-file-record", "match", &old_firmware());
    for name in ["ann", "ben", "cem"] {
        approver(&bench, name);
    }
    key(&bench, "site-a");
    bench.headgate(&["trust", "add", "site-a.pub", "--name", "site", "--role", "site"]);
    bench.write("legacy.bin", &legacy());
    bench.start();
    (bench, plc)
}

/// A day, or whatever else, from now on.
fn after(ms: i64) -> String {
    let now = Clock::system().wall();
    Wall { ms: now.ms + ms, ..now }.to_string()
}

fn countersign<'a>(expires: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["countersign", "legacy.bin", "--plc", "pump-3", "--expires", expires], more].concat()
}

/// As people do it: draft, a copy for each approver, sign, bring them back.
fn vouch(bench: &Bench, expires: &str, names: &[&str]) -> std::process::Output {
    let mut args = countersign(expires, &[]);
    let draft = bench.headgate(&args);
    let files: Vec<String> = names.iter().map(|name| format!("{name}-word.json")).collect();
    for (file, name) in files.iter().zip(names) {
        bench.write(file, draft.as_bytes());
        sign(bench, file, name);
    }
    args.extend(files.iter().flat_map(|file| ["--approval", file.as_str()]));
    bench.try_headgate(&args)
}

/// As [`site`], with the site's word for `legacy.bin` on pump-3 for a day.
fn vouched() -> (Bench, Plc, String) {
    let (bench, plc) = site();
    let output = vouch(&bench, &after(86_400_000), &["ann", "ben"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("site-vouched, not signed: by ") && !said.contains("  signed by"),
        "{said} {error}"
    );
    assert!(said.contains("ann (key ") && said.contains("ben (key "), "{said}");
    (bench, plc, Digest::of(&legacy()).to_hex())
}

fn load(bench: &Bench, plc: &Plc) -> i32 {
    let path = bench.path("legacy.bin").display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

/// Ids of the keys that this gateway has made for itself.
fn own_keys(bench: &Bench) -> Vec<String> {
    let shown = bench.json(&["trust", "show"]);
    let anchors = shown["anchors"].as_array().expect("a list");
    let own = anchors.iter().filter(|a| a["role"] == "gateway");
    own.map(|a| a["id"].as_str().expect("an id").to_owned()).collect()
}

fn refused(bench: &Bench, args: &[&str], exit: i32, code: &str) -> String {
    let (found, error) = bench.refused(args);
    assert!(found == exit && error.contains(code), "{args:?}: {found} {error}");
    error
}

const VERIFY: [&str; 4] = ["verify", "legacy.bin", "--plc", "pump-3"];

#[test]
fn an_unsigned_image_passes_with_the_sites_word_and_is_never_called_signed() {
    let (bench, _) = site();
    refused(&bench, &VERIFY, 10, "HG-1001");
    refused(&bench, &["stage", "legacy.bin", "--plc", "pump-3"], 10, "HG-1001");
    drop(bench);
    let (mut bench, plc, digest) = vouched();
    let verified = bench.headgate(&VERIFY);
    assert!(verified.contains("site-vouched, not signed") && !verified.contains("  signed by"), "{verified}");
    let json = bench.json(&VERIFY);
    assert_eq!((&json["basis"], &json["signer"]), (&"site-vouched".into(), &"".into()), "{json}");
    assert!(bench.headgate(&["vault", "list"]).contains("site-vouched, not signed"));
    bench.headgate(&["stage", "legacy.bin", "--plc", "pump-3", "--version", "1.0"]);
    bench.headgate(&["release", &digest, "--plc", "pump-3"]);
    assert!(bench.headgate(&["vault", "show", "--json"]).contains("site-vouched, not signed"));
    bench.kill();
    bench.start();
    eventually("the update passes", || (load(&bench, &plc) == 0).then_some(()));
    plc.wait_flash(&legacy());
    let page = eventually("the receipt is signed", || {
        bench.try_headgate(&["receipt", "C-000001", "-o", "receipt.json"]).status.success().then_some(())?;
        Some(bench.headgate(&["receipt", "C-000001"]))
    });
    assert!(
        page.contains("Not signed") && page.contains("site-vouched: by") && page.contains("ann"),
        "{page}"
    );
    assert!(!page.contains("Signed by"), "{page}");
    let checked = bench.headgate(&["receipt", "--verify", "receipt.json"]);
    assert!(checked.contains("Not signed") && !checked.contains("BAD"), "{checked}");
    let story = bench.headgate(&["explain", "C-000001"]);
    assert!(story.contains("site-vouched, not signed: by "), "{story}");
    assert!(bench.headgate(&["status"]).contains("last update C-000001: site-vouched, not signed: by "));
    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains("site-vouched, not signed: by ") && log.contains("countersigned by key "), "{log}");
}

#[test]
fn the_gateways_key_stays_one_across_restarts_and_needs_the_approved_boot_state() {
    let (mut bench, _, _) = vouched();
    let made = own_keys(&bench);
    let id = made.first().expect("a key was made");
    assert!(bench.headgate(&["trust", "show"]).contains("gateway"));
    bench.kill();
    bench.start();
    assert!(vouch(&bench, &after(7_200_000), &["ben", "cem"]).status.success());
    assert_eq!(own_keys(&bench), made, "unsealed, not made anew");
    let file = std::fs::read_to_string(bench.path("data/countersign.json")).expect("the sealed key");
    assert!(file.contains("\"sealed\"") && !file.contains("seed"), "{file}");
    // Deleted or emptied, it is named, and what it signed counts on.
    for emptied in [false, true] {
        bench.kill();
        std::fs::remove_file(bench.path("data/countersign.json")).expect("it is there");
        if emptied {
            bench.write("data/countersign.json", b"");
        }
        bench.start();
        let text = bench.wait_alarm("HG-7019")["text"].to_string();
        assert!(text.contains("countersign.json was ") && text.contains("put it back from a copy"), "{text}");
        let doctor = bench.json_anyhow(&["doctor"]).to_string();
        assert!(doctor.contains("data.files") && doctor.contains("countersign.json was "), "{doctor}");
        assert!(bench.headgate(&VERIFY).contains("site-vouched"));
        bench.write("data/countersign.json", file.as_bytes());
    }
    bench.kill();
    bench.start();
    assert_eq!(bench.wait_alarm("HG-7019")["standing"], false, "put back, and latched");
    // Cut short, as by a bad disk: a new key, and what the old one countersigned still counts.
    bench.write("data/countersign.json", &file.as_bytes()[..40]);
    assert!(bench.headgate(&VERIFY).contains("site-vouched"));
    assert!(vouch(&bench, &after(7_200_000), &["ann", "cem"]).status.success());
    assert_eq!(own_keys(&bench).iter().filter(|other| *other != id).count(), 1);
    bench.extend(7, "something else");
    bench.wait_status("the gate shuts", |s| s["gate"]["open"] == false);
    let output = vouch(&bench, &after(7_200_000), &["ann", "ben"]);
    assert_eq!(output.status.code(), Some(71), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn too_few_approvers_or_a_word_for_something_else_are_refused() {
    let (bench, _) = site();
    let day = after(86_400_000);
    for (what, names, code) in [
        ("one approver", &["ann"][..], "HG-1082"),
        ("an approver and the site", &["ann", "site-a"], "HG-1082"),
        ("the site", &["site-a"], "HG-1091"),
    ] {
        let output = vouch(&bench, &day, names);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(13) && error.contains(code), "{what}: {error}");
    }
    let word = |file: &str, change: fn(&mut Document<Vouch>)| {
        let controllers = vec![Slot::new("pump-3").expect("an id")];
        let content = Vouch { controllers, image: Digest::of(&legacy()) };
        let expires = Moment::new(day.parse().expect("a time"));
        let mut document = Document { expires, ..made(file, "bench", content) };
        change(&mut document);
        signed(&bench, file, &document, &["ann", "ben"]);
    };
    type Change = fn(&mut Document<Vouch>);
    let cases: &[(&str, Change, i32, &str, &str)] = &[
        ("another gateway", |d| d.gateway = "cell-9".into(), 13, "HG-1092", "cell-9"),
        ("another image", |d| d.content.image = Digest::of(b"x"), 13, "HG-1083", "sha256:"),
        (
            "another controller",
            |d| d.content.controllers = vec![Slot::new("pump-4").expect("an id")],
            13,
            "HG-1083",
            "pump-4",
        ),
        (
            "another end",
            |d| d.expires = Moment::new(Wall::trusted(d.expires.wall().ms - 1)),
            13,
            "HG-1083",
            "until",
        ),
    ];
    for (n, (what, change, exit, code, found)) in cases.iter().enumerate() {
        let file = format!("{n}.json");
        word(&file, *change);
        let error = refused(&bench, &countersign(&day, &["--approval", &file]), *exit, code);
        assert!(error.contains(found), "{what}: {error}");
    }
    word("a.json", |_| ());
    word("b.json", |d| d.reason = "another reason".into());
    let two = countersign(&day, &["--approval", "a.json", "--approval", "b.json"]);
    assert!(refused(&bench, &two, 11, "HG-1090").contains("different documents"));
    assert_eq!(own_keys(&bench), [""; 0], "and no key was made for any of them");
    assert_eq!(bench.json(&["vault", "list"])["images"], serde_json::json!([]), "nothing is kept");
    assert!(bench.headgate(&["audit", "list"]).contains("the site's word was refused"));
    bench.headgate(&countersign(&day, &["--approval", "a.json"]));
}

#[test]
fn the_sites_word_is_for_the_controllers_it_names() {
    let (bench, plc, digest) = vouched();
    refused(&bench, &["release", &digest, "--plc", "pump-4"], 13, "HG-1083");
    refused(&bench, &["verify", "legacy.bin", "--plc", "pump-4"], 13, "HG-1083");
    bench.headgate(&["release", &digest, "--plc", plc.id]);
}

/// The update that was released passes no more; `code` says why.
fn void(bench: &Bench, plc: &Plc, exit: i32, code: &str) {
    refused(bench, &VERIFY, exit, code);
    let digest = Digest::of(&legacy()).to_hex();
    eventually("the controller is connected", || {
        let (found, error) = bench.refused(&["deliver", &digest, "--plc", plc.id]);
        (found == exit && error.contains(code)).then_some(())
    });
    assert_eq!(load(bench, plc), 1);
    assert_eq!(plc.flash(), old_firmware());
}

fn import(bench: &Bench, content: TrustBundle) {
    document(bench, "bundle.json", "bench", content, &["site-a"]);
    bench.headgate(&["trust", "import", "bundle.json", "--yes"]);
}

#[test]
fn the_sites_word_falls_with_its_image() {
    let (bench, plc, digest) = vouched();
    bench.headgate(&["release", &digest, "--plc", plc.id]);
    let image = RevokedDigest { image: Digest::of(&legacy()), reason: "a known hole".into() };
    import(&bench, TrustBundle { sequence: 1, revoke_digests: vec![image], ..TrustBundle::default() });
    void(&bench, &plc, 14, "HG-1081");
}

#[test]
fn the_sites_word_falls_with_the_key_of_one_of_its_approvers() {
    let (bench, plc, digest) = vouched();
    bench.headgate(&["release", &digest, "--plc", plc.id]);
    let ben = PublicKey::parse(&std::fs::read(bench.path("ben.pub")).expect("a file")).expect("a key");
    let ben = RevokedKey { key: ben.id(), reason: "left the plant".into() };
    import(&bench, TrustBundle { sequence: 1, revoke_keys: vec![ben], ..TrustBundle::default() });
    void(&bench, &plc, 13, "HG-1082");
    let output = vouch(&bench, &after(7_200_000), &["ann", "ben"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(14) && error.contains("left the plant"), "{error}");
    assert!(vouch(&bench, &after(7_200_000), &["ann", "cem"]).status.success());
}

#[test]
fn the_sites_word_falls_with_the_gateways_key_and_a_new_one_is_made() {
    let (bench, plc, digest) = vouched();
    bench.headgate(&["release", &digest, "--plc", plc.id]);
    let old: KeyId = own_keys(&bench)[0].parse().expect("an id");
    let own = RevokedKey { key: old, reason: "the box was lost".into() };
    import(&bench, TrustBundle { sequence: 1, revoke_keys: vec![own], ..TrustBundle::default() });
    void(&bench, &plc, 13, "HG-1091");
    assert!(vouch(&bench, &after(7_200_000), &["ann", "ben"]).status.success());
    assert!(own_keys(&bench).iter().any(|id| *id != old.to_string()), "another key");
    bench.headgate(&VERIFY);
}

#[test]
fn the_sites_word_ends() {
    let (bench, plc) = site();
    let soon = after(4000);
    assert!(vouch(&bench, &soon, &["ann", "ben"]).status.success());
    let said = bench.headgate(&["release", &Digest::of(&legacy()).to_hex(), "--plc", plc.id]);
    assert!(said.contains(&format!("until {soon}")), "a release ends with the word it rests on: {said}");
    eventually("it ends", || (!bench.try_headgate(&VERIFY).status.success()).then_some(()));
    refused(&bench, &VERIFY, 14, "HG-1093");
    assert_eq!(load(&bench, &plc), 1);
    assert_eq!(plc.flash(), old_firmware());
}

#[test]
fn a_word_that_another_gateway_countersigned_counts_nowhere_else() {
    let (bench, _, digest) = vouched();
    let mut other = Bench::new();
    other.controller("pump-3", "generic-file-record", "match", &old_firmware());
    for name in ["ann", "ben"] {
        let file = format!("{name}.pub");
        other.write(&file, &std::fs::read(bench.path(&file)).expect("a key"));
        other.headgate(&["trust", "add", &file, "--name", name, "--role", "approver"]);
    }
    for end in ["img", "json"] {
        let file = format!("data/vault/{digest}.{end}");
        other.write(&file, &std::fs::read(bench.path(&file)).expect("in the vault"));
    }
    other.write("legacy.bin", &legacy());
    other.start();
    assert!(other.headgate(&["vault", "list"]).contains(&digest));
    let error = refused(&other, &["release", &digest, "--plc", "pump-3"], 13, "HG-1091");
    assert!(error.contains("gateway key"), "{error}");
    refused(&other, &VERIFY, 13, "HG-1091");
}

#[test]
fn numbers_that_nobody_would_sign_are_refused_and_not_forgotten() {
    let (bench, _) = site();
    let args = countersign("2027-06-30", &["--out", "word.json", "--security-version", "3"]);
    let (code, error) = bench.refused(&args);
    assert!(code == 2 && error.contains("give them with --approval"), "{code} {error}");
    assert!(!bench.path("word.json").exists());
}
