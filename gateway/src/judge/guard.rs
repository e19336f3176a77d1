//! State that cannot go back: the trust store is written for one value of the TPM's state counter.
//!
//! Order of a change: write the store for value N + 1, durably; increment the counter. A store for the counter's
//! value is the newest there is; one for the value after it was cut off between the two, and the increment is made
//! up for. Anything else is told apart. Nothing that a peer sends comes here, only what people change.

use std::time::Duration;

use hal::tpm::{Provisioned, TpmError};

use super::failure::Failure;
use super::gate::{TPM_TIMEOUT, tpm_refusal};
use super::heard::{Age, HEARD};
use super::{Judge, refusal};
use crate::reasons as why;
use crate::state::meta;
use crate::transfer::event::Refusal;

/// How often the counter was incremented on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Budget {
    /// Days since 1970.
    day: u64,
    /// Increments on it.
    used: u64,
}

impl Judge {
    /// Refuses a store that was not written for the counter's value, and finishes a change that was cut off.
    pub(super) fn guard(&mut self, generation: u64) -> Result<(), Refusal> {
        let counter = self.state_counter()?;
        let expected = format!("state {counter}, where the TPM's counter is");
        match generation.checked_sub(counter) {
            Some(0) => {
                self.agrees();
                self.hear();
                Ok(())
            }
            Some(1) => {
                tracing::warn!(counter, "a change of the trust store was cut off; it is finished now");
                self.advance_state(counter).map(drop)
            }
            Some(_) => {
                let (_, words) = self.age(generation);
                let found =
                    format!("a trust store of state {generation}, ahead of the TPM's counter ({words})");
                Err(refusal(why::STATE_COUNTER, None, found, expected))
            }
            None => Err(self.behind(generation, expected)),
        }
    }

    /// The state is behind the counter: which of the two has moved, as far as that can be told from here.
    fn behind(&mut self, generation: u64, expected: String) -> Refusal {
        let store = format!("a trust store of state {generation}");
        let remembered = self.remembered().unwrap_or(0);
        if remembered > generation {
            let found = format!("{store}, an old copy of the file: state {remembered} was written");
            return refusal(why::STATE_OLD, None, found, expected);
        }
        let (age, words) = self.age(generation);
        let (code, moved) = match age {
            Age::Current => (why::STATE_COUNTER, "and a counter that another program has moved on"),
            Age::Old => (why::STATE_OLD, "from an old copy of the whole disk"),
            Age::Untold => (
                why::STATE_UNTOLD,
                "an old copy of the whole disk, or another program has moved the counter: which of them cannot be told",
            ),
        };
        refusal(code, None, format!("{store}, {moved} ({words})"), expected)
    }

    /// The value the newest state was written for.
    pub(super) fn state_counter(&mut self) -> Result<u64, Refusal> {
        let (provisioned, tpm) = self.record_and_tpm()?;
        tpm.state_counter(&provisioned, TPM_TIMEOUT).map_err(|e| counter_refusal(&e))
    }

    /// Moves the counter on, once the state for the value after `from` is on disk.
    pub(super) fn advance_state(&mut self, from: u64) -> Result<u64, Refusal> {
        let (provisioned, tpm) = self.record_and_tpm()?;
        let value = tpm.advance_state(&provisioned, from, TPM_TIMEOUT).map_err(|e| counter_refusal(&e))?;
        self.spend();
        Ok(value)
    }

    fn record_and_tpm(&self) -> Result<(Provisioned, hal::tpm::Tpm), Refusal> {
        let provisioned = self.provisioned()?.ok_or_else(|| self.no_record())?;
        let tpm = self.tpm.clone().ok_or_else(|| {
            refusal(why::NOT_PROVISIONED, None, "no TPM in the configuration", "headgate init, once")
        })?;
        Ok((provisioned, tpm))
    }

    /// Whether the counter may be moved again today. Its memory wears: 100,000 writes are what a TPM is good for. What
    /// the site or approvers have signed has a share of its own, so that nobody with a shell can use up what a
    /// revocation needs.
    pub(super) fn afford(&self, for_whom: Share) -> Result<(), Failure> {
        let Budget { used, .. } = self.budget();
        let limit = match for_whom {
            Share::Signed => WRITES_A_DAY,
            Share::Shell => WRITES_A_DAY - RESERVED,
        };
        if used < limit {
            return Ok(());
        }
        Err(Failure::new(
            firmware_verifier::reasons::TRUST_CHANGE_REFUSED,
            format!(
                "{used} changes today, at most {limit} of this kind: each wears the TPM's memory; make several changes in one, or wait for tomorrow"
            ),
        ))
    }

    /// Increments of the counter today, and how many a day may have.
    pub(super) fn nv_writes(&self) -> (u64, u64) {
        (self.budget().used, WRITES_A_DAY)
    }

    fn budget(&self) -> Budget {
        let day = self.today();
        let kept = meta::get(&self.db.rows(), BUDGET).ok().flatten().and_then(|b| Budget::read(&b));
        kept.filter(|budget| budget.day == day).unwrap_or(Budget { day, used: 0 })
    }

    /// Counts one increment of a counter.
    pub(super) fn spend(&mut self) {
        let budget = self.budget();
        let spent = Budget { used: budget.used.saturating_add(1), ..budget };
        let heard = self.heard_now();
        let kept = self.db.write("count a write to the TPM", |tx| {
            meta::put(tx, BUDGET, &spent.to_bytes())?;
            heard.as_ref().map_or(Ok(()), |heard| meta::put(tx, HEARD, heard))
        });
        self.log(kept);
    }

    fn today(&self) -> u64 {
        u64::try_from(self.now().ms).unwrap_or(0) / DAY_MS
    }
}

/// Who asks for a change of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// What was signed elsewhere, and what ends trust for good.
    Signed,
    /// Whoever may use the gateway.
    Shell,
}

impl Budget {
    fn read(bytes: &[u8]) -> Option<Budget> {
        let (day, used) = bytes.split_at_checked(8)?;
        Some(Budget {
            day: u64::from_be_bytes(day.try_into().ok()?),
            used: u64::from_be_bytes(used.try_into().ok()?),
        })
    }

    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.day.to_be_bytes());
        bytes[8..].copy_from_slice(&self.used.to_be_bytes());
        bytes
    }
}

/// What an error of the counter means: not there any more and made anew are not the same as unreachable.
fn counter_refusal(e: &TpmError) -> Refusal {
    match e {
        TpmError::StateMissing { .. }
        | TpmError::StateRedefined { .. }
        | TpmError::StateBehind { .. }
        | TpmError::StateAhead { .. } => {
            refusal(why::STATE_COUNTER, None, e.to_string(), "the counter that headgate init defined")
        }
        TpmError::NotProvisioned(_) => {
            refusal(why::NOT_PROVISIONED, None, e.to_string(), "headgate init --again")
        }
        _ => tpm_refusal(e),
    }
}

/// Increments a day: 64 for 4 years are below the 100,000 writes of a TPM's memory.
const WRITES_A_DAY: u64 = 64;
/// Of these, for what the site or approvers have signed.
const RESERVED: u64 = 16;
const BUDGET: &str = "nv-writes";
const DAY_MS: u64 = Duration::from_secs(86_400).as_millis() as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_read_back_and_half_of_one_is_none() {
        let budget = Budget { day: 20_784, used: 3 };
        assert_eq!(Budget::read(&budget.to_bytes()), Some(budget));
        assert_eq!(Budget::read(&budget.to_bytes()[..12]), None);
        assert_eq!(Budget::read(&[]), None);
    }
}
