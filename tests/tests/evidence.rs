//! Trust that cannot go back, and a log that an auditor can check: attacked from outside, on a real software TPM.

use std::path::Path;

use gateway::audit::tree::Hash;
use headgate_tests::peers::{python, run};
use headgate_tests::{Bench, Plc, image};

fn bench() -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
    bench.trust_acme();
    (bench, plc)
}

fn download(bench: &Bench, plc: &Plc, name: &str) -> i32 {
    let path = bench.path(name).display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let (from, to) = (from.display().to_string(), to.display().to_string());
    assert_eq!(run(Path::new("/"), "cp", &["-a", &from, &to]).code, 0);
}

/// Starts the gateway, which must keep its gate shut with this code; gives its word, and checks that reads pass.
fn shut(bench: &mut Bench, plc: &Plc, code: &str) -> String {
    bench.start_anyhow();
    let status = bench.wait_status(&format!("the gate is shut with {code}"), |s| s["gate"]["code"] == code);
    headgate_tests::eventually("reads pass", || plc.exchange(1, &[3, 0, 0, 0, 1]).ok().filter(|r| r[0] == 3));
    let begin = plc.exchange(1, &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, 4, 0]).expect("an answer");
    assert_eq!(begin[0], 0x90, "an update is refused: {begin:02x?}");
    bench.wait_alarm(code);
    bench.kill();
    status["gate"]["text"].as_str().expect("a text").to_owned()
}

#[test]
fn what_was_done_is_in_the_log_and_an_auditor_checks_it_with_tools_of_others() {
    let (mut bench, plc) = bench();
    bench.start();
    let new = image()[8192..20_480].to_vec();
    let digest = bench.release("new.bin", &new, "pump-3");
    bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
    bench.write("unknown.bin", &image()[20_480..30_000]);
    assert_eq!(download(&bench, &plc, "unknown.bin"), 1);
    headgate_tests::eventually("the good one passes", || {
        (download(&bench, &plc, "new.bin") == 0).then_some(())
    });
    plc.wait_flash(&new);
    bench.wait_status("the case is closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    bench.headgate(&["alarms", "ack", "pump-3", "HG-6006"]);
    bench.headgate(&["withdraw", &digest, "--plc", "pump-3"]);

    let list = bench.json(&["audit", "list"]);
    let entries = list["entries"].as_array().expect("entries");
    let me = format!("uid {}", rustix::process::getuid().as_raw());
    for (kind, actor, subject, part) in [
        ("approval", me.as_str(), "boot-state", "epoch"),
        ("trust", &me, "", "trusted: key"),
        ("start", "gateway", "gateway", "starts"),
        ("config", "gateway", "configuration", "first"),
        ("boot-state", "gateway", "gate", "open"),
        ("verdict", &me, "pump-3", "staged"),
        ("release", &me, "pump-3", "1 use(s)"),
        ("verdict", "127.0.0.1", "pump-3", "refused"),
        ("verdict", "127.0.0.1", "pump-3", "done"),
        ("alarm-acknowledged", &me, "pump-3", "acknowledged"),
        ("withdraw", &me, "pump-3", "withdrawn"),
    ] {
        let found = entries.iter().any(|e| {
            let text = |key: &str| e[key].as_str().unwrap_or_default();
            text("kind") == kind
                && text("actor") == actor
                && (subject.is_empty() || text("subject") == subject)
                && text("text").contains(part)
        });
        assert!(found, "{kind} by {actor} on {subject}: {}", bench.headgate(&["audit", "list"]));
    }
    let done = entries.iter().find(|e| e["text"].as_str().is_some_and(|t| t.contains("done")));
    assert_eq!(done.expect("an update")["digest"], digest.as_str());

    bench.headgate(&["audit", "export", "out"]);
    let report = bench.json(&["audit", "verify"]);
    assert_eq!(report["beyond"], 0, "an export comes with a checkpoint over all of it: {report}");
    assert!(
        bench.headgate(&["audit", "verify"]).contains("\nheadgate/bench\n"),
        "the checkpoint on lines of its own"
    );
    let readme = std::fs::read_to_string(bench.path("out/README.txt")).expect("it comes with it");
    assert!(readme.contains("take it from tests/peers in the source code"), "{readme}");
    let there = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/audit.py");
    assert!(there.is_file() && !bench.path("out/audit.py").exists(), "where it says");
    let out = bench.path("out").display().to_string();
    let said = python("audit.py", &["verify", &out]);
    assert_eq!(said.code, 0, "{}", said.text);
    let last = (report["entries"].as_u64().expect("a number") - 1).to_string();
    std::fs::write(bench.path("out/entries.jsonl"), "{}\n").expect("writable");
    assert_eq!(python("audit.py", &["verify", &out]).code, 1, "and an edited one is none: {last} entries");
}

#[test]
fn an_edited_or_shortened_log_shuts_the_gate_says_where_and_is_set_aside_by_a_person_alone() {
    let (mut bench, plc) = bench();
    bench.start();
    bench.headgate(&["audit", "export", "kept"]);
    bench.kill();
    copy(&bench.path("data"), &bench.path("whole"));
    let log = bench.path("data/audit");
    let segment = std::fs::read_dir(&log).expect("a folder").flatten().map(|e| e.path());
    let segment = segment.filter(|p| !p.ends_with("checkpoints.log")).min().expect("a segment");
    let bytes = std::fs::read(&segment).expect("readable");
    let text = String::from_utf8(bytes.clone()).expect("text");
    let cases = [
        ("edited", text.replacen("trusted: key", "trusted: kez", 1).into_bytes(), "was edited"),
        ("shortened", bytes[..bytes.len() / 2].to_vec(), "entr"),
        ("without its first line", bytes[text.find('\n').expect("a line") + 1..].to_vec(), "entry 0"),
    ];
    for (what, bytes, part) in cases {
        copy(&bench.path("whole"), &bench.path("data"));
        std::fs::write(&segment, bytes).expect("writable");
        let text = shut(&mut bench, &plc, "HG-7013");
        assert!(text.contains(part), "{what}: {text}");
    }
    bench.start_anyhow();
    let (code, error) = bench.refused(&["audit", "list"]);
    assert!(code == 71 && error.contains("HG-7013"), "{code} {error}");
    bench.headgate(&["audit", "set-aside", "--reason", "a test edited it"]);
    bench.wait_status("the gate opens", |s| s["gate"]["open"] == true);
    let list = bench.headgate(&["audit", "list"]);
    assert!(list.contains("a test edited it") && list.contains("entry 0"), "{list}");
    assert!(
        std::fs::read_dir(bench.path("data/audit-aside")).expect("a folder").count() > 0,
        "nothing is thrown away"
    );
}

#[test]
fn an_old_log_put_back_alone_is_behind_the_checkpoint_that_was_seen() {
    let (mut bench, plc) = bench();
    bench.headgate(&["audit", "export", "first"]);
    copy(&bench.path("data/audit"), &bench.path("old"));
    bench.headgate(&[
        "trust",
        "remove",
        bench.json(&["trust", "show"])["anchors"][0]["id"].as_str().expect("an id"),
    ]);
    bench.headgate(&["audit", "export", "second"]);
    copy(&bench.path("old"), &bench.path("data/audit"));
    let text = shut(&mut bench, &plc, "HG-7013");
    assert!(text.contains("checkpoint"), "{text}");
}

#[test]
fn an_old_disk_a_deleted_store_and_a_counter_that_moved_are_told_apart() {
    let (mut bench, plc) = bench();
    copy(&bench.path("data"), &bench.path("old"));
    let anchor = bench.json(&["trust", "show"])["anchors"][0]["id"].as_str().expect("an id").to_owned();
    bench.headgate(&["trust", "remove", &anchor]);
    copy(&bench.path("data"), &bench.path("new"));

    // Two boots later: the old disk has heard nothing of the TPM since.
    for _ in 0..2 {
        bench.tpm.restart().expect("it starts");
        bench.boot();
    }
    copy(&bench.path("old"), &bench.path("data"));
    let text = shut(&mut bench, &plc, "HG-7011");
    assert!(text.contains("an old copy of the whole disk") && text.contains("2 boots and"), "{text}");

    copy(&bench.path("new"), &bench.path("data"));
    std::fs::copy(bench.path("old/trust.sealed"), bench.path("data/trust.sealed")).expect("writable");
    let text = shut(&mut bench, &plc, "HG-7011");
    assert!(text.contains("an old copy of the file"), "{text}");

    copy(&bench.path("new"), &bench.path("data"));
    std::fs::remove_file(bench.path("data/trust.sealed")).expect("it is there");
    let text = shut(&mut bench, &plc, "HG-7004");
    assert!(text.contains("deleted"), "{text}");

    copy(&bench.path("new"), &bench.path("data"));
    bench.start();
    let shown = bench.json(&["trust", "show"]);
    assert_eq!(shown["anchors"], serde_json::json!([]), "the newest state is the one without the key");
    bench.tpm2("tpm2_nvincrement", &["-C", "o", "0x01801001"]);
    let status = bench.wait_status("it notices", |s| s["gate"]["code"] == "HG-7012");
    assert!(status["gate"]["text"].as_str().is_some_and(|t| t.contains("another program")), "{status}");
    bench.kill();
    bench.tpm2("tpm2_nvundefine", &["-C", "o", "0x01801001"]);
    shut(&mut bench, &plc, "HG-7012");
}

/// Moves the counter that guards the state, as any program may that reaches the TPM.
fn move_counter(bench: &Bench) {
    bench.tpm2("tpm2_nvincrement", &["-C", "o", "0x01801001"]);
}

/// Starts the TPM again, as a box that boots.
fn boot_again(bench: &mut Bench) {
    bench.tpm.restart().expect("it starts");
    bench.boot();
}

#[test]
fn a_counter_moved_while_the_gateway_was_off_is_told_from_an_old_disk_by_the_clock_of_the_tpm() {
    let (mut bench, plc) = bench();
    bench.start();
    bench.kill();
    copy(&bench.path("data"), &bench.path("kept"));
    let checked = |bench: &Bench, id: &str| {
        let doctor = bench.json_anyhow(&["doctor"]);
        let checks = doctor["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|c| c["id"] == id).expect("it is looked at")["found"].to_string()
    };
    assert!(checked(&bench, "tpm.clock").contains("noted last at reset"), "{}", checked(&bench, "tpm.clock"));

    // In this boot.
    move_counter(&bench);
    let text = shut(&mut bench, &plc, "HG-7012");
    assert!(text.contains("another program has moved on") && text.contains("in this boot"), "{text}");
    let doctor = checked(&bench, "gate");
    assert!(doctor.contains("in this boot") && doctor.contains("s of power ago"), "{doctor}");
    // The verdict stays what it was at first sight, however often the box is started to look into it.
    for _ in 0..3 {
        boot_again(&mut bench);
    }
    let text = shut(&mut bench, &plc, "HG-7012");
    assert!(text.contains("in this boot"), "{text}");

    // The same disk, seen first some boots later, tells of an old copy.
    copy(&bench.path("kept"), &bench.path("data"));
    let text = shut(&mut bench, &plc, "HG-7011");
    assert!(text.contains("3 boots and"), "{text}");
}

#[test]
fn a_counter_moved_in_the_boot_after_the_last_one_is_told_and_a_disk_without_a_note_says_that_it_cannot_be_told()
 {
    let (mut bench, plc) = bench();
    bench.start();
    bench.kill();
    boot_again(&mut bench);
    move_counter(&bench);
    let text = shut(&mut bench, &plc, "HG-7012");
    assert!(text.contains("in the boot before"), "{text}");

    let (mut bench, plc) = self::bench();
    bench.start();
    bench.kill();
    sql(&bench, "DELETE FROM meta WHERE key LIKE 'tpm-clock%'");
    move_counter(&bench);
    let text = shut(&mut bench, &plc, "HG-7018");
    assert!(text.contains("cannot be told") && text.contains("no note"), "{text}");
    bench.start_anyhow();
    assert_eq!(bench.wait_alarm("HG-7018")["latched"], true, "it stays until a person acknowledges it");
}

/// Keeps the data and the TPM's memory as they are now, or puts them back: what the provider of a virtual machine can do.
fn snapshot(bench: &mut Bench, from: [&str; 2], to: [&str; 2]) {
    bench.tpm.kill();
    for (from, to) in from.iter().zip(to) {
        copy(&bench.path(from), &bench.path(to));
    }
    bench.tpm.restart().expect("it starts");
    bench.boot();
}

/// The newest checkpoint of an exported log.
fn checkpoint(bench: &Bench, log: &str) -> String {
    let files = std::fs::read_dir(bench.path(log).join("checkpoints")).expect("a folder").flatten();
    let names = files.map(|file| file.file_name().into_string().expect("a number"));
    let size =
        |name: &String| name.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().ok();
    let newest = names.max_by_key(size).expect("a checkpoint");
    format!("{log}/checkpoints/{newest}")
}

#[test]
fn a_disk_and_a_tpm_put_back_together_open_the_gate_and_a_checkpoint_kept_elsewhere_tells() {
    let (mut bench, _plc) = bench();
    bench.headgate(&["audit", "export", "early"]);
    let early = &checkpoint(&bench, "early");
    let (live, kept) = (["data", "tpm"], ["data-kept", "tpm-kept"]);
    snapshot(&mut bench, live, kept);
    let anchor = bench.json(&["trust", "show"])["anchors"][0]["id"].as_str().expect("an id").to_owned();
    bench.headgate(&["trust", "remove", &anchor]);
    bench.headgate(&["audit", "export", "late"]);
    let late = &checkpoint(&bench, "late");
    let against = |bench: &Bench, log: &str, seen: &str| {
        let path = |name: &str| bench.path(name).display().to_string();
        python("audit.py", &["verify", &path(log), "--seen", &path(seen)])
    };
    for seen in [early, late] {
        let said = against(&bench, "late", seen);
        assert_eq!(said.code, 0, "what has only grown holds against {seen}: {}", said.text);
    }

    snapshot(&mut bench, kept, live);
    bench.start();
    let shown = bench.json(&["trust", "show"]);
    assert_eq!(
        shown["anchors"].as_array().map(Vec::len),
        Some(1),
        "the key that was removed is back: {shown}"
    );
    bench.headgate(&["audit", "verify"]);
    bench.headgate(&["audit", "export", "back"]);
    let said = against(&bench, "back", early);
    assert_eq!(said.code, 0, "an older checkpoint tells nothing: {}", said.text);
    let said = against(&bench, "back", late);
    assert_eq!(said.code, 1, "the box that went back in time is told: {}", said.text);
    // The command says the same, and a log that has grown past the checkpoint again differs from it.
    bench.headgate(&["audit", "verify", "--against", early]);
    // As the broker keeps it.
    let note = std::fs::read_to_string(bench.path(late)).expect("exported");
    bench.write("kept.json", serde_json::json!({ "schema": 1, "checkpoint": note }).to_string().as_bytes());
    let (code, error) = bench.refused(&["audit", "verify", "--against", "kept.json"]);
    assert!(code == 71 && error.contains("HG-7013") && error.contains("checkpoint"), "{code} {error}");
    let (code, error) = bench.refused(&["audit", "verify", "--against", late]);
    assert!(code == 71 && error.contains("HG-7013") && error.contains("checkpoint"), "{code} {error}");
    for n in 0..8 {
        bench.headgate(&["backup", "-o", &format!("{n}.backup")]);
    }
    let (code, error) = bench.refused(&["audit", "verify", "--against", late]);
    assert!(code == 71 && error.contains("HG-7013"), "longer, and another one: {code} {error}");
    assert!(bench.json(&["status"])["gate"]["open"] == true, "asking changes nothing");
}

#[test]
fn changes_of_trust_are_counted_against_what_the_tpms_memory_is_good_for() {
    let (bench, _plc) = bench();
    let status = bench.json(&["status"]);
    assert_eq!(status["nv_writes"], serde_json::json!([1, 64]), "one key was trusted");
}

#[test]
fn nobody_with_a_shell_uses_up_what_a_revocation_needs() {
    let (bench, _plc) = bench();
    headgate_tests::papers::key(&bench, "site");
    bench.headgate(&["trust", "add", "site.pub", "--name", "site", "--role", "site"]);
    headgate_tests::papers::key(&bench, "noise");
    let add = ["trust", "add", "noise.pub", "--name", "noise", "--vendor", "noise", "--model", "*"];
    let mut refused = None;
    for _ in 0..40 {
        let (code, error) = match bench.try_headgate(&add) {
            out if out.status.success() => {
                let shown = bench.json(&["trust", "show"]);
                let anchors = shown["anchors"].as_array().expect("a list");
                let noise = anchors.iter().find(|a| a["name"] == "noise").expect("just added");
                let id = noise["id"].as_str().expect("an id").to_owned();
                match bench.try_headgate(&["trust", "remove", &id]) {
                    out if out.status.success() => continue,
                    out => (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned()),
                }
            }
            out => (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned()),
        };
        refused = Some((code, error));
        break;
    }
    let (_, error) = refused.expect("a limit");
    assert!(error.contains("48 of this kind") && error.contains("HG-1073"), "{error}");
    let image = "ab".repeat(32);
    bench.headgate(&["trust", "revoke", &image, "--reason", "malicious", "-o", "revoke.json"]);
    bench.headgate(&["sign-document", "revoke.json", "--key", "site.pem"]);
    bench.headgate(&["trust", "import", "revoke.json", "--yes"]);
    assert!(bench.headgate(&["trust", "show"]).contains("1 images"));
}

/// Rewrites the log as only its own hashes and checkpoints would tell, takes those away, and has the database forget them.
fn forge(bench: &Bench, change: impl Fn(Vec<String>) -> Vec<String>) {
    let log = bench.path("data/audit");
    let files = std::fs::read_dir(&log).expect("a folder").flatten().map(|e| e.path());
    let segment = files.filter(|p| !p.ends_with("checkpoints.log")).min().expect("a segment");
    let text = std::fs::read_to_string(&segment).expect("text");
    let entries = text.lines().map(|line| line[65..].to_owned()).collect();
    let changed = change(entries);
    let line = |entry: &String| format!("{} {entry}\n", Hash::of_leaf(entry.as_bytes()));
    let forged: String = changed.iter().map(line).collect();
    assert_ne!(forged, text, "something was changed");
    std::fs::write(&segment, forged).expect("writable");
    let _ = std::fs::remove_file(log.join("checkpoints.log"));
    sql(bench, "DELETE FROM meta WHERE key = 'audit-checkpoint'");
}

fn sql(bench: &Bench, change: &str) {
    let program =
        format!("import sqlite3; d = sqlite3.connect('data/state.db'); d.execute(\"{change}\"); d.commit()");
    let said = run(bench.dir.path(), "python3", &["-c", &program]);
    assert_eq!(said.code, 0, "{}", said.text);
}

/// One entry says something else.
fn edited(mut entries: Vec<String>, from: &str, to: &str) -> Vec<String> {
    let entry = entries.iter_mut().find(|entry| entry.contains(from)).expect("it was written down");
    *entry = entry.replacen(from, to, 1);
    entries
}

fn first(mut entries: Vec<String>, count: usize) -> Vec<String> {
    entries.truncate(count);
    entries
}

/// The log that does not fit is set aside, and the gateway goes on with the new one.
fn set_aside(bench: &mut Bench) {
    bench.start_anyhow();
    bench.headgate(&["audit", "set-aside", "--reason", "somebody wrote it anew"]);
    bench.wait_status("the gate opens", |s| s["gate"]["open"] == true);
    bench.kill();
    bench.start();
    bench.headgate(&["audit", "verify"]);
}

#[test]
fn a_log_written_anew_without_its_checkpoints_is_not_what_the_trust_store_remembers() {
    let (mut bench, plc) = bench();
    bench.start();
    bench.headgate(&["audit", "export", "kept"]);
    bench.kill();
    copy(&bench.path("data"), &bench.path("whole"));
    let cut: fn(Vec<String>) -> Vec<String> = |entries| first(entries, 1);
    let changed: fn(Vec<String>) -> Vec<String> = |e| edited(e, "was provisioned", "was proviSioned");
    for (what, change) in [("cut", cut), ("edited", changed)] {
        copy(&bench.path("whole"), &bench.path("data"));
        forge(&bench, change);
        let text = shut(&mut bench, &plc, "HG-7013");
        assert!(text.contains("written anew") && text.contains("trust store"), "{what}: {text}");
        for ask in [&["audit", "verify"][..], &["audit", "export", "forged"], &["doctor"]] {
            let said = bench.try_headgate(ask);
            let text = [said.stdout, said.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            assert!(!said.status.success() && text.contains("HG-7013"), "{what}: {ask:?}: {text}");
        }
        assert!(!bench.path("data/audit/checkpoints.log").exists(), "{what}: the TPM signs nothing of it");
    }
    set_aside(&mut bench);
    let writes = bench.json(&["status"])["nv_writes"].clone();
    assert_eq!(writes, serde_json::json!([2, 64]), "the trust store remembers the new log");
    bench.kill();
    forge(&bench, |entries| edited(entries, "somebody wrote it anew", "nothing happened"));
    shut(&mut bench, &plc, "HG-7013");
}

#[test]
fn a_log_written_anew_is_not_the_one_that_a_receipt_was_signed_over() {
    let (mut bench, plc) = bench();
    bench.start();
    let new = image()[8192..20_480].to_vec();
    bench.release("new.bin", &new, "pump-3");
    bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
    headgate_tests::eventually("it passes", || (download(&bench, &plc, "new.bin") == 0).then_some(()));
    headgate_tests::eventually("its receipt is signed", || {
        bench.path("data/receipts/C-000001.json").exists().then_some(())
    });
    let writes = bench.json(&["status"])["nv_writes"].clone();
    assert_eq!(writes, serde_json::json!([1, 64]), "what follows is newer than the last change of trust");
    bench.kill();
    forge(&bench, |entries| edited(entries, "staged", "stayed"));
    let text = shut(&mut bench, &plc, "HG-7013");
    assert!(text.contains("receipt"), "{text}");
    // The new log is another one; the receipt over the old one is no reason against it.
    set_aside(&mut bench);
    assert!(bench.path("data/receipts/C-000001.json").exists());
}

#[test]
fn a_database_taken_away_with_its_mark_is_gone_and_a_new_one_in_its_place_is_told() {
    let (mut bench, plc) = bench();
    bench.start();
    bench.kill();
    copy(&bench.path("data"), &bench.path("whole"));
    for kept in [&["tpm.json"][..], &["trust.sealed"], &["audit"]] {
        copy(&bench.path("whole"), &bench.path("data"));
        for entry in std::fs::read_dir(bench.path("data")).expect("a folder").flatten() {
            let name = entry.file_name().into_string().expect("a name");
            let is_state = name.starts_with("state.");
            let is_mark = ["tpm.json", "trust.sealed", "audit"].contains(&name.as_str());
            if is_state || is_mark && !kept.contains(&name.as_str()) {
                assert_eq!(run(&bench.path("data"), "rm", &["-r", &name]).code, 0);
            }
        }
        bench.start_anyhow();
        headgate_tests::eventually("reads pass", || {
            plc.exchange(1, &[3, 0, 0, 0, 1]).ok().filter(|r| r[0] == 3)
        });
        let begin = plc.exchange(1, &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, 4, 0]).expect("an answer");
        assert_eq!(begin[0], 0x90, "an update is refused: {begin:02x?}");
        let (code, text) = bench.refused(&["status"]);
        assert!(code == 71 && text.contains("HG-7005"), "{kept:?}: {code} {text}");
        bench.kill();
        assert!(!bench.path("data/state.db").exists(), "{kept:?}: none is made in its place");
    }
    copy(&bench.path("whole"), &bench.path("data"));
    sql(&bench, "DELETE FROM meta");
    let text = shut(&mut bench, &plc, "HG-7005");
    assert!(text.contains("a new database"), "{text}");
}
