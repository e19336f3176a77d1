//! What Headgate provisions, read back with tpm2-tools, which others wrote.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;

use std::fs;

use hal::tpm::{SiteKey, SiteKeyPublic, epoch_name};
use tpm_bench::{Bench, LONG};

#[test]
fn the_epoch_counter_reads_the_same() {
    let bench = Bench::measured();
    bench.provision();
    bench.tpm.advance_epoch(LONG).unwrap();
    let ours = bench.tpm.epoch(LONG).unwrap();
    bench.tool("tpm2_nvread", &["0x01801000", "-C", "0x01801000", "-o", "epoch.bin"]);
    let theirs = fs::read(bench.path().join("epoch.bin")).unwrap();
    assert_eq!(theirs, ours.to_be_bytes());
    let public = bench.tool("tpm2_nvreadpublic", &["0x01801000"]);
    assert!(public.contains(&epoch_name(true).to_string()), "{public}");
    assert!(public.contains("ownerwrite|nt=0x1|ownerread|authread|no_da|written"), "{public}");
}

#[test]
fn the_site_key_has_the_name_the_tool_reports() {
    let bench = Bench::bare();
    for _ in 0..5 {
        let key = SiteKey::generate().unwrap().public();
        let reported = load_site_key(&bench, &key);
        assert!(reported.contains(&format!("name: {}", key.name())), "{reported}");
        bench.tool("tpm2_flushcontext", &["-t"]);
    }
}

#[test]
fn the_sealed_key_opens_by_hand_with_the_same_approval() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let ours = bench.tpm.unseal(&provisioned, std::slice::from_ref(&approval), LONG).unwrap().key;
    let put = |name: &str, bytes: &[u8]| fs::write(bench.path().join(name), bytes).unwrap();
    put("sealed.pub", &provisioned.sealed_public);
    put("sealed.priv", &provisioned.sealed_private);
    put("approved.policy", &approval.request.policy.0);
    put("ref.bin", approval.request.policy_ref.as_bytes());
    put("message.bin", &[&approval.request.policy.0, approval.request.policy_ref.as_bytes()].concat());
    put("signature.der", &der(&approval.signature));
    put("epoch.bin", &approval.request.epoch.to_be_bytes());

    load_site_key(&bench, &provisioned.site_key);
    bench.tool(
        "tpm2_verifysignature",
        &[
            "-c",
            "site.ctx",
            "-g",
            "sha256",
            "-m",
            "message.bin",
            "-s",
            "signature.der",
            "-f",
            "ecdsa",
            "-t",
            "ticket",
        ],
    );
    bench.tool("tpm2_flushcontext", &["-t"]);
    bench.tool("tpm2_startauthsession", &["--policy-session", "-S", "s.ctx"]);
    bench.tool("tpm2_policypcr", &["-Q", "-S", "s.ctx", "-l", "sha256:0,7"]);
    bench.tool(
        "tpm2_policynv",
        &["-Q", "-S", "s.ctx", "-C", "0x01801000", "-i", "epoch.bin", "0x01801000", "eq"],
    );
    bench.tool(
        "tpm2_policyauthorize",
        &["-Q", "-S", "s.ctx", "-i", "approved.policy", "-q", "ref.bin", "-n", "site.name", "-t", "ticket"],
    );
    bench.tool(
        "tpm2_load",
        &["-Q", "-C", "0x81000001", "-u", "sealed.pub", "-r", "sealed.priv", "-c", "sealed.ctx"],
    );
    bench.tool("tpm2_unseal", &["-p", "session:s.ctx", "-c", "sealed.ctx", "-o", "key.bin"]);
    assert_eq!(fs::read(bench.path().join("key.bin")).unwrap(), *ours);

    bench.tool("tpm2_flushcontext", &["s.ctx"]);
    let (opened, said) = bench.try_tool("tpm2_unseal", &["-c", "sealed.ctx"]);
    assert!(!opened, "an empty password opens the seal: {said}");
}

#[test]
fn keys_of_openssl_are_read_and_ours_are_read_by_openssl() {
    let bench = Bench::bare();
    let made = bench.tool(
        "openssl",
        &["genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "k.pem"],
    );
    assert_eq!(made, "");
    let theirs = SiteKey::from_pem(&fs::read_to_string(bench.path().join("k.pem")).unwrap()).unwrap();
    let public = bench.tool("openssl", &["pkey", "-in", "k.pem", "-pubout"]);
    assert_eq!(SiteKeyPublic::from_pem(&public).unwrap(), theirs.public());
    let ours = SiteKey::generate().unwrap();
    fs::write(bench.path().join("ours.pem"), ours.to_pem().unwrap().as_bytes()).unwrap();
    assert_eq!(bench.tool("openssl", &["pkey", "-in", "ours.pem", "-pubout"]), ours.public().to_pem());
}

/// Loads it as `site.ctx` with its Name in `site.name`; returns what the tool prints.
fn load_site_key(bench: &Bench, key: &SiteKeyPublic) -> String {
    fs::write(bench.path().join("site.pem"), key.to_pem()).unwrap();
    bench.tool(
        "tpm2_loadexternal",
        &[
            "-C",
            "o",
            "-G",
            "ecc:ecdsa-sha256",
            "-a",
            "userwithauth|sign",
            "-u",
            "site.pem",
            "-c",
            "site.ctx",
            "-n",
            "site.name",
        ],
    )
}

/// r and s as DER, the form OpenSSL signs in.
fn der(signature: &[u8; 64]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let mut value: Vec<u8> = half.iter().copied().skip_while(|&byte| byte == 0).collect();
        if value.first().is_none_or(|&byte| byte >= 0x80) {
            value.insert(0, 0);
        }
        [&[2, value.len() as u8], value.as_slice()].concat()
    };
    let both = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [&[0x30, both.len() as u8], both.as_slice()].concat()
}
