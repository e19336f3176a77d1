//! Values on a grid: the counts of a register or a converter. A median of distances can only be a whole number of
//! steps there: noise of 0.8 and of 1.4 counts both have 1, and half a count more or less of it is chance. Where the
//! step is not small against the noise, means say more; they are kept from wild values by winsorising (Huber 1964).

/// How values on a coarse grid lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grouped {
    /// Mean of the winsorised values.
    pub(crate) mean: f64,
    /// Their standard deviation, which rounding is a part of.
    pub(crate) sd: f64,
    /// Their kurtosis: 3 for normal values, much more where nearly all are one.
    pub(crate) kurtosis: f64,
}

impl Grouped {
    /// Of `values` with values within `reach` of `centre` left as they are.
    pub(crate) fn of(values: &[f64], centre: f64, reach: f64) -> Grouped {
        let n = values.len().max(1) as f64;
        let moment = |about: f64, power: i32| {
            let near = values.iter().map(|v| (v - centre).clamp(-reach, reach) - about);
            near.map(|v| v.powi(power)).sum::<f64>() / n
        };
        let mean = moment(0.0, 1);
        let variance = moment(mean, 2);
        let kurtosis = if variance > 0.0 { moment(mean, 4) / (variance * variance) } else { 3.0 };
        Grouped { mean: centre + mean, sd: variance.sqrt(), kurtosis }
    }

    /// The standard deviation before it was rounded to multiples of `step` (Sheppard 1898).
    pub(crate) fn before_rounding(&self, step: f64) -> f64 {
        (self.sd * self.sd - step * step / 12.0).max(0.0).sqrt()
    }
}

/// Whether a median distance of `mad` is too rough a measure on a grid of this step; 0 is no grid.
pub(crate) fn is_coarse(mad: f64, step: f64) -> bool {
    step > 0.0 && mad < COARSE * step
}

/// What lies further from the centre is wild: four to five sigma, as far as a median distance can tell.
pub(crate) fn reach(mad: f64, step: f64) -> f64 {
    3.0 * MAD_TO_SIGMA * (mad + 0.5 * step)
}

/// The step of a converter: the smallest difference of two values, when all differences are multiples of it; 0 when
/// there is none.
pub(crate) fn step(sorted: &[f64]) -> f64 {
    let largest = sorted.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let differences = || sorted.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > largest * 1e-12);
    let step = differences().fold(f64::INFINITY, f64::min);
    let multiple = |d: f64| (d / step - (d / step).round()).abs() < 0.01 * (d / step).max(1.0).sqrt();
    if step.is_finite() && differences().all(multiple) && differences().count() > 0 && repeats(sorted) {
        step
    } else {
        0.0
    }
}

/// Whether values occur more than once, as they do on a grid.
#[allow(clippy::float_cmp)] // equal values are the point
fn repeats(sorted: &[f64]) -> bool {
    sorted.windows(2).filter(|w| w[0] == w[1]).count() * 10 > sorted.len()
}

/// 1 / quantile of the normal distribution at 3/4: makes the MAD a standard deviation.
pub(crate) const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
/// A median distance of so many steps is known to an eighth.
const COARSE: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_noise_before_rounding_is_found_again_whatever_the_grid_and_a_few_wild_values() {
        for sigma in [0.4, 0.5, 0.8, 1.0, 1.35, 2.0] {
            let mut rng = Rng::new(9);
            let middle = 50.0 + rng.uniform();
            let mut values: Vec<f64> = (0..8192).map(|_| (middle + sigma * rng.normal()).round()).collect();
            values[..20].fill(5000.0);
            values.sort_by(f64::total_cmp);
            let median = values[4096];
            let mut far: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
            far.sort_by(f64::total_cmp);
            assert_eq!(step(&values), 1.0);
            assert!(is_coarse(far[4096], 1.0));
            let found = Grouped::of(&values, median, reach(far[4096], 1.0));
            assert!((found.before_rounding(1.0) / sigma - 1.0).abs() < 0.15, "{sigma}: {found:?}");
            assert!((found.mean - middle).abs() < 0.05, "{sigma}: {found:?} {middle}");
        }
    }
}
