//! Permissives: a signal that must say yes, and lately, before anything rewrites its controller. A key switch on an
//! input of this gateway, or a tag of another device; never the controller's own word.

use std::time::Duration;

use hal::clock::Mono;
use sensor_monitor::channel::Reading;

use crate::config::{Permissive, Plc, Signal};

/// What a permissive says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Permitted {
    /// Whether it says yes.
    pub yes: bool,
    /// The value; `None` for a reading that cannot be used.
    pub value: Option<f64>,
    /// When it was read.
    pub at: Mono,
}

impl Permitted {
    /// Why nothing may be rewritten at `now`; `None` when it may.
    pub fn refusal(said: Option<&Permitted>, by: &Permissive, now: Mono) -> Option<String> {
        let id = &by.signal;
        let Some(said) = said else { return Some(format!("signal {id} has said nothing yet")) };
        let age = now.since(said.at);
        match (said.yes, said.value) {
            _ if age > by.max_age => Some(format!("signal {id} was read {:.1} s ago", age.as_secs_f64())),
            (true, _) => None,
            (false, Some(value)) => Some(format!("signal {id} is {value}")),
            (false, None) => Some(format!("signal {id} has no good reading")),
        }
    }
}

/// The signals that are permissives, by their number.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    signal: usize,
    plc: String,
    range: (f64, f64),
    /// Said again after this time, although nothing changed.
    again: Duration,
    said: Option<Permitted>,
}

impl Keys {
    /// Those of a configuration.
    pub fn new(plcs: &[Plc], signals: &[Signal]) -> Keys {
        let key = |plc: &Plc| {
            let Permissive { signal, range, max_age } = plc.permissive.as_ref()?;
            let number = signals.iter().position(|s| s.spec.id == *signal)?;
            let plc = plc.slot.as_str().to_string();
            Some(Key { signal: number, plc, range: *range, again: *max_age / 4, said: None })
        };
        Keys(plcs.iter().filter_map(key).collect())
    }

    /// A reading of a signal: what is to be said, to which controllers. Not every reading of a fast one is news.
    pub(super) fn reading(&mut self, signal: usize, reading: &Reading) -> Vec<(String, Permitted)> {
        let mut news = Vec::new();
        for key in self.0.iter_mut().filter(|key| key.signal == signal) {
            let value = Some(reading.value).filter(|_| reading.quality.is_good());
            let yes = value.is_some_and(|v| v >= key.range.0 && v <= key.range.1);
            let word = Permitted { yes, value, at: reading.at };
            if key.said.is_none_or(|said| said.yes != yes || word.at.since(said.at) >= key.again) {
                key.said = Some(word);
                news.push((key.plc.clone(), word));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal::sensor::{Flaw, Quality};

    const SECOND: u64 = 1_000_000_000;

    fn by() -> Permissive {
        Permissive { signal: "key".into(), range: (0.5, f64::INFINITY), max_age: Duration::from_secs(4) }
    }

    fn keys() -> Keys {
        let Permissive { range, max_age, .. } = by();
        Keys(vec![Key { signal: 3, plc: "pump-3".into(), range, again: max_age / 4, said: None }])
    }

    fn reading(at: u64, value: f64, quality: Quality) -> Reading {
        Reading { at: Mono(at), value, quality }
    }

    #[test]
    fn silence_age_a_bad_reading_and_a_no_all_hold_and_only_a_fresh_yes_lets_through() {
        let word = |yes, value| Permitted { yes, value, at: Mono(SECOND) };
        for (said, now, expected) in [
            (None, 1, Some("signal key has said nothing yet")),
            (Some(word(true, Some(1.0))), 6, Some("signal key was read 5.0 s ago")),
            (Some(word(false, Some(0.2))), 2, Some("signal key is 0.2")),
            (Some(word(false, None)), 2, Some("signal key has no good reading")),
            (Some(word(true, Some(1.0))), 5, None),
        ] {
            let found = Permitted::refusal(said.as_ref(), &by(), Mono(now * SECOND));
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn a_change_is_said_at_once_and_the_same_again_a_few_times_in_its_age() {
        let mut keys = keys();
        let mut say = |at, value, quality| {
            let news = keys.reading(3, &reading(at, value, quality));
            news.first().map(|(_, word)| word.yes)
        };
        assert_eq!(say(0, 1.0, Quality::Good), Some(true));
        assert_eq!(say(1, 1.0, Quality::Good), None);
        assert_eq!(say(2, 0.0, Quality::Good), Some(false));
        assert_eq!(say(3, 1.0, Quality::Bad(Flaw::Missing)), None, "still no");
        assert_eq!(say(4, 1.0, Quality::Good), Some(true));
        assert_eq!(say(5, f64::NAN, Quality::Good), Some(false));
        assert_eq!(say(5 + SECOND, 0.0, Quality::Good), Some(false), "said again");
        assert_eq!(keys.reading(2, &reading(6, 1.0, Quality::Good)), [], "another signal");
    }
}
