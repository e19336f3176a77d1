//! What a gateway hands over as its attestation, and challenges for it: any bytes are refused or are read, written in
//! the form of other tools and checked; nothing is good that was not signed for this nonce. The seeds are of a bench with
//! a software TPM, whole and edited. The first byte says what the rest is.
#![no_main]

use gateway::attestation::{Attestation, Given, Makers, check, files};
use gateway::receipt::Said;
use hal::clock::Wall;
use hal::tpm::{Challenge, EkKind, EkPublic};
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
        _ => attested(data),
    }
});

fn attested(file: &[u8]) {
    let Ok(read) = Attestation::parse(file) else { return };
    let all = files(&read).expect("it was read from JSON");
    assert_eq!(Attestation::parse(&all[0].1).expect("the form it is written in"), read);
    assert!(all.iter().all(|(name, _)| !name.contains(['/', '\\']) && !name.starts_with('.')));
    let given = Given { nonce: b"another one".to_vec(), ..Given::default() };
    let findings = check(&read, &given, Wall::trusted(1_790_000_000_000));
    assert!(findings.iter().any(|f| f.said == Said::Bad), "nobody signed a quote for this nonce");
}
