//! Evidence: signed only in an approved boot state, and read by tools that others wrote.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;

use std::fs;
use std::time::Instant;

use hal::tpm::{EvidenceKey, Provisioned, RC_INTEGRITY, RC_POLICY, RC_VALUE, SiteKey, TpmError};
use tpm_bench::{Bench, LONG};

const MESSAGE: &[u8] = b"a receipt";

/// SHA-256 of [`MESSAGE`], by somebody else.
fn digest(bench: &Bench) -> [u8; 32] {
    fs::write(bench.path().join("message"), MESSAGE).unwrap();
    bench.tool("openssl", &["dgst", "-sha256", "-binary", "-out", "digest", "message"]);
    fs::read(bench.path().join("digest")).unwrap().try_into().unwrap()
}

#[test]
fn openssl_verifies_a_signature_from_the_pem_alone() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let key = provisioned.evidence_key().unwrap();
    fs::write(bench.path().join("evidence.pem"), key.to_pem()).unwrap();
    let digest = digest(&bench);
    let approvals = [approval];
    // Some of them have a short r or s, or one with its top bit set.
    for _ in 0..10 {
        let signature = bench.tpm.sign(&provisioned, &approvals, &digest, LONG).unwrap();
        assert!(key.verifies(&digest, &signature));
        assert!(!key.verifies(&[0; 32], &signature));
        fs::write(bench.path().join("signature"), &signature).unwrap();
        let args = ["dgst", "-sha256", "-verify", "evidence.pem", "-signature", "signature", "message"];
        assert_eq!(bench.tool("openssl", &args).trim(), "Verified OK");
    }
    fs::write(bench.path().join("message"), "another receipt").unwrap();
    let args = ["dgst", "-sha256", "-verify", "evidence.pem", "-signature", "signature", "message"];
    assert!(!bench.try_tool("openssl", &args).0);
    let der = bench.tool("openssl", &["pkey", "-pubin", "-in", "evidence.pem", "-text", "-noout"]);
    assert!(der.contains("prime256v1"), "{der}");
    fs::write(bench.path().join("evidence.der"), key.to_der()).unwrap();
    let pem = bench.tool("openssl", &["pkey", "-pubin", "-inform", "DER", "-in", "evidence.der", "-pubout"]);
    assert_eq!(pem, key.to_pem());
    assert_eq!(bench.leftovers(), "");
}

#[test]
fn the_tool_reports_the_name_that_was_computed_from_the_record() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    for (blobs, name) in [
        (provisioned.evidence.as_ref().unwrap(), provisioned.evidence_key().unwrap().name()),
        (provisioned.attestation.as_ref().unwrap(), provisioned.attestation_key().unwrap().name()),
    ] {
        fs::write(bench.path().join("key.pub"), &blobs.public).unwrap();
        fs::write(bench.path().join("key.priv"), &blobs.private).unwrap();
        let args = ["-C", "0x81000001", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx"];
        let loaded = bench.tool("tpm2_load", &args);
        assert!(loaded.contains(&name.to_string()), "{loaded}");
        bench.tool("tpm2_flushcontext", &["-t"]);
    }
}

#[test]
fn nothing_is_signed_in_another_boot_state_or_after_the_epoch_moved() {
    let bench = Bench::measured();
    let (provisioned, old) = bench.approved();
    bench.extend(7, 0x78);
    let error = bench.tpm.sign(&provisioned, std::slice::from_ref(&old), &[1; 32], LONG).unwrap_err();
    assert!(error.is(RC_VALUE), "{error}");
    assert!(
        error.to_string().starts_with("none of 1 approvals opens the evidence key (1 tried), PCR 7"),
        "{error}"
    );
    let new = bench.approve_now(&provisioned);
    bench.tpm.sign(&provisioned, &[old, new.clone()], &[1; 32], LONG).unwrap();
    bench.tpm.advance_epoch(LONG).unwrap();
    let error = bench.tpm.sign(&provisioned, &[new], &[1; 32], LONG).unwrap_err();
    assert!(error.is(RC_POLICY), "{error}");
    let none = bench.tpm.sign(&provisioned, &[], &[1; 32], LONG).unwrap_err();
    assert!(none.to_string().contains("no approval is installed"), "{none}");
    assert_eq!(bench.tpm.usage().signatures, 2, "one certification, one signature");
}

#[test]
fn no_password_signs_not_even_one_somebody_set() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let blobs = provisioned.evidence.as_ref().unwrap();
    fs::write(bench.path().join("key.pub"), &blobs.public).unwrap();
    fs::write(bench.path().join("key.priv"), &blobs.private).unwrap();
    digest(&bench);
    let load = |private: &str| {
        let args = ["-Q", "-C", "0x81000001", "-u", "key.pub", "-r", private, "-c", "key.ctx"];
        bench.tool("tpm2_load", &args);
        bench.tool("tpm2_flushcontext", &["-t"]);
    };
    let sign = |auth: &[&str]| {
        let args = ["-Q", "-c", "key.ctx", "-g", "sha256", "-d", "-o", "s", "digest"];
        let signed = bench.try_tool("tpm2_sign", &[&args[..], auth].concat());
        bench.tool("tpm2_flushcontext", &["-t"]);
        signed
    };
    load("key.priv");
    let (signed, said) = sign(&[]);
    assert!(!signed && said.contains("0x12F"), "an empty password signs: {said}");
    // The ADMIN role may change the authorization value; it still opens nothing.
    let args = ["-C", "0x81000001", "-c", "key.ctx", "-r", "new.priv", "mine"];
    bench.tool("tpm2_changeauth", &args);
    bench.tool("tpm2_flushcontext", &["-t"]);
    load("new.priv");
    let (signed, said) = sign(&["-p", "mine"]);
    assert!(!signed && said.contains("0x12F"), "a password that was set signs: {said}");
}

#[test]
fn a_key_does_not_move_to_another_tpm() {
    let (home, away) = (Bench::measured(), Bench::measured());
    let (mut stolen, approval) = home.approved();
    let (local, _) = away.approved();
    let approvals = [approval];
    let sign = |record: &Provisioned| away.tpm.sign(record, &approvals, &[1; 32], LONG).unwrap_err();
    let quote = |record: &Provisioned| away.tpm.quote(record, b"nonce", LONG).unwrap_err();
    assert!(matches!(sign(&stolen), TpmError::SrkChanged { .. }));
    assert!(matches!(quote(&stolen), TpmError::SrkChanged { .. }));
    // With the pin forged too, the TPM itself refuses the blobs.
    stolen.srk_name = local.srk_name;
    for error in [sign(&stolen), quote(&stolen)] {
        assert!(error.is(RC_INTEGRITY), "{error}");
        assert_eq!(error.code().unwrap().0, 0x1df);
        assert!(error.to_string().contains("TPM2_Load answered"), "{error}");
    }
}

#[test]
fn a_record_with_a_key_of_another_kind_is_refused_before_the_tpm_is_asked() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let before = bench.tpm.usage();
    // The attestation key needs no approval: it must not pass for the evidence key, nor the reverse.
    let mut swapped = provisioned.clone();
    std::mem::swap(&mut swapped.evidence, &mut swapped.attestation);
    let error = bench.tpm.sign(&swapped, std::slice::from_ref(&approval), &[1; 32], LONG).unwrap_err();
    assert!(matches!(error, TpmError::Malformed { what: "evidence key", .. }), "{error}");
    let error = bench.tpm.quote(&swapped, b"nonce", LONG).unwrap_err();
    assert!(matches!(error, TpmError::Malformed { what: "attestation key", .. }), "{error}");
    let foreign = SiteKey::generate().unwrap().public();
    assert!(EvidenceKey::from_public(&provisioned.evidence.as_ref().unwrap().public, &foreign).is_err());
    assert_eq!(bench.tpm.usage(), before);
    // A record with a thief's site key and a key made for it by the thief, on this very TPM: the TPM opens it,
    // but it is another key, which no certification of ours covers.
    let thief = SiteKey::generate().unwrap();
    let made = bench.tpm.provision(&thief.public(), &bench.pcrs(), "gate-1", LONG).unwrap();
    let (his, request) = (made.provisioned, made.request);
    let his_approval = thief.sign(&request).unwrap();
    let signature = bench.tpm.sign(&his, std::slice::from_ref(&his_approval), &[1; 32], LONG).unwrap();
    assert!(!provisioned.evidence_key().unwrap().verifies(&[1; 32], &signature));
    let ours = provisioned.evidence_certification.as_ref().unwrap();
    let ak = provisioned.attestation_key().unwrap();
    assert!(ours.verify(&ak, &his.evidence_key().unwrap()).is_err());
    // His public area over our private one: they do not belong together.
    let mut mixed = provisioned.clone();
    mixed.site_key = thief.public();
    mixed.evidence.as_mut().unwrap().public = his.evidence.as_ref().unwrap().public.clone();
    let error = bench.tpm.sign(&mixed, &[his_approval], &[1; 32], LONG).unwrap_err();
    assert!(error.is(RC_INTEGRITY), "{error}");
}

#[test]
fn dictionary_attack_lockout_does_not_stop_us() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    // Somebody else's key, protected against guessing, and somebody who guesses.
    bench.tool("tpm2_createprimary", &["-Q", "-C", "o", "-G", "ecc", "-c", "theirs.ctx", "-p", "right"]);
    bench.tool("tpm2_flushcontext", &["-t"]);
    let args = ["-Q", "-C", "theirs.ctx", "-u", "c.pub", "-r", "c.priv"];
    let mut said = String::new();
    for _ in 0..8 {
        said = bench.try_tool("tpm2_create", &[&args[..], &["-P", "wrong"]].concat()).1;
        bench.tool("tpm2_flushcontext", &["-t"]);
    }
    assert!(said.contains("0x921"), "not locked out: {said}");
    let (created, said) = bench.try_tool("tpm2_create", &[&args[..], &["-P", "right"]].concat());
    assert!(!created && said.contains("0x921"), "not locked out: {said}");
    bench.tool("tpm2_flushcontext", &["-t"]);

    let approvals = [approval];
    bench.tpm.unseal(&provisioned, &approvals, LONG).unwrap();
    bench.tpm.sign(&provisioned, &approvals, &[1; 32], LONG).unwrap();
    bench.tpm.quote(&provisioned, b"nonce", LONG).unwrap();
    let value = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    bench.tpm.advance_state(&provisioned, value, LONG).unwrap();
    bench.tpm.advance_epoch(LONG).unwrap();
}

/// A figure for the record, printed with `--nocapture`; it asserts only that a second is not spent.
#[test]
fn a_signature_takes_its_time() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let approvals = [approval];
    let value = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    let median = |what: &str, ask: &dyn Fn(u64)| {
        let mut times: Vec<_> = (0..20)
            .map(|n| {
                let asked = Instant::now();
                ask(n);
                asked.elapsed()
            })
            .collect();
        times.sort_unstable();
        eprintln!("{what}: {:.1} ms (median of {})", times[10].as_secs_f64() * 1e3, times.len());
        assert!(times[10].as_secs() < 1);
    };
    median("unseal", &|_| {
        bench.tpm.unseal(&provisioned, &approvals, LONG).unwrap();
    });
    median("sign evidence", &|_| {
        bench.tpm.sign(&provisioned, &approvals, &[1; 32], LONG).unwrap();
    });
    median("quote", &|_| {
        bench.tpm.quote(&provisioned, b"nonce", LONG).unwrap();
    });
    median("read state counter", &|_| {
        bench.tpm.state_counter(&provisioned, LONG).unwrap();
    });
    median("advance state counter", &|n| {
        bench.tpm.advance_state(&provisioned, value + n, LONG).unwrap();
    });
}
