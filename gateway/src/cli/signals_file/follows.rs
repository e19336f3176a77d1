//! Whether the controller's report follows the measurement at all: where it does not, measured minus reported says
//! nothing of the report.

use sensor_monitor::anomaly::{Figure, Series};
use sensor_monitor::compare::Alignment;
use serde_json::{Value, json};

use super::play::Played;

/// How the report follows, and what it leaves.
pub(super) struct Follows {
    alignment: Alignment,
    /// Deviation of the measurement, and of measured minus reported, where both are learned and the first moves.
    deviations: Option<(f64, f64)>,
    longest_s: f64,
}

impl Follows {
    /// `None` where nothing is reported, or it is not learned yet how.
    pub(super) fn of(played: &Played) -> Option<Follows> {
        let scale = |s: Series| played.learned.iter().find(|l| l.series == s).map(|l| l.scale);
        let deviations = scale(Series::Measured).zip(scale(Series::Residual)).filter(|(m, _)| *m > 0.0);
        let longest_s = played.spec.reported?.as_secs_f64();
        Some(Follows { alignment: played.alignment?, deviations, longest_s })
    }

    /// Whether less is left than there was; not known before both are learned.
    fn explains(&self) -> Option<bool> {
        self.deviations.map(|(measured, rest)| rest < MOST_LEFT * measured)
    }

    pub(super) fn words(&self) -> String {
        let Alignment { lag, scale, offset, explained } = self.alignment;
        let mut out = format!(
            "follows  the report is {} s late, one unit of it is {} measured, and 0 of it is {}; it explains {:.0} % \
             of what is measured\n",
            Figure(lag.as_secs_f64()),
            Figure(scale),
            Figure(offset),
            100.0 * explained
        );
        out += &self.warning().map_or(String::new(), |text| format!("         {text}\n"));
        out
    }

    /// What to say where the report explains nothing.
    pub(super) fn warning(&self) -> Option<String> {
        let (measured, rest) = self.deviations.filter(|_| self.explains() == Some(false))?;
        Some(format!(
            "the report does not explain the measurement: measured minus reported varies by {}, the measurement alone \
             by {}. Neither moved while it was learned, or it is of something else, or more than {} s late",
            Figure(rest),
            Figure(measured),
            Figure(self.longest_s)
        ))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "lag_s": self.alignment.lag.as_secs_f64(), "scale": self.alignment.scale,
            "offset": self.alignment.offset, "explained": self.alignment.explained, "explains": self.explains(),
        })
    }
}

/// Share of the measurement's deviation that may be left, if the report is to say something of it.
const MOST_LEFT: f64 = 0.9;
