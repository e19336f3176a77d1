//! Sums of sinusoids over the sample grid in closed form, so that a fit never builds its matrix from samples.
//!
//! Time is centred: `t = n - (N - 1) / 2`. Odd sums then vanish and cosine and sine columns decouple.

use std::f64::consts::{PI, TAU};

/// Below this half phase over the window the closed forms cancel; their power series is used.
const SERIES_BELOW: f64 = 0.05;

/// Sums over `N` centred samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    n: f64,
    even: bool,
}

/// The three sums at one angle per sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    /// `sum cos(angle t)`: the Dirichlet kernel.
    pub(crate) cos: f64,
    /// `sum t sin(angle t)`.
    pub(crate) t_sin: f64,
    /// `sum t^2 cos(angle t)`.
    pub(crate) tt_cos: f64,
}

impl Grid {
    /// A grid of `n` samples.
    pub(crate) fn new(n: usize) -> Grid {
        Grid { n: n as f64, even: n.is_multiple_of(2) }
    }

    /// The middle of the window, in samples from the first.
    pub(crate) fn centre(self) -> f64 {
        (self.n - 1.0) / 2.0
    }

    /// `sum cos(angle t)` alone.
    pub(crate) fn cos(self, angle: f64) -> f64 {
        let (angle, sign) = self.first_turn(angle);
        if (self.n * angle / 2.0).abs() < SERIES_BELOW {
            return sign * self.series(angle).cos;
        }
        sign * ((self.n * angle / 2.0).sin() / (angle / 2.0).sin())
    }

    /// All three sums at `angle` radians per sample.
    pub(crate) fn at(self, angle: f64) -> Sums {
        let (angle, sign) = self.first_turn(angle);
        let Sums { cos, t_sin, tt_cos } = self.in_first_turn(angle);
        Sums { cos: sign * cos, t_sin: sign * t_sin, tt_cos: sign * tt_cos }
    }

    /// The same angle within half a turn, and the sign of the sums there.
    fn first_turn(self, angle: f64) -> (f64, f64) {
        let turns = (angle / TAU).round();
        // With N even the centred times are half integers: a whole turn per sample flips the sign.
        let sign = if self.even && turns.rem_euclid(2.0) != 0.0 { -1.0 } else { 1.0 };
        (angle - turns * TAU, sign)
    }

    fn in_first_turn(self, angle: f64) -> Sums {
        let n = self.n;
        debug_assert!(angle.abs() <= PI + 1e-9 || angle.is_nan());
        if (n * angle / 2.0).abs() < SERIES_BELOW {
            return self.series(angle);
        }
        let (s, c) = (angle / 2.0).sin_cos();
        let (big_s, big_c) = (n * angle / 2.0).sin_cos();
        let first = n / 2.0 * big_c / s - big_s * c / (2.0 * s * s);
        let second = -n * n * big_s / (4.0 * s) - n * big_c * c / (2.0 * s * s)
            + big_s * (0.5 * s * s + c * c) / (2.0 * s * s * s);
        Sums { cos: big_s / s, t_sin: -first, tt_cos: -second }
    }

    /// Power series in the moments `sum t^2`, `sum t^4`, `sum t^6`.
    fn series(self, angle: f64) -> Sums {
        let n = self.n;
        let nn = n * n;
        let m2 = n * (nn - 1.0) / 12.0;
        let m4 = m2 * (3.0 * nn - 7.0) / 20.0;
        let m6 = m2 * (3.0 * nn * nn - 18.0 * nn + 31.0) / 112.0;
        let w2 = angle * angle;
        Sums {
            cos: n - w2 * (m2 / 2.0 - w2 * (m4 / 24.0 - w2 * m6 / 720.0)),
            t_sin: angle * (m2 - w2 * (m4 / 6.0 - w2 * m6 / 120.0)),
            tt_cos: m2 - w2 * (m4 / 2.0 - w2 * m6 / 24.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hand(n: usize, angle: f64) -> Sums {
        let mut sums = Sums { cos: 0.0, t_sin: 0.0, tt_cos: 0.0 };
        for i in 0..n {
            let t = i as f64 - (n as f64 - 1.0) / 2.0;
            sums.cos += (angle * t).cos();
            sums.t_sin += t * (angle * t).sin();
            sums.tt_cos += t * t * (angle * t).cos();
        }
        sums
    }

    #[test]
    fn the_closed_forms_are_the_sums() {
        for n in [64_usize, 65, 257, 1000] {
            for angle in [0.0, 1e-6, 9e-5, 1.1e-4, 1e-3, 0.02, 0.5, 1.7, 3.1, 3.2, 6.0, TAU, 6.29, 12.0, -0.7]
            {
                let (is, should) = (Grid::new(n).at(angle), by_hand(n, angle));
                let n = n as f64;
                assert!((is.cos - should.cos).abs() < 1e-9 * n, "cos {n} {angle}");
                assert!((is.cos - Grid::new(n as usize).cos(angle)).abs() < 1e-12 * n, "cos {n} {angle}");
                assert!(
                    (is.t_sin - should.t_sin).abs() < 1e-9 * n * n,
                    "t sin {n} {angle} {is:?} {should:?}"
                );
                assert!((is.tt_cos - should.tt_cos).abs() < 1e-9 * n * n * n, "tt cos {n} {angle}");
            }
        }
    }
}
