//! The state counter: moves on from the value expected and from no other, never goes back, and says which of
//! the ways it can be gone it went.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hal::tpm::{Provisioned, Step, TpmError, state_name};
use tpm_bench::{Bench, LONG};

const INDEX: &str = "0x01801001";
const ATTRIBUTES: &str = "nt=counter|ownerwrite|ownerread|authread|no_da";

#[test]
fn it_moves_on_from_the_expected_value_only() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let first = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    let increments = bench.tpm.usage().nv_increments;
    let behind = bench.tpm.advance_state(&provisioned, first + 1, LONG).unwrap_err();
    assert!(
        matches!(behind, TpmError::StateBehind { found, expected } if (found, expected) == (first, first + 1)),
        "{behind}"
    );
    let ahead = bench.tpm.advance_state(&provisioned, first - 1, LONG).unwrap_err();
    assert!(
        matches!(ahead, TpmError::StateAhead { found, expected } if (found, expected) == (first, first - 1)),
        "{ahead}"
    );
    assert_eq!(bench.tpm.usage().nv_increments, increments, "nothing is written for a refusal");
    for n in first..first + 5 {
        assert_eq!(bench.tpm.advance_state(&provisioned, n, LONG).unwrap(), n + 1);
    }
    assert_eq!(bench.tpm.usage().nv_increments, increments + 5);
    assert_eq!(bench.tpm.state_counter(&provisioned, LONG).unwrap(), first + 5);
    assert_eq!(bench.leftovers(), "");
}

#[test]
fn it_needs_no_approval_and_no_approved_boot_state() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let first = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    bench.extend(7, 0x99);
    bench.tpm.advance_epoch(LONG).unwrap();
    assert_eq!(bench.tpm.advance_state(&provisioned, first, LONG).unwrap(), first + 1);
}

#[test]
fn it_reads_the_same_with_the_tools() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let first = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    let ours = bench.tpm.advance_state(&provisioned, first, LONG).unwrap();
    bench.tool("tpm2_nvread", &[INDEX, "-C", INDEX, "-o", "state.bin"]);
    assert_eq!(fs::read(bench.path().join("state.bin")).unwrap(), ours.to_be_bytes());
    let public = bench.tool("tpm2_nvreadpublic", &[INDEX]);
    assert!(public.contains(&state_name(true).to_string()), "{public}");
    assert!(public.contains("ownerwrite|nt=0x1|ownerread|authread|no_da|written"), "{public}");
    assert_eq!(provisioned.state_index_name, Some(state_name(true)));
}

#[test]
fn a_counter_that_is_gone_or_another_is_told_as_such() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let value = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    let ask = |what: &str| {
        let read = bench.tpm.state_counter(&provisioned, LONG).unwrap_err();
        let moved = bench.tpm.advance_state(&provisioned, value, LONG).unwrap_err();
        assert_eq!(read.to_string(), moved.to_string(), "{what}");
        read
    };
    bench.tool("tpm2_nvundefine", &["-C", "o", INDEX]);
    let error = ask("undefined");
    assert!(matches!(error, TpmError::StateMissing { .. }), "{error}");

    bench.tool("tpm2_nvdefine", &["-Q", "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite", INDEX]);
    let error = ask("another kind of index");
    assert!(matches!(error, TpmError::StateRedefined { .. }), "{error}");
    let again = bench.tpm.provision(&bench.site.public(), &bench.pcrs(), "gate-1", LONG);
    assert!(matches!(again, Err(TpmError::StateRedefined { .. })), "{again:?}");
    bench.tool("tpm2_nvundefine", &["-C", "o", INDEX]);

    bench.tool("tpm2_nvdefine", &["-Q", "-C", "o", "-s", "8", "-a", ATTRIBUTES, INDEX]);
    let error = ask("defined anew and never incremented");
    let TpmError::StateRedefined { found, .. } = &error else { panic!("{error}") };
    assert_eq!(**found, state_name(false));

    // Incremented, it has the old Name, but not the old value: it started above all that were removed.
    bench.tool("tpm2_nvincrement", &["-C", "o", INDEX]);
    let error = bench.tpm.advance_state(&provisioned, value, LONG).unwrap_err();
    assert!(matches!(error, TpmError::StateAhead { found, .. } if found > value), "{error}");
}

#[test]
fn a_cleared_tpm_is_told_by_its_storage_key_first_and_its_counter_starts_higher() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let mut value = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    for _ in 0..10 {
        value = bench.tpm.advance_state(&provisioned, value, LONG).unwrap();
    }
    bench.tool("tpm2_clear", &["-c", "p"]);
    let error = bench.tpm.state_counter(&provisioned, LONG).unwrap_err();
    assert!(matches!(error, TpmError::SrkChanged { .. }), "{error}");
    let (again, _) = bench.provision();
    assert!(bench.tpm.state_counter(&again, LONG).unwrap() > value);
}

#[test]
fn another_tpm_is_told_by_its_storage_key_before_its_counter_is_asked() {
    let (home, away) = (Bench::measured(), Bench::measured());
    let (provisioned, _) = home.provision();
    // With a counter of the same Name, without one, and of another Name.
    let ask = |what: &str| {
        let error = away.tpm.state_counter(&provisioned, LONG).unwrap_err();
        assert!(matches!(error, TpmError::SrkChanged { .. }), "{what}: {error}");
        let error = away.tpm.advance_state(&provisioned, 2, LONG).unwrap_err();
        assert!(matches!(error, TpmError::SrkChanged { .. }), "{what}: {error}");
    };
    ask("nothing provisioned");
    away.provision();
    ask("a counter of the same Name");
    away.tool("tpm2_nvundefine", &["-C", "o", INDEX]);
    ask("no counter");
    away.tool("tpm2_nvdefine", &["-Q", "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite", INDEX]);
    ask("another index");
}

#[test]
fn a_record_from_before_there_was_one_opens_its_seal_and_asks_to_provision_again() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let mut json: serde_json::Value = serde_json::to_value(&provisioned).unwrap();
    for later in ["state_index_name", "evidence", "attestation", "evidence_certification"] {
        assert!(json.as_object_mut().unwrap().remove(later).is_some(), "{later}");
    }
    let old: Provisioned = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&old).unwrap(), json, "and is written back as it was");
    let approvals = [approval];
    bench.tpm.unseal(&old, &approvals, LONG).unwrap();
    let before = bench.tpm.usage();
    let errors = [
        bench.tpm.state_counter(&old, LONG).unwrap_err(),
        bench.tpm.advance_state(&old, 2, LONG).unwrap_err(),
        bench.tpm.sign(&old, &approvals, &[0; 32], LONG).unwrap_err(),
        bench.tpm.quote(&old, b"nonce", LONG).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, TpmError::NotProvisioned(_)), "{error}");
        assert!(error.to_string().contains("provision again"), "{error}");
    }
    assert_eq!(bench.tpm.usage(), before, "the TPM is not asked");
}

#[test]
fn the_power_going_around_the_increment_leaves_the_old_value_or_the_new_one() {
    for (done, moved) in [(false, 0), (true, 1)] {
        let mut bench = Bench::measured();
        let (provisioned, _) = bench.provision();
        let value = bench.tpm.state_counter(&provisioned, LONG).unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&cut);
        let tpm = bench.with_steps(Arc::new(move |step: Step| {
            if step.done == done {
                seen.store(true, Ordering::Relaxed);
                return Err(TpmError::Stopped(step));
            }
            Ok(())
        }));
        let stopped = tpm.advance_state(&provisioned, value, LONG);
        assert!(matches!(stopped, Err(TpmError::Stopped(_))), "{stopped:?}");
        assert!(cut.load(Ordering::Relaxed));
        bench.swtpm.restart().unwrap();
        assert_eq!(tpm.state_counter(&provisioned, LONG).unwrap(), value + moved);
    }
}

#[test]
fn of_many_who_move_it_on_from_one_value_one_does() {
    let bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let value = bench.tpm.state_counter(&provisioned, LONG).unwrap();
    let moved: Vec<_> = std::thread::scope(|scope| {
        let ask = || bench.tpm.advance_state(&provisioned, value, LONG);
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(moved.iter().filter(|result| result.is_ok()).count(), 1, "{moved:?}");
    let ahead = moved.iter().filter(|result| matches!(result, Err(TpmError::StateAhead { .. }))).count();
    assert_eq!(ahead, 5, "{moved:?}");
}

#[test]
fn its_clock_counts_boots_and_never_goes_back_within_one() {
    let mut bench = Bench::measured();
    let (provisioned, _) = bench.provision();
    let read = |bench: &Bench| bench.tpm.clock(&provisioned, LONG).unwrap();
    let (first, increments) = (read(&bench), bench.tpm.usage().nv_increments);
    std::thread::sleep(std::time::Duration::from_millis(20));
    let later = read(&bench);
    assert!(first.same_boot(&later) && later.ms > first.ms, "{first}; {later}");
    let tool = bench.tool("tpm2_readclock", &[]);
    assert!(tool.contains(&format!("reset_count: {}", first.resets)), "{tool}");
    bench.swtpm.restart().unwrap();
    let next = (0..10).find_map(|_| bench.tpm.clock(&provisioned, LONG).ok()).expect("it answers again");
    assert_eq!((next.resets, next.same_boot(&later)), (later.resets + 1, false), "{next}");
    assert_eq!(bench.tpm.usage().nv_increments, increments, "reading it writes nothing");
    assert_eq!(bench.leftovers(), "");
}
