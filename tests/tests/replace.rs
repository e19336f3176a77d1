//! A box dies, and a spare with a TPM of its own takes its place: as docs/replace.md has it, and everything else refused.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headgate_tests::peers::{python, run};
use headgate_tests::{Bench, image};

/// The commands of docs/replace.md for the spare.
fn page_blocks() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/replace.md");
    let text = std::fs::read_to_string(page).expect("docs/replace.md");
    let blocks = text.split("```sh\n").skip(1).map(|b| b.split_once("```").expect("the block ends").0);
    blocks.map(str::to_owned).collect()
}

fn type_in(bench: &Bench, script: &str) {
    let program = headgate_tests::headgate();
    let folder = program.parent().expect("it lies in a folder").display();
    let script = format!("export PATH={folder}:$PATH\n{script}");
    let said = run(bench.dir.path(), "bash", &["-e", "-u", "-o", "pipefail", "-c", &script]);
    assert_eq!(said.code, 0, "{script}\n{}", said.text);
}

/// Provisions a spare and has its boot state approved: the first block of the page.
fn provision(spare: &Bench) {
    type_in(spare, &page_blocks()[0]);
}

fn copy(from: &Bench, name: &str, to: &Bench, as_name: &str) {
    std::fs::copy(from.path(name), to.path(as_name)).expect("it is there");
}

/// Stages an image with a list of parts that is about as long as is taken.
fn stage_with_long_list(bench: &Bench) {
    let image = with_long_list();
    let digest = firmware_verifier::Digest::of(&image).to_hex();
    let part = format!(r#"{{"type": "library", "name": "{}"}}"#, "x".repeat(950));
    let list = format!(
        r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {{"component": {{"type": "firmware",
            "name": "px-200", "hashes": [{{"alg": "SHA-256", "content": "{digest}"}}]}}}},
            "components": [{}]}}"#,
        vec![part; 5_900].join(",")
    );
    for (name, bytes) in [("parts.bin", image.as_slice()), ("parts.json", list.as_bytes())] {
        bench.write(name, bytes);
        let sig = format!("{name}.sig");
        bench.openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", name, "-out", &sig]);
    }
    bench.headgate(&["stage", "parts.bin", "--plc", "pump-3", "--sbom", "parts.json"]);
}

fn with_long_list() -> Vec<u8> {
    image()[4096..6000].to_vec()
}

/// A gateway that has trusted, updated and revoked, with a backup made of it; then it dies.
fn dead() -> (Bench, String) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
    bench.trust_acme();
    bench.headgate(&["trust", "add", "site.pub", "--name", "the site", "--role", "site"]);
    let revoked = "ab".repeat(32);
    bench.headgate(&["trust", "revoke", &revoked, "--reason", "a hole", "-o", "bundle.json"]);
    bench.headgate(&["sign-document", "bundle.json", "--key", "site.key"]);
    bench.headgate(&["trust", "import", "bundle.json", "--yes"]);
    bench.start();
    let new = image()[8192..20_480].to_vec();
    let digest = bench.release("new.bin", &new, "pump-3");
    bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
    let path = bench.path("new.bin").display().to_string();
    headgate_tests::eventually("it passes", || {
        let args = [&*plc.conduit.port().to_string(), &path, "generic-file-record"];
        (python("station.py", &args).code == 0).then_some(())
    });
    headgate_tests::eventually("its receipt is signed", || {
        let said = bench.json(&["receipt", "C-000001"]);
        said["signed"].is_string().then_some(())
    });
    bench.headgate(&["release", &digest, "--plc", "pump-3", "--uses", "3"]);
    stage_with_long_list(&bench);
    bench.headgate(&["receipt", "--keys", "keys"]);
    bench.headgate(&["attest", "--csr", "-o", "old.csr"]);
    bench.headgate(&["backup", "-o", "cell-4.backup", "--images"]);
    bench.kill();
    bench.tpm.kill();
    (bench, digest)
}

#[test]
fn a_spare_with_another_tpm_takes_over_within_a_quarter_of_an_hour_and_once() {
    let (old, digest) = dead();
    let mut spare = old.spare();
    copy(&old, "cell-4.backup", &spare, "cell-4.backup");

    let begun = Instant::now();
    page_blocks().iter().for_each(|block| type_in(&spare, block));
    let restored =
        std::fs::read_to_string(spare.path("restored/headgate.toml")).expect("the old configuration");
    let tcti = old.tpm.tcti().to_string();
    assert!(restored.contains(&tcti), "{restored}");
    spare.write("headgate.toml", restored.replace(&tcti, &spare.tpm.tcti().to_string()).as_bytes());
    spare.start();
    let kept = firmware_verifier::Digest::of(&with_long_list()).to_hex();
    assert!(spare.headgate(&["vault", "list"]).contains(&kept), "what came with an image came along");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15 * 60), "{took:?}");
    eprintln!("the procedure took {took:?} without people");

    // What is trusted, what was done, what lies in the vault.
    let trust = spare.json(&["trust", "show"]);
    assert_eq!(trust["anchors"].as_array().map(Vec::len), Some(2), "{trust}");
    assert_eq!(
        (trust["bundle"].as_u64(), trust["revoked_digests"][0]["id"].as_str()),
        (Some(1), Some(&*"ab".repeat(32)))
    );
    assert!(spare.headgate(&["explain", "C-000001"]).contains("done"));
    spare.headgate(&["receipt", "C-000001", "-o", "receipt.json"]);
    copy(&old, "keys/evidence.pem", &spare, "old.pem");
    spare.headgate(&["receipt", "--verify", "receipt.json", "--key", "old.pem"]);
    let page = spare.headgate(&["receipt", "C-000001"]);
    assert!(!page.contains("NOT SIGNED"), "what the old box signed is no forgery: {page}");
    let report = spare.json(&["report", "cip-010", "--from", "2026-01-01", "--to", "2100-01-01"]);
    let evidence = &report["changes"][0]["evidence"];
    assert_eq!(evidence["shown"], true, "{report}");
    assert!(
        evidence["text"].as_str().is_some_and(|text| text.contains("this gateway replaced")),
        "{evidence}"
    );
    assert!(spare.headgate(&["vault", "list"]).contains(&digest));
    // The release is not there, and a new one works as ever.
    assert_eq!(spare.json(&["vault", "show", &digest])["releases"].as_array().map(Vec::len), Some(0));
    spare.headgate(&["release", &digest, "--plc", "pump-3"]);

    // Its device identity is its own: no key and no certificate came along.
    spare.headgate(&["attest", "--csr", "-o", "new.csr"]);
    let key = |of: &Bench, request: &str| {
        run(of.dir.path(), "openssl", &["req", "-in", request, "-noout", "-pubkey"]).text
    };
    assert_ne!(key(&old, "old.csr"), key(&spare, "new.csr"));
    assert!(spare.json(&["status"])["certificate"].is_null());

    // The new log names whose place was taken, and the old one is checked with the tools of an auditor.
    let log = spare.headgate(&["audit", "list"]);
    assert!(
        log.contains("takes the place of the box with evidence key") && log.contains("struck by lightning"),
        "{log}"
    );
    spare.headgate(&["audit", "verify"]);
    spare.headgate(&["audit", "export", "log"]);
    let said = spare.json(&["attest"]);
    let of = said["replaces"][0].as_str().expect("whose place").to_owned();
    let folder = spare.path("log/predecessors").join(&of).display().to_string();
    let key = spare.path("old.pem").display().to_string();
    let said = python("audit.py", &["verify", &folder, "--key", &key]);
    assert_eq!(said.code, 0, "{}", said.text);
    let checked = python("audit.py", &["verify", &spare.path("log").display().to_string()]);
    assert_eq!(checked.code, 0, "{}", checked.text);
    spare.kill();

    // Once, and for this spare alone.
    let again = ["replace", "--from", "cell-4.backup", "--approval", "leave.json", "--config-out", "twice"];
    let (code, text) = spare.refused(&again);
    assert!(code != 0 && text.contains("HG-1094"), "{code} {text}");
    let other = old.spare();
    provision(&other);
    copy(&spare, "leave.json", &other, "leave.json");
    copy(&old, "cell-4.backup", &other, "cell-4.backup");
    let (code, text) = other.refused(&again);
    assert!(
        code == 71 && text.contains("HG-7032") && text.contains("box that takes its place: found 000b"),
        "{code} {text}"
    );
    assert!(!text.contains('{') && !text.contains("Digest("), "in words: {text}");
    assert!(other.json(&["trust", "show"])["anchors"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn what_nobody_signed_and_what_was_edited_is_refused_before_anything_counts() {
    let (old, _) = dead();
    let spare = old.spare();
    provision(&spare);
    copy(&old, "cell-4.backup", &spare, "cell-4.backup");
    let draft = |spare: &Bench, name: &str| {
        spare.try_headgate(&["replace", "--from", "cell-4.backup", "--draft", name])
    };
    assert!(draft(&spare, "leave.json").status.success());
    let accept = ["replace", "--from", "cell-4.backup", "--approval", "leave.json"];
    let (code, text) = spare.refused(&accept);
    assert!(code == 13 && text.contains("HG-1091"), "not signed: {code} {text}");
    // Another site's key.
    spare.headgate(&["site-key", "new", "--key", "other.key", "--public", "other.pub"]);
    spare.headgate(&["sign-document", "leave.json", "--key", "other.key"]);
    assert!(spare.refused(&accept).1.contains("HG-1091"));
    spare.headgate(&["sign-document", "leave.json", "--key", "site.key"]);

    // Every part of the backup is covered by a signature.
    let whole = std::fs::read(spare.path("cell-4.backup")).expect("a backup");
    let find = |what: &[u8]| whole.windows(what.len()).position(|w| w == what).expect("it is in there");
    for (what, at) in [
        ("the head", 0),
        ("the configuration", find(b"headgate configuration")),
        ("the trust store", find(b"headgate trust store")),
        ("the log", find(b"headgate/audit-entry/v1")),
        ("the manifest", whole.len() - 600),
        ("the end", whole.len() - 1),
    ] {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        spare.write("cell-4.backup", &bad);
        let (code, text) = spare.refused(&accept);
        assert!(code == 11 && text.contains("HG-7031"), "{what}: {code} {text}");
        assert!(!draft(&spare, "other.json").status.success(), "{what}: nobody is asked to sign it");
    }
    spare.write("cell-4.backup", &whole[..whole.len() / 2]);
    assert!(spare.refused(&accept).1.contains("HG-7031"));
    spare.write("cell-4.backup", &whole);
    assert!(spare.json(&["trust", "show"])["anchors"].as_array().is_some_and(Vec::is_empty));

    // A spare with another name, of another site, or with a life of its own.
    spare.headgate(&["trust", "add", "site.pub", "--name", "mine", "--role", "site"]);
    let (code, text) = spare.refused(&accept);
    assert!(code == 71 && text.contains("trusts 1 keys already"), "{code} {text}");
    let mut named = old.spare();
    named.reconfigure("name = \"bench\"", "name = \"cell-9\"");
    let stranger = Bench::new();
    for (what, bench, why) in
        [("another name", &named, "of gateway \"bench\""), ("another site", &stranger, "another site")]
    {
        if what == "another name" {
            provision(bench);
        }
        copy(&old, "cell-4.backup", bench, "cell-4.backup");
        let output = draft(bench, "d.json");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(71) && text.contains(why), "{what}: {text}");
    }
}

#[test]
fn a_spare_that_is_cut_off_while_it_takes_over_does_it_again_or_has_done_it() {
    let (old, _) = dead();
    let mut spare = old.spare();
    copy(&old, "cell-4.backup", &spare, "cell-4.backup");
    page_blocks().iter().take(3).for_each(|block| type_in(&spare, block));
    let keys = |spare: &Bench| spare.json(&["trust", "show"])["anchors"].as_array().map(Vec::len);
    let mut cuts = 0;
    let last = (0..).find(|n| {
        let to = format!("restored-{n}");
        let mut command = Command::new(headgate_tests::headgate());
        command.current_dir(spare.dir.path()).args([
            "--config",
            "headgate.toml",
            "replace",
            "--from",
            "cell-4.backup",
        ]);
        command
            .args(["--approval", "leave.json", "--config-out", &to])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("headgate runs");
        std::thread::sleep(Duration::from_millis(40 * n));
        let _ = child.kill(); // it may have ended
        let ended = child.wait().expect("it is ours").success();
        cuts += u32::from(!ended);
        let found = keys(&spare);
        assert!(found == Some(2) || (found == Some(0) && !ended), "all or nothing: {found:?}");
        found == Some(2)
    });
    assert!(cuts > 0, "the first is cut off at once");
    let restored = spare.path(&format!("restored-{}/headgate.toml", last.expect("one comes through")));
    let restored = std::fs::read_to_string(restored).expect("written before anything counts");
    let (was, is) = (old.tpm.tcti().to_string(), spare.tpm.tcti().to_string());
    spare.write("headgate.toml", restored.replace(&was, &is).as_bytes());
    spare.start();
    assert!(spare.headgate(&["explain", "C-000001"]).contains("done"));
    assert!(spare.headgate(&["audit", "list"]).contains("takes the place of the box"));
    spare.headgate(&["audit", "verify"]);
}

#[test]
fn a_backup_needs_an_open_gate_and_overwrites_nothing() {
    let bench = Bench::new();
    bench.write("there", b"mine");
    let (code, text) = bench.refused(&["backup", "-o", "there"]);
    assert!(code == 2 && std::fs::read(bench.path("there")).expect("mine") == b"mine", "{code} {text}");
    bench.headgate(&["backup", "-o", "first"]);
    let (code, text) = bench.refused(&["replace", "--from", "first", "--draft", "d.json"]);
    assert!(code == 71 && text.contains("this very box"), "{code} {text}");
    bench.extend(4, "another kernel");
    let (code, text) = bench.refused(&["backup", "-o", "second"]);
    assert!(code == 71 && text.contains("HG-7002") && !bench.path("second").exists(), "{code} {text}");
    assert!(bench.refused(&["replace", "--from", "nowhere", "--draft", "d.json"]).0 == 3);
}
