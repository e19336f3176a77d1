//! From a record of raw values to a [`Model`].
//!
//! Whitening is chosen here: none when the record is white, else an autoregressive filter, else block means
//! twice as long until the filter leaves nothing. If nothing helps the correlation that is left is kept in
//! the model and widens the limits.

use super::correlate::{LAGS, autocorrelation, correlation_time, fit};
use super::model::{Model, least_scale};
use super::reach::Reach;
use super::repeats::Repeats;
use super::residual::{Spread, quantile};
use super::{FEWEST, LONGEST_BLOCK};
use crate::detect::WINSOR;
use crate::estimate::grid::{self, Grouped, MAD_TO_SIGMA};

/// Block means are pulled back to this many sigma before the filter, so that one wild value does not ring.
pub(crate) const LEVEL_BOUND: f64 = 8.0;

/// What does not depend on how the record is averaged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grain {
    pub(super) quantisation: f64,
    pub(super) repeats: Repeats,
}

impl Grain {
    pub(super) fn of(raw: &[f64]) -> Grain {
        let mut sorted = raw.to_vec();
        sorted.sort_by(f64::total_cmp);
        Grain { quantisation: grid::step(&sorted), repeats: Repeats::of(raw) }
    }
}

/// Learns from `record`, each entry the mean of `base` raw values; `None` when it is too short.
/// `bounds` is how far raw values went in a row.
pub(super) fn learn(
    record: &[f64],
    base: u32,
    grain: &Grain,
    resolution: f64,
    bounds: Option<(f64, f64)>,
) -> Option<Model> {
    if record.len() < FEWEST {
        return None;
    }
    let mut sorted = record.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = quantile(&sorted, 0.5);
    let floor = (grain.quantisation / 12f64.sqrt()).max(resolution).max(least_scale(median));
    let mad = deviation(record, median);
    let step = grain.quantisation / f64::from(base);
    let is_coarse = grid::is_coarse(mad, step);
    let sigma = match is_coarse {
        true => Grouped::of(record, median, grid::reach(mad, step)).before_rounding(step),
        false => MAD_TO_SIGMA * mad,
    };
    let scale = sigma.max(floor);
    let level: Vec<f64> = record.iter().map(|x| (x - median) / scale).collect();
    let rho = autocorrelation(&bounded(&level, 1));
    let time = correlation_time(&rho).max(1.0);

    let (mut best, mut index): (Option<Filter>, _) = (None, 1.0);
    let mut block = 1;
    while level.len() / block as usize >= FEWEST && base.saturating_mul(block) <= LONGEST_BLOCK {
        let coarse =
            is_coarse.then_some(Coarse { step: step / scale / f64::from(block), least: floor / scale });
        let filter = Filter::of(&bounded(&level, block as usize), block, coarse);
        if block == 1 {
            index = Spread::of(&mut filter.residual.clone()).map_or(1.0, |spread| spread.sure_index());
        }
        let (white, better) = (filter.white, best.as_ref().is_none_or(|b| filter.leftover < b.leftover));
        if white || better {
            best = Some(filter);
        }
        if white {
            break;
        }
        block *= 2;
    }
    let mut f = best?;
    let spread = Spread::of(&mut f.residual)?;
    let spread = if is_coarse { spread.with_atoms(&f.residual) } else { spread };
    Some(Model {
        median,
        scale,
        quantisation: grain.quantisation,
        samples: record.len() as u64 * u64::from(base),
        effective: record.len() as f64 / time,
        autocorrelation: f.rho,
        correlation_time: time * f64::from(base),
        block: base * f.block,
        ar: f.ar,
        centre: f.centre,
        sigma: f.sigma,
        leftover: f.leftover,
        clusters: f.clusters,
        spread,
        repeats: grain.repeats,
        reach: bounds.map(|(low, high)| Reach { low, high, index }),
    })
}

/// A whitening filter and what it leaves.
struct Filter {
    block: u32,
    rho: Vec<f64>,
    ar: Vec<f64>,
    centre: f64,
    sigma: f64,
    /// Standardised, not yet winsorised.
    residual: Vec<f64>,
    leftover: f64,
    /// Correlation time of the squares of what is left, where values are on a coarse grid: there the linear filter
    /// leaves that rare values come together.
    clusters: f64,
    white: bool,
}

/// A grid on which a median distance says little, in units of the level's scale.
#[derive(Clone, Copy)]
struct Coarse {
    step: f64,
    /// No spread is taken to be less.
    least: f64,
}

impl Filter {
    fn of(level: &[f64], block: u32, coarse: Option<Coarse>) -> Filter {
        let rho = autocorrelation(level);
        let ar = fit(&rho, level.len());
        let mut residual: Vec<f64> = (ar.len()..level.len())
            .map(|i| level[i] - ar.iter().enumerate().map(|(j, a)| a * level[i - 1 - j]).sum::<f64>())
            .collect();
        let mut sorted = residual.clone();
        sorted.sort_by(f64::total_cmp);
        let mut centre = quantile(&sorted, 0.5);
        let mad = deviation(&residual, centre);
        let spread = match coarse {
            // What the detectors see is rounded, so rounding is a part of its spread.
            Some(c) => Grouped::of(&residual, centre, grid::reach(mad, c.step)).sd.max(c.least),
            None => MAD_TO_SIGMA * mad,
        };
        // More than half are the same value: the level's floor is the only measure there is.
        let sigma = if spread > 1e-9 { spread } else { 1.0 };
        // The mean of the winsorised values, not the median, is what a CUSUM sums up: it must be zero.
        for _ in 0..CENTRINGS {
            let pulled = residual.iter().map(|e| ((e - centre) / sigma).clamp(-WINSOR, WINSOR));
            centre += sigma * pulled.sum::<f64>() / residual.len() as f64;
        }
        residual.iter_mut().for_each(|e| *e = (*e - centre) / sigma);
        let winsorised: Vec<f64> = residual.iter().map(|e| e.clamp(-WINSOR, WINSOR)).collect();
        let left = autocorrelation(&winsorised);
        let sum: f64 = 1.0 + 2.0 * left[1..].iter().sum::<f64>();
        let white = is_white(&left, winsorised.len());
        let leftover = if white { 1.0 } else { sum.max(correlation_time(&left)).max(1.0) };
        let clusters = coarse.map_or(1.0, |_| clusters(&winsorised));
        Filter { block, rho, ar, centre, sigma, residual, leftover, clusters, white }
    }
}

/// Three standard deviations of the sum, and four of one lag, for `n` independent values.
fn is_white(rho: &[f64], n: usize) -> bool {
    let n = n as f64;
    (2.0 * rho[1..].iter().sum::<f64>()).abs() <= 3.0 * 2.0 * (LAGS as f64 / n).sqrt()
        && rho[1..].iter().all(|r| r.abs() <= 4.0 / n.sqrt())
}

/// Correlation time of the squares; 1 where they are as good as independent.
fn clusters(residual: &[f64]) -> f64 {
    let squares: Vec<f64> = residual.iter().map(|e| e * e).collect();
    let rho = autocorrelation(&squares);
    let sum: f64 = 1.0 + 2.0 * rho[1..].iter().sum::<f64>();
    if is_white(&rho, squares.len()) { 1.0 } else { sum.max(correlation_time(&rho)).max(1.0) }
}

const CENTRINGS: u32 = 6;

/// Means of `block` values, within [`LEVEL_BOUND`].
fn bounded(level: &[f64], block: usize) -> Vec<f64> {
    let mean = |c: &[f64]| (c.iter().sum::<f64>() / c.len() as f64).clamp(-LEVEL_BOUND, LEVEL_BOUND);
    level.chunks_exact(block).map(mean).collect()
}

/// Median absolute deviation from `centre`.
fn deviation(x: &[f64], centre: f64) -> f64 {
    let mut d: Vec<f64> = x.iter().map(|v| (v - centre).abs()).collect();
    d.sort_by(f64::total_cmp);
    quantile(&d, 0.5)
}
