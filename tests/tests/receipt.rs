//! The receipt of an update, from the judge to the auditor's desk: made by a real gateway with a software TPM, checked by
//! the command, and by OpenSSL, jq and tpm2_checkquote as docs/receipts.md has it.

use std::path::Path;

use headgate_tests::peers::{python, run};
use headgate_tests::relay::{Hold, Relay};
use headgate_tests::{Bench, Plc, eventually, image};
use serde_json::Value;

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn new_firmware() -> Vec<u8> {
    image()[8192..14_192].to_vec()
}

/// A running gateway that knows its controller, and a released image `new.bin`, with its digest.
fn bench(way: &str) -> (Bench, Plc, Relay, String) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", way, &old_firmware());
    let relay = Relay::to(plc.target);
    bench.reconfigure(&format!("target = \"{}\"", plc.target), &format!("target = \"{}\"", relay.address));
    bench.trust_acme();
    let digest = bench.stage("new.bin", &new_firmware(), "pump-3");
    bench.headgate(&["release", &digest, "--plc", "pump-3", "--ticket", "CHG-42", "--station", "127.0.0.1"]);
    bench.start();
    bench.wait_status("the identity is known", |s| s["plcs"][0]["identity"].is_string());
    (bench, plc, relay, digest)
}

fn download(bench: &Bench, plc: &Plc, name: &str) -> i32 {
    let path = bench.path(name).display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

/// The answer about a case, once its receipt is signed.
fn wait_signed(bench: &Bench, case: &str) -> Value {
    eventually(&format!("the receipt of {case} is signed"), || {
        let said = bench.try_headgate(&["--json", "receipt", case]);
        let answer: Value = serde_json::from_slice(&said.stdout).ok()?;
        answer["signed"].is_string().then_some(answer)
    })
}

/// The file of a receipt and the statement in it.
fn written(bench: &Bench, case: &str, file: &str) -> Value {
    wait_signed(bench, case);
    bench.headgate(&["receipt", case, "-o", file]);
    statement(&bench.path(file))
}

fn statement(file: &Path) -> Value {
    let payload =
        run(Path::new("/"), "sh", &["-c", &format!("jq -r .payload {} | base64 -d", file.display())]);
    serde_json::from_str(&payload.text).expect("a statement")
}

/// Runs the check without configuration, TPM or network, in another folder.
fn verify(bench: &Bench, file: &str, more: &[&str]) -> (i32, String) {
    let elsewhere = bench.path("elsewhere");
    std::fs::create_dir_all(&elsewhere).expect("writable");
    let file = bench.path(file).display().to_string();
    let args = ["--config", "nowhere.toml", "receipt", "--verify", &file];
    let program = headgate_tests::headgate().display().to_string();
    let said = run(&elsewhere, &program, &[&args[..], more].concat());
    (said.code, said.text)
}

/// As [`verify`], with the keys of `keys/`.
fn verify_with_keys(bench: &Bench, file: &str) -> (i32, String) {
    let key = |name: &str| bench.path("keys").join(name).display().to_string();
    let (evidence, attestation) = (key("evidence.pem"), key("attestation.pem"));
    verify(bench, file, &["--key", &evidence, "--attestation-key", &attestation])
}

/// What docs/receipts.md has a reader type.
fn page_commands() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/receipts.md");
    let text = std::fs::read_to_string(page).expect("docs/receipts.md");
    let blocks = text.split("```sh\n").skip(1).map(|b| b.split_once("```").expect("the block ends").0);
    blocks.collect()
}

/// Runs the page's commands in a new folder that has the receipt, the keys and the image.
fn by_hand(bench: &Bench, receipt: &str) -> (i32, String) {
    let folder = tempfile::tempdir_in(bench.dir.path()).expect("writable");
    let put = |from: &str, to: &str| {
        std::fs::copy(bench.path(from), folder.path().join(to)).expect("it is there");
    };
    put(receipt, "receipt.json");
    put("keys/evidence.pem", "evidence.pem");
    put("keys/attestation.pem", "attestation.pem");
    put("new.bin", "new.bin");
    let said = run(folder.path(), "bash", &["-e", "-u", "-o", "pipefail", "-c", &page_commands()]);
    (said.code, said.text)
}

#[test]
fn a_matched_update_has_a_receipt_that_anybody_checks_and_nobody_edits() {
    let (bench, plc, _relay, digest) = bench("match");
    assert_eq!(download(&bench, &plc, "new.bin"), 0);
    let said = written(&bench, "C-000001", "receipt.json");
    bench.headgate(&["receipt", "--keys", "keys"]);
    let record = &said["predicate"]["headgate"];
    let me = format!("uid {}", rustix::process::getuid().as_raw());
    for (pointer, expected) in [
        ("/_type", "https://in-toto.io/Statement/v1"),
        ("/predicateType", "https://slsa.dev/verification_summary/v1"),
        ("/subject/0/name", "new.bin"),
        ("/subject/0/digest/sha256", &digest),
        ("/predicate/verifier/id", "headgate/bench"),
        ("/predicate/resourceUri", "bench/pump-3"),
        ("/predicate/verificationResult", "PASSED"),
        ("/predicate/headgate/case", "bench/C-000001"),
        ("/predicate/headgate/outcome", "done"),
        ("/predicate/headgate/way", "match"),
        ("/predicate/headgate/station", "127.0.0.1"),
        ("/predicate/headgate/controller/readBack", "identity-only"),
        ("/predicate/headgate/release/by", &me),
        ("/predicate/headgate/release/ticket", "CHG-42"),
        ("/predicate/headgate/signer/name", "acme"),
        ("/predicate/headgate/stages/2/stage", "signature"),
        ("/predicate/headgate/stages/2/outcome", "passed"),
        ("/predicate/headgate/audit/origin", "headgate/bench"),
    ] {
        assert_eq!(said.pointer(pointer), Some(&Value::from(expected)), "{pointer}: {said}");
    }
    let revision =
        |which: &str| record["controller"][which]["revision"].as_str().unwrap_or_default().to_owned();
    assert!(revision("after").contains(&digest[..8]) && revision("before") != revision("after"), "{said}");
    assert_eq!(record["deliveredBytes"], 6000);
    assert!(
        record["stages"][3]["inputAgeSeconds"].is_u64(),
        "the identity that was compared has an age: {said}"
    );

    let page = bench.headgate(&["receipt", "C-000001"]);
    assert!(page.lines().all(|l| l.chars().count() <= 80) && page.lines().count() <= 60, "{page}");
    for part in ["bench/C-000001", "CHG-42", "PASSED", "identity only", &digest, "under a checkpoint"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let (code, text) = verify_with_keys(&bench, "receipt.json");
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("\nok").count() + usize::from(text.starts_with("ok")), 8, "{text}");
    let (code, text) = by_hand(&bench, "receipt.json");
    assert!(code == 0 && text.contains("Verified OK") && text.contains("new.bin: OK"), "{text}");
    // What was signed is in the log, which an auditor has from elsewhere.
    let list = bench.json(&["audit", "list"]);
    let entries = list["entries"].as_array().expect("entries");
    let index = record["audit"]["index"].as_u64().expect("an index");
    assert!(entries.iter().any(|e| e["n"] == index && e["digest"] == digest.as_str()), "{list}");
    assert!(entries.iter().any(|e| e["text"].as_str().is_some_and(|t| t.contains("its receipt is signed"))));
    let report = bench.json(&["audit", "verify"]);
    assert!(report["checkpoints"].as_u64().is_some_and(|n| n > 0), "{report}");

    every_edit_is_refused(&bench);
    // On the gateway itself its own key is known.
    bench.headgate(&["receipt", "--verify", "receipt.json"]);
    let (code, text) = verify(&bench, "receipt.json", &[]);
    assert!(code == 2 && text.contains("--key"), "{code} {text}");
    assert_eq!(verify(&bench, "nothing.json", &[]).0, 3);
    let (code, text) = verify(&bench, "new.bin", &[]);
    assert!(code == 11, "{code} {text}");
    bench.write("sparse.json", b"{}");
    assert_eq!(verify(&bench, "sparse.json", &[]).0, 11);
}

/// `receipt.json` after each edit.
fn every_edit_is_refused(bench: &Bench) {
    let text = std::fs::read_to_string(bench.path("receipt.json")).expect("it was written");
    let envelope: Value = serde_json::from_str(&text).expect("JSON");
    let said = statement(&bench.path("receipt.json"));
    let payload = canonical(&said);
    let edit = |from: &str, to: &str| {
        assert!(payload.contains(from), "{from}");
        payload.replacen(from, to, 1)
    };
    let attest = said["predicate"]["headgate"]["quote"]["attest"].as_str().expect("a quote");
    let other = format!("{}AAAA{}", &attest[..40], &attest[44..]);
    let pcr = said["predicate"]["headgate"]["quote"]["pcrs"][0]["sha256"].as_str().expect("a value");
    for (what, payload, part) in [
        ("a ticket", edit("CHG-42", "CHG-43"), "nonce"),
        ("the result", edit("PASSED", "FAILED"), "nonce"),
        ("a PCR", edit(pcr, &pcr.chars().rev().collect::<String>()), "pcrs"),
        ("the quote", edit(attest, &other), "quote"),
    ] {
        bench.write("payload", payload.as_bytes());
        let encoded = run(bench.dir.path(), "base64", &["-w0", "payload"]).text;
        let mut edited = envelope.clone();
        edited["payload"] = Value::from(encoded.trim());
        bench.write("edited.json", edited.to_string().as_bytes());
        let (code, text) = verify_with_keys(bench, "edited.json");
        assert!(code == 12 && text.contains("WRONG      signature"), "{what}: {code} {text}");
        let named = text.lines().any(|l| l.starts_with("WRONG") && l.contains(part));
        assert!(named, "{what} is named: {text}");
        let (code, text) = by_hand(bench, "edited.json");
        assert!(code != 0, "{what}, by hand: {text}");
    }
    let signature = envelope["signatures"][0]["sig"].as_str().expect("a signature");
    let mut edited = envelope.clone();
    edited["signatures"][0]["sig"] = Value::from(format!("{}{}", &signature[..40], swap(&signature[40..])));
    bench.write("edited.json", edited.to_string().as_bytes());
    assert_eq!(verify_with_keys(bench, "edited.json").0, 12, "an edited signature");
    assert!(by_hand(bench, "edited.json").0 != 0, "an edited signature, by hand");

    let make = "openssl ecparam -genkey -name prime256v1 -noout | openssl ec -pubout -out thief.pem";
    assert_eq!(run(bench.dir.path(), "sh", &["-c", make]).code, 0);
    let thief = bench.path("thief.pem").display().to_string();
    let (code, text) = verify(bench, "receipt.json", &["--key", &thief]);
    assert!(code == 12 && text.contains("another gateway's"), "{code} {text}");
    let ours = bench.path("keys/evidence.pem").display().to_string();
    let (code, text) = verify(bench, "receipt.json", &["--key", &ours, "--attestation-key", &thief]);
    assert!(code == 12 && text.contains("not the one that was given"), "{code} {text}");
    let (code, text) = verify(bench, "receipt.json", &["--key", &ours]);
    assert!(code == 0 && text.contains("not looked attestation key"), "{code} {text}");
}

/// The first character exchanged for another of the alphabet.
fn swap(text: &str) -> String {
    let first = if text.starts_with('A') { "B" } else { "A" };
    format!("{first}{}", &text[1..])
}

/// Canonical JSON by jq, as docs/receipts.md makes it.
fn canonical(value: &Value) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("value"), value.to_string()).expect("writable");
    run(dir.path(), "jq", &["-jcS", ".", "value"]).text
}

#[test]
fn a_delivered_update_has_a_receipt_and_a_quote_of_another_is_none_of_it() {
    let (bench, plc, _relay, digest) = bench("stage");
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&new_firmware());
    let first = written(&bench, "C-000001", "receipt.json");
    bench.headgate(&["receipt", "--keys", "keys"]);
    assert_eq!(first["predicate"]["headgate"]["station"], "gateway");
    assert_eq!(first["predicate"]["headgate"]["way"], "stage");
    let (code, text) = verify_with_keys(&bench, "receipt.json");
    assert_eq!(code, 0, "{text}");
    assert_eq!(by_hand(&bench, "receipt.json").0, 0);

    // A second one: through the gate this time, and its quote in the place of the first one's.
    bench.headgate(&["release", &digest, "--plc", "pump-3"]);
    eventually("the station's update passes", || (download(&bench, &plc, "new.bin") == 0).then_some(()));
    let cases = bench.json(&["status"]);
    let case = eventually("another case is done", || {
        (2..9)
            .map(|n| format!("C-{n:06}"))
            .find(|case| bench.try_headgate(&["receipt", case, "-o", "second.json"]).status.success())
    });
    let second = statement(&bench.path("second.json"));
    assert_eq!(second["predicate"]["headgate"]["station"], "127.0.0.1", "{case} {cases}");
    assert_eq!(verify_with_keys(&bench, "second.json").0, 0);
    let mut mixed = first.clone();
    mixed["predicate"]["headgate"]["quote"] = second["predicate"]["headgate"]["quote"].clone();
    bench.write("payload", canonical(&mixed).as_bytes());
    let text = std::fs::read_to_string(bench.path("receipt.json")).expect("it was written");
    let mut envelope: Value = serde_json::from_str(&text).expect("JSON");
    envelope["payload"] = Value::from(run(bench.dir.path(), "base64", &["-w0", "payload"]).text.trim());
    bench.write("mixed.json", envelope.to_string().as_bytes());
    let (code, text) = verify_with_keys(&bench, "mixed.json");
    assert!(code == 12 && text.contains("a quote of another time"), "{code} {text}");
}

#[test]
fn a_refused_case_has_a_page_that_nobody_signed() {
    let (bench, plc, _relay, _) = bench("match");
    bench.write("other.bin", &image()[20_480..30_000]);
    assert_eq!(download(&bench, &plc, "other.bin"), 1);
    let page = eventually("the case has ended", || {
        let page = bench.headgate(&["receipt", "c-000001"]);
        page.contains("the case was refused").then_some(page)
    });
    assert!(page.contains("NOT SIGNED") && page.contains("FAILED: refused HG-6006"), "{page}");
    let (code, text) = bench.refused(&["receipt", "C-000001", "-o", "receipt.json"]);
    assert!(code == 3 && text.contains("no signed receipt"), "{code} {text}");
    assert!(!bench.path("receipt.json").exists());
    assert_eq!(bench.refused(&["receipt", "C-000099"]).0, 3);
    assert_eq!(bench.refused(&["receipt", "nonsense"]).0, 2);
    assert_eq!(bench.refused(&["receipt"]).0, 2);
    let before = bench.json(&["status"])["tpm_usage"][1].as_u64();
    for _ in 0..5 {
        assert_eq!(download(&bench, &plc, "other.bin"), 1);
    }
    bench.headgate(&["receipt", "C-000003"]);
    assert_eq!(bench.json(&["status"])["tpm_usage"][1].as_u64(), before, "no station makes the TPM sign");
}

#[test]
fn a_receipt_is_made_though_the_gateway_dies_between_the_commit_and_the_reading_back() {
    let (mut bench, plc, relay, digest) = bench("match");
    relay.hold(Hold::Identity);
    assert_eq!(download(&bench, &plc, "new.bin"), 0);
    eventually("it is on record that the image was taken", || {
        bench.headgate(&["explain", "C-000001"]).contains("its identity is read back").then_some(())
    });
    bench.kill();
    relay.hold(Hold::Nothing);
    bench.start();
    let said = written(&bench, "C-000001", "receipt.json");
    let record = &said["predicate"]["headgate"];
    assert_eq!(said["subject"][0]["digest"]["sha256"], digest.as_str());
    assert_eq!(record["stages"][1]["outcome"], "passed", "what was known before it died: {said}");
    assert!(record["controller"]["before"]["revision"].is_string(), "{said}");
    assert_eq!(record["controller"]["readBack"], "identity-only");
    bench.headgate(&["receipt", "--keys", "keys"]);
    let (code, text) = verify_with_keys(&bench, "receipt.json");
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_receipt_comes_later_when_the_tpm_is_away_at_that_moment() {
    let (mut bench, plc, relay, _) = bench("match");
    relay.hold(Hold::Identity);
    assert_eq!(download(&bench, &plc, "new.bin"), 0);
    bench.tpm.kill();
    bench.wait_status("the gate is shut", |s| s["gate"]["open"] == false);
    relay.hold(Hold::Nothing);
    eventually("the story says that the receipt waits", || {
        bench
            .headgate(&["explain", "C-000001"])
            .contains("its receipt waits until the TPM signs")
            .then_some(())
    });
    let page = bench.headgate(&["receipt", "C-000001"]);
    assert!(page.contains("NOT SIGNED   it waits until the TPM signs"), "{page}");
    comes_back(&mut bench);
    signed_after_all(&bench, &page);
}

#[test]
fn a_receipt_that_waits_outlives_a_restart_and_an_edit_on_the_disk_is_told() {
    let (mut bench, plc, relay, _) = bench("match");
    relay.hold(Hold::Identity);
    assert_eq!(download(&bench, &plc, "new.bin"), 0);
    bench.tpm.kill();
    bench.wait_status("the gate is shut", |s| s["gate"]["open"] == false);
    relay.hold(Hold::Nothing);
    bench.wait_status("the case is closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    let page = bench.headgate(&["receipt", "C-000001"]);
    bench.kill();
    comes_back(&mut bench);
    bench.start();
    signed_after_all(&bench, &page);

    let kept = bench.path("data/receipts/C-000001.json");
    let text = std::fs::read_to_string(&kept).expect("it is kept");
    let mut envelope: Value = serde_json::from_str(&text).expect("JSON");
    let payload = canonical(&statement(&kept)).replace("CHG-42", "CHG-43");
    bench.write("payload", payload.as_bytes());
    envelope["payload"] = Value::from(run(bench.dir.path(), "base64", &["-w0", "payload"]).text.trim());
    std::fs::write(&kept, envelope.to_string()).expect("writable");
    let page = bench.headgate(&["receipt", "C-000001"]);
    assert!(page.contains("NOT SIGNED   signature: not of the gateway's key"), "{page}");
    std::fs::write(&kept, "{}").expect("writable");
    assert!(bench.headgate(&["receipt", "C-000001"]).contains("cannot be read"));
}

/// The TPM has its power again, and the box has measured what it did before.
fn comes_back(bench: &mut Bench) {
    bench.tpm.restart().expect("swtpm starts");
    for pcr in [0, 2, 4, 7] {
        bench.extend(pcr, "the firmware this bench booted");
    }
}

/// `page` is that of the time when it waited.
fn signed_after_all(bench: &Bench, page: &str) {
    written(bench, "C-000001", "receipt.json");
    bench.headgate(&["receipt", "--keys", "keys"]);
    let (code, text) = verify_with_keys(bench, "receipt.json");
    assert_eq!(code, 0, "{text}");
    let row = |page: &str, label: &str| page.lines().find(|l| l.starts_with(label)).map(str::to_owned);
    for label in ["Time", "Image", "SHA-256", "Before", "After", "Ticket", "Stages"] {
        let waited = row(page, label);
        assert!(waited.is_some() && waited == row(&text, label), "{label}: {page}\n{text}");
    }
}
