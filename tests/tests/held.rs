//! Four eyes: a release of a controller that asks for approvals waits until enough different keys have signed it.

use firmware_verifier::Digest;
use firmware_verifier::document::{
    Approval, Conditions, Decision, Document, DocumentId, Downgrade, Moment, NewFloor, RevokedKey, Scope,
    Subject, TrustBundle,
};
use firmware_verifier::identity::Slot;
use firmware_verifier::trust::PublicKey;
use hal::clock::{Clock, Wall};
use headgate_tests::papers::{approver, document, key, made, sign, signed};
use headgate_tests::peers::python;
use headgate_tests::{Bench, Plc, eventually, image};

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn new_firmware() -> Vec<u8> {
    image().into_iter().take(20_001).collect()
}

/// A gateway whose controller asks for two approvals; three people have approvers' keys, one the site's.
fn four_eyes(way: &str) -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", way, &old_firmware());
    bench.reconfigure("mode = \"enforce\"", "mode = \"enforce\"\napprovals = 2");
    bench.trust_acme();
    for name in ["ann", "ben", "cem"] {
        approver(&bench, name);
    }
    key(&bench, "site-a");
    bench.headgate(&["trust", "add", "site-a.pub", "--name", "site", "--role", "site"]);
    bench.start();
    (bench, plc)
}

/// As [`four_eyes`], with a release that is held in C-000001.
fn held(way: &str) -> (Bench, Plc, String) {
    let (bench, plc) = four_eyes(way);
    let digest = bench.stage("new.bin", &new_firmware(), plc.id);
    let ask = ["release", &digest, "--plc", plc.id, "--ticket", "CHG-7"];
    let (exit, error) = bench.refused(&ask);
    assert!(exit == 60 && error.contains("HG-4010") && error.contains("C-000001"), "{exit} {error}");
    (bench, plc, digest)
}

fn load(bench: &Bench, plc: &Plc) -> i32 {
    let path = bench.path("new.bin").display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

fn approve(bench: &Bench, case: &str, file: &str) -> String {
    bench.headgate(&["held", "approve", case, "--approval", file])
}

/// Has one person sign what the gateway drafts, and brings it back.
fn approve_as(bench: &Bench, case: &str, name: &str) -> String {
    let file = format!("{case}-{name}.json");
    bench.headgate(&["held", "approve", case, "--out", &file]);
    sign(bench, &file, name);
    approve(bench, case, &file)
}

fn have(bench: &Bench) -> u64 {
    bench.json(&["held", "list"])["held"][0]["have"].as_u64().expect("a held release")
}

fn connected(bench: &Bench) {
    bench.wait_status("the controller is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
}

#[test]
fn a_release_opens_nothing_until_two_different_keys_have_signed_it() {
    let (mut bench, plc, digest) = held("match");
    connected(&bench);
    assert_eq!(load(&bench, &plc), 1, "nobody has approved");
    let story = bench.headgate(&["explain", "C-000002"]);
    assert!(story.contains("HG-4010") && story.contains("held in C-000001"), "{story}");
    let (exit, error) = bench.refused(&["deliver", &digest, "--plc", plc.id]);
    assert!(exit == 60 && error.contains("held in C-000001, approved by 0 of 2"), "{exit} {error}");
    assert_eq!(bench.refused(&["vault", "rm", &digest]).0, 2, "it is needed");
    assert!(bench.headgate(&["status"]).contains("C-000001 pump-3 held"));

    bench.headgate(&["held", "approve", "C-000001", "--out", "ann.json"]);
    sign(&bench, "ann.json", "ann");
    let said = approve(&bench, "C-000001", "ann.json");
    assert!(said.contains("approved by ann") && said.contains("1 of 2"), "{said}");
    for (what, said) in [
        ("the same file again", approve(&bench, "c-000001", "ann.json")),
        ("another signature by the same key", approve_as(&bench, "C-000001", "ann")),
    ] {
        assert!(said.contains("1 of 2"), "{what}: {said}");
    }
    assert_eq!(load(&bench, &plc), 1, "one has approved");
    bench.kill();
    bench.start();
    assert_eq!(have(&bench), 1, "after a restart, too");
    let shown = bench.headgate(&["held", "show", "C-000001"]);
    assert!(shown.contains("1 of 2") && shown.contains("ann") && shown.contains("CHG-7"), "{shown}");
    assert_eq!(plc.flash(), old_firmware());

    let said = approve_as(&bench, "C-000001", "ben");
    assert!(said.contains("approved by ben") && said.contains("released"), "{said}");
    assert_eq!(bench.headgate(&["held", "list"]).trim(), "");
    eventually("the update passes", || (load(&bench, &plc) == 0).then_some(()));
    plc.wait_flash(&new_firmware());
    let log = bench.headgate(&["audit", "list"]);
    for line in ["C-000001: approved by ann", "C-000001: approved by ben", "approved in C-000001"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert_eq!(load(&bench, &plc), 1, "one use was released");
}

#[test]
fn the_receipt_names_who_approved() {
    let (bench, plc, digest) = held("match");
    let (ann, cem) = (public(&bench, "ann"), public(&bench, "cem"));
    bench.headgate(&["held", "approve", "C-000001", "--out", "both.json"]);
    sign(&bench, "both.json", "ann");
    sign(&bench, "both.json", "cem");
    let said = approve(&bench, "C-000001", "both.json");
    assert!(
        said.contains("ann") && said.contains("cem") && said.contains("released"),
        "one file, two keys: {said}"
    );
    connected(&bench);
    bench.headgate(&["deliver", &digest, "--plc", plc.id]);
    plc.wait_flash(&new_firmware());
    let file = eventually("the receipt is signed", || {
        let out = bench.try_headgate(&["receipt", "C-000002", "-o", "receipt.json"]);
        out.status.success().then(|| bench.headgate(&["receipt", "--verify", "receipt.json"]))
    });
    assert!(!file.contains("BAD"), "{file}");
    let held = bench.try_headgate(&["receipt", "C-000001"]);
    let held = String::from_utf8_lossy(&held.stdout);
    assert!(held.contains("no update") && !held.contains("FAILED") && !held.contains("nobody\n"), "{held}");
    let page = bench.headgate(&["receipt", "C-000002"]);
    for part in ["Approved by", "ann", "cem", &ann.id().to_string(), &cem.id().to_string(), "C-000001"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains(&public(&bench, "ben").id().to_string()), "{page}");
    let report = bench.json(&["report", "cip-010", "--from", "2026-01-01", "--to", "2100-01-01"]);
    let cases: Vec<_> = report["changes"].as_array().expect("a list").iter().map(|c| &c["case"]).collect();
    assert_eq!(cases, ["C-000002"], "the release itself changed nothing: {report}");
}

fn public(bench: &Bench, name: &str) -> PublicKey {
    PublicKey::parse(&std::fs::read(bench.path(&format!("{name}.pub"))).expect("a file")).expect("a key")
}

/// The approval that would be right.
fn right(bench: &Bench) -> Document<Approval> {
    let row = bench.json(&["held", "show", "C-000001"])["held"][0].clone();
    let id = serde_json::from_value::<DocumentId>(row["id"].clone()).expect("a number");
    let subject = Subject::Held { case: "C-000001".into(), image: Digest::of(&new_firmware()) };
    let controller = Slot::new("pump-3").expect("an id");
    let (decision, scope) = (Decision::Approve, Scope::Release);
    let conditions = Some(Conditions { security_version: None, stations: vec![], uses: 1, window: None });
    Document { id, ..made("right", "bench", Approval { controller, decision, scope, subject, conditions }) }
}

type Change = fn(&mut Document<Approval>);

#[test]
fn an_approval_that_is_not_for_this_very_release_is_refused() {
    let (bench, _, _) = held("match");
    let (now, day) = (Clock::system().wall(), 86_400_000);
    let revoked = RevokedKey { key: public(&bench, "cem").id(), reason: "left the plant".into() };
    let content = TrustBundle { sequence: 1, revoke_keys: vec![revoked], ..TrustBundle::default() };
    document(&bench, "revoke.json", "bench", content, &["site-a"]);
    bench.headgate(&["trust", "import", "revoke.json", "--yes"]);
    key(&bench, "mallory");
    let cases: &[(&str, Change, &str, i32, &str, &str)] = &[
        ("another gateway", |d| d.gateway = "cell-9".into(), "ann", 13, "HG-1092", "cell-9"),
        (
            "another case",
            |d| d.content.subject = of("C-000002", &new_firmware()),
            "ann",
            13,
            "HG-4012",
            "C-000001",
        ),
        ("another image", |d| d.content.subject = of("C-000001", b"x"), "ann", 13, "HG-4012", "sha256:"),
        (
            "the image alone",
            |d| d.content.subject = Subject::Image(Digest::of(&new_firmware())),
            "ann",
            13,
            "HG-4012",
            "held",
        ),
        (
            "the case alone",
            |d| d.content.subject = Subject::Case("C-000001".into()),
            "ann",
            13,
            "HG-4012",
            "held",
        ),
        (
            "another controller",
            |d| d.content.controller = Slot::new("pump-4").unwrap_or_else(|_| d.content.controller.clone()),
            "ann",
            13,
            "HG-4012",
            "pump-4",
        ),
        ("another step", |d| d.content.scope = Scope::Program, "ann", 13, "HG-4012", "release"),
        ("no conditions", |d| d.content.conditions = None, "ann", 13, "HG-4012", "no security version"),
        (
            "another security version",
            |d| on(d, |c| c.security_version = Some(8)),
            "ann",
            13,
            "HG-4012",
            "security version 8",
        ),
        ("more uses", |d| on(d, |c| c.uses = 2), "ann", 13, "HG-4012", "2 use(s)"),
        (
            "another station",
            |d| on(d, |c| c.stations = vec!["192.0.2.20".into()]),
            "ann",
            13,
            "HG-4012",
            "from 192.0.2.20",
        ),
        (
            "a case that had the number before",
            |d| d.id = DocumentId::from_bytes([9; 16]),
            "ann",
            13,
            "HG-4012",
            "0909",
        ),
        ("a vendor's key", |_| (), "acme", 13, "HG-1091", "approver"),
        ("a site key", |_| (), "site-a", 13, "HG-1091", "approver"),
        ("a stranger", |_| (), "mallory", 13, "HG-1091", "approver"),
        ("a revoked key", |_| (), "cem", 14, "HG-1080", "left the plant"),
    ];
    for (n, (what, change, key, exit, code, found)) in cases.iter().enumerate() {
        let (mut document, file) = (right(&bench), format!("{n}.json"));
        change(&mut document);
        signed(&bench, &file, &document, &[key]);
        let (e, error) = bench.refused(&["held", "approve", "C-000001", "--approval", &file]);
        assert!(e == *exit && error.contains(code) && error.contains(found), "{what}: {e} {error}");
        assert!(error.contains("next: ") || error.contains("; have"), "{what} says what to do: {error}");
    }
    let past = |ms| Moment::new(Wall { ms: now.ms + ms, ..now });
    let expired = Document { issued: past(-2 * day), expires: past(-day), ..right(&bench) };
    signed(&bench, "expired.json", &expired, &["ann"]);
    signed(&bench, "unsigned.json", &right(&bench), &[]);
    bench.write("none.json", b"{}");
    for (file, exit, code) in
        [("expired.json", 14, "HG-1093"), ("unsigned.json", 13, "HG-1091"), ("none.json", 11, "HG-1090")]
    {
        let (e, error) = bench.refused(&["held", "approve", "C-000001", "--approval", file]);
        assert!(e == exit && error.contains(code), "{file}: {e} {error}");
    }
    assert_eq!(have(&bench), 0, "none of them counts");
    assert!(bench.headgate(&["audit", "list"]).contains("C-000001: an approval was refused"));
    signed(&bench, "right.json", &right(&bench), &["ann"]);
    assert!(approve(&bench, "C-000001", "right.json").contains("1 of 2"), "and the right one does");
}

fn on(document: &mut Document<Approval>, change: impl Fn(&mut Conditions)) {
    document.content.conditions.iter_mut().for_each(change);
}

fn of(case: &str, image: &[u8]) -> Subject {
    Subject::Held { case: case.into(), image: Digest::of(image) }
}

#[test]
fn one_refusal_ends_the_case_whether_it_is_signed_or_typed() {
    let (bench, plc, digest) = held("match");
    approve_as(&bench, "C-000001", "ann");
    let no = Document {
        content: Approval { decision: Decision::Refuse, conditions: None, ..right(&bench).content },
        ..right(&bench)
    };
    signed(&bench, "no.json", &no, &["ben"]);
    let said = approve(&bench, "C-000001", "no.json");
    assert!(said.contains("refused by ben: a test of trust"), "{said}");
    let story = bench.headgate(&["explain", "C-000001"]);
    assert!(story.contains("refused HG-4011") && story.contains("ben"), "{story}");
    signed(&bench, "late.json", &no, &["cem"]);
    let (exit, error) = bench.refused(&["held", "approve", "C-000001", "--approval", "late.json"]);
    assert!(exit == 2 && error.contains("is refused, not held"), "{exit} {error}");

    assert_eq!(bench.refused(&["release", &digest, "--plc", plc.id]).0, 60, "asked for anew");
    let reason = ["held", "refuse", "C-000002", "--reason", "wrong shift"];
    assert!(bench.headgate(&reason).contains("wrong shift"));
    assert!(bench.headgate(&["explain", "C-000002"]).contains("wrong shift"));
    assert_eq!(bench.refused(&reason).0, 2, "once");
    assert_eq!(bench.refused(&["held", "show", "C-000009"]).0, 3);
    assert_eq!(load(&bench, &plc), 1);
    assert_eq!(plc.flash(), old_firmware());
}

#[test]
fn a_release_falls_with_the_key_of_one_of_its_approvers() {
    let (bench, plc, digest) = held("match");
    approve_as(&bench, "C-000001", "ann");
    approve_as(&bench, "C-000001", "ben");
    assert!(bench.headgate(&["vault", "show"]).contains(&digest));
    let revoked = RevokedKey { key: public(&bench, "ben").id(), reason: "stolen".into() };
    let content = TrustBundle { sequence: 1, revoke_keys: vec![revoked], ..TrustBundle::default() };
    document(&bench, "revoke.json", "bench", content, &["site-a"]);
    bench.headgate(&["trust", "import", "revoke.json", "--yes"]);
    connected(&bench);
    let (exit, error) = bench.refused(&["deliver", &digest, "--plc", plc.id]);
    assert!(exit == 60 && error.contains("HG-4010") && error.contains("revoked"), "{exit} {error}");
    assert_eq!(load(&bench, &plc), 1);
    assert_eq!(plc.flash(), old_firmware());
}

#[test]
fn a_release_given_before_approvals_were_asked_for_opens_nothing() {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.trust_acme();
    bench.start();
    let digest = bench.release("new.bin", &new_firmware(), plc.id);
    bench.kill();
    bench.reconfigure("mode = \"enforce\"", "mode = \"enforce\"\napprovals = 1");
    bench.start();
    connected(&bench);
    let (exit, error) = bench.refused(&["deliver", &digest, "--plc", plc.id]);
    assert!(exit == 60 && error.contains("nobody has approved"), "{exit} {error}");
    assert_eq!(load(&bench, &plc), 1);
    assert_eq!(plc.flash(), old_firmware());
}

#[test]
fn a_staged_download_of_a_held_image_is_refused_with_the_case_named() {
    let (bench, plc, _) = held("stage");
    connected(&bench);
    assert_eq!(load(&bench, &plc), 1);
    let story = bench.headgate(&["explain", "C-000002"]);
    assert!(story.contains("refused HG-4010") && story.contains("held in C-000001"), "{story}");
    assert_eq!(plc.flash(), old_firmware());
    approve_as(&bench, "C-000001", "ann");
    approve_as(&bench, "C-000001", "cem");
    eventually("the update passes", || (load(&bench, &plc) == 0).then_some(()));
    plc.wait_flash(&new_firmware());
}

#[test]
fn what_nobody_approves_in_time_ends_and_a_new_request_takes_the_place_of_an_old_one() {
    let (bench, plc, digest) = held("match");
    assert!(bench.refused(&["release", &digest, "--plc", plc.id]).1.contains("C-000002"));
    assert!(bench.headgate(&["explain", "C-000001"]).contains("C-000002 asks for the same release anew"));
    let soon = Wall { ms: Clock::system().wall().ms + 2500, ..Clock::system().wall() }.to_string();
    assert_eq!(bench.refused(&["release", &digest, "--plc", plc.id, "--expires", &soon]).0, 60);
    assert!(bench.headgate(&["held", "list"]).contains("C-000003"));
    eventually("it ends", || bench.headgate(&["held", "list"]).trim().is_empty().then_some(()));
    assert!(bench.headgate(&["explain", "C-000003"]).contains("aborted"));
}

#[test]
fn a_downgrade_ticket_is_spent_when_the_release_is_given_and_not_when_it_is_asked_for() {
    let (bench, plc) = four_eyes("match");
    let digest = bench.stage("new.bin", &new_firmware(), plc.id);
    bench.headgate(&["stage", "new.bin", "--plc", plc.id, "--security-version", "4"]);
    let floors = vec![NewFloor { model: "px-200".into(), value: 5, vendor: "acme".into() }];
    let content = TrustBundle { sequence: 1, floors, ..TrustBundle::default() };
    document(&bench, "floor.json", "bench", content, &["site-a"]);
    bench.headgate(&["trust", "import", "floor.json", "--yes"]);
    let ticket = Downgrade::new(Slot::new(plc.id).expect("an id"), Digest::of(&new_firmware()));
    document(&bench, "ticket.json", "bench", ticket, &["ann"]);
    let release = ["release", &digest, "--plc", plc.id, "--ticket-file", "ticket.json"];
    assert_eq!(bench.refused(&release).0, 60);
    assert_eq!(bench.refused(&release).0, 60, "it was not spent");
    approve_as(&bench, "C-000002", "ann");
    assert!(approve_as(&bench, "C-000002", "ben").contains("released"));
    let (exit, error) = bench.refused(&release);
    assert!(exit == 50 && error.contains("may be used 1 time(s), and was"), "{exit} {error}");
    eventually("the update passes", || (load(&bench, &plc) == 0).then_some(()));
    plc.wait_flash(&new_firmware());
}
