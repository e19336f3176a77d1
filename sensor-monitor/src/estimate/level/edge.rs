//! Rise time and overshoot of the edges of a frame.

/// Shortest rise that is measured, samples: a faster one is set by the converter, not by the bus.
pub const MIN_RISE_SAMPLES: f64 = 3.0;
/// Most edges of one frame that are kept.
pub const MAX_EDGES: usize = 512;

/// The edges of one frame: medians over all of them, rising and falling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edges {
    /// From 10 to 90 % of the swing, seconds.
    pub rise: f64,
    /// How far an edge passes its plateau, as a share of the swing.
    pub overshoot: f64,
    /// Edges used.
    pub count: usize,
}

/// Collects the edges of one frame.
#[derive(Debug, Clone)]
pub(super) struct EdgeMeter {
    rate: f64,
    low: f64,
    swing: f64,
    bit: usize,
    rises: Vec<f64>,
    overshoots: Vec<f64>,
}

impl EdgeMeter {
    pub(super) fn new(rate: f64) -> EdgeMeter {
        let (rises, overshoots) = (Vec::with_capacity(MAX_EDGES), Vec::with_capacity(MAX_EDGES));
        EdgeMeter { rate, low: 0.0, swing: 1.0, bit: 1, rises, overshoots }
    }

    /// A new frame with these plateaus and samples in a bit.
    pub(super) fn begin(&mut self, low: f64, high: f64, bit: f64) {
        (self.low, self.swing, self.bit) = (low, high - low, bit as usize);
        self.rises.clear();
        self.overshoots.clear();
    }

    /// Adds the edges within `samples`.
    pub(super) fn add(&mut self, samples: &[f64]) {
        let share = |x: f64| (x - self.low) / self.swing;
        let mut at = 1;
        while at < samples.len() && self.rises.len() < MAX_EDGES {
            let rising = share(samples[at]) > 0.5;
            if rising == (share(samples[at - 1]) > 0.5) {
                at += 1;
                continue;
            }
            // Seen so that every edge goes from 0 to 1.
            let level = |i: usize| if rising { share(samples[i]) } else { 1.0 - share(samples[i]) };
            let reach = self.bit / 2;
            let begin = (at.saturating_sub(reach)..at).rev().find(|i| level(*i) <= 0.1);
            let end = (at..samples.len().min(at + reach)).find(|i| level(*i) >= 0.9);
            if let (Some(begin), Some(end)) = (begin, end) {
                let cross = |i: usize, wanted: f64| {
                    let (a, b) = (level(i), level(i + 1));
                    i as f64 + if b > a { (wanted - a) / (b - a) } else { 0.0 }
                };
                self.rises.push((cross(end - 1, 0.9) - cross(begin, 0.1)).max(0.0));
                let top = (at..samples.len().min(at + reach)).map(level).fold(0.0, f64::max);
                self.overshoots.push((top - 1.0).max(0.0));
            }
            at += reach.max(1);
        }
    }

    /// `None` when there was no edge or the rate is too low for them.
    pub(super) fn finish(&mut self) -> Option<Edges> {
        let count = self.rises.len();
        let rise = median(&mut self.rises)?;
        let overshoot = median(&mut self.overshoots)?;
        let fits = rise >= MIN_RISE_SAMPLES && overshoot.is_finite();
        fits.then_some(Edges { rise: rise / self.rate, overshoot, count })
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_rings_shows_rise_and_overshoot() {
        let bit = 100;
        let edge = |i: usize| {
            let t = i as f64;
            1.0 - (-t / 6.0).exp() * (t / 8.0).cos()
        };
        let samples: Vec<f64> = (0..20 * bit)
            .map(|i| if i / bit % 2 == 1 { edge(i % bit) } else { 1.0 - edge(i % bit) })
            .collect();
        let mut meter = EdgeMeter::new(1e6);
        meter.begin(0.0, 1.0, bit as f64);
        meter.add(&samples);
        let edges = meter.finish().unwrap();
        let top = (0..bit).map(edge).fold(0.0, f64::max) - 1.0;
        assert!((edges.overshoot - top).abs() < 1e-3 && edges.count > 15, "{edges:?} {top}");
        assert!((5e-6..12e-6).contains(&edges.rise), "{edges:?}");
    }

    #[test]
    fn edges_faster_than_the_rate_are_not_measured() {
        let mut meter = EdgeMeter::new(1e6);
        meter.begin(0.0, 1.0, 10.0);
        meter.add(&[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(meter.finish(), None);
    }
}
