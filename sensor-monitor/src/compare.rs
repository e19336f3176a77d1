//! Reported against measured: what the controller says of a quantity, held against our own measurement.
//!
//! The controller's register arrives late, scaled, and at its own pace. [`Comparison`] learns lag, scale and
//! offset from a stretch of both, and from then on gives the residual `measured - (scale * reported + offset)`
//! at the time the controller must have taken its reading. The residual is a feature like any other: its own
//! baseline and detectors judge it. A controller that replays yesterday while the machine does something
//! else shows here, whatever it reports.

use std::collections::VecDeque;
use std::time::Duration;

use hal::clock::Mono;
use serde::{Deserialize, Serialize};

/// How a reported quantity follows the measured one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// How long after the fact the controller reports.
    pub lag: Duration,
    /// Measured units per reported unit.
    pub scale: f64,
    /// Measured minus scaled reported, at rest.
    pub offset: f64,
    /// Share of the measured variance that the reported value explains, 0 to 1. Near 0 while neither moves:
    /// then `scale` is 1, `lag` is 0 and only `offset` was learned.
    pub explained: f64,
}

/// Two series on their way to one residual.
#[derive(Debug, Clone)]
pub struct Comparison {
    measured: VecDeque<(Mono, f64)>,
    reported: VecDeque<(Mono, f64)>,
    alignment: Option<Alignment>,
    /// The measurement whose residual was given last: none is given twice.
    given: Option<Mono>,
    settings: Settings,
}

/// What a comparison may learn, and how long a reported value counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Pairs needed before anything is learned; 16 to [`MAX_PAIRS`].
    pub learn: usize,
    /// Longest lag looked for.
    pub max_lag: Duration,
    /// A reported value older than this says nothing about now.
    pub stale: Duration,
}

impl Comparison {
    /// A comparison that has learned nothing. `settings.learn` is brought into its range.
    pub fn new(settings: Settings) -> Comparison {
        let learn = settings.learn.clamp(16, MAX_PAIRS);
        let settings = Settings { learn, ..settings };
        let (measured, reported) = (VecDeque::with_capacity(learn), VecDeque::with_capacity(MAX_PAIRS));
        Comparison { measured, reported, alignment: None, given: None, settings }
    }

    /// A comparison that goes on with what was learned before; `None` where a value is not finite.
    pub fn resume(settings: Settings, learned: Alignment) -> Option<Comparison> {
        let sound = [learned.scale, learned.offset, learned.explained].iter().all(|v| v.is_finite());
        (sound && learned.lag <= settings.max_lag)
            .then(|| Comparison { alignment: Some(learned), ..Comparison::new(settings) })
    }

    /// What was learned.
    pub fn alignment(&self) -> Option<Alignment> {
        self.alignment
    }

    /// Learns anew: after a verified update or at an operator's word.
    pub fn relearn(&mut self) {
        self.alignment = None;
        self.measured.clear();
    }

    /// The controller reported `value`, received at `at`. What is not finite, not newer, or sooner after the last than
    /// the longest lag leaves room for is passed over.
    pub fn reported(&mut self, at: Mono, value: f64) {
        // So many pairs hold four times the longest lag.
        let apart = self.settings.max_lag * 4 / MAX_PAIRS as u32;
        if !value.is_finite() || is_too_soon(&self.reported, at, apart) {
            return;
        }
        if self.reported.len() == MAX_PAIRS {
            self.reported.pop_front();
        }
        self.reported.push_back((at, value));
    }

    /// We measured `value` at `at`: the residual, once the lag is learned and the controller has reported.
    ///
    /// The residual belongs to the newest measurement whose report can have arrived: with a lag of two seconds
    /// it is two seconds old. `None` while learning, or when the controller's reports are stale.
    pub fn measured(&mut self, at: Mono, value: f64) -> Option<Residual> {
        // Two thirds of what is kept are old enough to have been reported, whatever the lag.
        let apart = self.settings.max_lag * 3 / u32::try_from(self.settings.learn).unwrap_or(u32::MAX);
        if !value.is_finite() || is_too_soon(&self.measured, at, apart) {
            return None;
        }
        if self.measured.len() == self.settings.learn {
            self.measured.pop_front();
        }
        self.measured.push_back((at, value));
        let Some(alignment) = self.alignment else {
            self.learn();
            return None;
        };
        // The newest measurement whose report has arrived by now.
        let newest = self.reported.back()?.0;
        if at.since(newest) > self.settings.stale {
            return None;
        }
        let (then, measured) = *self.measured.iter().rev().find(|(t, _)| *t + alignment.lag <= newest)?;
        if self.given.is_some_and(|given| then <= given) {
            return None;
        }
        let reported = at_time(&self.reported, then + alignment.lag)?;
        self.given = Some(then);
        Some(Residual { at: then, value: measured - (alignment.scale * reported + alignment.offset) })
    }

    fn learn(&mut self) {
        let enough = self.measured.len() == self.settings.learn;
        let newest = self.reported.back().map(|(t, _)| *t);
        let (Some(newest), true) = (newest, enough) else { return };
        // Measurements too young to have been reported would shorten every lag's sample differently.
        let usable: Vec<(Mono, f64)> = self
            .measured
            .iter()
            .copied()
            .filter(|(t, _)| {
                *t + self.settings.max_lag <= newest && self.reported.front().is_some_and(|r| r.0 <= *t)
            })
            .collect();
        if usable.len() < self.settings.learn / 2 {
            return;
        }
        let mut best: Option<Alignment> = None;
        for step in 0..=LAG_STEPS {
            let lag = self.settings.max_lag * step / LAG_STEPS;
            let pairs = usable.iter().filter_map(|(t, m)| Some((at_time(&self.reported, *t + lag)?, *m)));
            let Some(fit) = fit(pairs, lag) else { continue };
            // A longer lag must explain more, not just as much.
            if best.is_none_or(|b| fit.explained > b.explained + LAG_GAIN) {
                best = Some(fit);
            }
        }
        self.alignment = best;
    }
}

/// What the measurement has beyond what was reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// When the measurement was taken.
    pub at: Mono,
    /// In the signal's unit.
    pub value: f64,
}

/// Whether a value at `at` is not newer than the last one by as much as it takes.
fn is_too_soon(series: &VecDeque<(Mono, f64)>, at: Mono, apart: Duration) -> bool {
    series.back().is_some_and(|(last, _)| *last >= at || at.since(*last) < apart)
}

/// The value of a series at `t`, straight between its neighbours; `None` outside it.
fn at_time(series: &VecDeque<(Mono, f64)>, t: Mono) -> Option<f64> {
    let after = series.partition_point(|(at, _)| *at < t);
    let (t1, v1) = *series.get(after)?;
    if t1 == t || after == 0 {
        return (t1 == t).then_some(v1);
    }
    let (t0, v0) = series[after - 1];
    let share = t.since(t0).as_secs_f64() / t1.since(t0).as_secs_f64();
    Some(v0 + share * (v1 - v0))
}

/// Least squares of measured on reported. Where the reported value hardly moves, or explains nothing, the
/// scale stays 1: a slope through noise would be worse than none.
fn fit(pairs: impl Iterator<Item = (f64, f64)>, lag: Duration) -> Option<Alignment> {
    let pairs: Vec<(f64, f64)> = pairs.collect();
    let n = pairs.len() as f64;
    if pairs.len() < 8 {
        return None;
    }
    let (mx, my) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| f(x - mx, y - my)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    let explained = if xx > 0.0 && yy > 0.0 { (xy * xy / (xx * yy)).min(1.0) } else { 0.0 };
    let flat = Alignment { lag, scale: 1.0, offset: my - mx, explained: 0.0 };
    if explained < MIN_EXPLAINED || xy <= 0.0 {
        return flat.offset.is_finite().then_some(flat);
    }
    let scale = xy / xx;
    let learned = Alignment { lag, scale, offset: my - scale * mx, explained };
    (learned.scale.is_finite() && learned.offset.is_finite()).then_some(learned)
}

/// Most pairs kept: at one a second, a little over an hour.
pub const MAX_PAIRS: usize = 4096;
/// Lags tried between 0 and the longest.
const LAG_STEPS: u32 = 64;
/// What a longer lag must add to the explained share.
const LAG_GAIN: f64 = 1e-6;
/// Below this the two are taken as unrelated noise around a constant.
const MIN_EXPLAINED: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn settings() -> Settings {
        Settings { learn: 300, max_lag: Duration::from_secs(4), stale: Duration::from_secs(5) }
    }

    /// A machine that swings by 10 around 100, as the controller reports it 1.5 s late in tenths.
    fn machine(t: f64) -> f64 {
        100.0 + 10.0 * (t / 7.0).sin() + 3.0 * (t / 2.3).cos()
    }

    fn learned() -> (Comparison, u64) {
        let mut compare = Comparison::new(settings());
        let mut ms = 0;
        while compare.alignment().is_none() && ms < 1_000_000 {
            ms += 250;
            compare.reported(at(ms), 10.0 * machine(ms as f64 / 1000.0 - 1.5) + 7.0);
            compare.measured(at(ms + 1), machine(ms as f64 / 1000.0 + 0.001));
        }
        (compare, ms)
    }

    #[test]
    fn lag_scale_and_offset_are_learned() {
        let (compare, _) = learned();
        let alignment = compare.alignment().unwrap();
        assert!((alignment.lag.as_secs_f64() - 1.5).abs() < 0.1, "{alignment:?}");
        assert!((alignment.scale - 0.1).abs() < 0.002, "{alignment:?}");
        assert!(alignment.explained > 0.99, "{alignment:?}");
    }

    #[test]
    fn a_lag_of_any_number_of_readings_is_learned_and_compared() {
        // Milliseconds from one to the next, the longest lag, and the lag there is.
        for (every, max_lag, lag) in
            [(10, 10_000, 1500), (10, 10_000, 8000), (1, 600_000, 90_000), (50, 6400, 400)]
        {
            let max_lag = Duration::from_millis(max_lag);
            let mut compare = Comparison::new(Settings { learn: 256, max_lag, stale: 5 * max_lag });
            let (mut ms, mut residuals) = (lag, 0);
            while residuals < 20 && Duration::from_millis(ms) < max_lag * 6 {
                ms += every;
                // Swings slower than the longest lag: of faster ones, several lags explain as much.
                let said = |ms: u64| machine(20.0 * ms as f64 / max_lag.as_millis() as f64);
                compare.reported(at(ms), 10.0 * said(ms - lag) + 7.0);
                residuals += usize::from(compare.measured(at(ms), said(ms)).is_some());
            }
            let found = compare.alignment().unwrap();
            let error = found.lag.abs_diff(Duration::from_millis(lag));
            assert!(error <= max_lag / 60 && found.explained > 0.9, "{every} {max_lag:?}: {found:?}");
            assert_eq!(residuals, 20, "{every} {max_lag:?}");
        }
    }

    #[test]
    fn the_residual_is_small_while_they_agree_and_large_when_the_report_is_replayed() {
        let (mut compare, start) = learned();
        let (mut agree, mut replayed) = (0.0f64, 0.0f64);
        for n in 1..400u64 {
            let ms = start + n * 250;
            let t = ms as f64 / 1000.0;
            let said = if n < 200 { machine(t - 1.5) } else { 100.0 };
            compare.reported(at(ms), 10.0 * said + 7.0);
            if let Some(r) = compare.measured(at(ms + 1), machine(t + 0.001)) {
                let worst = if n < 195 { &mut agree } else { &mut replayed };
                *worst = worst.max(r.value.abs());
            }
        }
        assert!(agree < 0.5, "{agree}");
        assert!(replayed > 8.0, "{replayed}");
    }

    #[test]
    fn two_constants_learn_only_their_difference() {
        let mut compare = Comparison::new(settings());
        for n in 0..400u64 {
            let noise = ((n * 7919) % 101) as f64 / 1000.0;
            compare.reported(at(n * 100), 1064.0);
            compare.measured(at(n * 100 + 1), 1066.0 + noise);
        }
        let alignment = compare.alignment().unwrap();
        assert_eq!((alignment.scale, alignment.lag), (1.0, Duration::ZERO));
        assert!((alignment.offset - 2.05).abs() < 0.02, "{alignment:?}");
    }

    #[test]
    fn what_is_no_number_or_runs_back_in_time_is_passed_over() {
        let (mut compare, start) = learned();
        let before = compare.clone();
        compare.reported(at(start + 1000), f64::NAN);
        compare.reported(at(start), 5.0);
        assert_eq!(compare.measured(at(start + 2000), f64::INFINITY), None);
        assert_eq!(compare.measured(at(start), 5.0), None);
        assert_eq!(compare.reported, before.reported);
        assert_eq!(compare.measured, before.measured);
    }

    #[test]
    fn a_controller_that_stopped_reporting_gives_no_residual() {
        let (mut compare, start) = learned();
        assert!(compare.measured(at(start + 1000), 100.0).is_some());
        assert!(compare.measured(at(start + 6000), 100.0).is_none());
    }

    #[test]
    fn no_residual_is_given_twice_while_the_controller_pauses() {
        let (mut compare, start) = learned();
        let given = (1..20).filter_map(|n| compare.measured(at(start + n * 100), 100.0)).count();
        assert!(given <= 1, "{given} residuals from one report");
    }

    #[test]
    fn a_stored_alignment_with_odd_values_is_refused() {
        let sound = Alignment { lag: Duration::from_secs(1), scale: 0.1, offset: 0.0, explained: 0.9 };
        assert!(Comparison::resume(settings(), sound).is_some());
        assert!(Comparison::resume(settings(), Alignment { scale: f64::NAN, ..sound }).is_none());
        assert!(
            Comparison::resume(settings(), Alignment { lag: Duration::from_secs(99), ..sound }).is_none()
        );
    }
}
