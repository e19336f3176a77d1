//! A TPM that dies in the middle of a call: at every command of every call, an error in time, and the next
//! call works once the TPM is back.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;
#[allow(dead_code)]
#[path = "tpm_bench/wire.rs"]
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hal::tpm::{EkKind, Tpm, TpmError};
use tpm_bench::{Bench, LONG};
use wire::Wire;

/// What a dead TPM may take to be noticed.
const SOON: Duration = Duration::from_secs(5);
const NEVER: usize = usize::MAX;

/// What is asked of the TPM, and how many commands it takes at least.
type Call<'a> = (&'a str, usize, &'a dyn Fn() -> Result<(), TpmError>);

#[test]
fn every_call_ends_in_time_wherever_the_tpm_dies_and_works_when_it_is_back() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let mut counter = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    let approvals = [approval];
    // The seed of the endorsement key outlives a power cut, and the challenge with it.
    bench.make_ek("ecc", "ek.pub");
    let ak = provisioned.attestation_key().unwrap().name();
    let (credential, secret) = bench.challenge("ek.pub", b"secret", &ak);
    let bench = Arc::new(Mutex::new(bench));
    // Counts commands down and kills the TPM before the last of them. The thread of the wire never ends, so
    // it must not keep the bench.
    let left = Arc::new(AtomicUsize::new(NEVER));
    let (victim, countdown) = (Arc::downgrade(&bench), Arc::clone(&left));
    let count = move |_| {
        let before = countdown.load(Ordering::Relaxed);
        if let (0, Some(bench)) = (before, victim.upgrade()) {
            bench.lock().unwrap().swtpm.kill();
        }
        countdown.store(before.saturating_sub(1), Ordering::Relaxed);
    };
    let wire = Wire::to(&bench.lock().unwrap().swtpm, Arc::new(count), Arc::new(|_| {}));
    let tpm = Tpm::open(&wire.tcti()).unwrap();
    let record = &provisioned;
    let calls: &[Call<'_>] = &[
        ("unseal", 10, &|| tpm.unseal(record, &approvals, LONG).map(drop)),
        ("sign", 10, &|| tpm.sign(record, &approvals, &[1; 32], LONG).map(drop)),
        ("quote", 6, &|| tpm.quote(record, b"nonce", LONG).map(drop)),
        ("state counter", 5, &|| tpm.state_counter(record, LONG).map(drop)),
        ("advance state", 10, &|| {
            let value = tpm.state_counter(record, LONG)?;
            tpm.advance_state(record, value, LONG).map(drop)
        }),
        ("endorsements", 3, &|| tpm.endorsements(LONG).map(drop)),
        ("activate credential", 7, &|| {
            tpm.activate_credential(record, EkKind::P256, &credential, &secret, LONG).map(drop)
        }),
    ];
    for (name, least, call) in calls {
        let mut died_at = 0;
        loop {
            left.store(died_at, Ordering::Relaxed);
            let asked = Instant::now();
            let answer = call();
            assert!(asked.elapsed() < SOON, "{name}, command {died_at}: {:?}", asked.elapsed());
            let lived = left.swap(NEVER, Ordering::Relaxed) > 0;
            match answer {
                // The call has no more commands than this.
                Ok(()) if lived => break,
                Ok(()) => {} // it died flushing what was left
                Err(error) => assert!(error.is_undecided(), "{name}, command {died_at}: {error}"),
            }
            {
                let mut bench = bench.lock().unwrap();
                bench.swtpm.restart().unwrap();
                bench.boot();
            }
            call().unwrap_or_else(|error| panic!("{name} after a death at command {died_at}: {error}"));
            let now = tpm.state_counter(&provisioned, LONG).unwrap();
            assert!(now >= counter, "{name}: the state counter went from {counter} to {now}");
            counter = now;
            died_at += 1;
        }
        eprintln!("{name}: killed at each of {died_at} commands");
        assert!(died_at >= *least, "{name}: the TPM was not killed in mid-call");
    }
}
