//! Quotes and certifications: what they must say, and `tpm2_checkquote`, which others wrote.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;

use std::fs;

use hal::tpm::{Attest, AttestationKey, Attested, PcrSelection, PcrValues, Quote, QuoteRefused, TpmError};
use tpm_bench::{Bench, LONG};

const NONCE: &[u8] = b"sixteen bytes...";

fn quoted(bench: &Bench) -> (hal::tpm::Provisioned, AttestationKey, Quote) {
    let (provisioned, _) = bench.provision();
    let quote = bench.tpm.quote(&provisioned, NONCE, LONG).unwrap();
    let ak = provisioned.attestation_key().unwrap();
    (provisioned, ak, quote)
}

#[test]
fn checkquote_accepts_ours_and_refuses_another_nonce_and_other_values() {
    let bench = Bench::measured();
    let (_, ak, quote) = quoted(&bench);
    let put = |name: &str, bytes: &[u8]| fs::write(bench.path().join(name), bytes).unwrap();
    let values = |pcrs: &PcrValues| pcrs.values().iter().flat_map(|(_, value)| *value).collect::<Vec<u8>>();
    put("ak.pem", ak.to_pem().as_bytes());
    put("quote.msg", &quote.attest);
    put("quote.sig", &quote.signature);
    put("pcrs.bin", &values(&quote.pcrs));
    let hex = |nonce: &[u8]| nonce.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let check = |nonce: &[u8]| {
        let files = ["-u", "ak.pem", "-m", "quote.msg", "-s", "quote.sig", "-f", "pcrs.bin"];
        let nonce = hex(nonce);
        let rest = ["-l", "sha256:0,7", "-g", "sha256", "-q", nonce.as_str()];
        bench.try_tool("tpm2_checkquote", &[&files[..], &rest[..]].concat())
    };
    let (accepted, said) = check(NONCE);
    assert!(accepted, "{said}");
    assert!(!check(b"sixteen bytes,,,").0, "another nonce");
    let other = PcrValues::new(vec![(0, [1; 32]), (7, [2; 32])]).unwrap();
    put("pcrs.bin", &values(&other));
    assert!(!check(NONCE).0, "other values");
}

#[test]
fn a_quote_says_what_is_in_the_pcrs_and_nothing_else_passes_for_it() {
    let bench = Bench::measured();
    let (_, ak, quote) = quoted(&bench);
    let now = bench.tpm.pcr_values(&bench.pcrs(), LONG).unwrap();
    let said = quote.verify(&ak, NONCE, &now).unwrap();
    assert_eq!((said.extra_data.as_slice(), &quote.pcrs), (NONCE, &now));
    assert_eq!(said.marshal(), quote.attest);

    let stranger = quoted(&Bench::measured()).1;
    assert!(matches!(quote.verify(&stranger, NONCE, &now), Err(QuoteRefused::Signature(_))));
    assert!(matches!(quote.verify(&ak, b"another", &now), Err(QuoteRefused::Nonce { .. })));
    let only_zero = bench.tpm.pcr_values(&PcrSelection::new(&[0]).unwrap(), LONG).unwrap();
    assert!(matches!(quote.verify(&ak, NONCE, &only_zero), Err(QuoteRefused::Selection { .. })));
    let mut values = now.values().to_vec();
    values[1].1[0] ^= 1;
    let other = PcrValues::new(values).unwrap();
    assert!(matches!(quote.verify(&ak, NONCE, &other), Err(QuoteRefused::Pcrs { .. })));
    // The same values in PCRs that anybody may reset have the same digest.
    let elsewhere = PcrValues::new(vec![(16, now.values()[0].1), (23, now.values()[1].1)]).unwrap();
    assert_eq!(elsewhere.digest(), now.digest());
    assert!(matches!(quote.verify(&ak, NONCE, &elsewhere), Err(QuoteRefused::Selection { .. })));
    for at in 0..quote.attest.len() {
        let mut changed = quote.clone();
        changed.attest[at] ^= 1;
        assert!(matches!(changed.verify(&ak, NONCE, &now), Err(QuoteRefused::Signature(_))), "byte {at}");
    }
    for at in 0..quote.signature.len() {
        let mut changed = quote.clone();
        changed.signature[at] ^= 1;
        assert!(changed.verify(&ak, NONCE, &now).is_err(), "byte {at}");
    }
}

#[test]
fn a_quote_is_given_in_every_boot_state_and_shows_which() {
    let bench = Bench::measured();
    let (provisioned, ak, quote) = quoted(&bench);
    bench.extend(7, 0x78);
    let changed = bench.tpm.quote(&provisioned, NONCE, LONG).unwrap();
    changed.verify(&ak, NONCE, &changed.pcrs).unwrap();
    assert!(matches!(changed.verify(&ak, NONCE, &quote.pcrs), Err(QuoteRefused::Pcrs { .. })));
    assert_eq!(changed.pcrs.differing(&quote.pcrs), [7]);
    assert_eq!(bench.leftovers(), "");
}

#[test]
fn a_nonce_of_a_wrong_length_is_refused_before_the_tpm_is_asked() {
    let bench = Bench::measured();
    let (provisioned, ..) = quoted(&bench);
    let before = bench.tpm.usage();
    for len in [0, 33, 64, 70_000] {
        let error = bench.tpm.quote(&provisioned, &vec![1; len], LONG).unwrap_err();
        assert!(matches!(error, TpmError::Malformed { what: "nonce", .. }), "{error}");
    }
    assert_eq!(bench.tpm.usage(), before);
    for len in [1, 32] {
        bench.tpm.quote(&provisioned, &vec![1; len], LONG).unwrap();
    }
    assert_eq!(bench.tpm.usage().signatures, before.signatures + 2);
}

#[test]
fn the_attestation_key_certifies_the_evidence_key_and_no_other() {
    let bench = Bench::measured();
    let (provisioned, ak, quote) = quoted(&bench);
    let evidence = provisioned.evidence_key().unwrap();
    let certification = provisioned.evidence_certification.clone().unwrap();
    certification.verify(&ak, &evidence).unwrap();
    let said = Attest::parse(&certification.attest).unwrap();
    assert!(matches!(said.attested, Attested::Certify { name, .. } if name == evidence.name()));
    let (again, _) = bench.provision();
    let error = certification.verify(&ak, &again.evidence_key().unwrap()).unwrap_err();
    assert!(matches!(error, QuoteRefused::Certified { .. }), "{error}");
    let other = again.attestation_key().unwrap();
    assert!(matches!(certification.verify(&other, &evidence), Err(QuoteRefused::Signature(_))));
    // A quote for the certification's tag is signed by the same key, and is still no certification.
    let tag = said.extra_data;
    let posing = bench.tpm.quote(&provisioned, &tag, LONG).unwrap();
    let posing = hal::tpm::Certification { attest: posing.attest, signature: posing.signature };
    assert!(matches!(posing.verify(&ak, &evidence), Err(QuoteRefused::Kind { .. })));
    let reverse = Quote { attest: certification.attest, signature: certification.signature, ..quote };
    assert!(matches!(reverse.verify(&ak, &tag, &reverse.pcrs), Err(QuoteRefused::Kind { .. })));
}

#[test]
fn a_restricted_key_signs_nothing_that_looks_like_a_quote() {
    let bench = Bench::measured();
    let (provisioned, _, quote) = quoted(&bench);
    let blobs = provisioned.attestation.as_ref().unwrap();
    fs::write(bench.path().join("ak.pub"), &blobs.public).unwrap();
    fs::write(bench.path().join("ak.priv"), &blobs.private).unwrap();
    fs::write(bench.path().join("forged"), &quote.attest).unwrap();
    bench.tool("tpm2_load", &["-Q", "-C", "0x81000001", "-u", "ak.pub", "-r", "ak.priv", "-c", "ak.ctx"]);
    bench.tool("tpm2_flushcontext", &["-t"]);
    let (signed, said) =
        bench.try_tool("tpm2_sign", &["-Q", "-c", "ak.ctx", "-g", "sha256", "-o", "s", "forged"]);
    assert!(!signed && said.contains("0x3E0"), "{said}");
}

#[test]
fn quotes_survive_json() {
    let bench = Bench::measured();
    let (_, ak, quote) = quoted(&bench);
    let json = serde_json::to_string(&quote).unwrap();
    let again: Quote = serde_json::from_str(&json).unwrap();
    assert_eq!(again, quote);
    again.verify(&ak, NONCE, &again.pcrs).unwrap();
    let twice = json.replace("\"pcr\":7", "\"pcr\":0");
    assert!(serde_json::from_str::<Quote>(&twice).is_err());
}
