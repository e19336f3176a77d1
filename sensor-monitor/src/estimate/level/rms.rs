//! Root mean square of a stream of blocks, and its level against a reference.

use hal::sensor::{Flaw, Quality};

/// Sums that run side by side, so that the processor adds several samples at once.
const LANES: usize = 8;

/// Sum of squares; not finite when a sample is not.
pub fn energy(samples: &[f64]) -> f64 {
    let (whole, rest) = samples.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for x in whole {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * x[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|x| x * x).sum::<f64>()
}

/// Level of `value` against `reference` in dB (20 log10); `None` unless both are positive and finite.
pub fn decibels(value: f64, reference: f64) -> Option<f64> {
    let ratio = value / reference;
    (ratio.is_finite() && ratio > 0.0 && reference > 0.0).then(|| 20.0 * ratio.log10())
}

/// Accumulates blocks until it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rms {
    squares: f64,
    samples: u64,
    quality: Quality,
}

impl Rms {
    /// Adds one block.
    pub fn push(&mut self, samples: &[f64], quality: Quality) {
        self.quality = self.quality.and(quality);
        let squares = energy(samples);
        if squares.is_finite() {
            self.squares += squares;
            self.samples += samples.len() as u64;
        } else {
            self.quality = self.quality.and(Quality::Bad(Flaw::NotFinite));
        }
    }

    /// The root mean square in the samples' unit since the last call, and what it is worth. Begins anew.
    pub fn take(&mut self) -> (f64, Quality) {
        let Rms { squares, samples, quality } = std::mem::take(self);
        let rms = (squares / samples as f64).sqrt();
        match samples {
            0 => (0.0, quality.and(Quality::Bad(Flaw::Missing))),
            _ if !rms.is_finite() => (0.0, quality.and(Quality::Bad(Flaw::NotFinite))),
            _ => (rms, quality),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_add_up_and_bad_ones_say_so() {
        let mut rms = Rms::default();
        rms.push(&[3.0; 9], Quality::Good);
        rms.push(&[-3.0; 7], Quality::Uncertain(Flaw::Gap));
        assert_eq!(rms.take(), (3.0, Quality::Uncertain(Flaw::Gap)));
        assert_eq!(rms.take(), (0.0, Quality::Bad(Flaw::Missing)));
        for bad in [f64::NAN, f64::INFINITY, 1e200] {
            rms.push(&[1.0], Quality::Good);
            rms.push(&[1.0, bad], Quality::Good);
            assert_eq!(rms.take(), (1.0, Quality::Bad(Flaw::NotFinite)), "{bad}");
        }
    }

    #[test]
    fn half_the_voltage_is_six_decibels_down() {
        assert!((decibels(1.0, 2.0).unwrap() + 6.0206).abs() < 1e-4);
        for (value, reference) in [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (-1.0, -1.0), (f64::NAN, 1.0)] {
            assert_eq!(decibels(value, reference), None);
        }
    }
}
