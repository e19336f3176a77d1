//! The raw value left its range: limits with hysteresis and delays on and off (IEC 62682, ISA-18.2: deadband,
//! on-delay, off-delay). Not statistical; a person sets the range.

use serde::{Deserialize, Serialize};

use super::{Change, DetectError, Detector, Direction};

/// What a person set, in the value's own unit; delays in samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Alarm below this; negative infinity for none.
    pub low: f64,
    /// Alarm above this; infinity for none.
    pub high: f64,
    /// The alarm ends this far inside the limit.
    pub hysteresis: f64,
    /// Consecutive samples outside before it is an alarm; at least 1.
    pub on_delay: u32,
    /// Consecutive samples inside before it ends; at least 1.
    pub off_delay: u32,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Within the range.
    #[default]
    Inside,
    /// In alarm below.
    Low,
    /// In alarm above.
    High,
}

/// The limit and where the value stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Limit {
    range: Range,
    position: Position,
    low_count: u32,
    high_count: u32,
    inside_count: u32,
}

#[derive(Deserialize)]
struct Stored {
    range: Range,
    position: Position,
    low_count: u32,
    high_count: u32,
    inside_count: u32,
}

impl TryFrom<Stored> for Limit {
    type Error = DetectError;

    fn try_from(s: Stored) -> Result<Limit, DetectError> {
        let mut limit = Limit::new(s.range)?;
        limit.position = s.position;
        (limit.low_count, limit.high_count, limit.inside_count) = (s.low_count, s.high_count, s.inside_count);
        Ok(limit)
    }
}

impl Limit {
    /// A limit; the value counts as inside until it is not.
    ///
    /// # Errors
    /// Limits that are NaN or crossed, a hysteresis that is negative or wider than the range, a delay of zero.
    pub fn new(range: Range) -> Result<Limit, DetectError> {
        let wrong = |what, found, expected| Err(DetectError::OutOfRange { what, found, expected });
        let Range { low, high, hysteresis, on_delay, off_delay } = range;
        if low.is_nan() || high.is_nan() || low >= high {
            return wrong("low limit", low, "below the high limit");
        }
        if !(hysteresis >= 0.0 && hysteresis.is_finite() && hysteresis < high - low) {
            return wrong("hysteresis", hysteresis, "at least 0 and narrower than the range");
        }
        if on_delay == 0 || off_delay == 0 {
            return wrong("delay", 0.0, "at least 1 sample");
        }
        let position = Position::Inside;
        Ok(Limit { range, position, low_count: 0, high_count: 0, inside_count: 0 })
    }

    /// Takes one raw value; says when an alarm begins. Its magnitude is the distance beyond the limit in the
    /// value's own unit.
    pub fn step(&mut self, x: f64) -> Option<Change> {
        if !x.is_finite() {
            return None;
        }
        let Range { low, high, hysteresis, on_delay, off_delay } = self.range;
        let count = |n: u32, is: bool| if is { n.saturating_add(1) } else { 0 };
        self.low_count = count(self.low_count, x < low);
        self.high_count = count(self.high_count, x > high);
        let back = match self.position {
            Position::Inside => false,
            Position::Low => x >= low + hysteresis,
            Position::High => x <= high - hysteresis,
        };
        self.inside_count = count(self.inside_count, back);
        if self.inside_count >= off_delay {
            (self.position, self.inside_count) = (Position::Inside, 0);
        }
        let (position, direction, beyond) = if self.low_count >= on_delay {
            (Position::Low, Direction::Down, low - x)
        } else if self.high_count >= on_delay {
            (Position::High, Direction::Up, x - high)
        } else {
            return None;
        };
        let begins = self.position != position;
        (self.position, self.inside_count) = (position, 0);
        begins.then_some(Change {
            samples_ago: u64::from(on_delay) - 1,
            magnitude_sigma: beyond,
            direction,
            detector: Detector::Limit,
        })
    }

    /// Where the value stands, delays and hysteresis counted.
    pub const fn position(&self) -> Position {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { low: 0.0, high: 10.0, hysteresis: 1.0, on_delay: 2, off_delay: 3 };

    #[test]
    fn an_alarm_begins_after_its_delay_and_ends_after_its_own() {
        let mut limit = Limit::new(RANGE).unwrap();
        let rows = [
            (11.0, false, Position::Inside, "one sample is not yet an alarm"),
            (12.0, true, Position::High, "two are"),
            (12.0, false, Position::High, "it begins once"),
            (9.5, false, Position::High, "inside, but within the hysteresis"),
            (8.0, false, Position::High, "one back"),
            (f64::NAN, false, Position::High, "no number counts for nothing"),
            (8.0, false, Position::High, "two back"),
            (8.0, false, Position::Inside, "three back end it"),
            (-1.0, false, Position::Inside, "below"),
            (-1.0, true, Position::Low, "and two below begin one"),
            (11.0, false, Position::Low, "a jump across waits its delay"),
            (11.0, true, Position::High, "and is another alarm"),
        ];
        for (x, begins, position, what) in rows {
            assert_eq!(limit.step(x).is_some(), begins, "{what}");
            assert_eq!(limit.position(), position, "{what}");
        }
    }

    #[test]
    fn a_range_that_makes_no_sense_is_refused() {
        let rows = [
            Range { low: f64::NAN, ..RANGE },
            Range { low: 10.0, ..RANGE },
            Range { hysteresis: -1.0, ..RANGE },
            Range { hysteresis: f64::NAN, ..RANGE },
            Range { hysteresis: 10.0, ..RANGE },
            Range { on_delay: 0, ..RANGE },
            Range { off_delay: 0, ..RANGE },
        ];
        assert!(rows.into_iter().all(|range| Limit::new(range).is_err()));
    }
}
