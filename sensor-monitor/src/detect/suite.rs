//! All detectors of one channel in one regime, sharing the false alarms the user allowed.

use super::away::Away;
use super::calibrate::{REPEAT_SHARE, Tuning, Wanted};
use super::cusum::Cusum;
use super::drift::Drift;
use super::replayed::Replayed;
use super::variance::Variance;
use super::whiten::Whiten;
use super::{Change, DetectError, Direction};
use crate::baseline::Model;

/// Whitening, shift, drift, variance, repeats and levels far away. The limit a person set stands beside it
/// ([`super::limit::Limit`]): it does not depend on a baseline.
#[derive(Debug, Clone)]
pub struct Suite {
    whiten: Whiten,
    block: u64,
    gain: f64,
    cusum: Cusum,
    drift: Drift,
    variance: Variance,
    replayed: Replayed,
    away: Option<Away>,
}

impl Suite {
    /// Detectors at zero, judging by `model` with limits that were found for it.
    ///
    /// # Errors
    /// A `tuning` that was not found for this model and this wish.
    pub fn new(model: &Model, wanted: Wanted, tuning: Tuning) -> Result<Suite, DetectError> {
        if !tuning.is_for(model, wanted) {
            let found = model.median();
            return Err(DetectError::OutOfRange {
                what: "tuning",
                found,
                expected: "found for this baseline",
            });
        }
        let variance = Variance::new(tuning.variance, tuning.second_moment)?;
        let rate = 1.0 / wanted.steps(REPEAT_SHARE, 1)?;
        Ok(Suite {
            whiten: Whiten::new(model),
            block: u64::from(model.block()),
            gain: model.gain(),
            cusum: Cusum::new(tuning.cusum),
            drift: Drift::new(tuning.drift),
            variance: if model.is_without_noise() { variance.only_wider() } else { variance },
            replayed: Replayed::new(model.repeats(), rate),
            away: Away::new(model, wanted),
        })
    }

    /// Without the count of readings far away: for series that are told together, where one that is found sooner than
    /// the others would be told alone.
    #[must_use]
    pub(crate) fn without_away(self) -> Suite {
        Suite { away: None, ..self }
    }

    /// Takes one good raw value. When several detectors find a change at once, the first of repeat, shift,
    /// variance, drift and far level is given; all of them take the value. Magnitude and start are in raw samples and
    /// in the baseline's standard deviations of the level.
    pub fn step(&mut self, x: f64) -> Option<Change> {
        let repeated = self.replayed.step(x);
        let away = self.away.as_mut().and_then(|away| away.step(x));
        let Some(z) = self.whiten.step(x) else {
            return repeated.or(away);
        };
        let (shift, noise, ramp) = (self.cusum.step(z), self.variance.step(z), self.drift.step(z));
        repeated.or_else(|| shift.or(noise).or(ramp).map(|c| self.in_raw_samples(c))).or(away)
    }

    /// The evidence for a shift, a changed noise, a ramp or a far level, whichever is most, as a share of what an
    /// alarm takes: 0 to 1. Repeats are not in it: they are counted, not weighed.
    pub fn evidence(&self) -> f64 {
        let away = self.away.as_ref().map_or(0.0, Away::evidence);
        self.cusum.evidence().max(self.variance.evidence()).max(self.drift.evidence()).max(away)
    }

    /// A shift or changed noise for which half and more of what an alarm takes speaks: which way, and raw values since
    /// it began.
    pub(crate) fn suspected(&self) -> Option<(Direction, u64)> {
        let both = [self.cusum.suspected(), self.variance.suspected()];
        let most = both.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        (most.0 >= SUSPECT).then_some((most.1, most.2.saturating_mul(self.block)))
    }

    /// Forgets what came before a gap. Evidence that was gathered stays; a filter half full does not.
    pub fn gap(&mut self) {
        self.whiten.clear();
        self.replayed.clear();
    }

    /// Forgets all evidence, for after a switch of regime.
    pub fn clear(&mut self) {
        self.gap();
        self.start_over();
    }

    /// A change was found: evidence is gathered anew. What moved may have begun to repeat itself as well, so the
    /// values before are kept.
    pub fn start_over(&mut self) {
        self.cusum.clear();
        self.drift.clear();
        self.variance.clear();
        self.away.iter_mut().for_each(Away::clear);
    }

    fn in_raw_samples(&self, change: Change) -> Change {
        let level = matches!(change.direction, Direction::Up | Direction::Down);
        let magnitude = if level { change.magnitude_sigma / self.gain } else { change.magnitude_sigma };
        let samples_ago = change.samples_ago.saturating_mul(self.block).saturating_add(self.block - 1);
        Change { samples_ago, magnitude_sigma: magnitude, ..change }
    }
}

/// Share of what an alarm takes from which on a change is suspected.
const SUSPECT: f64 = 0.5;
