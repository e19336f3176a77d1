//! What somebody on the wire to the TPM sees, and what happens when he changes it.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;
#[path = "tpm_bench/wire.rs"]
mod wire;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hal::tpm::{SiteKey, Tpm, TpmError};
use tpm_bench::{Bench, LONG};
use wire::{Wire, contains};

const CC_POLICY_AUTHORIZE: u32 = 0x16a;
const CC_NV_READ: usize = 0x14e;
const CC_READ_CLOCK: usize = 0x181;
const CC_NV_INCREMENT: usize = 0x134;

#[test]
fn the_key_never_crosses_the_wire_in_clear() {
    let bench = Bench::measured();
    let wire = Wire::to(&bench.swtpm, Arc::new(|_| {}), Arc::new(|_| {}));
    let tpm = Tpm::open(&wire.tcti()).unwrap();
    let made = tpm.provision(&bench.site.public(), &bench.pcrs(), "gate-1", LONG).unwrap();
    let (provisioned, request) = (made.provisioned, made.request);
    let approval = bench.site.sign(&request).unwrap();
    let approvals = [approval];
    let key = tpm.unseal(&provisioned, &approvals, LONG).unwrap().key;
    // Signing, counting and quoting use no secret of ours: the evidence key has no authorization value.
    tpm.sign(&provisioned, &approvals, &[7; 32], LONG).unwrap();
    let quote = tpm.quote(&provisioned, b"a nonce in clear", LONG).unwrap();
    let value = tpm.state_counter(&provisioned, LONG).unwrap();
    tpm.advance_state(&provisioned, value, LONG).unwrap();
    assert!(wire.saw(&provisioned.site_key.point()[1..33]), "the wire listens");
    assert!(wire.saw(b"a nonce in clear") && wire.saw(&quote.attest), "the wire listens to the end");
    assert!(!wire.saw(&key[..]));
    for part in key.chunks(8) {
        assert!(!wire.saw(part));
    }
}

#[test]
fn an_old_answer_about_the_state_counter_played_back_is_no_answer() {
    for command in [CC_NV_READ, CC_NV_INCREMENT] {
        let bench = Bench::measured();
        let (provisioned, _) = bench.provision();
        let asked = Arc::new(AtomicUsize::new(0));
        let last = Arc::clone(&asked);
        let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let old = Arc::clone(&kept);
        let replay = move |response: &mut Vec<u8>| {
            if last.load(Ordering::Relaxed) == command {
                response.clone_from(old.lock().unwrap().get_or_insert_with(|| response.clone()));
            }
        };
        let note = move |code| asked.store(code as usize, Ordering::Relaxed);
        let wire = Wire::to(&bench.swtpm, Arc::new(note), Arc::new(replay));
        let tpm = Tpm::open(&wire.tcti()).unwrap();
        let value = bench.tpm.state_counter(&provisioned, LONG).unwrap();
        let ask = || match command {
            CC_NV_READ => tpm.state_counter(&provisioned, LONG),
            _ => tpm.advance_state(&provisioned, value, LONG),
        };
        let first = ask().unwrap();
        assert!(kept.lock().unwrap().is_some());
        if command == CC_NV_READ {
            bench.tpm.advance_state(&provisioned, first, LONG).unwrap();
        }
        let moved = bench.tpm.state_counter(&provisioned, LONG).unwrap();
        assert_eq!(moved, value + 1);
        let error = match command {
            CC_NV_READ => tpm.state_counter(&provisioned, LONG),
            _ => tpm.advance_state(&provisioned, moved, LONG),
        };
        let error = error.unwrap_err().to_string();
        assert!(error.contains("somebody stands between"), "{error}");
    }
}

#[test]
fn a_clock_changed_on_the_wire_is_no_answer() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let asked = Arc::new(AtomicUsize::new(0));
    let last = Arc::clone(&asked);
    let change = move |response: &mut Vec<u8>| {
        if last.load(Ordering::Relaxed) == CC_READ_CLOCK {
            // Header, size of the parameters, time, clock: the count of resets (Part 3 §29.1).
            response[10 + 4 + 8 + 8 + 3] ^= 1;
        }
    };
    let note = move |code| asked.store(code as usize, Ordering::Relaxed);
    let wire = Wire::to(&bench.swtpm, Arc::new(note), Arc::new(change));
    let error = Tpm::open(&wire.tcti()).unwrap().clock(&provisioned, LONG).unwrap_err().to_string();
    assert!(error.contains("somebody stands between"), "{error}");
    assert!(bench.tpm.clock(&provisioned, LONG).is_ok());
}

#[test]
fn a_storage_key_swapped_on_the_wire_is_noticed_before_a_session_is_salted() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let srk = bench.tool("tpm2_readpublic", &["-c", "0x81000001", "-f", "tss", "-o", "srk.pub"]);
    assert!(srk.contains("name"), "{srk}");
    let public = std::fs::read(bench.path().join("srk.pub")).unwrap();
    // TPM2B_PUBLIC ends with x and y, 32 bytes each behind their length.
    let x = public[public.len() - 66..public.len() - 34].to_vec();
    let forged = *SiteKey::generate().unwrap().public().point();
    let swapped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&swapped);
    let swap = move |response: &mut Vec<u8>| {
        if let Some(at) = contains(response, &x) {
            response[at..at + 32].copy_from_slice(&forged[1..33]);
            response[at + 34..at + 66].copy_from_slice(&forged[33..]);
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let sessions = Arc::new(AtomicUsize::new(0));
    let started = Arc::clone(&sessions);
    let watch = move |code| {
        started.fetch_add(usize::from(code == 0x176), Ordering::Relaxed);
    };
    let wire = Wire::to(&bench.swtpm, Arc::new(watch), Arc::new(swap));
    let error = Tpm::open(&wire.tcti()).unwrap().unseal(&provisioned, &[approval], LONG).unwrap_err();
    assert!(swapped.load(Ordering::Relaxed) > 0, "the wire lied");
    assert!(matches!(error, TpmError::SrkChanged { .. }), "{error}");
    assert_eq!(sessions.load(Ordering::Relaxed), 0);
}

#[test]
fn a_pcr_extended_in_mid_policy_is_tried_again_and_a_pcr_that_never_rests_is_given_up() {
    for (times, opens) in [(1, true), (2, true), (usize::MAX, false)] {
        let bench = Bench::measured();
        let (provisioned, approval) = bench.approved();
        let tcti = bench.swtpm.tcti().to_string();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let extend = move |code| {
            if code == CC_POLICY_AUTHORIZE && count.fetch_add(1, Ordering::Relaxed) < times {
                // PCR 1 is in no policy here, yet the TPM takes any extend for a changed state.
                let value = format!("1:sha256={}", "33".repeat(32));
                let done = Command::new("tpm2_pcrextend").arg(value).env("TPM2TOOLS_TCTI", &tcti).status();
                assert!(done.unwrap().success());
            }
        };
        let wire = Wire::to(&bench.swtpm, Arc::new(extend), Arc::new(|_| {}));
        let tpm = Tpm::open(&wire.tcti()).unwrap();
        let result = tpm.unseal(&provisioned, &[approval], LONG);
        assert_eq!(result.is_ok(), opens, "{result:?}");
        if let Err(error) = result {
            assert!(error.is(hal::tpm::RC_PCR_CHANGED), "{error}");
        }
        assert_eq!(seen.load(Ordering::Relaxed), times.saturating_add(1).min(3));
        assert_eq!(bench.leftovers(), "");
    }
}
