//! Controllers that cannot be reached: when that becomes an alarm.
//!
//! A connection that breaks is none yet. Controllers restart, after an update because of us, and an alarm that a
//! person must acknowledge each time teaches them to look away. One that stays away, was never there, or comes and
//! goes is told.

use std::time::Duration;

use hal::clock::Mono;

use super::{Judge, why};
use crate::state::alarm::Kind as Told;
use crate::state::case::{self, CaseState};

/// How the connection to one controller has been.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence {
    /// The connection stands, and since when it does or does not.
    up: bool,
    since: Mono,
    /// When the spell of silence began that is not over: short returns do not end it.
    silent: Option<Mono>,
    told: bool,
}

impl Presence {
    /// Not there yet at `now`.
    pub(super) fn new(now: Mono) -> Presence {
        Presence { up: false, since: now, silent: Some(now), told: false }
    }

    /// Whether the connection stands.
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    fn set(&mut self, up: bool, now: Mono) {
        if up != self.up {
            (self.up, self.since) = (up, now);
        }
        if up {
            self.told = false;
        } else {
            self.silent.get_or_insert(now);
        }
    }

    /// Time until there is something to do; `None` while there is not.
    fn due_in(&self, now: Mono, patience: impl FnOnce() -> Duration) -> Option<Duration> {
        let silent = self.silent.filter(|_| !self.told)?;
        let (from, time) = if self.up { (self.since, PATIENCE) } else { (silent, patience()) };
        Some(time.saturating_sub(now.since(from)))
    }
}

impl Judge {
    /// The connection to the controller of conduit `number` stands, or broke.
    pub(super) fn controller(&mut self, number: usize, plc: &str, up: bool) {
        let now = self.clock.mono();
        if let Some(conduit) = self.conduits.get_mut(number) {
            conduit.presence.set(up, now);
        }
        if up {
            self.clear_alarm(Some(plc), why::CONTROLLER_SILENT);
            self.resume(number, plc);
        }
    }

    /// When [`Judge::tell_silence`] has something to do.
    pub(super) fn silence_in(&self) -> Option<Duration> {
        let now = self.clock.mono();
        self.conduits.iter().filter_map(|c| c.presence.due_in(now, || self.patience(c.plc))).min()
    }

    /// Raises what has become an alarm, and forgets spells that are over.
    pub(super) fn tell_silence(&mut self) {
        let now = self.clock.mono();
        for number in 0..self.conduits.len() {
            let plc = self.conduits[number].plc;
            let due = self.conduits[number].presence.due_in(now, || self.patience(plc));
            if due.is_none_or(|wait| !wait.is_zero()) {
                continue;
            }
            let presence = &mut self.conduits[number].presence;
            if presence.up {
                presence.silent = None;
                continue;
            }
            presence.told = true;
            let time = now.since(presence.silent.unwrap_or(now)).as_secs();
            let text = format!("no lasting connection to the controller for {time} s");
            let id = self.config.plcs[plc].slot.as_str().to_owned();
            self.raise(Some(&id), why::CONTROLLER_SILENT, Told::State, &text);
        }
    }

    /// How long controller `plc` may be away: after an update as long as its profile gives it to boot.
    fn patience(&self, plc: usize) -> Duration {
        let plc = &self.config.plcs[plc];
        let open = case::unsettled(&self.db.rows()).unwrap_or_default();
        let restarts = open.iter().any(|c| c.plc == plc.slot.as_str() && c.state == CaseState::Delivering);
        if restarts { self.boot_time(plc) } else { PATIENCE }
    }

    /// How long a controller may take from the end of an update until it says who it is.
    pub(super) fn boot_time(&self, plc: &crate::config::Plc) -> Duration {
        let updates = plc.routes.iter().filter_map(|r| r.update.as_ref());
        PATIENCE + updates.map(|(_, profile)| profile.timing.boot).max().unwrap_or_default()
    }
}

/// How long a controller may be away, and has to be back before the next silence is a new one.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lasting_silence_is_told_and_coming_and_going_is_one() {
        let at = |s: u64| Mono(s * 1_000_000_000);
        let due = |p: &Presence, s| p.due_in(at(s), || PATIENCE).map(|d| d.as_secs());
        let mut never = Presence::new(at(0));
        assert_eq!((due(&never, 4), due(&never, 10)), (Some(6), Some(0)), "never there");
        never.told = true;
        assert_eq!(due(&never, 20), None, "told once");

        let mut restarts = Presence::new(at(0));
        restarts.set(true, at(1));
        assert_eq!(due(&restarts, 5), Some(6), "there, and soon for long enough");
        restarts.silent = None;
        assert_eq!(due(&restarts, 60), None);
        restarts.set(false, at(100));
        assert_eq!(due(&restarts, 103), Some(7), "a restart has time");

        for (second, up) in [(104, true), (106, false), (108, true), (109, false)] {
            restarts.set(up, at(second));
        }
        assert_eq!(due(&restarts, 109), Some(1), "coming and going is no presence");
    }
}
