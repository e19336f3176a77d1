//! Approved boot states through their whole life: foreseen, installed before the restart, revoked for good.

use headgate_tests::peers::run;
use headgate_tests::{Bench, digest};

fn sign(bench: &Bench, request: &str, approval: &str) {
    bench.headgate(&["site-key", "sign", request, "--out", approval]);
}

/// What a PCR will hold once `with` is measured into it (Part 3 §22.2).
fn extended(now: &[u8], with: &str) -> String {
    let joined = [now, &digest(with.as_bytes())].concat();
    gateway::vault::hex(&digest(&joined))
}

/// The value of a PCR, as tpm2_pcrread writes it.
fn pcr(bench: &Bench, index: u8) -> Vec<u8> {
    bench.tpm2("tpm2_pcrread", &["-o", "pcr.bin", &format!("sha256:{index}")]);
    std::fs::read(bench.path("pcr.bin")).expect("tpm2_pcrread writes it")
}

#[test]
fn an_update_whose_boot_state_was_foreseen_and_approved_opens_the_gate_by_itself() {
    let mut bench = Bench::new();
    bench.start();
    let foreseen = format!("  sha256:\n    4 : 0x{}\n", extended(&pcr(&bench, 4), "the next kernel"));
    bench.write("pcrs.txt", foreseen.as_bytes());
    bench.headgate(&["init", "--request-only", "--pcrs", "pcrs.txt", "--request", "next.json"]);
    sign(&bench, "next.json", "next-approval.json");
    bench.headgate(&["trust", "approve-pcrs", "next-approval.json"]);
    let list = bench.headgate(&["trust", "boot-states"]);
    assert!(
        list.contains("the present boot state") && list.contains("another boot state (PCR [4])"),
        "{list}"
    );
    assert!(list.contains("asked for by bench (not signed)"), "{list}");

    bench.kill();
    bench.extend(4, "the next kernel");
    bench.start();
    let list = bench.headgate(&["trust", "boot-states"]);
    assert_eq!(list.matches("the present boot state").count(), 1, "{list}");
    bench.extend(4, "another kernel");
    bench.wait_status("a boot state that nobody approved shuts it", |s| s["gate"]["code"] == "HG-7002");
}

#[test]
fn a_revoked_approval_never_opens_the_gate_again() {
    let mut bench = Bench::new();
    bench.start();
    let (code, error) = bench.refused(&["trust", "revoke-boot-states"]);
    assert!(code == 2 && error.contains("the gate would shut"), "{code} {error}");

    bench.headgate(&["init", "--request-only", "--next-epoch", "--request", "next.json"]);
    sign(&bench, "next.json", "next-approval.json");
    let said = bench.headgate(&["trust", "approve-pcrs", "next-approval.json"]);
    assert!(said.contains("from the next epoch on"), "{said}");
    let said = bench.headgate(&["trust", "revoke-boot-states"]);
    assert!(said.contains("open"), "{said}");
    let states = bench.json(&["trust", "boot-states"]);
    assert_eq!(states["approvals"].as_array().map(Vec::len), Some(1), "the revoked one is gone: {states}");
    let (code, error) = bench.refused(&["trust", "approve-pcrs", "approval.json"]);
    assert!(code == 71 && error.contains("revoked"), "{code} {error}");

    // Put back beside the gateway's back, in place of the new one.
    bench.kill();
    let approval = std::fs::read(bench.path("approval.json")).expect("the first one");
    for entry in std::fs::read_dir(bench.path("data/approvals")).expect("a folder").flatten() {
        std::fs::remove_file(entry.path()).expect("it was there");
    }
    let name = gateway::vault::hex(&digest(&approval));
    bench.write(&format!("data/approvals/{name}.json"), &approval);
    bench.start_anyhow();
    bench.wait_status("the TPM itself refuses it", |s| s["gate"]["code"] == "HG-7002");
}

#[test]
fn a_cut_between_the_increment_and_the_tidying_leaves_an_approval_that_holds() {
    let mut bench = Bench::new();
    bench.headgate(&["init", "--request-only", "--next-epoch", "--request", "next.json"]);
    sign(&bench, "next.json", "next-approval.json");
    bench.headgate(&["trust", "approve-pcrs", "next-approval.json"]);
    bench.start();
    bench.kill();
    // All that revoking had done when the power went.
    bench.tpm2("tpm2_nvincrement", &["-C", "o", "0x01801000"]);
    bench.start();
    let states = bench.json(&["trust", "boot-states"]);
    assert_eq!(states["epoch"], 2, "{states}");
    assert!(bench.headgate(&["trust", "boot-states"]).contains("revoked"));
}

#[test]
fn what_is_foreseen_wrongly_is_refused_with_its_line() {
    let bench = Bench::new();
    for (text, part) in [
        ("sha256:\n 4 : 0x12", "line 2"),
        ("sha1:\n 4 : 0x12", "no PCR values of the SHA-256 bank"),
        ("", "no PCR values"),
        (&format!("9 : 0x{}", "ab".repeat(32)), "PCR 9"),
    ] {
        bench.write("pcrs.txt", text.as_bytes());
        let (code, error) =
            bench.refused(&["init", "--request-only", "--pcrs", "pcrs.txt", "--request", "next.json"]);
        assert!(code != 0 && error.contains(part), "{text:?}: {code} {error}");
    }
}

/// Puts an approval where an installed one lies, beside the gateway's back.
fn put_back(bench: &Bench, approval: &[u8]) {
    std::fs::create_dir_all(bench.path("data/approvals")).expect("writable");
    let name = gateway::vault::hex(&digest(approval));
    bench.write(&format!("data/approvals/{name}.json"), approval);
}

/// The fingerprint of the bench's site key, as it is shown and typed.
fn fingerprint(bench: &Bench) -> String {
    let der = run(
        &bench.path("."),
        "openssl",
        &["pkey", "-pubin", "-in", "site.pub", "-outform", "DER", "-out", "der"],
    );
    assert_eq!(der.code, 0, "{}", der.text);
    gateway::vault::hex(&digest(&std::fs::read(bench.path("der")).expect("openssl wrote it")))
}

#[test]
fn a_box_that_is_set_up_anew_stays_shut_until_the_site_key_signs_again_and_says_so_until_a_person_has_seen_it()
 {
    let mut bench = Bench::new();
    let old = std::fs::read(bench.path("approval.json")).expect("the first one");
    let record = std::fs::read(bench.path("data/tpm.json")).expect("init wrote it");
    let again = ["init", "--site-key", "site.pub", "--again"];
    let (code, error) = bench.refused(&again);
    assert!(
        code == 2 && error.contains("approval-request.json") && error.contains("nothing was changed"),
        "{error}"
    );
    let (code, error) = bench.refused(&[&again[..], &["--request", "nowhere/r.json"]].concat());
    assert!(code == 2 && error.contains("nothing was changed"), "{error}");
    assert_eq!(std::fs::read(bench.path("data/tpm.json")).expect("it is there"), record);
    let epoch = bench.json(&["trust", "boot-states"])["epoch"].as_u64().expect("a number");

    bench.headgate(&[&again[..], &["--request", "anew.json"]].concat());
    let states = bench.json(&["trust", "boot-states"]);
    assert_eq!(states["epoch"].as_u64(), Some(epoch + 1), "{states}");
    assert_eq!(states["approvals"].as_array().map(Vec::len), Some(0), "{states}");
    bench.start_anyhow();
    bench.wait_status("nothing is approved", |s| s["gate"]["code"] == "HG-7003");
    bench.kill();
    put_back(&bench, &old);
    bench.start_anyhow();
    bench.wait_status("the TPM itself refuses the old approval", |s| s["gate"]["code"] == "HG-7002");
    let (code, error) = bench.refused(&["trust", "approve-pcrs", "approval.json"]);
    assert!(code == 71 && error.contains("revoked"), "{code} {error}");

    sign(&bench, "anew.json", "anew-approval.json");
    bench.headgate(&["trust", "approve-pcrs", "anew-approval.json"]);
    bench.wait_status("it opens", |s| s["gate"]["open"] == true);
    bench.kill();
    bench.start();
    let alarm = bench.wait_alarm("HG-7022").to_string();
    let key = fingerprint(&bench);
    assert_eq!(alarm.matches(&key).count(), 2, "the old key and the new one: {alarm}");
    assert!(bench.json_anyhow(&["doctor"]).to_string().contains("HG-7022"));
    bench.headgate(&["alarms", "ack", "bench", "HG-7022"]);
    bench.wait_status("a person has seen it", |s| headgate_tests::alarm(s, "HG-7022").is_none());
}

#[test]
fn a_new_data_folder_on_a_tpm_that_was_in_use_is_told_and_the_old_approval_opens_nothing() {
    let mut bench = Bench::new();
    let old = std::fs::read(bench.path("approval.json")).expect("the first one");
    std::fs::rename(bench.path("data"), bench.path("taken")).expect("it was there");
    bench.headgate(&["init", "--site-key", "site.pub", "--request", "anew.json"]);
    put_back(&bench, &old);
    bench.start_anyhow();
    bench.wait_status("shut", |s| s["gate"]["code"] == "HG-7002");
    let alarm = bench.wait_alarm("HG-7022").to_string();
    assert!(alarm.contains("cannot be told") && alarm.contains(&fingerprint(&bench)), "{alarm}");
}

#[test]
fn a_pinned_site_key_is_the_only_one_that_a_box_is_set_up_with_and_opens_for() {
    let mut bench = Bench::new();
    let pin = |digits: &str| format!("recheck_s = 1\nsite_key = \"{digits}\"\n");
    let (none, other, ours) = ("recheck_s = 1\n", pin(&"22".repeat(32)), pin(&fingerprint(&bench)));
    bench.reconfigure(none, &other);
    let (code, error) = bench.refused(&["init", "--site-key", "site.pub", "--again", "--request", "r.json"]);
    assert!(code == 71 && error.contains("HG-7023"), "{code} {error}");
    bench.start_anyhow();
    bench.wait_status("another key's record", |s| s["gate"]["code"] == "HG-7023");
    bench.kill();
    bench.reconfigure(&other, &ours);
    bench.start();
}

#[test]
fn an_epoch_that_another_program_has_moved_on_is_told_with_both_numbers() {
    let mut bench = Bench::new();
    bench.start();
    bench.tpm2("tpm2_nvincrement", &["-C", "o", "0x01801000"]);
    let status = bench.wait_status("it shuts", |s| s["gate"]["code"] == "HG-7002");
    bench.kill();
    bench.start_anyhow();
    bench.wait_status("both numbers", |s| {
        s["gate"]["text"]
            .as_str()
            .is_some_and(|t| t.contains("noted epoch 1 last") && t.contains("in epoch 2"))
    });
    assert!(status["gate"]["text"].is_string());
}
