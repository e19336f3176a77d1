//! Endorsement keys and credential activation, with certificates made by `swtpm_setup` and challenges made by
//! `tpm2_makecredential`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;
#[allow(dead_code)]
#[path = "tpm_bench/wire.rs"]
mod wire;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use hal::tpm::{EkKind, RC_INTEGRITY, Tpm, TpmError};
use tpm_bench::{Bench, LONG};
use wire::Wire;

const SECRET: &[u8] = b"only beside this key, in one TPM";

/// A TPM as a maker ships it: endorsement keys with certificates of a test CA, which lies in the folder, too.
fn certified() -> Bench {
    Bench::prepared(|dir| {
        let local_ca = dir.join("ca");
        fs::create_dir(&local_ca).unwrap();
        let put = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let ca = local_ca.display();
        let conf = put(
            "localca.conf",
            format!(
                "statedir = {ca}\nsigningkey = {ca}/signkey.pem\nissuercert = {ca}/issuercert.pem\n\
                 certserial = {ca}/certserial\n"
            ),
        );
        let options = put(
            "localca.options",
            "--platform-manufacturer Headgate\n--platform-version 1\n--platform-model Bench\n".to_owned(),
        );
        let setup = put(
            "setup.conf",
            format!(
                "create_certs_tool = {}\ncreate_certs_tool_config = {conf}\n\
                 create_certs_tool_options = {options}\n",
                tool("swtpm_localca").display()
            ),
        );
        let mut command = Command::new("swtpm_setup");
        command.args(["--tpm2", "--createek", "--create-ek-cert", "--lock-nvram", "--overwrite"]);
        command
            .args(["--pcr-banks", "sha256", "--vmid", "bench", "--config", &setup, "--tpm-state"])
            .arg(dir);
        // The default is a user of its own, which only root can become.
        if is_root() {
            command.args(["--runas", "root"]);
        }
        let output = command.output().expect("this test needs the package swtpm-tools");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    })
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn tool(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("this test needs {name}"))
}

#[test]
fn certificates_are_read_and_are_about_the_keys_derived() {
    let bench = certified();
    let (provisioned, _) = {
        bench.boot();
        bench.provision()
    };
    let ak = provisioned.attestation_key().unwrap().name();
    let endorsements = bench.tpm.endorsements(LONG).unwrap();
    let kinds: Vec<_> = endorsements.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [EkKind::P384, EkKind::Rsa2048], "what swtpm_setup makes");
    for one in &endorsements {
        fs::write(bench.path().join("ek.der"), &one.certificate).unwrap();
        fs::write(bench.path().join("ek.pub"), &one.public).unwrap();
        let verify = ["verify", "-partial_chain", "-trusted", "ca/issuercert.pem", "ek.der"];
        let said = bench.tool("openssl", &verify);
        assert!(said.contains("ek.der: OK"), "{said}");
        // The certificate's key is the one derived, as the tool prints both.
        let pem = bench.tool("openssl", &["x509", "-inform", "DER", "-in", "ek.der", "-noout", "-pubkey"]);
        let ours = bench.tool("tpm2_print", &["-t", "TPM2B_PUBLIC", "-f", "pem", "ek.pub"]);
        assert_eq!(pem, ours, "{:?}", one.kind);
        let (credential, secret) = bench.challenge("ek.pub", SECRET, &ak);
        let opened =
            bench.tpm.activate_credential(&provisioned, one.kind, &credential, &secret, LONG).unwrap();
        assert_eq!(*opened, SECRET, "{:?}", one.kind);
    }
    assert_eq!(bench.leftovers(), "");
}

#[test]
fn a_tpm_without_certificates_has_none_and_a_certificate_about_another_key_is_refused() {
    let bench = Bench::measured();
    assert_eq!(bench.tpm.endorsements(LONG).unwrap(), []);
    let index = "0x01c0000a";
    // Four bytes of header and as many as it says, about no key of this TPM.
    let other = [&[0x30, 0x82, 0x02, 0x00][..], &[7; 0x200], &[0xff; 100]].concat();
    fs::write(bench.path().join("other.der"), &other).unwrap();
    let size = other.len().to_string();
    let attributes = "ppwrite|platformcreate|ownerread|authread|no_da";
    bench.tool("tpm2_nvdefine", &["-Q", "-C", "p", "-s", &size, "-a", attributes, index]);
    bench.tool("tpm2_nvwrite", &["-C", "p", "-i", "other.der", index]);
    let error = bench.tpm.endorsements(LONG).unwrap_err();
    assert!(error.to_string().contains("about another key, at 0x01c0000a"), "{error}");
    assert_eq!(bench.leftovers(), "");
}

#[test]
fn a_credential_opens_for_its_own_key_beside_its_own_endorsement_key_only() {
    let (bench, other) = (Bench::measured(), Bench::measured());
    let (provisioned, _) = bench.provision();
    let ak = provisioned.attestation_key().unwrap().name();
    // Certificates or not, the keys of the templates are there.
    bench.make_ek("rsa", "rsa.pub");
    bench.make_ek("ecc", "ecc.pub");
    let open = |record, kind, (credential, secret): &(Vec<u8>, Vec<u8>)| {
        bench.tpm.activate_credential(record, kind, credential, secret, LONG)
    };
    for (kind, file) in [(EkKind::Rsa2048, "rsa.pub"), (EkKind::P256, "ecc.pub")] {
        let good = bench.challenge(file, SECRET, &ak);
        assert_eq!(*open(&provisioned, kind, &good).unwrap(), SECRET, "{kind:?}");
        let for_evidence = bench.challenge(file, SECRET, &provisioned.evidence_key().unwrap().name());
        let error = open(&provisioned, kind, &for_evidence).unwrap_err();
        assert!(error.is(RC_INTEGRITY), "{kind:?}: {error}");
        let mut changed = good.clone();
        *changed.0.last_mut().unwrap() ^= 1;
        assert!(open(&provisioned, kind, &changed).unwrap_err().is(RC_INTEGRITY));
        for bad in [vec![], vec![0xff; 10], vec![0; 2000]] {
            let error = open(&provisioned, kind, &(bad.clone(), good.1.clone())).unwrap_err();
            assert!(matches!(error, TpmError::Malformed { .. }), "{error}");
            let error = open(&provisioned, kind, &(good.0.clone(), bad)).unwrap_err();
            assert!(matches!(error, TpmError::Malformed { .. }), "{error}");
        }
    }
    other.make_ek("ecc", "ecc.pub");
    fs::copy(other.path().join("ecc.pub"), bench.path().join("away.pub")).unwrap();
    let away = bench.challenge("away.pub", SECRET, &ak);
    let error = open(&provisioned, EkKind::P256, &away).unwrap_err();
    assert!(error.code().is_some_and(|code| code.from_tpm()), "{error}");
    assert_eq!(bench.leftovers(), "");
}

#[test]
fn what_was_in_a_credential_does_not_cross_the_wire_in_clear() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let ak = provisioned.attestation_key().unwrap().name();
    for (kind, name) in [(EkKind::P256, "ecc"), (EkKind::Rsa2048, "rsa")] {
        bench.make_ek(name, "ek.pub");
        let (credential, secret) = bench.challenge("ek.pub", SECRET, &ak);
        let wire = Wire::to(&bench.swtpm, Arc::new(|_| {}), Arc::new(|_| {}));
        let tpm = Tpm::open(&wire.tcti()).unwrap();
        let opened = tpm.activate_credential(&provisioned, kind, &credential, &secret, LONG).unwrap();
        assert_eq!(*opened, SECRET);
        assert!(wire.saw(&secret), "the wire listens");
        assert!(SECRET.chunks(8).all(|part| !wire.saw(part)), "{kind:?}");
    }
}
