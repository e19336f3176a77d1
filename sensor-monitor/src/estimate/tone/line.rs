//! The Fourier sums of a window near one frequency, for many frequencies out of one pass.
//!
//! The window is cut into [`PARTS`] parts. One pass gathers of each part the first moments in time, turned by the
//! frequency that the line stands at; the sum at any frequency near it is a power series of these, so that a step of
//! a fit reads the moments and not the samples. Mirrored samples of a part share their cosine and sine. A window too
//! short for that is summed as it is.

use std::f64::consts::TAU;

use super::kernel::Grid;
use super::mixer::{Complex, Lanes, mix_with_slope};

/// Parts of a window, at least. Over half of one a tone half a bin off turns by 0.006: the fourth power of that,
/// over 24, is what the series leaves out, one in 10^10.
const PARTS: usize = 256;
/// Parts that are read side by side: with more, what is kept of each does not fit in registers.
const LANES: usize = 2;
/// Moments of even and of odd samples in each part.
const MOMENTS: usize = 4;
/// Shorter parts cost more than they save.
const MIN_LENGTH: usize = 4;
/// Farther than this, in bins, from where it stands, the line is gathered anew.
const FAR: f64 = 0.75;

/// One frequency of one window.
#[derive(Debug, Clone)]
pub(super) struct Line {
    samples: usize,
    /// Samples in a part; 0 where there are none.
    length: usize,
    /// Where it stands, radians per sample.
    angle: f64,
    /// Cosine and sine times powers of the time from a part's middle: for one half of a part.
    weights: Vec<[[f64; MOMENTS]; 2]>,
    /// Of every part, [`LANES`] of them side by side: even samples with `cos, t sin, t^2 cos, t^3 sin`, then odd ones
    /// with `sin, t cos, ...`.
    moments: Vec<[[[f64; LANES]; MOMENTS]; 2]>,
}

impl Line {
    /// For windows of `samples`, without parts: slower, and hardly any memory.
    pub(super) fn plain(samples: usize) -> Line {
        Line { samples, length: 0, angle: 0.0, weights: Vec::new(), moments: Vec::new() }
    }

    /// For windows of `samples`.
    pub(super) fn new(samples: usize) -> Line {
        let length = samples / PARTS;
        if length < MIN_LENGTH {
            return Line::plain(samples);
        }
        let parts = samples / length + 1;
        let moments = vec![[[[0.0; LANES]; MOMENTS]; 2]; parts.div_ceil(LANES)];
        let weights = vec![[[0.0; MOMENTS]; 2]; length / 2];
        Line { samples, length, angle: 0.0, weights, moments }
    }

    /// Stands at `angle` in a new window.
    pub(super) fn gather(&mut self, data: &[f64], angle: f64) {
        self.angle = angle;
        if self.length == 0 {
            return;
        }
        let middle = Grid::new(self.length).centre();
        for (i, [even, odd]) in self.weights.iter_mut().enumerate() {
            let t = i as f64 - middle;
            let (sin, cos) = (angle * t).sin_cos();
            *even = [cos, t * sin, t * t * cos, t * t * t * sin];
            *odd = [sin, t * cos, t * t * sin, t * t * t * cos];
        }
        let (whole, rest) = data.split_at(data.len() - data.len() % self.length);
        let parts = whole.len() / self.length;
        for (b, part) in whole.chunks_exact(self.length).enumerate() {
            self.note(b, moments(part, &self.weights));
        }
        // The last part is filled up with nothing.
        let mut last = [0.0; super::MAX_SAMPLES / PARTS];
        last[..rest.len()].copy_from_slice(rest);
        self.note(parts, moments(&last[..self.length], &self.weights));
    }

    fn note(&mut self, part: usize, moments: [[f64; MOMENTS]; 2]) {
        let to = &mut self.moments[part / LANES];
        for (to, from) in to.as_flattened_mut().iter_mut().zip(moments.as_flattened()) {
            to[part % LANES] = *from;
        }
    }

    /// As [`Line::gather`], unless it stands near enough.
    pub(super) fn approach(&mut self, data: &[f64], angle: f64) {
        if (angle - self.angle).abs() > FAR * TAU / self.samples as f64 {
            self.gather(data, angle);
        }
    }

    /// `sum x exp(-j angle t)`, `t` from the middle of the window: `data` is what was gathered, and `angle` within
    /// about a bin of where the line stands.
    pub(super) fn sum(&self, data: &[f64], angle: f64) -> Complex {
        self.read::<false>(data, angle).0
    }

    /// The same with `sum t x exp(-j angle t)`.
    pub(super) fn sum_with_slope(&self, data: &[f64], angle: f64) -> (Complex, Complex) {
        self.read::<true>(data, angle)
    }

    fn read<const SLOPE: bool>(&self, data: &[f64], angle: f64) -> (Complex, Complex) {
        let first = -Grid::new(self.samples).centre();
        if self.length == 0 {
            return mix_with_slope(data, angle, first);
        }
        let length = self.length as f64;
        // Time in parts, at their middles.
        let first = (first + Grid::new(self.length).centre()) / length;
        let mut lanes = Lanes::<LANES>::new(angle * length, first);
        let mut t: [f64; LANES] = std::array::from_fn(|lane| (first + lane as f64) * length);
        let off = angle - self.angle;
        let (half, sixth) = (off * off / 2.0, off * off * off / 6.0);
        let (mut re, mut im) = ([0.0; LANES], [0.0; LANES]);
        let (mut t_re, mut t_im) = ([0.0; LANES], [0.0; LANES]);
        for [[e0, e1, e2, e3], [o0, o1, o2, o3]] in &self.moments {
            for lane in 0..LANES {
                let (e1, e2, e3) = (e1[lane], e2[lane], e3[lane]);
                let (o1, o2, o3) = (o1[lane], o2[lane], o3[lane]);
                let (cos, sin) = (lanes.cos[lane], lanes.sin[lane]);
                // The part about its own middle: sum x cos, sum x sin, and then with one more power of time.
                let c = e0[lane] - off * e1 - half * e2 + sixth * e3;
                let s = o0[lane] + off * o1 - half * o2 - sixth * o3;
                re[lane] += cos * c - sin * s;
                im[lane] += cos * s + sin * c;
                if SLOPE {
                    let t_c = t[lane] * c + o1 - off * o2 - half * o3;
                    let t_s = t[lane] * s + e1 + off * e2 - half * e3;
                    t_re[lane] += cos * t_c - sin * t_s;
                    t_im[lane] += cos * t_s + sin * t_c;
                    t[lane] += LANES as f64 * length;
                }
            }
            lanes.advance();
        }
        let sum = |a: [f64; LANES]| a.iter().sum::<f64>();
        (Complex { re: sum(re), im: -sum(im) }, Complex { re: sum(t_re), im: -sum(t_im) })
    }
}

/// Even and odd moments of one part.
#[inline(always)]
fn moments(part: &[f64], weights: &[[[f64; MOMENTS]; 2]]) -> [[f64; MOMENTS]; 2] {
    let half = part.len() / 2;
    let (front, back) = (&part[..half], &part[part.len() - half..]);
    let (mut even, mut odd) = ([0.0; MOMENTS], [0.0; MOMENTS]);
    for ((a, b), [e, o]) in front.iter().zip(back.iter().rev()).zip(weights) {
        let (sum, difference) = (a + b, a - b);
        for m in 0..MOMENTS {
            even[m] += sum * e[m];
            odd[m] += difference * o[m];
        }
    }
    if part.len() % 2 == 1 {
        even[0] += part[half];
    }
    [even, odd]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_the_sums_of_the_samples_within_a_bin() {
        for n in [64_usize, 1023, 1024, 1027, 2047, 4096, 5000, 65_536] {
            let bin = TAU / n as f64;
            let x: Vec<f64> =
                (0..n).map(|i| (i as f64 * 0.37).sin() + 0.1 * (i as f64 * 7.7).cos()).collect();
            let mut line = Line::new(n);
            for at in [3.0 * bin, 0.37, 3.0] {
                line.gather(&x, at);
                for (off, share) in [(0.0, 1e-11), (0.1, 1e-11), (-0.5, 2e-10), (1.0, 2e-9)] {
                    let is = line.sum_with_slope(&x, at + off * bin);
                    let should = mix_with_slope(&x, at + off * bin, -Grid::new(n).centre());
                    let (size, n) = (x.iter().map(|x| x.abs()).sum::<f64>(), n as f64);
                    let what = format!("{n} {at} {off}: {is:?} {should:?}");
                    assert!((is.0 - should.0).size() <= share * size, "{what}");
                    assert_eq!(is.0, line.sum(&x, at + off * bin), "{what}");
                    assert!((is.1 - should.1).size() <= share * size * n, "{what}");
                }
            }
        }
    }

    #[test]
    fn a_line_is_gathered_anew_only_when_it_is_far() {
        let n = 4096;
        let x: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin()).collect();
        let mut line = Line::new(n);
        line.gather(&x, 0.37);
        line.approach(&x, 0.37 + 0.5 * TAU / n as f64);
        assert_eq!(line.angle, 0.37);
        line.approach(&x, 0.38);
        assert_eq!(line.angle, 0.38);
    }
}
