//! What a gateway hands over as its attestation, challenges for it, and the certificates and requests of its own: any bytes are refused or are read, written in
//! the form of other tools and checked; nothing is good that was not signed for this nonce. The seeds are of a bench with
//! a software TPM, whole and edited. The first byte says what the rest is.
#![no_main]

use gateway::attestation::{Attestation, Given, Makers, check, files};
use gateway::devid::{Certificate, Chain, Request};
use gateway::receipt::Said;
use hal::clock::Wall;
use hal::tpm::{Challenge, EkKind, EkPublic, InitialKey, LocalKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        0 => {
            if let Ok(read) = Challenge::parse(rest) {
                assert_eq!([&rest[..8], read.credential(), read.secret()].concat(), rest);
            }
        }
        1 => {
            for kind in EkKind::ALL {
                let _ = EkPublic::from_public(kind, rest).map(|key| assert!(key.to_der().starts_with(&[0x30])));
            }
        }
        2 => {
            let mut makers = Makers::default();
            let added = makers.add(rest);
            assert!(added.is_ok() || makers.is_empty());
            assert!(makers.vouch(rest, rest, Wall::trusted(0)).is_err(), "no certificate is its own key");
        }
        3 => certificates(rest),
        4 => {
            if let Ok(request) = Request::parse(rest) {
                assert!(request.key.starts_with(&[0x30]) && !request.subject.chars().any(char::is_control));
            }
        }
        5 => {
            let _ = InitialKey::from_public(rest).map(|key| assert!(key.to_der().starts_with(&[0x30])));
            let _ = LocalKey::from_public(rest).map(|key| assert!(key.to_der().ends_with(key.point())));
        }
        _ => attested(data),
    }
});

fn certificates(file: &[u8]) {
    const NOW: Wall = Wall::trusted(1_790_000_000_000);
    if let Some(read) = Certificate::parse(file) {
        assert!(!read.subject.chars().chain(read.issuer.chars()).any(char::is_control));
    }
    if let Ok(chain) = Chain::parse(file) {
        assert!(chain.check(b"no key", NOW).is_err());
        let own = chain.own();
        if chain.check(&own.key, NOW).is_ok() {
            assert!(own.not_before <= NOW && NOW <= own.not_after && own.for_clients && !own.is_authority);
        }
    }
}

fn attested(file: &[u8]) {
    let Ok(read) = Attestation::parse(file) else { return };
    let all = files(&read).expect("it was read from JSON");
    assert_eq!(Attestation::parse(&all[0].1).expect("the form it is written in"), read);
    assert!(all.iter().all(|(name, _)| !name.contains(['/', '\\']) && !name.starts_with('.')));
    let given = Given { nonce: b"another one".to_vec(), ..Given::default() };
    let findings = check(&read, &given, Wall::trusted(1_790_000_000_000));
    assert!(findings.iter().any(|f| f.said == Said::Bad), "nobody signed a quote for this nonce");
}
