//! The TPM layer against real software TPMs: seal, approve, revoke, and every way it must say no.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod tpm_bench;

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hal::tpm::{
    ApprovalRefused, PcrSelection, RC_INTEGRITY, RC_POLICY, RC_POLICY_FAIL, RC_VALUE, SiteKey, Step, Tpm,
    TpmError, Usage,
};
use tpm_bench::{Bench, LONG};

#[test]
fn provisioning_refuses_pcrs_nobody_measured_into() {
    let bench = Bench::bare();
    let refuse = |pcrs: &[u8]| {
        let pcrs = PcrSelection::new(pcrs).unwrap();
        bench.tpm.provision(&bench.site.public(), &pcrs, "gate-1", LONG).unwrap_err()
    };
    assert!(matches!(refuse(&[0, 7]), TpmError::PcrUnset { index: 0, ones: false }));
    bench.extend(0, 1);
    assert!(matches!(refuse(&[0, 7]), TpmError::PcrUnset { index: 7, ones: false }));
    // The dynamic launch PCRs read all ones after a start.
    assert!(matches!(refuse(&[0, 17]), TpmError::PcrUnset { index: 17, ones: true }));
    assert_eq!(bench.tpm.usage().nv_increments, 0, "nothing is written for a refusal");
}

#[test]
fn an_approved_boot_state_opens_the_same_key_every_time() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let first = bench.tpm.unseal(&provisioned, std::slice::from_ref(&approval), LONG).unwrap();
    let second = bench.tpm.unseal(&provisioned, std::slice::from_ref(&approval), LONG).unwrap();
    assert_eq!(*first.key, *second.key);
    assert_ne!(*first.key, [0; 32]);
    assert_eq!((first.approval_index, first.epoch), (0, approval.request.epoch));
    let proof = bench.tpm.prove(&provisioned, std::slice::from_ref(&approval), &first.key, LONG).unwrap();
    assert_eq!(proof.epoch, first.epoch);
    let other = bench.tpm.prove(&provisioned, &[approval], &[1; 32], LONG);
    assert!(matches!(other, Err(TpmError::KeyDiffers)));
}

#[test]
fn the_record_and_the_approval_survive_json() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let record = serde_json::to_string_pretty(&provisioned).unwrap();
    let approvals = serde_json::to_string_pretty(&[approval]).unwrap();
    let again = serde_json::from_str(&record).unwrap();
    let approvals: Vec<hal::tpm::Approval> = serde_json::from_str(&approvals).unwrap();
    bench.tpm.unseal(&again, &approvals, LONG).unwrap();
}

#[test]
fn a_changed_boot_state_shuts_and_a_second_approval_opens_the_same_seal() {
    let bench = Bench::measured();
    let (provisioned, old) = bench.approved();
    let key = bench.tpm.unseal(&provisioned, std::slice::from_ref(&old), LONG).unwrap().key;
    bench.extend(7, 0x78);
    let error = bench.tpm.prove(&provisioned, std::slice::from_ref(&old), &key, LONG).unwrap_err();
    // The session's digest is not the approved one: TPM2_PolicyAuthorize says so before Unseal could.
    assert!(error.is(RC_VALUE), "{error}");
    assert_eq!(error.code().unwrap().0, 0x1c4);
    assert_eq!(
        error.to_string(),
        "none of 1 approvals opens the sealed key (1 tried), PCR 7 not as last approved; the last: \
         TPM2_PolicyAuthorize answered 0x000001c4 TPM_RC_VALUE: the boot state is not an approved one"
    );
    assert!(!error.is_undecided());
    let new = bench.approve_now(&provisioned);
    let opened = bench.tpm.unseal(&provisioned, &[old, new], LONG).unwrap();
    assert_eq!((opened.approval_index, *opened.key == *key), (1, true));
}

#[test]
fn an_approval_by_another_key_or_tampered_with_is_refused_before_the_tpm_is_asked() {
    let bench = Bench::measured();
    let (provisioned, good) = bench.approved();
    let foreign = SiteKey::generate().unwrap().sign(&good.request).unwrap();
    let mut tampered = good.clone();
    tampered.signature[10] ^= 1;
    for bad in [foreign, tampered] {
        let error = bench.tpm.unseal(&provisioned, std::slice::from_ref(&bad), LONG).unwrap_err();
        assert!(matches!(error, TpmError::NoApproval { offered: 1, tried: 0, .. }), "{error}");
        assert_eq!(bench.tpm.usage().unseals, 0);
    }
    let narrow = {
        let pcrs = bench.tpm.pcr_values(&PcrSelection::new(&[0]).unwrap(), LONG).unwrap();
        let (epoch, name) = (good.request.epoch, good.request.epoch_index_name);
        bench.site.sign(&hal::tpm::ApprovalRequest::new("gate-1", &pcrs, epoch, name)).unwrap()
    };
    let Err(TpmError::NoApproval { tried: 0, last, .. }) = bench.tpm.unseal(&provisioned, &[narrow], LONG)
    else {
        panic!("an approval of fewer PCRs was tried")
    };
    assert!(matches!(*last, TpmError::Approval(ApprovalRefused::Selection { .. })), "{last}");
    let none = bench.tpm.unseal(&provisioned, &[], LONG).unwrap_err();
    assert!(none.to_string().contains("no approval is installed"), "{none}");
}

#[test]
fn a_record_that_names_a_thiefs_site_key_fails_the_policy_in_the_tpm() {
    let bench = Bench::measured();
    let (mut provisioned, good) = bench.approved();
    let thief = SiteKey::generate().unwrap();
    provisioned.site_key = thief.public();
    let error = bench.tpm.unseal(&provisioned, &[thief.sign(&good.request).unwrap()], LONG).unwrap_err();
    assert!(error.is(RC_POLICY_FAIL), "{error}");
    assert!(error.to_string().contains("TPM2_Unseal answered 0x0000099d TPM_RC_POLICY_FAIL"), "{error}");
}

#[test]
fn one_increment_of_the_epoch_revokes_old_approvals_and_a_new_one_opens_the_same_seal() {
    let bench = Bench::measured();
    let (provisioned, old) = bench.approved();
    let key = bench.tpm.unseal(&provisioned, std::slice::from_ref(&old), LONG).unwrap().key;
    let next = bench.tpm.advance_epoch(LONG).unwrap();
    assert_eq!((next, bench.tpm.epoch(LONG).unwrap()), (old.request.epoch + 1, next));
    let error = bench.tpm.unseal(&provisioned, std::slice::from_ref(&old), LONG).unwrap_err();
    assert!(error.is(RC_POLICY), "{error}");
    assert!(error.to_string().contains("TPM2_PolicyNV answered 0x00000126 TPM_RC_POLICY"), "{error}");
    let new = bench.approve_now(&provisioned);
    bench.tpm.prove(&provisioned, &[old, new], &key, LONG).unwrap();
}

#[test]
fn a_sealed_key_does_not_move_to_another_tpm() {
    let (home, away) = (Bench::measured(), Bench::measured());
    let (mut stolen, approval) = home.approved();
    let (local, _) = away.approved();
    let error = away.tpm.unseal(&stolen, std::slice::from_ref(&approval), LONG).unwrap_err();
    assert!(matches!(error, TpmError::SrkChanged { .. }), "{error}");
    // With the pin forged too, the TPM itself refuses the blob.
    stolen.srk_name = local.srk_name;
    let error = away.tpm.unseal(&stolen, &[approval], LONG).unwrap_err();
    assert!(error.is(RC_INTEGRITY), "{error}");
    assert_eq!(error.code().unwrap().0, 0x1df);
}

#[test]
fn a_replaced_or_missing_storage_key_is_noticed() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    bench.tool("tpm2_evictcontrol", &["-Q", "-C", "o", "-c", "0x81000001"]);
    let error = bench.tpm.unseal(&provisioned, std::slice::from_ref(&approval), LONG).unwrap_err();
    assert!(matches!(error, TpmError::SrkChanged { .. }), "{error}");
    assert!(error.to_string().contains("absent"), "{error}");
    bench.tool("tpm2_createprimary", &["-Q", "-C", "o", "-G", "ecc", "-c", "other.ctx"]);
    bench.tool("tpm2_evictcontrol", &["-Q", "-C", "o", "-c", "other.ctx", "0x81000001"]);
    bench.tool("tpm2_flushcontext", &["-t"]);
    let error = bench.tpm.unseal(&provisioned, &[approval], LONG).unwrap_err();
    let TpmError::SrkChanged { expected, found } = error else { panic!("{error}") };
    assert_eq!(*expected, provisioned.srk_name);
    assert!(found.0.is_some_and(|name| *name != provisioned.srk_name));
}

#[test]
fn a_missing_or_foreign_epoch_counter_is_noticed() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    bench.tool("tpm2_nvundefine", &["-C", "o", "0x01801000"]);
    let error = bench.tpm.unseal(&provisioned, &[approval], LONG).unwrap_err();
    assert!(matches!(error, TpmError::EpochChanged { .. }), "{error}");
    bench.tool("tpm2_nvdefine", &["-Q", "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite", "0x01801000"]);
    let again = bench.tpm.provision(&bench.site.public(), &bench.pcrs(), "gate-1", LONG);
    assert!(matches!(again, Err(TpmError::EpochChanged { .. })), "{again:?}");
}

#[test]
fn a_killed_tpm_is_an_error_in_time_and_works_again_after_its_restart() {
    let mut bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let key = bench.tpm.unseal(&provisioned, std::slice::from_ref(&approval), LONG).unwrap().key;
    bench.swtpm.kill();
    for _ in 0..3 {
        let asked = Instant::now();
        let error = bench.tpm.prove(&provisioned, std::slice::from_ref(&approval), &key, LONG).unwrap_err();
        assert!(error.is_undecided(), "{error}");
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
    bench.swtpm.restart().unwrap();
    let error = bench.tpm.prove(&provisioned, std::slice::from_ref(&approval), &key, LONG).unwrap_err();
    assert!(error.is(RC_VALUE), "nothing was measured since the restart: {error}");
    bench.boot();
    bench.tpm.prove(&provisioned, &[approval], &key, LONG).unwrap();
}

#[test]
fn a_restart_between_two_requests_goes_unnoticed_and_does_no_harm() {
    let mut bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    for _ in 0..3 {
        bench.swtpm.restart().unwrap();
        bench.boot();
        bench.tpm.unseal(&provisioned, std::slice::from_ref(&approval), LONG).unwrap();
    }
}

#[test]
fn a_hanging_tpm_is_a_timeout_and_the_handle_recovers_when_it_moves_again() {
    let bench = Bench::measured();
    let before = bench.tpm.advance_epoch(LONG).err();
    assert!(matches!(before, Some(TpmError::EpochChanged { .. })), "not provisioned yet");
    bench.provision();
    let epoch = bench.tpm.epoch(LONG).unwrap();
    // swtpm serves one connection at a time: whoever holds it makes all others wait.
    let holder = TcpStream::connect(("127.0.0.1", bench.swtpm.port())).unwrap();
    let short = Duration::from_millis(200);
    for _ in 0..3 {
        let asked = Instant::now();
        let error = bench.tpm.epoch(short).unwrap_err();
        assert!(matches!(error, TpmError::Timeout(_)), "{error}");
        assert!(error.is_undecided() && asked.elapsed() < Duration::from_secs(2));
    }
    // Asked for in vain while it hung: must not be done later.
    assert!(matches!(bench.tpm.advance_epoch(short), Err(TpmError::Timeout(_))));
    let full: Vec<_> = (0..20).map(|_| bench.tpm.epoch(Duration::ZERO)).collect();
    assert!(matches!(full[19], Err(TpmError::Busy(8))), "{full:?}");
    drop(holder);
    // The queue drains, then requests are answered again.
    let end = Instant::now() + LONG;
    let after = loop {
        match bench.tpm.epoch(LONG) {
            Ok(value) => break value,
            Err(TpmError::Busy(_)) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(after, epoch);
}

#[test]
fn fifty_unseals_leave_no_session_and_no_object_behind() {
    let bench = Bench::measured();
    let (provisioned, approval) = bench.approved();
    let mut bad = approval.clone();
    bench.extend(7, 1);
    let now = bench.approve_now(&provisioned);
    bad.signature[0] ^= 1;
    let asked = Instant::now();
    for _ in 0..50 {
        // One refused in software, one by the TPM in mid-policy, one that opens.
        let all = [bad.clone(), approval.clone(), now.clone()];
        assert_eq!(bench.tpm.unseal(&provisioned, &all, LONG).unwrap().approval_index, 2);
        assert!(bench.tpm.unseal(&provisioned, &all[..2], LONG).is_err());
    }
    eprintln!("150 policies, 50 of them to the end, in {:?}", asked.elapsed());
    assert_eq!(bench.leftovers(), "");
    let usage = bench.tpm.usage();
    assert_eq!(
        (usage.unseals, usage.nv_increments, usage.signatures),
        (50, 2, 1),
        "two counters, one certification"
    );
}

#[test]
fn leftovers_of_a_killed_process_are_flushed_when_the_context_is_opened() {
    let bench = Bench::measured();
    for n in 0..3 {
        bench.tool("tpm2_createprimary", &["-Q", "-C", "o", "-G", "ecc", "-c", &format!("left{n}.ctx")]);
        bench.tool("tpm2_startauthsession", &["--policy-session", "-S", &format!("left{n}.session")]);
    }
    let (provisioned, approval) = bench.approved();
    bench.tpm.unseal(&provisioned, &[approval], LONG).unwrap();
    assert_eq!(bench.tool("tpm2_getcap", &["handles-transient"]), "");
    assert_eq!(bench.tool("tpm2_getcap", &["handles-loaded-session"]), "");
}

#[test]
fn questions_without_a_write_use_no_nv_and_idle_uses_nothing() {
    let bench = Bench::measured();
    assert_eq!(bench.tpm.usage(), Usage::default());
    bench.tpm.pcr_values(&bench.pcrs(), LONG).unwrap();
    let once = bench.tpm.usage();
    assert!(once.commands > 0);
    assert_eq!((once.nv_increments, once.unseals, once.signatures), (0, 0, 0));
    assert_eq!(bench.tpm.usage(), once);
}

#[test]
fn provisioning_cut_off_at_any_step_can_be_run_again() {
    let count = {
        let bench = Bench::measured();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let tpm = bench.with_steps(Arc::new(move |step| {
            record.lock().unwrap().push(step.to_string());
            Ok(())
        }));
        tpm.provision(&bench.site.public(), &bench.pcrs(), "gate-1", LONG).unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(
            *seen,
            [
                // The epoch counter, then the state counter.
                "before TPM2_NV_DefineSpace",
                "after TPM2_NV_DefineSpace",
                "before TPM2_NV_Increment",
                "after TPM2_NV_Increment",
                "before TPM2_NV_DefineSpace",
                "after TPM2_NV_DefineSpace",
                "before TPM2_NV_Increment",
                "after TPM2_NV_Increment",
                "before TPM2_EvictControl",
                "after TPM2_EvictControl",
            ]
        );
        seen.len()
    };
    for cut in 0..count {
        let mut bench = Bench::measured();
        let passed = AtomicUsize::new(0);
        let tpm: Tpm = bench.with_steps(Arc::new(move |step: Step| {
            if passed.fetch_add(1, Ordering::Relaxed) == cut { Err(TpmError::Stopped(step)) } else { Ok(()) }
        }));
        let stopped = tpm.provision(&bench.site.public(), &bench.pcrs(), "gate-1", LONG);
        assert!(matches!(stopped, Err(TpmError::Stopped(_))), "{stopped:?}");
        assert_eq!(bench.leftovers(), "", "cut {cut}");
        bench.swtpm.restart().unwrap();
        bench.boot();
        let (provisioned, approval) = bench.approved();
        let approvals = [approval];
        bench.tpm.unseal(&provisioned, &approvals, LONG).unwrap();
        bench.tpm.sign(&provisioned, &approvals, &[7; 32], LONG).unwrap();
        bench.tpm.quote(&provisioned, b"nonce", LONG).unwrap();
        assert_eq!(bench.tpm.epoch(LONG).unwrap(), 1, "incremented once in all, cut {cut}");
        assert_eq!(bench.tpm.state_counter(&provisioned, LONG).unwrap(), 1, "likewise, cut {cut}");
        assert_eq!(bench.tpm.advance_state(&provisioned, 1, LONG).unwrap(), 2, "cut {cut}");
    }
}
