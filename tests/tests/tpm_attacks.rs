//! Somebody at the TPM: who listens on the wire to it through a gateway's whole life, who locks it out, and who cuts its
//! power at the worst moments.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::sync::Arc;

use hal::tpm::{Approval, Provisioned, Tcti};
use headgate_tests::peers::python;
use headgate_tests::{Bench, eventually, image};
use wire::Wire;

#[allow(dead_code)]
#[path = "../../hal/tests/tpm_bench/wire.rs"]
mod wire;

const PROFILE: &str = "generic-file-record";

/// Runs one of tpm2-tools over `tcti`; gives whether it succeeded, and what it said.
fn tool(bench: &Bench, tcti: &Tcti, line: &str) -> (bool, String) {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a name"));
    command.args(words).env("TPM2TOOLS_TCTI", tcti.to_string()).current_dir(bench.dir.path());
    let output = command.output().unwrap_or_else(|e| panic!("{line}: {e}: deploy/setup.sh installs it"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// r and s as DER, the form the tools read.
fn der(signature: &[u8; 64]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let bytes = &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(31)..];
        let sign = if bytes[0] >= 0x80 { vec![0] } else { vec![] };
        [vec![2, u8::try_from(bytes.len() + sign.len()).expect("33 bytes")], sign, bytes.to_vec()].concat()
    };
    let both = [number(&signature[..32]), number(&signature[32..])].concat();
    [vec![0x30, u8::try_from(both.len()).expect("70 bytes")], both].concat()
}

/// Opens the gateway's seal as anybody may who has the approval, with tpm2-tools and no session of ours: the key, in clear.
fn unsealed_by_hand(bench: &Bench, tcti: &Tcti) -> Vec<u8> {
    let read = |name: &str| std::fs::read(bench.path(name)).expect("it is there");
    let record: Provisioned = serde_json::from_slice(&read("data/tpm.json")).expect("a record");
    let approval: Approval = serde_json::from_slice(&read("approval.json")).expect("an approval");
    let asked = &approval.request;
    bench.write("sealed.pub", &record.sealed_public);
    bench.write("sealed.priv", &record.sealed_private);
    bench.write("approved.policy", &asked.policy.0);
    bench.write("ref.bin", asked.policy_ref.as_bytes());
    bench.write("message.bin", &[&asked.policy.0, asked.policy_ref.as_bytes()].concat());
    bench.write("signature.der", &der(&approval.signature));
    bench.write("epoch.bin", &asked.epoch.to_be_bytes());
    bench.write("site.pem", record.site_key.to_pem().as_bytes());
    for line in [
        "tpm2_loadexternal -C o -G ecc:ecdsa-sha256 -a userwithauth|sign -u site.pem -c site.ctx -n site.name",
        "tpm2_verifysignature -c site.ctx -g sha256 -m message.bin -s signature.der -f ecdsa -t ticket",
        "tpm2_flushcontext -t",
        "tpm2_startauthsession --policy-session -S s.ctx",
        "tpm2_policypcr -Q -S s.ctx -l sha256:0,2,4,7",
        "tpm2_policynv -Q -S s.ctx -C 0x01801000 -i epoch.bin 0x01801000 eq",
        "tpm2_policyauthorize -Q -S s.ctx -i approved.policy -q ref.bin -n site.name -t ticket",
        "tpm2_load -Q -C 0x81000001 -u sealed.pub -r sealed.priv -c sealed.ctx",
        "tpm2_unseal -p session:s.ctx -c sealed.ctx -o key.bin",
        "tpm2_flushcontext s.ctx",
        "tpm2_flushcontext -t",
    ] {
        let (done, said) = tool(bench, tcti, line);
        assert!(done, "{line}: {said}");
    }
    read("key.bin")
}

#[test]
fn the_sealed_key_crosses_the_wire_to_the_tpm_at_no_moment_of_a_gateways_life() {
    let mut bench = Bench::unprovisioned();
    let wire = Wire::to(&bench.tpm, Arc::new(|_| {}), Arc::new(|_| {}));
    let direct = bench.tpm.tcti();
    bench.reconfigure(&direct.to_string(), &wire.tcti().to_string());

    // Provisioned, approved, opened; an update from its signature to its receipt; a restart of gateway and TPM.
    bench.provision();
    let plc = bench.controller("pump-3", PROFILE, "match", &image()[..4096]);
    bench.trust_acme();
    bench.start();
    bench.wait_status("the identity is known", |s| s["plcs"][0]["identity"].is_string());
    let new = image()[8192..14_192].to_vec();
    bench.release("new.bin", &new, "pump-3");
    bench.headgate(&["verify", "new.bin", "--plc", "pump-3"]);
    let (port, path) = (plc.conduit.port().to_string(), bench.path("new.bin").display().to_string());
    eventually("it passes", || (python("station.py", &[&port, &path, PROFILE]).code == 0).then_some(()));
    eventually("its receipt is signed", || {
        bench.json(&["receipt", "C-000001"])["signed"].is_string().then_some(())
    });
    bench.headgate(&["backup", "-o", "one.backup"]);
    bench.headgate(&["audit", "export", "log"]);
    bench.kill();
    bench.tpm.restart().expect("it starts");
    bench.boot();
    bench.start();
    bench.kill();

    let key = unsealed_by_hand(&bench, &direct);
    assert_eq!(key.len(), 32);
    let sealed: Provisioned =
        serde_json::from_slice(&std::fs::read(bench.path("data/tpm.json")).expect("a record")).expect("JSON");
    assert!(wire.saw(&sealed.site_key.point()[1..33]), "the wire listens: the public site key");
    assert!(wire.saw(&sealed.sealed_private[2..]), "and the seal itself, which is encrypted");
    for part in key.windows(16) {
        assert!(!wire.saw(part), "a part of the key crossed the wire in clear");
    }
    // The same key, asked for without a salted session over the same wire, is what it would have seen.
    assert_eq!(unsealed_by_hand(&bench, &wire.tcti()), key);
    assert!(wire.saw(&key), "the wire sees what crosses it in clear");
}

/// Guesses at somebody else's key until the TPM answers nobody who must give a password.
fn lock_out(bench: &Bench) {
    let tcti = bench.tpm.tcti();
    let run = |line: &str| tool(bench, &tcti, line);
    assert!(run("tpm2_createprimary -Q -C o -G ecc -c theirs.ctx -p right").0);
    assert!(run("tpm2_flushcontext -t").0);
    for _ in 0..8 {
        run("tpm2_create -Q -C theirs.ctx -u c.pub -r c.priv -P wrong");
        assert!(run("tpm2_flushcontext -t").0);
    }
    is_locked_out(bench);
}

fn is_locked_out(bench: &Bench) {
    let (done, said) =
        tool(bench, &bench.tpm.tcti(), "tpm2_create -Q -C theirs.ctx -u c.pub -r c.priv -P right");
    assert!(!done && said.contains("0x921"), "not locked out: {said}");
    assert!(tool(bench, &bench.tpm.tcti(), "tpm2_flushcontext -t").0);
}

/// What a gateway needs its TPM for.
fn works(bench: &mut Bench) {
    bench.start();
    bench.trust_acme();
    bench.headgate(&["audit", "export", "log"]);
    let nonce = "00112233445566778899aabbccddeeff";
    bench.headgate(&["attest", "--nonce", nonce, "-o", "quote.json"]);
    bench.headgate(&["backup", "-o", "one.backup"]);
    bench.kill();
}

#[test]
fn a_tpm_that_somebody_has_locked_out_still_provisions_a_gateway_and_opens_its_gate() {
    let mut bench = Bench::unprovisioned();
    lock_out(&bench);
    bench.provision();
    is_locked_out(&bench);
    works(&mut bench);
    is_locked_out(&bench);
}

#[test]
fn power_cuts_that_the_tpm_counts_as_guesses_lock_out_others_and_never_the_gateway() {
    let mut bench = Bench::new();
    let run = |bench: &Bench, line: &str| tool(bench, &bench.tpm.tcti(), line);
    let counted = |bench: &Bench| {
        let (_, said) = run(bench, "tpm2_getcap properties-variable");
        let line = said.lines().find(|line| line.contains("TPM2_PT_LOCKOUT_COUNTER")).expect("a counter");
        let hex = line.rsplit("0x").next().expect("a number").trim().to_owned();
        u32::from_str_radix(&hex, 16).expect("a number")
    };
    // With a key that is protected against guessing in use, an end without TPM2_Shutdown counts as a wrong guess.
    for _ in 0..5 {
        run(&bench, "tpm2_createprimary -Q -C o -G ecc -c theirs.ctx -p right");
        run(&bench, "tpm2_flushcontext -t");
        run(&bench, "tpm2_create -Q -C theirs.ctx -u c.pub -r c.priv -P right");
        run(&bench, "tpm2_flushcontext -t");
        bench.tpm.restart().expect("it starts");
        bench.boot();
    }
    assert!(counted(&bench) >= 3, "the cuts were counted: {}", counted(&bench));
    run(&bench, "tpm2_createprimary -Q -C o -G ecc -c theirs.ctx -p right");
    run(&bench, "tpm2_flushcontext -t");
    is_locked_out(&bench);
    works(&mut bench);
    // And our own use, cut off as often, is never counted.
    let before = counted(&bench);
    for _ in 0..5 {
        bench.start();
        bench.tpm.kill();
        bench.kill();
        bench.tpm.restart().expect("it starts");
        bench.boot();
    }
    assert_eq!(counted(&bench), before, "what is ours is not protected against guessing, on purpose");
    bench.start();
}
