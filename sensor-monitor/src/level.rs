//! Where a level went: what the readings since a change say together. A single reading says little: behind a small
//! shift it lies on the wrong side nearly as often as on the right one. There is no interval: the moment of an alarm is
//! chosen by what was large, and an interval that knows nothing of that leaves out the truth. The watch after an update
//! has one, over a time that nobody chose.

use serde::{Deserialize, Serialize};

use crate::baseline::Model;
use crate::detect::Direction;

/// A level after a change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// What [`Level::basis`] says, in the signal's unit; for [`Basis::Share`] 0 to 1.
    pub value: f64,
    /// What the value is.
    pub basis: Basis,
    /// How far that is from what is usual, in its standard deviations; `None` where it stood still.
    pub effect: Option<f64>,
    /// Readings it rests on.
    pub readings: u64,
}

/// What a level is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Median of the readings since the change began.
    Median,
    /// Their mean: it moved, and the median did not.
    Mean,
    /// Share of them beyond what nearly all readings were.
    Share,
}

impl Level {
    /// The level of `values`, taken since a change began that went this way; `None` where they do not show it,
    /// or it is no change of a level.
    pub(crate) fn of(values: &[f64], direction: Direction, model: &Model) -> Option<Level> {
        let sign = match direction {
            Direction::Up => 1.0,
            Direction::Down => -1.0,
            _ => return None,
        };
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = *sorted.get(sorted.len() / 2)?;
        let readings = sorted.len() as u64;
        let (scale, is_still) = (model.scale(), model.seen_scale() <= 0.0 || model.is_mostly_one());
        let level = |value, basis, shift: f64| {
            let effect = (!is_still).then_some(shift / scale);
            Level { value, basis, effect, readings }
        };
        if sign * (median - model.median()) > 0.0 {
            return Some(level(median, Basis::Median, median - model.median()));
        }
        if is_still {
            let beyond = sorted.iter().filter(|v| sign * (**v - model.median()) > 0.0).count();
            let share = beyond as f64 / readings as f64;
            return (beyond > 0).then(|| level(share, Basis::Share, 0.0));
        }
        let mean = sorted.iter().sum::<f64>() / readings as f64;
        let shift = mean - model.mean();
        (sign * shift > 0.0 && mean.is_finite()).then(|| level(mean, Basis::Mean, shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Baseline, Learning};
    use crate::rng::Rng;

    fn learned(mut value: impl FnMut() -> f64) -> Baseline {
        let mut baseline = Baseline::new(Learning::new(2048, 0, 0.0).unwrap());
        while !baseline.learn(value()) {}
        baseline
    }

    #[test]
    fn the_level_of_many_readings_is_their_median_and_of_few_too() {
        let mut rng = Rng::new(3);
        let baseline = learned(|| 50.0 + 2.0 * rng.normal());
        let model = baseline.model().unwrap();
        let values: Vec<f64> = (0..1000).map(|_| 50.4 + 2.0 * rng.normal()).collect();
        let level = Level::of(&values, Direction::Up, model).unwrap();
        // 0.4 at 2.0, with five standard errors of a median of 1000 on both sides.
        assert!((level.effect.unwrap() - 0.2).abs() < 5.0 * 1.2533 / 1000_f64.sqrt(), "{level:?}");
        assert_eq!((level.basis, level.readings), (Basis::Median, 1000));
        let far = Level::of(&[395.0, 396.0, 394.0], Direction::Up, model).unwrap();
        assert!((far.effect.unwrap() / 172.5 - 1.0).abs() < 0.05, "{far:?}");
        assert_eq!(far.value, 395.0);
    }

    #[test]
    fn readings_that_do_not_show_the_change_give_no_level() {
        let mut rng = Rng::new(4);
        let baseline = learned(|| 50.0 + rng.normal());
        let model = baseline.model().unwrap();
        for (values, direction) in [
            (&[49.0][..], Direction::Up),
            (&[51.0], Direction::Down),
            (&[51.0], Direction::Wider),
            (&[], Direction::Up),
            (&[f64::NAN], Direction::Up),
        ] {
            assert_eq!(Level::of(values, direction, model), None, "{values:?} {direction:?}");
        }
    }

    #[test]
    fn of_a_signal_that_is_nearly_always_one_value_the_share_beyond_it_is_told() {
        let mut n = 0;
        let baseline = learned(|| {
            n += 1;
            if n % 50 == 0 { 1.0 + f64::from(n).sqrt() } else { 0.0 }
        });
        let model = baseline.model().unwrap();
        let level = Level::of(&[0.0, 1.0, 0.0, 0.0], Direction::Up, model).unwrap();
        assert_eq!((level.basis, level.value, level.effect), (Basis::Share, 0.25, None));
        assert_eq!(Level::of(&[0.0; 4], Direction::Up, model), None);
        assert!(model.is_mostly_one());
    }
}
