//! What was learned of one feature in one regime; never changed afterwards.

use serde::{Deserialize, Serialize};

use super::correlate::{LAGS, MAX_ORDER};
use super::reach::Reach;
use super::repeats::Repeats;
use super::residual::Spread;
use super::{BaselineError, LONGEST_BLOCK, MOST};

/// The learned behaviour. Level numbers are in the feature's unit; the rest is in standard deviations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Model {
    pub(crate) median: f64,
    pub(crate) scale: f64,
    pub(crate) quantisation: f64,
    pub(crate) samples: u64,
    pub(crate) effective: f64,
    pub(crate) autocorrelation: Vec<f64>,
    pub(crate) correlation_time: f64,
    pub(crate) block: u32,
    pub(crate) ar: Vec<f64>,
    pub(crate) centre: f64,
    pub(crate) sigma: f64,
    pub(crate) leftover: f64,
    /// Correlation time of the squares of the whitened values, for values on a coarse grid; else 1.
    pub(crate) clusters: f64,
    pub(crate) spread: Spread,
    pub(crate) repeats: Repeats,
    /// How far readings in a row went; not known of what an earlier version learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reach: Option<Reach>,
}

impl Model {
    /// Median, in the feature's unit.
    pub const fn median(&self) -> f64 {
        self.median
    }

    /// Robust standard deviation, in the feature's unit; never zero. 1.4826 MAD; for values on a grid whose step is
    /// not small against it, that of the winsorised values before they were rounded.
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    /// [`Model::scale`] where it was measured: 0 where all values, or nearly all, were one and the scale is only the
    /// least that can be divided by. For people.
    pub fn seen_scale(&self) -> f64 {
        seen_scale(self.median, self.scale)
    }

    /// The mean, in the feature's unit, of values pulled back as the detectors see them.
    pub fn mean(&self) -> f64 {
        let rest = 1.0 - self.ar.iter().sum::<f64>();
        let shift = self.scale * self.centre / rest;
        self.median + if shift.is_finite() { shift } else { 0.0 }
    }

    /// Whether most values were the median exactly and some were not. Then no deviation was measured: that of values
    /// on a grid is only what rounding to its step makes.
    pub fn is_mostly_one(&self) -> bool {
        let rounding = self.quantisation / 12f64.sqrt() * (1.0 + 1e-9);
        self.repeats.distinct > 1 && (self.seen_scale() <= 0.0 || self.scale <= rounding)
    }

    /// Whether half and more of what is left behind the filter was one value: then there is no noise that could
    /// shrink, only events that are rare.
    /// So it is where correlated noise is smaller than the step it is rounded to: it stays at one value for as long as it
    /// stays between two steps.
    #[allow(clippy::float_cmp)] // one value is the point
    pub fn is_without_noise(&self) -> bool {
        let is_one = self.spread.value(0.25) == self.spread.value(0.75);
        is_one || (!self.ar.is_empty() && self.scale < HARDLY * self.quantisation)
    }

    /// The step all values are multiples of, in the feature's unit; 0 when there is none.
    pub const fn quantisation(&self) -> f64 {
        self.quantisation
    }

    /// Samples learned from.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Independent samples that would say as much about the mean.
    pub const fn effective(&self) -> f64 {
        self.effective
    }

    /// Autocorrelation from lag 0, of block means where [`Model::block`] is more than 1.
    pub fn autocorrelation(&self) -> &[f64] {
        &self.autocorrelation
    }

    /// Integrated correlation time in samples; 1 for white noise.
    pub const fn correlation_time(&self) -> f64 {
        self.correlation_time
    }

    /// Samples averaged to one value before the autoregressive filter.
    pub const fn block(&self) -> u32 {
        self.block
    }

    /// Autoregressive coefficients of the whitening filter; empty when none is needed.
    pub fn ar(&self) -> &[f64] {
        &self.ar
    }

    /// Correlation time of the whitened values; 1 when whitening succeeded. Limits are widened by it.
    pub const fn leftover(&self) -> f64 {
        self.leftover
    }

    /// How the whitened values spread.
    pub const fn spread(&self) -> &Spread {
        &self.spread
    }

    /// How often values repeat by chance.
    pub const fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    /// The shift of a whitened value, in its own sigma, for a lasting shift of the level by one `scale`.
    pub fn gain(&self) -> f64 {
        (1.0 - self.ar.iter().sum::<f64>()) / self.sigma
    }

    /// How this behaviour differs from an `earlier` one: shift of the median in the earlier sigma, and the
    /// ratio of scales.
    pub fn against(&self, earlier: &Model) -> Difference {
        Difference {
            shift_sigma: (self.median - earlier.median) / earlier.scale,
            scale_ratio: self.scale / earlier.scale,
        }
    }
}

/// A learned `scale` as [`Model::seen_scale`] gives it: 0 where it is only the least that can be divided by.
pub fn seen_scale(median: f64, scale: f64) -> f64 {
    if scale > least_scale(median) { scale } else { 0.0 }
}

/// No spread about this median is taken to be less: a division by it must stay a number.
pub(super) fn least_scale(median: f64) -> f64 {
    (median.abs() * 1e-9).max(1.0 / MOST)
}

/// Noise of fewer steps of its grid than this is hardly any.
const HARDLY: f64 = 0.7;

/// One epoch against another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Shift of the median in standard deviations of the earlier epoch.
    pub shift_sigma: f64,
    /// New standard deviation over the earlier one.
    pub scale_ratio: f64,
}

/// A model as it is written, not yet believed.
#[derive(Deserialize)]
struct Raw {
    median: f64,
    scale: f64,
    quantisation: f64,
    samples: u64,
    effective: f64,
    autocorrelation: Vec<f64>,
    correlation_time: f64,
    block: u32,
    ar: Vec<f64>,
    centre: f64,
    sigma: f64,
    leftover: f64,
    #[serde(default = "one")]
    clusters: f64,
    spread: Spread,
    repeats: Repeats,
    #[serde(default)]
    reach: Option<Reach>,
}

/// What a model that was written without it is taken to have.
const fn one() -> f64 {
    1.0
}

impl TryFrom<Raw> for Model {
    type Error = BaselineError;

    fn try_from(r: Raw) -> Result<Model, BaselineError> {
        let positive = f64::MIN_POSITIVE..=f64::MAX;
        let rows = [
            ("median", r.median, f64::MIN..=f64::MAX),
            ("scale", r.scale, positive.clone()),
            ("quantisation", r.quantisation, 0.0..=f64::MAX),
            ("effective samples", r.effective, 0.0..=f64::MAX),
            ("correlation time", r.correlation_time, 0.0..=f64::MAX),
            ("block", f64::from(r.block), 1.0..=f64::from(LONGEST_BLOCK)),
            ("centre", r.centre, -1e6..=1e6),
            ("sigma", r.sigma, 1e-9..=1e6),
            ("leftover correlation", r.leftover, 1.0..=1e6),
            ("correlation of squares", r.clusters, 1.0..=1e6),
            ("lags", r.autocorrelation.len() as f64, 0.0..=(LAGS + 1) as f64),
            ("autoregressive order", r.ar.len() as f64, 0.0..=MAX_ORDER as f64),
        ];
        let numbers = r.autocorrelation.iter().map(|&v| ("autocorrelation", v, -1.5..=1.5));
        let coefficients = r.ar.iter().map(|&v| ("autoregressive coefficient", v, -16.0..=16.0));
        for (what, found, range) in rows.into_iter().chain(numbers).chain(coefficients) {
            if !range.contains(&found) {
                return Err(BaselineError::OutOfRange { what, found });
            }
        }
        r.spread.check()?;
        r.repeats.check()?;
        r.reach.map_or(Ok(()), |reach| reach.check())?;
        Ok(Model {
            median: r.median,
            scale: r.scale,
            quantisation: r.quantisation,
            samples: r.samples,
            effective: r.effective,
            autocorrelation: r.autocorrelation,
            correlation_time: r.correlation_time,
            block: r.block,
            ar: r.ar,
            centre: r.centre,
            sigma: r.sigma,
            leftover: r.leftover,
            clusters: r.clusters,
            spread: r.spread,
            repeats: r.repeats,
            reach: r.reach,
        })
    }
}
