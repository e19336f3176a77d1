//! Files that somebody deletes or empties while the gateway is off: each is named, with where to restore it from.

use std::path::Path;

use headgate_tests::peers::python;
use headgate_tests::{Bench, Plc, eventually, image};

const PROFILE: &str = "generic-file-record";

/// What is told of a file, and how it is taken away.
type Way = (&'static str, fn(&Path));

/// Gone, and an empty one in its place.
const WAYS: [Way; 2] = [
    ("was deleted", |path| std::fs::remove_file(path).expect("it is there")),
    ("was emptied", |path| std::fs::write(path, b"").expect("writable")),
];

fn bench() -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", PROFILE, "match", &image()[..4096]);
    bench.trust_acme();
    bench.start();
    (bench, plc)
}

/// The check of `headgate doctor`, as the gateway that runs answers it and as the command alone does.
fn checked(bench: &Bench, id: &str) -> String {
    let doctor = bench.json_anyhow(&["doctor"]);
    let check = doctor["checks"].as_array().expect("checks").iter().find(|c| c["id"] == id);
    check.expect("it is looked at").to_string()
}

/// Takes the file away while the gateway is off, and gives what is told then.
fn told(bench: &mut Bench, file: &str, (word, take_away): Way, shut: Option<&str>) -> String {
    bench.kill();
    let whole = std::fs::read(bench.path(file)).expect("it is there");
    take_away(&bench.path(file));
    let alone = checked(bench, "data.files");
    bench.start_anyhow();
    let alarm = bench.wait_alarm("HG-7019");
    let text = alarm["text"].as_str().expect("a text").to_owned();
    let name = file.strip_prefix("data/").expect("in the data folder");
    assert!(text.contains(&format!("{name} {word}")), "{text}");
    assert_eq!(alarm["latched"], true, "it stays until a person acknowledges it");
    match shut {
        Some(code) => {
            let status = bench.wait_status("it is shut", |s| s["gate"]["code"] == code);
            assert!(status["gate"]["text"].as_str().is_some_and(|t| t.contains(word)), "{status}");
            let alarm = bench.wait_alarm(code);
            assert_eq!(alarm["latched"], true, "{alarm}");
        }
        None => drop(bench.wait_status("the gate opens", |s| s["gate"]["open"] == true)),
    }
    for check in [alone, checked(bench, "data.files")] {
        assert!(
            check.contains(&format!("{name} {word}")) && check.contains("HG-7019") == check.contains("code"),
            "{check}"
        );
    }
    bench.kill();
    std::fs::write(bench.path(file), whole).expect("writable");
    bench.start();
    eventually("what is back is no cause any more", || {
        (bench.wait_alarm("HG-7019")["standing"] == false).then_some(())
    });
    assert!(checked(bench, "data.files").contains("is there"));
    text
}

#[test]
fn a_record_of_init_taken_away_is_named_and_init_does_not_begin_anew_in_its_place() {
    let (mut bench, _plc) = bench();
    for way in WAYS {
        let text = told(&mut bench, "data/tpm.json", way, Some("HG-7004"));
        assert!(text.contains("put it back from a copy of this box's data folder"), "{text}");
    }
    bench.kill();
    let record = std::fs::read(bench.path("data/tpm.json")).expect("it is there");
    let trust = std::fs::read(bench.path("data/trust.sealed")).expect("it is there");
    std::fs::remove_file(bench.path("data/tpm.json")).expect("it is there");
    for args in [
        &["init", "--site-key", "site.pub", "--request", "r"][..],
        &["audit", "list"],
        &["trust", "boot-states"],
    ] {
        let (code, text) = bench.refused(args);
        assert!(code == 71 && text.contains("HG-7004") && text.contains("tpm.json was deleted"), "{text}");
    }
    assert_eq!(std::fs::read(bench.path("data/trust.sealed")).expect("it is there"), trust, "untouched");
    bench.write("data/tpm.json", &record);
    bench.start();
}

#[test]
fn the_only_approval_of_a_boot_state_taken_away_is_no_gateway_that_was_never_approved() {
    let (mut bench, _plc) = bench();
    let entry = std::fs::read_dir(bench.path("data/approvals")).expect("a folder").flatten().next();
    let file = entry.expect("an approval").file_name().into_string().expect("a name");
    for way in WAYS {
        let text = told(&mut bench, &format!("data/approvals/{file}"), way, Some("HG-7019"));
        assert!(text.contains("headgate trust approve-pcrs"), "{text}");
    }
    // One that a person has taken out is not missed.
    bench.headgate(&["trust", "boot-states", "--forget", &file[..16]]);
    bench.kill();
    bench.start_anyhow();
    bench.wait_status("it is shut", |s| s["gate"]["code"] == "HG-7003");
    assert!(checked(&bench, "data.files").contains("is there"));
}

#[test]
fn a_signed_receipt_taken_away_is_named_and_the_gate_stays_open() {
    let (mut bench, plc) = bench();
    bench.wait_status("the identity is known", |s| s["plcs"][0]["identity"].is_string());
    let new = image()[8192..14_192].to_vec();
    bench.release("new.bin", &new, "pump-3");
    let (port, path) = (plc.conduit.port().to_string(), bench.path("new.bin").display().to_string());
    eventually("it passes", || (python("station.py", &[&port, &path, PROFILE]).code == 0).then_some(()));
    eventually("its receipt is signed", || {
        bench.json(&["receipt", "C-000001"])["signed"].is_string().then_some(())
    });
    for way in WAYS {
        let text = told(&mut bench, "data/receipts/C-000001.json", way, None);
        assert!(text.contains("put it back from a copy of the data folder"), "{text}");
    }
}

#[test]
fn the_checkpoints_of_the_audit_log_taken_away_are_named() {
    let (mut bench, _plc) = bench();
    bench.kill();
    let checkpoints = bench.path("data/audit/checkpoints.log");
    bench.start();
    eventually("a checkpoint is signed", || std::fs::metadata(&checkpoints).ok().filter(|m| m.len() > 0));
    bench.kill();
    std::fs::remove_file(&checkpoints).expect("it was there");
    bench.start();
    let alarm = bench.wait_alarm("HG-7019").to_string();
    assert!(alarm.contains("checkpoints.log was deleted"), "{alarm}");
}
