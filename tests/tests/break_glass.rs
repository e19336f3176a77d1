//! Break-glass: what a document of the site key lets happen while the gate is shut, and what it never does.

use firmware_verifier::document::{Action, BreakGlass, Cause, Document, Moment, Window};
use firmware_verifier::identity::Slot;
use hal::clock::{Clock, Wall};
use headgate_tests::papers::{key, made, sign, signed};
use headgate_tests::peers::{python, run};
use headgate_tests::{Bench, Plc, alarm, eventually, image};
use serde_json::Value;

const MATCH: &str = "generic-file-record";
const SINGLE_BANK: &str = "ocp-rackmon-panasonic";
const HOUR: i64 = 3_600_000;

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

/// An image that nobody signs, in a file.
fn unsigned(bench: &Bench, len: usize) -> Vec<u8> {
    let bytes = image()[8192..8192 + len].to_vec();
    bench.write("unsigned.bin", &bytes);
    bytes
}

fn bench_with(profile: &str, way: &str) -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", profile, way, &old_firmware());
    bench.trust_acme();
    bench.start();
    connected(&bench);
    (bench, plc)
}

fn connected(bench: &Bench) {
    bench.wait_status("the controller is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
}

fn at(ms: i64) -> Moment {
    let now = Clock::system().wall();
    Moment::new(Wall { ms: now.ms + ms, ..now })
}

fn allows(actions: &[Action], window: (i64, i64)) -> BreakGlass {
    let window = Window { from: at(window.0), until: at(window.1) };
    let cause = Cause::Controller(Slot::new("pump-3").expect("an id"));
    BreakGlass { actions: actions.to_vec(), cause, window }
}

/// A document that the site key has signed.
fn glass(bench: &Bench, file: &str, document: &Document<BreakGlass>) {
    signed(bench, file, document, &[]);
    bench.headgate(&["sign-document", file, "--key", "site.key"]);
}

/// Writes, signs and brings one for the next hour, as people do.
fn break_glass(bench: &Bench, file: &str, actions: &[&str]) -> String {
    let until = at(HOUR).to_string();
    let mut args = vec!["ticket", "break-glass", "--plc", "pump-3", "--until", &until];
    args.extend(["--reason", "the wet well floods", "-o", file]);
    args.extend(actions.iter().flat_map(|action| ["--action", action]));
    bench.headgate(&args);
    bench.headgate(&["sign-document", file, "--key", "site.key"]);
    let said = bench.headgate(&["ticket", "use", file]);
    assert!(said.contains("accepted") && said.contains("the wet well floods"), "{said}");
    bench.json(&["ticket", "list"])["tickets"][0]["id"].as_str().expect("a number").into()
}

fn refused(bench: &Bench, args: &[&str], exit: i32, code: &str) -> String {
    let (found, error) = bench.refused(args);
    assert!(found == exit && error.contains(code), "{args:?}: {found} {error}");
    error
}

fn load(bench: &Bench, plc: &Plc, shape: &str) -> i32 {
    let path = bench.path("unsigned.bin").display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, shape]).code
}

fn shut(bench: &Bench, code: &str) {
    bench.wait_status("the gate is shut", |s| s["gate"]["code"] == code);
}

#[test]
fn only_the_site_key_breaks_the_glass_for_this_gateway_this_time_and_once() {
    let (mut bench, _plc) = bench_with(MATCH, "match");
    let pass = || allows(&[Action::PassUnverified], (0, HOUR));
    key(&bench, "thief");
    bench.headgate(&["site-key", "new", "--key", "other.key", "--public", "other.pub"]);
    signed(&bench, "nobody.json", &made("a", "bench", pass()), &[]);
    signed(&bench, "thief.json", &made("b", "bench", pass()), &[]);
    sign(&bench, "thief.json", "thief");
    signed(&bench, "other.json", &made("c", "bench", pass()), &[]);
    bench.headgate(&["sign-document", "other.json", "--key", "other.key"]);
    glass(&bench, "elsewhere.json", &made("d", "bench-2", pass()));
    glass(&bench, "early.json", &made("e", "bench", allows(&[Action::PassUnverified], (HOUR, 2 * HOUR))));
    glass(&bench, "late.json", &made("f", "bench", allows(&[Action::PassUnverified], (-2 * HOUR, -HOUR))));
    let stranger = Cause::Controller(Slot::new("pump-9").expect("an id"));
    glass(&bench, "stranger.json", &made("g", "bench", BreakGlass { cause: stranger, ..pass() }));
    let no_case = Cause::Case("C-000077".into());
    glass(&bench, "no-case.json", &made("h", "bench", BreakGlass { cause: no_case, ..pass() }));
    bench.write("ticket.json", b"{}");
    for (file, exit, code) in [
        ("nobody.json", 13, "HG-1091"),
        ("thief.json", 13, "HG-1091"),
        ("other.json", 13, "HG-1091"),
        ("elsewhere.json", 13, "HG-1092"),
        ("early.json", 14, "HG-1093"),
        ("late.json", 14, "HG-1093"),
        ("stranger.json", 3, "pump-9"),
        ("no-case.json", 3, "C-000077"),
        ("ticket.json", 11, "HG-1090"),
    ] {
        let (found, error) = bench.refused(&["ticket", "use", file]);
        assert!(found == exit && error.contains(code), "{file}: {found} {error}");
    }
    assert_eq!(bench.json(&["ticket", "list"])["tickets"], serde_json::json!([]), "nothing was accepted");
    assert!(alarm(&bench.json(&["status"]), "HG-7020").is_none());
    assert!(bench.headgate(&["audit", "list"]).contains("a break-glass document was refused"));

    glass(&bench, "good.json", &made("i", "bench", pass()));
    bench.kill();
    let without = std::fs::read(bench.path("data/state.db")).expect("the state");
    bench.start();
    bench.headgate(&["ticket", "use", "good.json"]);
    refused(&bench, &["ticket", "use", "good.json"], 14, "was used before");
    bench.kill();
    bench.start();
    refused(&bench, &["ticket", "use", "good.json"], 14, "was used before");
    bench.wait_alarm("HG-7020");
    bench.kill();
    // An old copy of the database alone does not make it good again: the audit log remembers, too.
    for file in ["state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(bench.path(&format!("data/{file}")));
    }
    std::fs::write(bench.path("data/state.db"), without).expect("writable");
    bench.tpm.kill();
    bench.start_anyhow();
    shut(&bench, "HG-7001");
    refused(&bench, &["ticket", "use", "good.json"], 14, "was used before");

    // A site key that somebody has put in the place of the provisioned one.
    let thief = Bench::new();
    let record = |bench: &Bench| -> Value {
        let text = std::fs::read(bench.path("data/tpm.json")).expect("the record");
        serde_json::from_slice(&text).expect("JSON")
    };
    let forged = Value::Object({
        let mut fields = record(&bench).as_object().expect("an object").clone();
        fields.insert("site_key".into(), record(&thief)["site_key"].clone());
        fields
    });
    bench.write("data/tpm.json", forged.to_string().as_bytes());
    signed(&bench, "forged.json", &made("j", "bench", pass()), &[]);
    let theirs = thief.path("site.key").display().to_string();
    bench.headgate(&["sign-document", "forged.json", "--key", &theirs]);
    refused(&bench, &["ticket", "use", "forged.json"], 71, "HG-7004");
}

#[test]
fn a_delivery_past_its_point_of_no_return_is_finished_with_the_tpm_dead() {
    let (mut bench, plc) = bench_with(SINGLE_BANK, "stage");
    let new = image()[..96 * 1500].to_vec();
    let digest = bench.release("new.bin", &new, "pump-3");
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    eventually("the old firmware is gone", || plc.flash().is_empty().then_some(()));
    bench.kill();
    bench.tpm.kill();
    bench.start_anyhow();
    shut(&bench, "HG-7001");
    bench.wait_alarm("HG-6018");
    connected(&bench);
    assert!(plc.flash().is_empty(), "nothing is delivered while the gate is shut");
    let wrong = break_glass(&bench, "wrong.json", &["lift-lock"]);
    assert!(plc.flash().is_empty(), "another action does nothing here");
    let pass = allows(&[Action::FinishDelivery], (0, HOUR));
    let other = BreakGlass { cause: Cause::Case("C-000002".into()), ..pass };
    glass(&bench, "other.json", &made("other", "bench", other));
    refused(&bench, &["ticket", "use", "other.json"], 3, "C-000002");

    let until = at(HOUR).to_string();
    let draft = ["ticket", "break-glass", "--case", "C-000001", "--action", "finish-delivery"];
    bench.headgate(&[&draft[..], &["--until", &until, "--reason", "it must run", "-o", "go.json"]].concat());
    bench.headgate(&["sign-document", "go.json", "--key", "site.key"]);
    bench.headgate(&["ticket", "use", "go.json"]);
    plc.wait_flash(&new);
    bench.wait_status("the case is closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    let story = bench.headgate(&["explain", "C-000001"]);
    assert!(story.contains("NOT VERIFIED again: break-glass") && story.contains("it must run"), "{story}");
    let page = bench.headgate(&["receipt", "C-000001"]);
    assert!(
        page.contains("NOT SIGNED") && page.contains("NOT VERIFIED") && page.contains("FAILED"),
        "{page}"
    );

    let ack = ["alarms", "ack", "pump-3", "HG-7020"];
    let error = refused(&bench, &ack, 70, "HG-7020");
    assert!(error.contains("in force") && error.contains("ticket close"), "{error}");
    bench.kill();
    bench.start_anyhow();
    assert_eq!(bench.wait_alarm("HG-7020")["latched"], true, "also after a restart");
    refused(&bench, &ack, 70, "HG-7020");
    let ids: Vec<String> = bench.json(&["ticket", "list"])["tickets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| t["id"].as_str().expect("a number").to_owned())
        .collect();
    assert!(ids.len() == 2 && ids.contains(&wrong), "{ids:?}");
    for id in &ids {
        bench.headgate(&["ticket", "close", id, "--reason", "it runs"]);
    }
    let status = bench.json(&["status"]);
    assert!(alarm(&status, "HG-7020").is_none() && status["plcs"][0]["break_glass"].is_null(), "{status}");
    let log = bench.headgate(&["audit", "list"]);
    for part in ["finish-delivery for pump-3 (C-000001)", "is over: ended by uid", "closed: it runs"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[test]
fn an_image_altered_on_disk_is_not_delivered_on_anybody_s_word() {
    let (mut bench, plc) = bench_with(SINGLE_BANK, "stage");
    let new = image()[..96 * 1500].to_vec();
    let digest = bench.release("new.bin", &new, "pump-3");
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    eventually("the old firmware is gone", || plc.flash().is_empty().then_some(()));
    bench.kill();
    let stored = bench.path(&format!("data/vault/{digest}.img"));
    let mut bytes = std::fs::read(&stored).expect("the vault's file");
    bytes[100_000] ^= 1;
    std::fs::write(&stored, &bytes).expect("writable");
    bench.extend(4, "another kernel");
    bench.start_anyhow();
    shut(&bench, "HG-7002");
    connected(&bench);
    break_glass(&bench, "go.json", &["finish-delivery"]);
    bench.wait_status("it says why not", |s| {
        alarm(s, "HG-6018").is_some_and(|a| a["text"].as_str().is_some_and(|t| t.contains("HG-7006")))
    });
    assert!(plc.flash().is_empty());
}

#[test]
fn an_image_that_nobody_verified_passes_in_another_boot_state_and_not_after_the_window() {
    let (bench, plc) = bench_with(MATCH, "match");
    let new = unsigned(&bench, 6000);
    let stage = ["stage", "unsigned.bin", "--plc", "pump-3", "--break-glass"];
    refused(&bench, &stage, 60, "HG-7021");
    bench.extend(4, "another kernel");
    shut(&bench, "HG-7002");
    refused(&bench, &["stage", "unsigned.bin", "--plc", "pump-3"], 71, "HG-7002");
    refused(&bench, &stage, 60, "HG-7021");
    assert_ne!(load(&bench, &plc, MATCH), 0, "the gate is shut");

    let window = allows(&[Action::PassUnverified], (0, 20_000));
    glass(&bench, "go.json", &made("go", "bench", window));
    bench.headgate(&["ticket", "use", "go.json"]);
    assert_ne!(load(&bench, &plc, MATCH), 0, "nobody has said which image");
    let said = bench.headgate(&stage);
    assert!(said.contains("NOT VERIFIED: break-glass"), "{said}");
    bench.write("other.bin", &image()[..6000]);
    let other = bench.path("other.bin").display().to_string();
    let port = plc.conduit.port().to_string();
    assert_ne!(python("station.py", &[&port, &other, MATCH]).code, 0, "every byte is still compared");
    assert_eq!(plc.flash(), old_firmware());
    assert_eq!(load(&bench, &plc, MATCH), 0);
    plc.wait_flash(&new);
    let status = bench.wait_status("it is told", |s| s["plcs"][0]["not_verified"].is_string());
    assert!(status["plcs"][0]["break_glass"].is_string(), "{status}");
    assert_ne!(load(&bench, &plc, MATCH), 0, "one use");

    bench.headgate(&stage);
    let after = bench.wait_status("the window ends by itself, and its alarm stays", |s| {
        alarm(s, "HG-7020").is_some_and(|a| a["standing"] == false)
    });
    assert!(after["plcs"][0]["break_glass"].is_null(), "{after}");
    assert_ne!(load(&bench, &plc, MATCH), 0, "released, and the window is over");
    refused(&bench, &stage, 60, "HG-7021");
    bench.headgate(&["alarms", "ack", "pump-3", "HG-7020"]);
    assert!(alarm(&bench.json(&["status"]), "HG-7020").is_none());
    assert_eq!(bench.json(&["ticket", "list"])["tickets"][0]["state"], "closed");
    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains("its window is over") && log.contains("NOT VERIFIED: break-glass"), "{log}");
}

#[test]
fn with_a_damaged_trust_store_an_image_goes_into_a_single_bank_whole_or_not_at_all() {
    let (mut bench, plc) = bench_with(SINGLE_BANK, "stage");
    let new = unsigned(&bench, 96 * 50);
    bench.kill();
    std::fs::write(bench.path("data/trust.sealed"), b"not a store").expect("writable");
    bench.start_anyhow();
    shut(&bench, "HG-7004");
    connected(&bench);
    assert_ne!(load(&bench, &plc, "rackmon"), 0);
    break_glass(&bench, "go.json", &["pass-unverified", "finish-delivery"]);
    assert_eq!(load(&bench, &plc, "rackmon"), 0, "gathered whole, then delivered by the gateway");
    plc.wait_flash(&new);
    let vault = bench.json(&["vault", "list"]);
    assert!(vault["images"].as_array().is_some_and(|i| i.len() == 1), "it is kept by its digest: {vault}");
}

#[test]
fn with_an_edited_audit_log_it_works_and_says_that_the_log_does_not_have_it() {
    let (mut bench, plc) = bench_with(MATCH, "match");
    let new = unsigned(&bench, 3000);
    bench.kill();
    let entries = std::fs::read_dir(bench.path("data/audit")).expect("a folder").flatten().map(|e| e.path());
    let segment = entries.filter(|p| !p.ends_with("checkpoints.log")).min().expect("a segment");
    let text =
        std::fs::read_to_string(&segment).expect("readable").replacen("trusted: key", "trusted: kez", 1);
    std::fs::write(&segment, text).expect("writable");
    bench.start_anyhow();
    shut(&bench, "HG-7013");
    connected(&bench);
    glass(&bench, "go.json", &made("go", "bench", allows(&[Action::PassUnverified], (0, HOUR))));
    let said = bench.headgate(&["ticket", "use", "go.json"]);
    assert!(said.contains("NOT in the audit log"), "{said}");
    refused(&bench, &["ticket", "use", "go.json"], 14, "was used before");
    bench.headgate(&["stage", "unsigned.bin", "--plc", "pump-3", "--break-glass"]);
    assert_eq!(load(&bench, &plc, MATCH), 0);
    plc.wait_flash(&new);
}

/// Waits for the signed receipt of a case, and gives its page.
fn receipt(bench: &Bench, case: &str) -> String {
    eventually("the receipt is signed", || {
        let page = bench.headgate(&["receipt", case]);
        page.contains("by the TPM of the gateway").then_some(page)
    })
}

#[test]
fn receipt_and_report_never_call_it_verified_and_what_is_revoked_stays_out() {
    let (bench, plc) = bench_with(MATCH, "match");
    let new = unsigned(&bench, 5000);
    let id = break_glass(&bench, "go.json", &["pass-unverified"]);
    bench.headgate(&["stage", "unsigned.bin", "--plc", "pump-3", "--break-glass"]);
    let digest = gateway::vault::hex(&headgate_tests::digest(&new));
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&new);
    let page = receipt(&bench, "C-000001").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["NOT VERIFIED", &id, "FAILED: done", "the wet well floods", "nobody known"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let years = ["report", "cip-010", "--from", "2020-01-01", "--to", "2100-01-01"];
    let report = bench.json(&years);
    for answer in ["source", "integrity"] {
        let found: &Value = &report["changes"][0][answer];
        assert!(
            found["shown"] == false && found["text"].as_str().is_some_and(|t| t.contains(&id)),
            "{report}"
        );
    }
    assert_eq!(bench.json(&["trust", "show"])["floors"], serde_json::json!([]));

    bench.headgate(&["trust", "add", "site.pub", "--name", "site", "--role", "site"]);
    bench.headgate(&["trust", "revoke", &digest, "--reason", "it is malware", "-o", "revoke.json"]);
    bench.headgate(&["sign-document", "revoke.json", "--key", "site.key"]);
    bench.headgate(&["trust", "import", "revoke.json", "--yes"]);
    let stage = ["stage", "unsigned.bin", "--plc", "pump-3", "--break-glass"];
    refused(&bench, &stage, 14, "it is malware");
    let used = bench.json(&["trust", "show"])["generation"].as_u64();
    assert!(used >= Some(3), "the trust store remembers the document: {used:?}");
}

#[test]
fn a_lock_is_lifted_with_the_tpm_dead() {
    let (mut bench, _plc) = bench_with(MATCH, "match");
    bench.kill();
    // What an anomaly after an update leaves behind; tests/soak.rs has a real one.
    let lock = "import sqlite3; d = sqlite3.connect('data/state.db'); \
                d.execute(\"INSERT INTO cases (plc, station, way, class, opened, state, told) VALUES ('pump-3', 'x', 'match', 'firmware', 3, 'done', 0)\"); \
                d.execute(\"INSERT INTO soaks VALUES (1, 'pump-3', zeroblob(32), NULL, 3, 5, 'changed', 'shaft', '1410 Hz', 3)\"); d.commit()";
    let said = run(bench.dir.path(), "python3", &["-c", lock]);
    assert_eq!(said.code, 0, "{}", said.text);
    bench.tpm.kill();
    bench.start_anyhow();
    let locked = bench.json(&["plc", "list"]);
    assert!(locked["plcs"][0]["locked"].is_string(), "{locked}");
    let id = break_glass(&bench, "go.json", &["lift-lock"]);
    let lifted = bench.json(&["plc", "list"]);
    assert!(lifted["plcs"][0]["locked"].is_null(), "{lifted}");
    assert!(bench.headgate(&["explain", "C-000001"]).contains(&id));
}
