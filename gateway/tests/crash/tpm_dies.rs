//! A TPM that dies at every single command of what a gateway does with it: an answer in time that says what is wrong, and
//! when the TPM is back the same request given again ends well, without a restart of the gateway and with one.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway::judge::{Answered, Failure, Judge, Message, Request};
use gateway::protocol::modbus::conduit::ControllerSays;
use gateway::proxy::pump::News;
use gateway::transfer::event::CaseId;
use hal::store::Fuse;

use super::spent::{import_floor, trust_site};
use super::wire::Wire;
use super::world::{World, alone, anchors, copy, image, told_of};

/// What a dead TPM may take to be noticed.
const SOON: Duration = Duration::from_secs(5);
const NEVER: usize = usize::MAX;

/// What is done, and whether it has been done.
type Act = fn(&World, &mut Judge) -> Result<(), Failure>;

/// A world with a wire to its TPM that kills it before one of the commands to come.
struct Doomed {
    world: World,
    left: Arc<AtomicUsize>,
}

impl Doomed {
    fn new() -> Doomed {
        let mut world = World::new();
        let left = Arc::new(AtomicUsize::new(NEVER));
        // The thread of the wire never ends, so it must not keep the TPM.
        let (victim, countdown) = (Arc::downgrade(&world.tpm), Arc::clone(&left));
        let count = move |_| {
            let before = countdown.load(Ordering::Relaxed);
            if let (0, Some(tpm)) = (before, victim.upgrade()) {
                tpm.lock().unwrap().kill();
            }
            if before != NEVER {
                countdown.store(before.saturating_sub(1), Ordering::Relaxed);
            }
        };
        let wire = Wire::to(&world.swtpm(), Arc::new(count), Arc::new(|_| {}));
        world.tcti = wire.tcti();
        Doomed { world, left }
    }

    /// Has the TPM die at each command of `act` on a copy of `base`, and says at how many. A failure whose act has
    /// happened all the same says `look`.
    fn die_everywhere(
        &self,
        base: &str,
        opens: bool,
        look: &str,
        act: Act,
        holds: impl Fn(&mut Judge) -> bool,
    ) -> usize {
        let Doomed { world, left } = self;
        let mut said = BTreeSet::new();
        for n in 0..500 {
            if base.starts_with("ready") {
                world.rewind_tpm();
            }
            let name = format!("{base}-dying");
            let folder = world.dir.path().join(&name);
            let _ = std::fs::remove_dir_all(&folder);
            copy(&world.dir.path().join(base), &folder);
            let mut judge = world.open(&name, &Fuse::never()).unwrap();
            if opens {
                judge.open_gate();
            }
            left.store(n, Ordering::Relaxed);
            let asked = Instant::now();
            let answer = act(world, &mut judge);
            assert!(asked.elapsed() < SOON, "{base}, command {n}: {:?}", asked.elapsed());
            let died = left.swap(NEVER, Ordering::Relaxed) == 0;
            if !died {
                answer.unwrap_or_else(|e| panic!("{base}, the TPM lives: {e}"));
                assert!(holds(&mut judge), "{base}: uncut, it has happened");
                println!("{base}: died at each of {n} commands and said {said:?}");
                return n;
            }
            if let Err(failure) = &answer {
                let (text, next) = failure.told();
                assert!(failure.code.is_some() && !text.is_empty(), "{base}, command {n}: {failure}");
                said.insert(failure.code.map(|code| format!("{code} {}", next.is_some())));
            }
            world.restart_tpm();
            // The gateway that ran on, then one that was restarted.
            for restarted in [false, true] {
                if restarted {
                    drop(judge);
                    judge = world.started(&name);
                } else {
                    judge.open_gate();
                }
                let happened = holds(&mut judge);
                assert!(happened || !restarted, "{base}, command {n}: it stays done");
                if let (Err(failure), true, false) = (&answer, happened, restarted) {
                    let said = failure.to_string();
                    assert!(said.contains(look), "{base}, command {n}: it was made all the same: {said}");
                }
                let again = act(world, &mut judge);
                again
                    .or_else(|e| if happened { Ok(()) } else { Err(e) })
                    .unwrap_or_else(|e| panic!("{base}, died at command {n} ({answer:?}), again: {e}"));
                assert!(holds(&mut judge), "{base}, command {n}: given again, it has happened");
                assert!(judge.gate_status().open, "{base}, command {n}: {}", judge.gate_status().text);
            }
        }
        panic!("500 commands were not enough");
    }
}

fn epoch(judge: &mut Judge) -> u64 {
    match judge.ask(Request::BootStates, None) {
        Ok(Answered::BootStates { epoch, .. }) => epoch,
        other => panic!("no boot states: {:?}", other.err()),
    }
}

fn receipt(judge: &mut Judge) -> Result<bool, Failure> {
    match judge.ask(Request::Receipt { case: "C-000001".into() }, None)? {
        Answered::Receipt(row) if row.signed.is_some() => Ok(row.why.is_empty()),
        Answered::Receipt(_) => Ok(false),
        _ => panic!("another answer"),
    }
}

/// The controller that took the image says who it is: a receipt is owed.
fn landed(world: &World, judge: &mut Judge) -> Result<(), Failure> {
    world.trust(judge)?;
    world.stage(judge)?;
    world.release(judge, 5)?;
    world.download(judge, image())?;
    let says =
        ControllerSays::Identification { vendor: "acme".into(), product: "m".into(), revision: "2".into() };
    judge.take(Message::News(0, News::Identity(Some(CaseId(1)), says)));
    Ok(())
}

#[test]
fn a_tpm_that_dies_while_a_gateway_is_provisioned_or_opens_its_gate_leaves_nothing_stuck() {
    let _alone = alone();
    let doomed = Doomed::new();
    std::fs::create_dir(doomed.world.dir.path().join("empty")).unwrap();
    let init = doomed.die_everywhere(
        "empty",
        false,
        "",
        |world, judge| {
            let request = world.init(judge)?;
            world.approve(judge, &request)?;
            let open = judge.gate_status().open;
            if open {
                Ok(())
            } else {
                Err(Failure::new(judge.gate_status().code.unwrap(), judge.gate_status().text))
            }
        },
        |judge| judge.gate_status().open,
    );
    doomed.world.prepared("ready", |_, _| Ok(()));
    let open = doomed.die_everywhere(
        "ready",
        false,
        "",
        |_, judge| {
            judge.open_gate();
            let status = judge.gate_status();
            status.code.map_or(Ok(()), |code| Err(Failure::new(code, status.text)))
        },
        |judge| judge.gate_status().open,
    );
    assert!(init >= 40 && open >= 10, "the TPM was not killed in mid-call: {init}, {open}");
}

#[test]
fn a_tpm_that_dies_while_trust_is_changed_or_boot_states_are_revoked_leaves_before_or_after() {
    let _alone = alone();
    let doomed = Doomed::new();
    doomed.world.prepared("ready", |_, judge| trust_site(judge));
    let import = doomed.die_everywhere(
        "ready",
        true,
        "may have been made all the same\n  next: once the TPM answers and the gate is open, headgate trust show",
        |_, judge| import_floor(judge),
        |judge| {
            let made = match judge.ask(Request::TrustShow, None) {
                Ok(Answered::Trust(row)) => row.bundle == 1 && row.floors.len() == 1,
                _ => false,
            };
            assert!(!made || told_of(judge, "trust bundle 1 applied"), "the log tells of it, if late");
            made
        },
    );
    // A new data folder on a TPM that was in use begins in another epoch.
    let before = Cell::new(0);
    doomed.world.prepared("ready-next", |world, judge| {
        world.trust(judge)?;
        before.set(epoch(judge));
        let asked = judge.ask(Request::ApprovalRequest { pcrs: vec![], next_epoch: true }, None)?;
        let Answered::ApprovalRequest { request } = asked else { panic!("another answer") };
        world.approve(judge, &serde_json::from_str(&request).unwrap())
    });
    let revoke = doomed.die_everywhere(
        "ready-next",
        true,
        "may have moved on all the same\n  next: once the TPM answers, headgate trust boot-states",
        |_, judge| judge.ask(Request::RevokeBootStates { shut: false }, None).map(drop),
        |judge| epoch(judge) == before.get() + 1 && anchors(judge) == 1,
    );
    assert!(import >= 10 && revoke >= 10, "the TPM was not killed in mid-call: {import}, {revoke}");
}

#[test]
fn a_tpm_that_dies_while_it_signs_a_receipt_signs_it_when_it_is_back() {
    let _alone = alone();
    let doomed = Doomed::new();
    doomed.world.prepared("ready", landed);
    let sign = doomed.die_everywhere(
        "ready",
        true,
        "",
        |_, judge| {
            judge.keep_receipts();
            match receipt(judge)? {
                true => Ok(()),
                false => Err(Failure::new(gateway::reasons::TPM_UNAVAILABLE, "it waits")),
            }
        },
        |judge| receipt(judge).unwrap(),
    );
    assert!(sign >= 20, "the TPM was not killed in mid-call: {sign}");
}
