//! Clock drift: the true period of events that should be periodic, by least squares over their times.
//!
//! Missed events are no error: each event's number is the nearest whole period. A time far from the line
//! (an event of something else, a late interrupt) is left out by its distance in median deviations.

use super::jitter::quantile_of_sorted;

/// Fewest events that have a drift.
pub const MIN_EVENTS: usize = 8;
/// Most events that are kept.
pub const MAX_EVENTS: usize = 65_536;
/// Largest drift that is followed, ppm: beyond it a missed event and a slow clock cannot be told apart.
pub const MAX_PPM: f64 = 100_000.0;
/// Residuals beyond this many deviations are left out.
const OUTLIER: f64 = 5.0;
/// A time nearer than this share of a period to the last one is the same event.
const SAME: f64 = 0.5;

/// The drift of a clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Parts per million; positive when the events come too slowly.
    pub ppm: f64,
    /// Standard error of `ppm`, from the scatter about the line.
    pub error_ppm: f64,
    /// Root mean square distance from the line, seconds.
    pub jitter: f64,
    /// Events used.
    pub used: usize,
    /// Periods between the first and the last event.
    pub periods: f64,
}

/// The last events of one clock.
#[derive(Debug, Clone)]
pub struct DriftEstimator {
    period: f64,
    window: usize,
    /// (number of periods since the first event, seconds since then).
    events: Vec<(f64, f64)>,
    oldest: usize,
    first: f64,
    last: Option<(f64, f64)>,
    /// Ratio of the true period to the nominal, as known so far.
    ratio: f64,
    sorted: Vec<f64>,
}

impl DriftEstimator {
    /// For events every `period` seconds, of which the last `window` are kept; `None` unless the period is
    /// positive and `window` within [`MIN_EVENTS`] and [`MAX_EVENTS`].
    pub fn new(period: f64, window: usize) -> Option<DriftEstimator> {
        let fits = period.is_finite() && period > 0.0 && (MIN_EVENTS..=MAX_EVENTS).contains(&window);
        fits.then(|| DriftEstimator {
            period,
            window,
            events: Vec::with_capacity(window),
            oldest: 0,
            first: 0.0,
            last: None,
            ratio: 1.0,
            sorted: Vec::with_capacity(window),
        })
    }

    /// Adds the time of one event, seconds. A time that is not after the last one is left out.
    pub fn push(&mut self, time: f64) {
        if !time.is_finite() {
            return;
        }
        let Some((number, before)) = self.last else {
            self.first = time;
            self.last = Some((0.0, time));
            self.events.push((0.0, 0.0));
            return;
        };
        let passed = (time - before) / (self.period * self.ratio);
        if !(passed > SAME && passed.is_finite()) {
            return;
        }
        let event = (number + passed.round(), time - self.first);
        self.last = Some((event.0, time));
        if self.events.len() < self.window {
            self.events.push(event);
        } else {
            self.events[self.oldest] = event;
            self.oldest = (self.oldest + 1) % self.window;
        }
        // The first few tell the ratio well enough to count periods over a long gap.
        if self.events.len() == MIN_EVENTS
            && let Some(drift) = self.drift()
        {
            self.ratio = 1.0 + drift.ppm / 1e6;
        }
    }

    /// Forgets all events, as after a gap in the clock itself.
    pub fn clear(&mut self) {
        self.events.clear();
        (self.oldest, self.last, self.ratio) = (0, None, 1.0);
    }

    /// The drift over the kept events; `None` with too few, or when they lie on no line within [`MAX_PPM`].
    pub fn drift(&mut self) -> Option<Drift> {
        let all = self.line(f64::INFINITY)?;
        self.sorted.clear();
        self.sorted.extend(self.events.iter().map(|e| all.distance(e).abs()));
        self.sorted.sort_unstable_by(f64::total_cmp);
        let deviation = 1.4826 * quantile_of_sorted(&self.sorted, 0.5);
        // Without scatter at all every event is on the line.
        let limit = if deviation > 0.0 { OUTLIER * deviation } else { f64::INFINITY };
        let line = self.line_beside(&all, limit)?;
        let ppm = (line.slope / self.period - 1.0) * 1e6;
        let drift = Drift {
            ppm,
            error_ppm: line.slope_error / self.period * 1e6,
            jitter: line.jitter,
            used: line.used,
            periods: line.span,
        };
        let finite = drift.ppm.is_finite() && drift.error_ppm.is_finite() && drift.jitter.is_finite();
        (finite && ppm.abs() <= MAX_PPM).then_some(drift)
    }

    fn line(&self, limit: f64) -> Option<Line> {
        self.line_beside(&Line::default(), limit)
    }

    /// The line through the events that are within `limit` seconds of `near`.
    fn line_beside(&self, near: &Line, limit: f64) -> Option<Line> {
        let kept = || self.events.iter().filter(|e| limit.is_infinite() || near.distance(e).abs() <= limit);
        let used = kept().count();
        if used < MIN_EVENTS {
            return None;
        }
        let n = used as f64;
        let (x, y) = kept().fold((0.0, 0.0), |(x, y), e| (x + e.0, y + e.1));
        let (x, y) = (x / n, y / n);
        let (xx, xy) =
            kept().fold((0.0, 0.0), |(xx, xy), e| (xx + (e.0 - x) * (e.0 - x), xy + (e.0 - x) * (e.1 - y)));
        let slope = xy / xx;
        let mut line = Line { slope, at_zero: y - slope * x, used, ..Line::default() };
        let squares: f64 = kept().map(|e| line.distance(e) * line.distance(e)).sum();
        let low = kept().map(|e| e.0).fold(f64::INFINITY, f64::min);
        line.span = kept().map(|e| e.0).fold(low, f64::max) - low;
        line.jitter = (squares / n).sqrt();
        line.slope_error = (squares / (n - 2.0) / xx).sqrt();
        Some(line)
    }
}

/// Seconds over periods.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    slope: f64,
    at_zero: f64,
    slope_error: f64,
    jitter: f64,
    used: usize,
    span: f64,
}

impl Line {
    fn distance(&self, event: &(f64, f64)) -> f64 {
        event.1 - self.at_zero - self.slope * event.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small fixed scatter of about 1 us.
    fn scatter(i: usize) -> f64 {
        ((i * 7919 % 101) as f64 / 50.0 - 1.0) * 1e-6
    }

    #[test]
    fn drift_is_found_over_missed_and_foreign_events() {
        for ppm in [-5_000.0, -40.0, 0.0, 55.0, 20_000.0] {
            let mut estimator = DriftEstimator::new(0.01, 1000).unwrap();
            for i in 0..900 {
                let true_time = 7.0 + i as f64 * 0.01 * (1.0 + ppm / 1e6);
                if i % 7 != 3 && !(300..420).contains(&i) {
                    let late = if i % 50 == 11 { 0.002 } else { 0.0 };
                    estimator.push(true_time + scatter(i) + late);
                }
            }
            let drift = estimator.drift().unwrap();
            assert!((drift.ppm - ppm).abs() < 4.0 * drift.error_ppm.max(0.01), "{ppm}: {drift:?}");
            assert!(drift.jitter < 1.1e-6 && drift.periods > 890.0, "{drift:?}");
        }
    }

    #[test]
    fn too_few_or_senseless_times_have_no_drift() {
        let mut estimator = DriftEstimator::new(1.0, 16).unwrap();
        for time in [f64::NAN, 1.0, 1.0, 0.0, f64::INFINITY, 2.0, -5.0] {
            estimator.push(time);
        }
        assert_eq!(estimator.drift(), None);
        (0..50).for_each(|i| estimator.push(1e300 * f64::from(i)));
        assert!(estimator.drift().is_none_or(|d| d.ppm.is_finite()));
        assert!(DriftEstimator::new(0.0, 16).is_none() && DriftEstimator::new(1.0, 7).is_none());
    }
}
