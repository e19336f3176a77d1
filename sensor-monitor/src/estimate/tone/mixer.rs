//! One frequency of a block of samples: the Fourier sum at any angle per sample, in one pass.
//!
//! The oscillator is a rotation of [`LANES`] interleaved phasors, so that the processor works on several
//! samples at once. Rounding grows with the number of turns, a quarter of the samples.

/// Phasors that turn side by side.
const LANES: usize = 4;

/// A complex number of the estimators.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Complex {
    pub(crate) re: f64,
    pub(crate) im: f64,
}

impl Complex {
    /// `size` at `angle` radians.
    pub(crate) fn polar(size: f64, angle: f64) -> Complex {
        let (sin, cos) = angle.sin_cos();
        Complex { re: size * cos, im: size * sin }
    }

    pub(crate) fn conj(self) -> Complex {
        Complex { re: self.re, im: -self.im }
    }

    pub(crate) fn scale(self, by: f64) -> Complex {
        Complex { re: self.re * by, im: self.im * by }
    }

    pub(crate) fn size(self) -> f64 {
        self.re.hypot(self.im)
    }

    pub(crate) fn angle(self) -> f64 {
        self.im.atan2(self.re)
    }
}

impl std::ops::Add for Complex {
    type Output = Complex;
    fn add(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }
}

impl std::ops::Sub for Complex {
    type Output = Complex;
    fn sub(self, other: Complex) -> Complex {
        Complex { re: self.re - other.re, im: self.im - other.im }
    }
}

impl std::ops::Mul for Complex {
    type Output = Complex;
    fn mul(self, other: Complex) -> Complex {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }
}

/// The oscillator: `exp(-j angle t)` for `LANES` samples, one step at a time.
pub(super) struct Lanes<const LANES: usize> {
    pub(super) cos: [f64; LANES],
    pub(super) sin: [f64; LANES],
    step: Complex,
}

impl<const LANES: usize> Lanes<LANES> {
    pub(super) fn new(angle: f64, first: f64) -> Lanes<LANES> {
        let mut lanes =
            Lanes { cos: [0.0; LANES], sin: [0.0; LANES], step: Complex::polar(1.0, angle * LANES as f64) };
        for lane in 0..LANES {
            (lanes.sin[lane], lanes.cos[lane]) = (angle * (first + lane as f64)).sin_cos();
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn advance(&mut self) {
        for lane in 0..LANES {
            let (c, s) = (self.cos[lane], self.sin[lane]);
            self.cos[lane] = c * self.step.re - s * self.step.im;
            self.sin[lane] = s * self.step.re + c * self.step.im;
        }
    }
}

/// `sum x exp(-j angle t)` and `sum t x exp(-j angle t)` with `t` counted from `first`: what one step of a
/// fit needs of the data.
pub(crate) fn mix_with_slope(samples: &[f64], angle: f64, first: f64) -> (Complex, Complex) {
    let mut lanes = Lanes::<LANES>::new(angle, first);
    let mut t: [f64; LANES] = std::array::from_fn(|lane| first + lane as f64);
    let (mut re, mut im) = ([0.0; LANES], [0.0; LANES]);
    let (mut t_re, mut t_im) = ([0.0; LANES], [0.0; LANES]);
    let (whole, rest) = samples.as_chunks::<LANES>();
    for x in whole {
        for lane in 0..LANES {
            let (c, s) = (x[lane] * lanes.cos[lane], x[lane] * lanes.sin[lane]);
            re[lane] += c;
            im[lane] += s;
            t_re[lane] += t[lane] * c;
            t_im[lane] += t[lane] * s;
            t[lane] += LANES as f64;
        }
        lanes.advance();
    }
    for (lane, x) in rest.iter().enumerate() {
        let (c, s) = (x * lanes.cos[lane], x * lanes.sin[lane]);
        re[lane] += c;
        im[lane] += s;
        t_re[lane] += t[lane] * c;
        t_im[lane] += t[lane] * s;
    }
    let sum = |a: [f64; LANES]| a.iter().sum::<f64>();
    (Complex { re: sum(re), im: -sum(im) }, Complex { re: sum(t_re), im: -sum(t_im) })
}

/// Takes `a cos(angle t) + b sin(angle t)` away from every sample, `t` counted from `first`.
pub(crate) fn subtract(samples: &mut [f64], angle: f64, first: f64, a: f64, b: f64) {
    let mut lanes = Lanes::<LANES>::new(angle, first);
    for chunk in samples.chunks_mut(LANES) {
        for (lane, x) in chunk.iter_mut().enumerate() {
            *x -= a * lanes.cos[lane] + b * lanes.sin[lane];
        }
        lanes.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lanes_give_the_plain_sum() {
        for n in [1_usize, 3, 64, 1001] {
            let x: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin() + 0.1).collect();
            let (angle, first) = (0.81, -3.5);
            let mut plain = (Complex::default(), Complex::default());
            for (i, x) in x.iter().enumerate() {
                let t = first + i as f64;
                plain.0 = plain.0 + Complex::polar(*x, -angle * t);
                plain.1 = plain.1 + Complex::polar(*x * t, -angle * t);
            }
            let both = mix_with_slope(&x, angle, first);
            assert!((both.0 - plain.0).size() < 1e-10);
            assert!((both.1 - plain.1).size() < 1e-7);
        }
    }

    #[test]
    fn a_tone_taken_away_is_gone() {
        let (angle, first) = (1.1, -31.5);
        let mut x: Vec<f64> = (0..65)
            .map(|i| 0.5 * (angle * (i as f64 + first)).cos() - 2.0 * (angle * (i as f64 + first)).sin())
            .collect();
        subtract(&mut x, angle, first, 0.5, -2.0);
        assert!(x.iter().all(|v| v.abs() < 1e-12));
    }
}
