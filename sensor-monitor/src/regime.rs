//! Which operating regime a controller is in, from one register that it fills itself.
//!
//! A pump at two speeds has two ways of being well. The register tells them apart: by one of its bits, or by the
//! band its value lies in. Bands have hysteresis, so a set point on a border does not switch back and forth.
//! What the register says is only a hint where to compare: a value is judged in each regime that was learned, and
//! a regime that never was is told ([`crate::channel::Event::Unjudged`]).

use crate::baseline::MAX_REGIMES;

/// How a register's value names a regime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A bit of the register, 0 to 15, 0 the least significant: regimes 0 and 1.
    Bit(u8),
    /// Bands of the value: regime 0 below the first limit, 1 from there on, and so forth.
    Bands {
        /// Rising, 1 to one less than [`MAX_REGIMES`].
        limits: Vec<u16>,
        /// How far beyond a limit the value must be to leave its band.
        hysteresis: u16,
    },
}

impl Rule {
    /// What a person calls a regime: `bit 3 is 1`, `100 to 499`.
    pub fn name(&self, regime: u16) -> String {
        let (limits, at) = match self {
            Rule::Bit(bit) => return format!("bit {bit} is {regime}"),
            Rule::Bands { limits, .. } => (limits, usize::from(regime)),
        };
        let above = limits.get(at).map(|limit| limit.saturating_sub(1));
        let from = at.checked_sub(1).and_then(|below| limits.get(below));
        match (from, above) {
            (Some(from), Some(to)) => format!("{from} to {to}"),
            (Some(from), None) => format!("{from} and more"),
            (None, Some(to)) => format!("up to {to}"),
            (None, None) => format!("regime {regime}"),
        }
    }
}

/// A rule that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A register has 16 bits.
    #[error("bit {0}: 0 to 15")]
    Bit(u8),
    /// Too few or too many bands.
    #[error("{found} limits: 1 to {} make the bands", MAX_REGIMES - 1)]
    Count {
        /// How many limits.
        found: usize,
    },
    /// Limits that do not rise by more than the hysteresis takes from both sides.
    #[error("limits {below} and {above}: they must rise by more than twice the hysteresis {hysteresis}")]
    Order {
        /// The one before.
        below: u16,
        /// The one after.
        above: u16,
        /// As given.
        hysteresis: u16,
    },
}

/// Follows one register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    rule: Rule,
    current: Option<u16>,
}

impl Selector {
    /// Nothing was read yet.
    ///
    /// # Errors
    /// [`RuleError`] when no register can be read that way.
    pub fn new(rule: Rule) -> Result<Selector, RuleError> {
        match &rule {
            Rule::Bit(bit @ 16..) => return Err(RuleError::Bit(*bit)),
            Rule::Bit(_) => {}
            Rule::Bands { limits, hysteresis } => {
                if !(1..MAX_REGIMES).contains(&limits.len()) {
                    return Err(RuleError::Count { found: limits.len() });
                }
                let room = u32::from(*hysteresis) * 2;
                let close = |w: &&[u16]| u32::from(w[1]) <= u32::from(w[0]) + room;
                if let Some(w) = limits.windows(2).find(close) {
                    return Err(RuleError::Order { below: w[0], above: w[1], hysteresis: *hysteresis });
                }
            }
        }
        Ok(Selector { rule, current: None })
    }

    /// How it reads the register.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The regime of the last value; `None` before the first.
    pub fn current(&self) -> Option<u16> {
        self.current
    }

    /// Takes the register's value and gives the regime.
    pub fn take(&mut self, value: u16) -> u16 {
        let regime = match &self.rule {
            Rule::Bit(bit) => value >> bit & 1,
            Rule::Bands { limits, hysteresis } => {
                // A border is moved away from the band that the value is in now.
                let over = |(at, limit): (usize, &u16)| match self.current {
                    Some(now) if at < usize::from(now) => {
                        u32::from(value) + u32::from(*hysteresis) >= u32::from(*limit)
                    }
                    Some(_) => u32::from(value) >= u32::from(*limit) + u32::from(*hysteresis),
                    None => value >= *limit,
                };
                limits.iter().enumerate().filter(|border| over(*border)).count() as u16
            }
        };
        self.current = Some(regime);
        regime
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bands(limits: &[u16], hysteresis: u16) -> Rule {
        Rule::Bands { limits: limits.to_vec(), hysteresis }
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        let many: Vec<u16> = (1..=16).collect();
        let cases: &[(Rule, RuleError)] = &[
            (Rule::Bit(16), RuleError::Bit(16)),
            (bands(&[], 0), RuleError::Count { found: 0 }),
            (bands(&many, 0), RuleError::Count { found: 16 }),
            (bands(&[5, 5], 0), RuleError::Order { below: 5, above: 5, hysteresis: 0 }),
            (bands(&[9, 5], 0), RuleError::Order { below: 9, above: 5, hysteresis: 0 }),
            (bands(&[100, 120], 10), RuleError::Order { below: 100, above: 120, hysteresis: 10 }),
        ];
        for (rule, why) in cases {
            assert_eq!(Selector::new(rule.clone()).unwrap_err(), *why, "{rule:?}");
        }
    }

    /// What is shown, the rule, and values with their regimes.
    type Case<'a> = (&'a str, Rule, &'a [(u16, u16)]);

    #[test]
    fn a_value_names_its_regime() {
        let cases: &[Case<'_>] = &[
            ("a bit", Rule::Bit(3), &[(0, 0), (8, 1), (7, 0), (0xFFFF, 1)]),
            ("bands", bands(&[100, 500], 0), &[(0, 0), (99, 0), (100, 1), (499, 1), (500, 2), (65_535, 2)]),
            (
                "a border is left late",
                bands(&[100], 5),
                &[(102, 1), (96, 1), (95, 1), (94, 0), (104, 0), (105, 1)],
            ),
            ("two borders at once", bands(&[100, 500], 5), &[(0, 0), (504, 1), (505, 2), (0, 0)]),
            (
                "no border past the end",
                bands(&[65_535], 9),
                &[(65_535, 1), (65_526, 1), (65_525, 0), (65_535, 0)],
            ),
        ];
        for (what, rule, values) in cases {
            let mut selector = Selector::new(rule.clone()).unwrap();
            for (value, regime) in *values {
                assert_eq!(selector.take(*value), *regime, "{what}: {value}");
            }
        }
    }

    #[test]
    fn a_regime_has_a_name() {
        let rule = bands(&[100, 500], 0);
        let names: Vec<String> = (0..4).map(|r| rule.name(r)).collect();
        assert_eq!(names, ["up to 99", "100 to 499", "500 and more", "regime 3"]);
        assert_eq!(Rule::Bit(2).name(1), "bit 2 is 1");
    }

    proptest! {
        #[test]
        fn a_value_is_never_further_from_its_band_than_the_hysteresis(
            limits in proptest::collection::btree_set(any::<u16>(), 1..8),
            hysteresis in 0u16..100,
            values in proptest::collection::vec(any::<u16>(), 1..50),
        ) {
            let limits: Vec<u16> = limits.into_iter().collect();
            let Ok(mut selector) = Selector::new(bands(&limits, hysteresis)) else { return Ok(()) };
            for value in values {
                let regime = usize::from(selector.take(value));
                prop_assert!(regime <= limits.len());
                if let Some(from) = regime.checked_sub(1) {
                    prop_assert!(u32::from(value) + u32::from(hysteresis) >= u32::from(limits[from]));
                }
                if let Some(to) = limits.get(regime) {
                    prop_assert!(u32::from(value) < u32::from(*to) + u32::from(hysteresis));
                }
            }
        }
    }
}
