//! Device identities: a key in the TPM that a site certifies as docs/devid.md has it, TLS to a real broker with it, and the
//! identity that a factory leaves in a TPM.

use std::path::Path;
use std::time::Duration;

use headgate_tests::broker::{Broker, authority, openssl, sign};
use headgate_tests::peers::run;
use headgate_tests::{Bench, alarm, eventually, image};
use rustix::process::{Pid, Signal, kill_process};

const NONCE: &str = "5f0c86a1a4a8f1e7b7f9d06b1c2e8d774a5b60c19e3f7d2a80b4c6d8e0f21345";
/// What the bench's gateway calls itself at a broker.
const CLIENT: &str = "headgate-bench";

/// The blocks of commands that docs/devid.md has a reader type.
fn page_blocks() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/devid.md");
    let text = std::fs::read_to_string(page).expect("docs/devid.md");
    let blocks = text.split("```sh\n").skip(1).map(|b| b.split_once("```").expect("the block ends").0);
    blocks.map(str::to_owned).collect()
}

fn type_in(bench: &Bench, script: &str) -> (i32, String) {
    let program = headgate_tests::headgate();
    let folder = program.parent().expect("it lies in a folder").display();
    let script = format!("export PATH={folder}:$PATH\n{script}");
    let said = run(bench.dir.path(), "bash", &["-e", "-u", "-o", "pipefail", "-c", &script]);
    (said.code, said.text)
}

/// Has `ca` sign the bench's request and installs what comes of it.
fn certify(bench: &Bench, ca: &str, days: u32) {
    let dir = bench.dir.path();
    let _ = std::fs::remove_file(bench.path("own.csr"));
    bench.headgate(&["attest", "--csr", "-o", "own.csr"]);
    sign(dir, ca, "own.csr", "own.pem", &format!("-days {days} -copy_extensions copy"));
    bench.headgate(&["attest", "--certificate", "own.pem"]);
}

fn verify(bench: &Bench, folder: &str, more: &[&str]) -> (i32, String) {
    let args = ["attest", "--verify", folder, "--nonce", NONCE];
    let output = bench.try_headgate(&[&args[..], more].concat());
    let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    (output.status.code().expect("an exit code"), text)
}

#[test]
fn what_is_no_certificate_of_this_key_in_order_and_in_time_is_refused_by_its_code() {
    let (bench, other) = (Bench::new(), Bench::new());
    let dir = bench.dir.path();
    authority(dir, "site", "/CN=site");
    authority(dir, "twin", "/CN=site");
    let refused = |file: &str, code: &str, exit: i32| {
        let (found, text) = bench.refused(&["attest", "--certificate", file]);
        assert!(found == exit && text.contains(code), "{file}: {found} {text}");
    };
    refused("site.pem", "HG-7041", 71); // before there is a key
    bench.headgate(&["attest", "--csr", "-o", "own.csr"]);
    other.headgate(&["attest", "--csr", "-o", "other.csr"]);
    std::fs::copy(other.path("other.csr"), bench.path("other.csr")).expect("written");
    let copy = "-days 40 -copy_extensions copy";
    bench.write("server.ext", b"extendedKeyUsage=serverAuth\n");
    for (request, out, more) in [
        ("other.csr", "other.pem", copy),
        ("own.csr", "own.pem", copy),
        ("own.csr", "old.pem", "-days -1 -copy_extensions copy"),
        ("own.csr", "server.pem", "-days 40 -extfile server.ext"),
        ("own.csr", "bare.pem", "-days 40"),
    ] {
        sign(dir, "site", request, out, more);
    }
    let join = |names: [&str; 2], to: &str| {
        let both = names.map(|name| std::fs::read(bench.path(name)).expect("written")).concat();
        bench.write(to, &both);
    };
    join(["own.pem", "twin.pem"], "broken.pem");
    join(["site.pem", "own.pem"], "turned.pem");
    join(["own.pem", "site.pem"], "chain.pem");
    bench.write("large.pem", &std::fs::read(bench.path("own.pem")).expect("written").repeat(60));
    for (file, code, exit) in [
        ("site.key", "HG-7040", 11),
        ("own.csr", "HG-7040", 11),
        ("large.pem", "HG-7040", 11),
        ("other.pem", "HG-7041", 71),
        ("turned.pem", "HG-7041", 71),
        ("broken.pem", "HG-7042", 71),
        ("old.pem", "HG-7043", 71),
        ("server.pem", "HG-7043", 71),
        ("bare.pem", "HG-7043", 71),
    ] {
        refused(file, code, exit);
    }
    let (_, text) = bench.refused(&["attest", "--certificate", "bare.pem"]);
    assert!(text.contains("without -copy_extensions copy"), "{text}");
    assert!(bench.json(&["status"])["certificate"].is_null());
    let said = bench.headgate(&["attest", "--certificate", "chain.pem"]);
    assert!(said.contains("CN=bench, serialNumber=") && said.contains("issued by CN=site"), "{said}");
    assert!(!said.contains("WARNING"), "{said}");
    assert!(bench.headgate(&["audit", "list"]).contains("installed: CN=bench"));

    // Near its end it is told, and nothing else comes of it.
    sign(dir, "site", "own.csr", "soon.pem", "-days 10 -copy_extensions copy");
    let said = bench.headgate(&["attest", "--certificate", "soon.pem"]);
    assert!(said.contains("WARNING CN=bench") && said.contains("ends in 9 days"), "{said}");
    let doctor = bench.json_anyhow(&["doctor"]);
    let checks = doctor["checks"].as_array().expect("a list");
    let check = checks.iter().find(|c| c["id"] == "certificate").expect("it is looked at");
    assert!(
        check["level"] == "warn" && check["found"].as_str().is_some_and(|f| f.contains("9 days")),
        "{check}"
    );
    assert!(bench.headgate(&["status"]).contains("ends in 9 days"));

    // A TPM that was cleared holds another key: the old request and its certificate are of no use.
    bench.tpm2("tpm2_clear", &["-c", "p"]);
    std::fs::remove_file(bench.path("approval-request.json")).expect("the first one");
    bench.headgate(&["init", "--site-key", "site.pub", "--again"]);
    refused("chain.pem", "HG-7041", 71);
    let _ = std::fs::remove_file(bench.path("own.csr"));
    certify(&bench, "site", 40);
}

#[test]
fn the_page_certifies_a_key_of_this_tpm_and_another_request_is_told() {
    let bench = Bench::certified();
    let dir = bench.dir.path();
    authority(dir, "site-ca", "/CN=site");
    bench.write("nonce", NONCE.as_bytes());
    bench.headgate(&["receipt", "--keys", "keys"]);
    std::fs::copy(bench.path("keys/attestation.pem"), bench.path("noted.pem")).expect("written");
    for block in page_blocks() {
        let (code, text) = type_in(&bench, &block);
        assert_eq!(code, 0, "{block}\n{text}");
    }
    let status = bench.json(&["status"]);
    let digest = headgate_tests::digest(&std::fs::read(bench.path("cell-4/ek-p384.der")).expect("written"));
    let subject = format!("CN=bench, serialNumber={}", gateway::vault::hex(&digest));
    assert_eq!(status["certificate"]["subject"].as_str(), Some(&*subject));

    let (code, text) = verify(&bench, "cell-4", &["--request", "cell-4.csr"]);
    for line in ["ok         LDevID", "ok         request", "not looked IDevID"] {
        assert!(code == 0 && text.contains(line), "{line}: {text}");
    }
    let other = Bench::new();
    other.headgate(&["attest", "--csr", "-o", "other.csr"]);
    std::fs::copy(other.path("other.csr"), bench.path("other.csr")).expect("written");
    let (code, text) = verify(&bench, "cell-4", &["--request", "other.csr"]);
    assert!(code == 12 && text.contains("WRONG      request"), "{code} {text}");
    let (code, text) = verify(&bench, "cell-4", &["--request", "noted.pem"]);
    assert!(code == 11 && text.contains("attest --csr"), "{code} {text}");

    // A key of another TPM in the place of this one's, and a word about another key.
    other.headgate(&["attest", "--nonce", NONCE, "-o", "cell-5"]);
    let read = |path: std::path::PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).expect("written")).expect("JSON")
    };
    let (whole, strange) =
        (read(bench.path("cell-4/attestation.json")), read(other.path("cell-5/attestation.json")));
    assert_eq!((whole["schema"].as_u64(), strange["schema"].as_u64()), (Some(2), Some(2)));
    for (pointer, value) in [
        ("/local", &strange["local"]),
        ("/local/public", &strange["local"]["public"]),
        ("/local/certification", &whole["quote"]["certification"]),
    ] {
        let mut edited = whole.clone();
        *edited.pointer_mut(pointer).expect("a field of the file") = value.clone();
        bench.write("cell-4/attestation.json", edited.to_string().as_bytes());
        let (code, text) = verify(&bench, "cell-4", &[]);
        assert!(code == 12 && text.contains("WRONG      LDevID"), "{pointer}: {code} {text}");
    }
}

#[test]
fn the_broker_lets_in_the_key_in_the_tpm_and_no_other_also_after_the_tpm_was_restarted() {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
    authority(bench.dir.path(), "site", "/CN=site");
    authority(bench.dir.path(), "other", "/CN=other");
    let mut broker = Broker::start(bench.dir.path(), "site");
    let mqtt =
        format!("[mqtt]\nurl = \"mqtts://{}\"\nca = \"site.pem\"\ncertificate = \"tpm\"\n", broker.address);
    bench.configure(&mqtt);
    bench.start();
    let told = |bench: &Bench, what: &str| {
        bench.wait_status(what, |s| {
            alarm(s, "HG-8001").is_some_and(|a| a["text"].as_str().is_some_and(|t| t.contains(what)))
        });
    };
    told(&bench, "no key was made");
    certify(&bench, "other", 40);
    told(&bench, "does not take the certificate of the key in the TPM");
    assert!(!broker.has_connected(CLIENT));
    certify(&bench, "site", 40);
    eventually("it connects", || broker.has_connected(CLIENT).then_some(()));
    bench.wait_status("the alarm ends", |s| alarm(s, "HG-8001").is_none_or(|a| a["standing"] == false));

    // A TPM that does not answer keeps the broker waiting, and nothing else: not process traffic on the same thread.
    let read = || {
        let begun = std::time::Instant::now();
        assert!(plc.exchange(1, &[3, 0, 0, 0, 1]).is_ok());
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    };
    let swtpm = i32::try_from(bench.tpm.pid()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(swtpm, Signal::STOP).expect("it runs");
    broker.restart();
    eventually("its signature is missed", || {
        read();
        let status = bench.json(&["status"]);
        alarm(&status, "HG-8001")?["text"].as_str()?.contains("does not sign for TLS").then_some(())
    });
    assert!(!broker.has_connected(CLIENT));
    kill_process(swtpm, Signal::CONT).expect("it runs");
    eventually("it signs again", || broker.has_connected(CLIENT).then_some(()));

    // Without a TPM there is no connection, and process traffic does not wait for one.
    bench.tpm.kill();
    broker.restart();
    told(&bench, "broker");
    (0..20).for_each(|_| read());
    assert!(!broker.has_connected(CLIENT));
    // Its PCRs are those of no boot state: the gate is shut, and the key signs all the same.
    bench.tpm.restart().expect("swtpm starts");
    eventually("it connects again", || broker.has_connected(CLIENT).then_some(()));
    bench.wait_status("the gate is shut", |s| s["gate"]["open"] == false);

    // This broker keeps nothing on a disk: whoever subscribes after its restart sees the alarm all the same.
    bench.wait_alarm("HG-7002");
    broker.restart();
    eventually("the alarm is told again", || broker.was_told("/alarm/bench/HG-7002").then_some(()));
}

#[test]
fn an_identity_that_the_factory_left_is_shown_and_a_certificate_of_another_key_is_told() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    authority(dir, "maker", "/CN=maker");
    authority(dir, "site", "/CN=site");
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign";
    let make = |context: &str, key: &str, certificate: &str, unique: &str| {
        bench.write("unique", unique.as_bytes());
        let primary =
            ["-Q", "-C", "e", "-g", "sha256", "-G", "ecc256:ecdsa-sha256", "-a", attributes, "-c", context];
        bench.tpm2("tpm2_createprimary", &[&primary[..], &["-u", "unique"]].concat());
        bench.tpm2("tpm2_readpublic", &["-Q", "-c", context, "-f", "pem", "-o", key]);
        bench.tpm2("tpm2_flushcontext", &["-t"]);
        bench.write("idevid.ext", b"keyUsage=critical,digitalSignature\n");
        openssl(
            dir,
            &format!(
                "x509 -new -force_pubkey {key} -subj /CN=box/serialNumber=4711 -CA maker.pem -CAkey maker.key -days 3650 \
                 -extfile idevid.ext -outform DER -out {certificate}"
            ),
        );
    };
    let point = |byte: u8| [&[32, 0], &[byte; 32][..], &[32, 0], &[byte; 32]].concat();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("small bytes");
    make("idevid.ctx", "idevid.pem", "idevid.der", &text(point(1)));
    make("other.ctx", "other.pem", "other.der", &text(point(2)));
    bench.tpm2("tpm2_evictcontrol", &["-Q", "-C", "o", "-c", "idevid.ctx", "0x81020000"]);
    bench.tpm2("tpm2_flushcontext", &["-t"]);
    let put = |certificate: &str| {
        let size = std::fs::metadata(bench.path(certificate)).expect("written").len().to_string();
        let define = ["-Q", "0x01C90000", "-C", "o", "-s", &size, "-a", "ownerwrite|ownerread|authread"];
        bench.tpm2("tpm2_nvdefine", &define);
        bench.tpm2("tpm2_nvwrite", &["-Q", "0x01C90000", "-C", "o", "-i", certificate]);
    };
    let attested = |folder: &str| {
        bench.headgate(&["attest", "--nonce", NONCE, "-o", folder]);
        verify(&bench, folder, &[])
    };
    let (code, said) = attested("without");
    assert!(code == 0 && said.contains("not looked IDevID"), "a key alone is none: {code} {said}");
    put("other.der");
    let (code, said) = attested("wrong");
    assert!(
        code == 12 && said.contains("WRONG      IDevID") && said.contains("about another key"),
        "{code} {said}"
    );
    bench.tpm2("tpm2_nvundefine", &["-Q", "0x01C90000", "-C", "o"]);
    put("idevid.der");
    let (code, said) = attested("cell");
    assert!(
        code == 0 && said.contains("ok         IDevID") && said.contains("serialNumber=4711"),
        "{code} {said}"
    );
    assert!(said.contains("no maker was given"), "{said}");

    // The endorsement key has no certificate, so makers that are given make that WRONG; the box's maker is told apart.
    let maker = bench.path("maker.pem").display().to_string();
    assert!(verify(&bench, "cell", &["--ca", &maker]).1.contains("issued by CN=maker, which was given"));
    let site = bench.path("site.pem").display().to_string();
    assert!(verify(&bench, "cell", &["--ca", &site]).1.contains("does not lead to a maker"));

    bench.tpm2("tpm2_readpublic", &["-Q", "-c", "other.ctx", "-o", "other.pub"]);
    bench.tpm2("tpm2_flushcontext", &["-t"]);
    let bench_file = |name: &str| std::fs::read(bench.path(name)).expect("written");
    let file = bench.path("cell/attestation.json");
    let whole: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    for (pointer, value) in [
        ("/initial/certification", whole["quote"]["certification"].clone()),
        ("/initial/public", gateway::attestation::Hex(bench_file("other.pub")).to_string().into()),
        ("/initial/certificate", "3000".into()),
    ] {
        let mut edited = whole.clone();
        *edited.pointer_mut(pointer).expect("a field of the file") = value;
        std::fs::write(&file, edited.to_string()).expect("writable");
        let (code, text) = verify(&bench, "cell", &[]);
        assert!(code == 12 && text.contains("WRONG      IDevID"), "{pointer}: {code} {text}");
    }
}

#[test]
fn a_key_that_nobody_may_certify_is_shown_with_the_reason() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    authority(dir, "maker", "/CN=maker");
    // As the TCG's template has it: whoever certifies it needs its policy.
    bench.write("policy", &[7; 32]);
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|adminwithpolicy|sign";
    let primary =
        ["-Q", "-C", "e", "-g", "sha256", "-G", "ecc256:ecdsa-sha256", "-a", attributes, "-c", "idevid.ctx"];
    bench.tpm2("tpm2_createprimary", &[&primary[..], &["-L", "policy"]].concat());
    bench.tpm2("tpm2_readpublic", &["-Q", "-c", "idevid.ctx", "-f", "pem", "-o", "idevid.pem"]);
    bench.tpm2("tpm2_evictcontrol", &["-Q", "-C", "o", "-c", "idevid.ctx", "0x81020000"]);
    bench.tpm2("tpm2_flushcontext", &["-t"]);
    openssl(
        dir,
        "x509 -new -force_pubkey idevid.pem -subj /CN=box -CA maker.pem -CAkey maker.key -days 9 -outform DER -out i.der",
    );
    let size = std::fs::metadata(bench.path("i.der")).expect("written").len().to_string();
    bench.tpm2(
        "tpm2_nvdefine",
        &["-Q", "0x01C90000", "-C", "o", "-s", &size, "-a", "ownerwrite|ownerread|authread"],
    );
    bench.tpm2("tpm2_nvwrite", &["-Q", "0x01C90000", "-C", "o", "-i", "i.der"]);
    bench.headgate(&["attest", "--nonce", NONCE, "-o", "cell"]);
    let (code, said) = verify(&bench, "cell", &[]);
    assert!(
        code == 0 && said.contains("not looked IDevID") && said.contains("does not let"),
        "{code} {said}"
    );
}
