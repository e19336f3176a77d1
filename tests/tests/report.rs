//! The report for an auditor, of a real gateway with a software TPM: what it shows, and what it does not take for shown.

use std::path::Path;

use headgate_tests::peers::{python, run};
use headgate_tests::{Bench, Plc, eventually, image};
use serde_json::Value;

const YEARS: [&str; 4] = ["--from", "2020-01-01", "--to", "2100-01-01"];

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

/// A gateway that has let one update through and refused another.
fn bench() -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.trust_acme();
    let digest = bench.stage("<b>new&.bin", &image()[8192..14_192], "pump-3");
    bench.headgate(&["release", &digest, "--plc", "pump-3", "--ticket", "CHG-\"42\""]);
    bench.write("evil.bin", &image()[..5000]);
    bench.start();
    bench.wait_status("the identity is known", |s| s["plcs"][0]["identity"].is_string());
    assert_ne!(station(&bench, plc.conduit.port(), "evil.bin"), 0);
    assert_eq!(station(&bench, plc.conduit.port(), "<b>new&.bin"), 0);
    eventually("the receipt is signed", || {
        let said = bench.try_headgate(&["--json", "receipt", "C-000002"]);
        serde_json::from_slice::<Value>(&said.stdout).ok()?["signed"].is_string().then_some(())
    });
    (bench, plc)
}

fn station(bench: &Bench, port: u16, name: &str) -> i32 {
    python("station.py", &[&port.to_string(), &bench.path(name).display().to_string(), "generic-file-record"])
        .code
}

fn report(bench: &Bench) -> Value {
    bench.json(&[&["report", "cip-010"], &YEARS[..]].concat())
}

#[test]
fn a_change_is_shown_by_its_receipt_which_the_page_carries_along() {
    let (bench, _plc) = bench();
    let said = report(&bench);
    let change = &said["changes"][0];
    for answer in ["source", "integrity", "before_change", "evidence"] {
        assert_eq!(change[answer]["shown"], true, "{answer}: {said}");
    }
    assert_eq!((&change["case"], &change["ticket"]), (&"C-000002".into(), &"CHG-\"42\"".into()), "{said}");
    assert_eq!(said["others"][0]["case"], "C-000001", "{said}");
    let words = bench.headgate(&[&["report", "cip-010"], &YEARS[..], &["-o", "report.html"]].concat());
    assert!(words.contains("1 changes in effect, 1 shown to be verified before"), "{words}");
    std::fs::create_dir(bench.path("out")).expect("writable");
    let path = |name: &str| bench.path(name).display().to_string();
    let page = python("page.py", &[&path("report.html"), &path("out")]);
    assert_eq!(page.code, 0, "{}", page.text);
    for part in ["Every change in this period is shown", "<b>new&.bin", "CHG-\"42\"", "C-000001"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    bench.headgate(&["receipt", "--keys", "keys"]);
    let (file, key) = (path("out/C-000002.receipt.json"), path("keys/evidence.pem"));
    let program = headgate_tests::headgate().display().to_string();
    let checked = run(Path::new("/"), &program, &["receipt", "--verify", &file, "--key", &key]);
    assert_eq!(checked.code, 0, "{}", checked.text);
}

#[test]
fn an_edited_receipt_another_case_s_and_a_change_past_the_gate_are_not_taken_for_shown() {
    let (mut bench, plc) = bench();
    assert_eq!(station(&bench, plc.target.port(), "evil.bin"), 0, "past the gate it goes through");
    bench.wait_alarm("HG-6016");
    let said = report(&bench);
    assert!(said["outside"][0]["text"].as_str().is_some_and(|t| t.contains("no case explains it")), "{said}");
    bench.kill();
    let file = bench.path("data/receipts/C-000002.json");
    let good = std::fs::read_to_string(&file).expect("the receipt");
    for edited in [good.replacen("eyJ", "eyI", 1), good.replacen("\"sig\":\"ME", "\"sig\":\"MF", 1)] {
        assert_ne!(edited, good);
        std::fs::write(&file, &edited).expect("writable");
        let said = report(&bench);
        assert_eq!(said["changes"][0]["source"]["shown"], false, "{said}");
        assert_eq!(said["changes"][0]["evidence"]["shown"], false, "{said}");
    }
    std::fs::remove_file(&file).expect("it was there");
    let said = report(&bench);
    let why = &said["changes"][0]["evidence"]["text"];
    assert!(why.as_str().is_some_and(|t| t.contains("its file is gone")), "{said}");
    let (code, text) = bench.refused(&["report", "cip-010", "--from", "2026-02-01", "--to", "2026-01-01"]);
    assert!(code == 2 && text.contains("has no moment in it"), "{code} {text}");
}
