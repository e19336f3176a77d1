//! What the TPM's clock said last: evidence of how old a disk is whose state is behind the TPM's counter.
//!
//! The database keeps a note of it: at the start, at each write of the TPM's memory, and at a slow pace while the gateway
//! runs; never for what a peer sends, and never while state and counter disagree. When they do, the note of a disk that is
//! current is of this boot or the one before and close to now; that of an old copy is not. The note lies on the disk that
//! it is evidence about: it tells an operator which of two stories is likely, and opens nothing.

use std::time::Duration;

use hal::tpm::{Name, TpmClock};
use serde::{Deserialize, Serialize};

use super::Judge;
use super::gate::TPM_TIMEOUT;
use crate::state::meta;

/// A note of the TPM's clock, as it lies in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Heard {
    /// Which TPM it is of: the Name of its storage key.
    srk: Name,
    clock: TpmClock,
}

/// The first sight of a counter that is ahead of the state. What is found later about the same state is judged by it, or
/// a disk would seem to get older while somebody looks for the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ahead {
    heard: Heard,
    generation: u64,
    /// The gateway ran, and held the newest state itself.
    running: bool,
}

/// How old the disk is, as far as its note of the TPM's clock tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// No older than [`CLOSE`]: the counter was moved.
    Current,
    /// Several boots, or [`LONG`], behind the TPM.
    Old,
    /// It cannot be told.
    Untold,
}

impl Judge {
    /// Notes what the TPM's clock says, where the last note is not of just now. Only for a state that is the newest.
    pub(super) fn hear(&mut self) {
        let now = self.clock.mono();
        if self.heard.is_some_and(|at| now.since(at) < PACE) {
            return;
        }
        let Ok(heard) = self.listen() else { return };
        let kept = self.note_of_clock().filter(|kept| kept.srk == heard.srk);
        let fresh = |kept: Heard| {
            kept.clock.same_boot(&heard.clock) && heard.clock.ms.saturating_sub(kept.clock.ms) < ms(PACE)
        };
        if !kept.is_some_and(fresh) {
            let kept = self.db.write("note the TPM's clock", |tx| meta::put(tx, HEARD, &json(&heard)));
            self.log(kept);
        }
        self.heard = Some(now);
    }

    /// The TPM's clock now, for the note of a write to its memory that is being kept.
    pub(super) fn heard_now(&mut self) -> Option<Vec<u8>> {
        let heard = self.listen().ok()?;
        self.heard = Some(self.clock.mono());
        Some(json(&heard))
    }

    /// How old the disk is whose state of `generation` is not where the counter is, and the figures that say so.
    pub(super) fn age(&mut self, generation: u64) -> (Age, String) {
        let running = self.gate_status().open;
        let now = match self.listen() {
            Ok(now) => now,
            Err(text) => return (Age::Untold, format!("the TPM's clock cannot be read: {text}")),
        };
        let first = self.first_sight(generation, &now.srk).unwrap_or_else(|| {
            let first = Ahead { heard: now, generation, running };
            let kept = self.db.write("note the TPM's clock", |tx| meta::put(tx, AHEAD, &json(&first)));
            self.log(kept);
            first
        });
        if first.running {
            let text =
                format!("it happened while the gateway ran with the newest state ({})", first.heard.clock);
            return (Age::Current, text);
        }
        age_of(self.note_of_clock().as_ref(), &first.heard)
    }

    /// State and counter agree: what was seen first while they did not is over.
    pub(super) fn agrees(&mut self) {
        if meta::get(&self.db.rows(), AHEAD).is_ok_and(|kept| kept.is_some_and(|kept| !kept.is_empty())) {
            let kept = self.db.write("drop a note of the TPM's clock", |tx| meta::put(tx, AHEAD, b""));
            self.log(kept);
        }
    }

    /// The last note and the clock now, in words, for whoever looks.
    pub(super) fn clock_words(&self) -> Result<(bool, String), String> {
        let now = self.listen()?;
        Ok(match self.note_of_clock().filter(|kept| kept.srk == now.srk) {
            Some(kept) => (true, format!("{}; noted last at {}", now.clock, kept.clock)),
            None => (false, format!("{}; none of it is noted on this disk", now.clock)),
        })
    }

    fn listen(&self) -> Result<Heard, String> {
        let provisioned = self.provisioned().map_err(|r| r.to_string())?.ok_or("not provisioned")?;
        let tpm = self.tpm.as_ref().ok_or("no TPM in the configuration")?;
        let clock = tpm.clock(&provisioned, TPM_TIMEOUT).map_err(|e| e.to_string())?;
        Ok(Heard { srk: provisioned.srk_name, clock })
    }

    fn note_of_clock(&self) -> Option<Heard> {
        serde_json::from_slice(&meta::get(&self.db.rows(), HEARD).ok()??).ok()
    }

    fn first_sight(&self, generation: u64, srk: &Name) -> Option<Ahead> {
        let first: Ahead = serde_json::from_slice(&meta::get(&self.db.rows(), AHEAD).ok()??).ok()?;
        (first.generation == generation && first.heard.srk == *srk).then_some(first)
    }
}

/// What a note of the TPM's clock tells of the disk that it lies on, seen from `now`.
fn age_of(note: Option<&Heard>, now: &Heard) -> (Age, String) {
    let Some(note) = note else {
        return (Age::Untold, "this disk holds no note of the TPM's clock".into());
    };
    if note.srk != now.srk {
        return (Age::Untold, "this disk's note of the TPM's clock is of another TPM".into());
    }
    let (then, now) = (note.clock, now.clock);
    let figures = format!("this disk noted the TPM's clock last at {then}, and it is at {now}");
    let boots = now.resets.checked_sub(then.resets);
    let lag = i128::from(now.ms) - i128::from(then.ms);
    let may_lose = i128::from(ms(TpmClock::MAY_LOSE));
    let lost = if now.safe { "" } else { ", or up to 70 minutes more: the TPM has lost power" };
    let went_back = match boots {
        None => true,
        Some(0) => now.restarts < then.restarts || (then.same_boot(&now) && lag < 0),
        Some(boots) => lag < -may_lose.saturating_mul(i128::from(boots)),
    };
    let behind = |boots: u32| match boots {
        0 => format!("in this boot, {} s of power ago{lost}", lag.max(0) / 1000),
        1 => format!("in the boot before, {} s of power ago{lost}", lag.max(0) / 1000),
        boots => format!("{boots} boots and {} s of power ago{lost}", lag.max(0) / 1000),
    };
    match boots {
        _ if went_back => (Age::Untold, format!("{figures}: the TPM was cleared, or has itself gone back")),
        None => (Age::Untold, figures),
        Some(boots @ (0 | 1)) if lag <= i128::from(ms(CLOSE)) => {
            let text = format!("{figures}: {}, so it is current, or a copy made since then", behind(boots));
            (Age::Current, text)
        }
        Some(boots) if boots > 1 || lag > i128::from(ms(LONG)) => {
            (Age::Old, format!("{figures}: {}, unless the gateway did not run since", behind(boots)))
        }
        Some(boots) => (Age::Untold, format!("{figures}: {}", behind(boots))),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Shortest time between two notes that no write of the TPM's memory asks for.
const PACE: Duration = Duration::from_secs(600);
/// How far the note of a disk that is current lags behind: the pace, and as long again for a gateway that starts late.
const CLOSE: Duration = Duration::from_secs(2 * 600);
/// From here on a disk is old, also within one boot: a gateway that was stopped for less is nothing unusual.
const LONG: Duration = Duration::from_secs(86_400);
pub(super) const HEARD: &str = "tpm-clock";
const AHEAD: &str = "tpm-clock-ahead";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn heard(resets: u32, restarts: u32, seconds: u64) -> Heard {
        let srk = format!("000b{}", "a5".repeat(32));
        let clock = TpmClock { resets, restarts, ms: seconds * 1000, safe: true };
        Heard { srk: serde_json::from_str(&format!("{srk:?}")).unwrap(), clock }
    }

    #[test]
    fn a_disk_is_as_old_as_its_note_and_where_that_tells_nothing_it_is_said() {
        let then = heard(7, 0, 100_000);
        let cases: &[(&str, Heard, Age, &str)] = &[
            ("this boot, just now", heard(7, 0, 100_030), Age::Current, "in this boot, 30 s"),
            ("this boot, the most", heard(7, 0, 101_200), Age::Current, "1200 s"),
            ("this boot, resumed", heard(7, 1, 100_030), Age::Current, "in this boot"),
            ("this boot, hours ago", heard(7, 0, 120_000), Age::Untold, "20000 s"),
            ("this boot, long ago", heard(7, 0, 190_000), Age::Old, "90000 s"),
            ("the boot before", heard(8, 0, 100_400), Age::Current, "in the boot before, 400 s"),
            ("what power took from the clock", heard(8, 0, 96_000), Age::Current, "0 s of power ago"),
            ("the boot before, hours ago", heard(8, 0, 110_000), Age::Untold, "in the boot before, 10000 s"),
            ("the boot before, long ago", heard(8, 0, 190_000), Age::Old, "in the boot before"),
            ("two boots", heard(9, 0, 100_100), Age::Old, "2 boots and 100 s"),
            ("many boots", heard(99, 0, 900_000), Age::Old, "92 boots"),
            ("fewer boots than noted", heard(6, 0, 100_100), Age::Untold, "has itself gone back"),
            ("an earlier time of the same boot", heard(7, 0, 99_000), Age::Untold, "has itself gone back"),
            ("more than power takes", heard(8, 0, 90_000), Age::Untold, "has itself gone back"),
        ];
        for (what, now, age, words) in cases {
            let (found, text) = age_of(Some(&then), now);
            assert_eq!(found, *age, "{what}: {text}");
            assert!(text.contains(words) && text.contains("reset 7, restart 0, 100000 s"), "{what}: {text}");
        }
        let unsafe_clock = Heard { clock: TpmClock { safe: false, ..heard(8, 0, 100_010).clock }, ..then };
        assert!(age_of(Some(&then), &unsafe_clock).1.contains("70 minutes more"));
    }

    #[test]
    fn no_note_and_a_note_of_another_tpm_tell_nothing() {
        let now = heard(7, 0, 5);
        assert_eq!(age_of(None, &now).0, Age::Untold);
        let mut other = now;
        other.srk = serde_json::from_str(&format!("\"000b{}\"", "00".repeat(32))).unwrap();
        assert_eq!(age_of(Some(&other), &now).0, Age::Untold);
        assert!(serde_json::from_slice::<Heard>(&json(&now)).is_ok_and(|read| read == now));
        assert!(serde_json::from_slice::<Heard>(b"").is_err());
    }
}
