//! What the TPM says of a gateway, asked for and checked from outside: by the command on another machine, and by OpenSSL
//! and tpm2-tools as docs/attest.md has it.

use std::path::Path;

use headgate_tests::peers::{Said, run};
use headgate_tests::{Bench, maker};

const NONCE: &str = "5f0c86a1a4a8f1e7b7f9d06b1c2e8d774a5b60c19e3f7d2a80b4c6d8e0f21345";

/// Runs the check without configuration, TPM or network, in another folder.
fn verify(bench: &Bench, folder: &str, more: &[&str]) -> (i32, String) {
    let elsewhere = bench.path("elsewhere");
    std::fs::create_dir_all(&elsewhere).expect("writable");
    let folder = bench.path(folder).display().to_string();
    let program = headgate_tests::headgate().display().to_string();
    let args = ["--config", "nowhere.toml", "attest", "--verify", &folder];
    let said = run(&elsewhere, &program, &[&args[..], more].concat());
    (said.code, said.text)
}

/// The blocks of commands that docs/attest.md has a reader type.
fn page_blocks() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/attest.md");
    let text = std::fs::read_to_string(page).expect("docs/attest.md");
    let blocks = text.split("```sh\n").skip(1).map(|b| b.split_once("```").expect("the block ends").0);
    blocks.map(str::to_owned).collect()
}

fn by_hand(folder: &Path, script: &str) -> Said {
    run(folder, "bash", &["-e", "-u", "-o", "pipefail", "-c", script])
}

#[test]
fn an_attestation_is_checked_elsewhere_and_every_edit_of_it_is_told() {
    let bench = Bench::certified();
    let ca = bench.path("ca/issuercert.pem").display().to_string();
    bench.headgate(&["attest", "--nonce", NONCE, "-o", "cell"]);
    let good = ["--nonce", NONCE, "--ca", &ca];
    let (code, said) = verify(&bench, "cell", &good);
    assert_eq!(code, 0, "{said}");
    for line in [
        "ok         quote",
        "ok         nonce",
        "ok         pcrs",
        "ok         evidence key",
        "p384, certified by a maker",
        "rsa2048, certified by a maker",
        "not looked same TPM",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // The keys are those of the receipts.
    bench.headgate(&["receipt", "--keys", "keys"]);
    let noted = bench.path("keys/attestation.pem").display().to_string();
    let (code, said) = verify(&bench, "cell", &[&good[..], &["--attestation-key", &noted]].concat());
    assert!(code == 0 && said.contains("ok         attestation key"), "{said}");
    let evidence = bench.path("keys/evidence.pem").display().to_string();

    let stranger = bench.path("stranger");
    std::fs::create_dir_all(stranger.join("tpm")).expect("writable");
    maker::certify(&stranger, &stranger.join("tpm"));
    let strange = stranger.join("ca/issuercert.pem").display().to_string();
    for (what, args, line) in [
        ("another nonce", vec!["--nonce", "00ff"], "WRONG      nonce"),
        ("another maker", vec!["--nonce", NONCE, "--ca", &strange], "WRONG      endorsement key"),
        ("another key", vec!["--nonce", NONCE, "--attestation-key", &evidence], "WRONG      attestation key"),
    ] {
        let (code, said) = verify(&bench, "cell", &args);
        assert!(code == 12 && said.contains(line), "{what}: {code} {said}");
    }

    let file = bench.path("cell/attestation.json");
    let whole = std::fs::read_to_string(&file).expect("written");
    let json: serde_json::Value = serde_json::from_str(&whole).expect("JSON");
    let edited = |pointer: &str, value: serde_json::Value| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).expect("a field of the file") = value;
        std::fs::write(&file, json.to_string()).expect("writable");
        verify(&bench, "cell", &good)
    };
    let other_ek = json["endorsements"][1].clone();
    for (what, pointer, value, line) in [
        ("a PCR", "/quote/pcrs/0/sha256", "11".repeat(32).into(), "WRONG      pcrs"),
        (
            "the certificate of another key",
            "/endorsements/0/certificate",
            other_ek["certificate"].clone(),
            "about another key",
        ),
        ("no endorsement key", "/endorsements", serde_json::json!([]), "holds no certificate"),
        (
            "another site key",
            "/quote/siteKey",
            std::fs::read_to_string(&noted).expect("written").into(),
            "WRONG      evidence key",
        ),
        (
            "the quote's signature",
            "/quote/signature",
            json["quote"]["certification"]["signature"].clone(),
            "WRONG      quote",
        ),
    ] {
        let (code, said) = edited(pointer, value);
        assert!(code == 12 && said.contains(line), "{what}: {code} {said}");
    }
    std::fs::write(&file, &whole).expect("writable");
    bench.write("cell/attestation.pem", std::fs::read_to_string(&evidence).expect("written").as_bytes());
    let (code, said) = verify(&bench, "cell", &good);
    assert!(code == 12 && said.contains("WRONG      files") && said.contains("attestation.pem"), "{said}");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("writable");
    assert_eq!(verify(&bench, "cell", &good).0, 11);
}

#[test]
fn the_page_checks_by_hand_and_the_running_gateway_answers_its_challenge() {
    let mut bench = Bench::certified();
    bench.start();
    bench.write("nonce", NONCE.as_bytes());
    std::fs::copy(bench.path("ca/issuercert.pem"), bench.path("maker.pem")).expect("made by swtpm_setup");
    bench.headgate(&["attest", "--nonce", NONCE, "-o", "cell-4"]);
    let blocks = page_blocks();
    let (last, first) = blocks.split_last().expect("the page has commands");
    let said = by_hand(bench.dir.path(), &first.concat());
    assert_eq!(said.code, 0, "{}", said.text);
    bench.headgate(&["attest", "--challenge", "challenge", "-o", "answer"]);
    let said = by_hand(bench.dir.path(), last);
    assert_eq!(said.code, 0, "{}", said.text);

    // The same by hand finds an edited value.
    let pcrs = std::fs::read(bench.path("cell-4/quote.pcrs")).expect("written");
    bench.write("cell-4/quote.pcrs", &[&[pcrs[0] ^ 1], &pcrs[1..]].concat());
    assert_ne!(by_hand(bench.dir.path(), &first.concat()).code, 0);

    let log = bench.headgate(&["audit", "list"]);
    assert!(log.contains(&format!("quoted for nonce {NONCE}")), "{log}");
    assert!(log.contains("answered one for the"), "{log}");
}

#[test]
fn a_challenge_for_another_gateway_does_not_open_and_what_is_none_is_told() {
    let (bench, other) = (Bench::certified(), Bench::certified());
    other.headgate(&["attest", "--nonce", "01", "-o", "other"]);
    bench.headgate(&["attest", "--nonce", "01", "-o", "mine"]);
    // Their endorsement key with our attestation key, and ours with theirs.
    for (ek, ak) in [(&other, &bench), (&bench, &other)] {
        let folder = |of: &Bench| of.path(if std::ptr::eq(of, &bench) { "mine" } else { "other" });
        let name =
            headgate_tests::digest(&std::fs::read(folder(ak).join("attestation.pub")).expect("written")[2..]);
        let name = format!("000b{}", gateway::vault::hex(&name));
        let public = folder(ek).join("ek-p384.pub").display().to_string();
        bench.write("secret", b"only for one of us");
        let _ = std::fs::remove_file(bench.path("challenge"));
        bench.tpm2(
            "tpm2_makecredential",
            &["-Q", "-T", "none", "-u", &public, "-s", "secret", "-n", &name, "-o", "challenge"],
        );
        let (code, text) = bench.refused(&["attest", "--challenge", "challenge"]);
        assert!(code == 71 && text.contains("HG-7030"), "{code} {text}");
    }
    let (code, text) = bench.refused(&["attest", "--challenge", "secret"]);
    assert!(code != 71 && text.contains("tpm2_makecredential"), "{code} {text}");
    for (nonce, why) in [("", "1 to 32"), (&*"00".repeat(33), "1 to 32"), ("0x12", "hexadecimal")] {
        let (code, text) = bench.refused(&["attest", "--nonce", nonce]);
        assert!(code == 2 && text.contains(why), "{nonce}: {code} {text}");
    }
}

#[test]
fn a_tpm_without_certificates_is_attested_and_says_so() {
    let bench = Bench::new();
    let said = bench.json(&["attest"]);
    assert_eq!(
        (&said["endorsements"], said["nonce"].as_str().map(str::len)),
        (&serde_json::json!([]), Some(64))
    );
    bench.headgate(&["attest", "--nonce", NONCE, "-o", "cell"]);
    let (code, text) = verify(&bench, "cell", &["--nonce", NONCE]);
    assert!(code == 0 && text.contains("not looked endorsement key"), "{text}");
    bench.write("some.pem", authority(&bench).as_bytes());
    let ca = bench.path("some.pem").display().to_string();
    let (code, text) = verify(&bench, "cell", &["--nonce", NONCE, "--ca", &ca]);
    assert!(code == 12 && text.contains("WRONG      endorsement key"), "{text}");
}

/// The certificate of an authority that OpenSSL makes.
fn authority(bench: &Bench) -> String {
    let args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "any.key",
        "-subj",
        "/CN=any",
        "-days",
        "2",
        "-out",
        "any.pem",
    ];
    let said = run(bench.dir.path(), "openssl", &args);
    assert_eq!(said.code, 0, "{}", said.text);
    std::fs::read_to_string(bench.path("any.pem")).expect("written")
}
