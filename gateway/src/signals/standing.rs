//! Which alarms of signals stand: one for each signal and reason, however many of its series are in it.

use std::collections::{BTreeMap, BTreeSet};

use hal::clock::Wall;
use hal::reason::ReasonCode;
use sensor_monitor::anomaly::Series;
use sensor_monitor::reasons::SIGNAL_LOST;

/// Why an alarm stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// This series changed.
    Series(Series),
    /// The signal as a whole: it is lost, or nothing judges it.
    Signal,
    /// It stood when the gateway ended; whether it is still so has to be seen.
    Before,
}

/// One alarm that stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    /// When it was told last.
    pub(super) at: Wall,
    /// In words.
    pub(super) text: String,
    causes: BTreeSet<Cause>,
    /// Causes that were found since the start, of one that stood before it.
    again: Option<BTreeSet<Cause>>,
}

/// Alarms by signal and reason.
#[derive(Debug, Default)]
pub(super) struct Standing {
    alarms: BTreeMap<(usize, ReasonCode), Alarm>,
    /// Good readings in a row of signals with alarms from before.
    calm: BTreeMap<usize, u32>,
}

impl Standing {
    /// A cause is there. False when the alarm stood when the gateway ended, and goes on: that each of its series is
    /// found again is no news.
    pub(super) fn raise(
        &mut self,
        signal: usize,
        code: ReasonCode,
        cause: Cause,
        at: Wall,
        text: &str,
    ) -> bool {
        let alarm = self.alarms.entry((signal, code)).or_insert_with(|| Alarm {
            at,
            text: String::new(),
            causes: BTreeSet::new(),
            again: None,
        });
        (alarm.at, alarm.text) = (at, text.into());
        alarm.causes.insert(cause);
        alarm.causes.remove(&Cause::Before);
        !alarm.again.as_mut().is_some_and(|again| again.insert(cause))
    }

    /// An alarm stood when the gateway ended.
    pub(super) fn resume(&mut self, signal: usize, code: ReasonCode, at: Wall, text: &str) {
        self.raise(signal, code, Cause::Before, at, text);
        self.alarms.entry((signal, code)).and_modify(|alarm| {
            alarm.causes.insert(Cause::Before);
            alarm.again.get_or_insert_default();
        });
        self.calm.insert(signal, 0);
    }

    /// A good reading came. What stood before this run ends when the signal is learned and enough of them came
    /// without an alarm; that it was lost ends at once. Returns the reasons that ended.
    pub(super) fn good(&mut self, signal: usize, is_well: bool) -> Vec<ReasonCode> {
        let Some(calm) = self.calm.get_mut(&signal) else { return Vec::new() };
        *calm = if is_well { *calm + 1 } else { 0 };
        if *calm >= CALM {
            self.calm.remove(&signal);
            return self.end(signal, |_, cause| cause == Cause::Before);
        }
        self.end(signal, |code, cause| code == SIGNAL_LOST && cause == Cause::Before)
    }

    /// A series of a signal is well again.
    pub(super) fn series_is_well(&mut self, signal: usize, series: Series) -> Vec<ReasonCode> {
        self.end(signal, |_, cause| cause == Cause::Series(series))
    }

    /// The signal as a whole has no longer what `code` says.
    pub(super) fn signal_is_well(&mut self, signal: usize, code: ReasonCode) -> Vec<ReasonCode> {
        self.end(signal, |of, _| of == code)
    }

    /// All that was found in its readings ends with a word of its own: an update, or a person. That it is lost
    /// does not.
    pub(super) fn forget(&mut self, signal: usize) -> Vec<ReasonCode> {
        self.end(signal, |code, _| code != SIGNAL_LOST)
    }

    /// What stands for one signal.
    pub(super) fn of(&self, signal: usize) -> impl Iterator<Item = (ReasonCode, &Alarm)> {
        self.alarms
            .range((signal, ReasonCode(0))..)
            .take_while(move |((of, _), _)| *of == signal)
            .map(|((_, code), alarm)| (*code, alarm))
    }

    fn end(&mut self, signal: usize, is_over: impl Fn(ReasonCode, Cause) -> bool) -> Vec<ReasonCode> {
        let mut ended = Vec::new();
        self.alarms.retain(|(of, code), alarm| {
            if *of == signal {
                alarm.causes.retain(|cause| !is_over(*code, *cause));
                if alarm.causes.is_empty() {
                    ended.push(*code);
                }
            }
            !alarm.causes.is_empty()
        });
        ended
    }
}

/// Good readings without an alarm after which one from before the start is over: as many as the slowest
/// detector takes to see a shift of one standard deviation.
const CALM: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use sensor_monitor::reasons::{BEHAVIOUR_CHANGED, REPORTED_DIFFERS};

    const AT: Wall = Wall { ms: 1, trusted: true };
    const NONE: Vec<ReasonCode> = Vec::new();

    #[test]
    fn an_alarm_ends_with_its_last_series_and_no_other_signal_s_ends_with_it() {
        let mut standing = Standing::default();
        standing.raise(0, BEHAVIOUR_CHANGED, Cause::Series(Series::Measured), AT, "a");
        standing.raise(0, BEHAVIOUR_CHANGED, Cause::Series(Series::Reported), AT, "b");
        standing.raise(1, BEHAVIOUR_CHANGED, Cause::Series(Series::Measured), AT, "c");
        assert_eq!(standing.series_is_well(0, Series::Measured), NONE);
        assert_eq!(standing.series_is_well(0, Series::Reported), [BEHAVIOUR_CHANGED]);
        assert_eq!(standing.of(0).count(), 0);
        assert_eq!(standing.of(1).map(|(_, a)| a.text.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn a_word_of_a_person_ends_all_but_a_lost_signal() {
        let mut standing = Standing::default();
        standing.raise(3, SIGNAL_LOST, Cause::Signal, AT, "lost");
        standing.raise(3, REPORTED_DIFFERS, Cause::Series(Series::Residual), AT, "differs");
        assert_eq!(standing.forget(3), [REPORTED_DIFFERS]);
        assert_eq!(standing.signal_is_well(3, SIGNAL_LOST), [SIGNAL_LOST]);
    }

    #[test]
    fn an_alarm_from_before_the_start_ends_after_enough_good_readings_and_a_loss_at_once() {
        let mut standing = Standing::default();
        standing.resume(0, BEHAVIOUR_CHANGED, AT, "changed");
        standing.resume(0, SIGNAL_LOST, AT, "lost");
        assert_eq!(standing.good(0, false), [SIGNAL_LOST]);
        (1..CALM).for_each(|_| assert_eq!(standing.good(0, true), NONE));
        assert_eq!(standing.good(0, false), NONE, "the count begins anew");
        (1..CALM).for_each(|_| assert_eq!(standing.good(0, true), NONE));
        assert_eq!(standing.good(0, true), [BEHAVIOUR_CHANGED]);
        assert_eq!(standing.good(0, true), NONE);
    }

    #[test]
    fn an_alarm_from_before_that_is_found_again_is_no_news_and_stands_for_itself() {
        let mut standing = Standing::default();
        standing.resume(0, BEHAVIOUR_CHANGED, AT, "changed");
        let measured = Cause::Series(Series::Measured);
        assert!(!standing.raise(0, BEHAVIOUR_CHANGED, measured, AT, "changed still"));
        (0..=CALM).for_each(|_| assert_eq!(standing.good(0, true), NONE));
        assert_eq!(standing.series_is_well(0, Series::Measured), [BEHAVIOUR_CHANGED]);
        assert!(standing.raise(0, BEHAVIOUR_CHANGED, measured, AT, "changed again"));
    }

    #[test]
    fn each_series_of_an_alarm_from_before_may_be_found_again_and_is_no_news_but_a_second_time_is() {
        let mut standing = Standing::default();
        standing.resume(0, BEHAVIOUR_CHANGED, AT, "changed");
        let [measured, reported] = [Series::Measured, Series::Reported].map(Cause::Series);
        assert!(!standing.raise(0, BEHAVIOUR_CHANGED, measured, AT, "changed"));
        assert!(!standing.raise(0, BEHAVIOUR_CHANGED, reported, AT, "the report, too"));
        assert_eq!(standing.series_is_well(0, Series::Reported), NONE);
        assert!(standing.raise(0, BEHAVIOUR_CHANGED, reported, AT, "and again"));
    }
}
