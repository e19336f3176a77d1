//! The two counters that cannot go back: epoch and state.
//!
//! The **epoch** is part of every approval; one increment revokes them all. The TPM itself holds approvals to
//! it, so it is read in the clear.
//!
//! The **state counter** is compared by us: state on disk says which value it was written for, and an old
//! state put back is behind the counter. It is read and incremented in a session salted to the pinned storage
//! key, so nobody on the wire to the TPM can answer with yesterday's value or swallow an increment.
//!
//! Both are written with the owner's empty authorization, not under a policy. Neither can be lowered: an
//! index that is removed and defined anew starts above every counter that was ever removed (Part 3 §31.8).
//! Whoever can reach the TPM can therefore only move them forward, which shuts the gate, and he could do that with
//! TPM2_NV_UndefineSpace under any write policy, too. A policy bound to the boot state would add no secrecy
//! (the state is sealed under a key that only an approved boot state gets) and would cost a run of the policy
//! at every commit, and the counter could not be incremented before the first approval exists, while its Name
//! changes at the first increment.
//!
//! What a caller must see to: one state for each value. Two states written for the same value are both as
//! fresh as the counter can tell.

use super::device::{at, pinned_srk};
use super::error::{Found, TpmError};
use super::esys::{Esys, Handle, SessionKind};
use super::policy::{EPOCH_INDEX, Name, STATE_INDEX, counter_public, epoch_name, state_name};
use super::record::Provisioned;
use super::steps::{Steps, write};

/// The epoch counter's value.
pub(super) fn epoch(esys: &Esys) -> Result<u64, TpmError> {
    esys.nv_read_counter(&epoch_index(esys, &epoch_name(true))?, None)
}

/// Moves the epoch on, which revokes every approval of the old one, and returns the new value.
pub(super) fn advance_epoch(esys: &Esys, steps: &Steps) -> Result<u64, TpmError> {
    let index = epoch_index(esys, &epoch_name(true))?;
    write(steps, "TPM2_NV_Increment", || esys.nv_increment(&index, None))?;
    esys.nv_read_counter(&index, None)
}

/// The state counter's value.
pub(super) fn state(esys: &Esys, provisioned: &Provisioned) -> Result<u64, TpmError> {
    StateCounter::find(esys, provisioned)?.read()
}

/// Moves the state counter on from `expected` and returns the new value.
pub(super) fn advance_state(
    esys: &Esys,
    steps: &Steps,
    provisioned: &Provisioned,
    expected: u64,
) -> Result<u64, TpmError> {
    let counter = StateCounter::find(esys, provisioned)?;
    require(counter.read()?, expected)?;
    write(steps, "TPM2_NV_Increment", || esys.nv_increment(&counter.index, Some(&counter.session)))?;
    let value = counter.read()?;
    // Somebody else on the same TPM may have come in between.
    require(value, expected.saturating_add(1))?;
    Ok(value)
}

fn require(found: u64, expected: u64) -> Result<(), TpmError> {
    match found.cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(TpmError::StateBehind { found, expected }),
        std::cmp::Ordering::Greater => Err(TpmError::StateAhead { found, expected }),
    }
}

/// The state counter of the pinned TPM, and the session it is asked in.
struct StateCounter<'a> {
    esys: &'a Esys,
    index: Handle<'a>,
    session: Handle<'a>,
}

impl<'a> StateCounter<'a> {
    fn find(esys: &'a Esys, provisioned: &Provisioned) -> Result<StateCounter<'a>, TpmError> {
        provisioned.require_schema()?;
        let expected = provisioned.state_index()?;
        let srk = pinned_srk(esys, &provisioned.srk_name)?;
        let index = state_index(esys, expected)?;
        let session = esys.start_session(&srk, SessionKind::Hmac)?;
        Ok(StateCounter { esys, index, session })
    }

    fn read(&self) -> Result<u64, TpmError> {
        self.esys.nv_read_counter(&self.index, Some(&self.session))
    }
}

/// The epoch counter, if it still is the one of that Name.
pub(super) fn epoch_index<'a>(esys: &'a Esys, expected: &Name) -> Result<Handle<'a>, TpmError> {
    let changed = |found| TpmError::EpochChanged { expected: Box::new(*expected), found: Found(found) };
    let index = at(esys, EPOCH_INDEX)?.ok_or_else(|| changed(None))?;
    let name = index.name()?;
    if name == *expected { Ok(index) } else { Err(changed(Some(Box::new(name)))) }
}

/// The state counter, if it still is the one of that Name.
fn state_index<'a>(esys: &'a Esys, expected: &Name) -> Result<Handle<'a>, TpmError> {
    let expected = Box::new(*expected);
    let Some(index) = at(esys, STATE_INDEX)? else { return Err(TpmError::StateMissing { expected }) };
    let found = Box::new(index.name()?);
    if found == expected { Ok(index) } else { Err(TpmError::StateRedefined { expected, found }) }
}

/// The epoch counter, defined and incremented once where it was not.
pub(super) fn ensure_epoch<'a>(esys: &'a Esys, steps: &Steps) -> Result<Handle<'a>, TpmError> {
    ensure(esys, steps, EPOCH_INDEX, &epoch_name(false))?;
    epoch_index(esys, &epoch_name(true))
}

/// The state counter, defined and incremented once where it was not.
pub(super) fn ensure_state<'a>(esys: &'a Esys, steps: &Steps) -> Result<Handle<'a>, TpmError> {
    ensure(esys, steps, STATE_INDEX, &state_name(false))?;
    state_index(esys, &state_name(true))
}

/// Takes the counter that is there, or defines it, and sees to it that it was incremented once: its Name
/// changes then, and never again.
fn ensure(esys: &Esys, steps: &Steps, index: u32, fresh: &Name) -> Result<(), TpmError> {
    if at(esys, index)?.is_none() {
        write(steps, "TPM2_NV_DefineSpace", || esys.nv_define(&counter_public(index, false)))?;
    }
    let there = esys.at(index)?;
    if there.name()? == *fresh {
        write(steps, "TPM2_NV_Increment", || esys.nv_increment(&there, None))?;
    }
    Ok(())
}
