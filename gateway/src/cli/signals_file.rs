//! `headgate signals replay|plot`: a recorded file through the same detectors as live signals.
//!
//! They read one file and, for `plot`, write one. They need no configuration, no TPM and no running gateway, and
//! nothing that they find reaches the gate.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hal::clock::Mono;
use sensor_monitor::anomaly::{Figure, Kind};
use sensor_monitor::baseline::{FEWEST, LONGEST_RECORD, Learning};
use sensor_monitor::channel::{Class, Mains, Measure, Nominal, Spec};
use sensor_monitor::estimate::phasor::MIN_SAMPLES_PER_CYCLE;
use sensor_monitor::estimate::tone::{MAX_SAMPLES, MIN_SAMPLES};
use serde_json::json;

use super::{Context, Said};
use crate::judge::Failure;
use crate::plot;

mod across;
mod draw;
mod ends;
mod follows;
mod format;
mod oddity;
mod play;
mod record;
mod rhythm;
mod words;

use ends::Ends;
use format::Format;
use play::Played;
use record::Record;

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
pub(super) struct Plot {
    #[command(flatten)]
    input: Input,
    /// Where the picture goes: OUT.svg, or OUT.png with the program rsvg-convert. A file that is there is
    /// overwritten.
    #[arg(short, long, value_name = "OUT.svg|OUT.png")]
    output: PathBuf,
}

/// What is recorded, and how it is to be judged.
#[derive(Debug, Args)]
struct Input {
    /// A CSV file with a header and a column of times, or a WAV file.
    file: PathBuf,
    /// Column of the values, by name; for WAV the channel, counted from 0 [default: the column after the times]
    #[arg(long, value_name = "C")]
    column: Option<String>,
    /// Column of the times, by name [default: the first]
    #[arg(long, value_name = "C")]
    time_column: Option<String>,
    /// What is measured of the samples.
    #[arg(long, value_enum, default_value = "value")]
    measure: Quantity,
    /// Samples of so many seconds make one reading [default: 1, and each sample is one for `value`]
    #[arg(long, value_name = "S")]
    window: Option<f64>,
    /// Readings to learn from [default: a quarter of the record, 512 to 16384]
    #[arg(long, value_name = "N")]
    learn: Option<u32>,
    /// False alarms a year that are acceptable.
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    false_alarms_per_year: f64,
    /// Nominal frequency: 50 or 60 for `mains`; for `frequency` a line in the picture.
    #[arg(long, value_name = "HZ")]
    nominal: Option<f64>,
    /// Column of what the controller reported of the same quantity.
    #[arg(long, value_name = "C")]
    reported_column: Option<String>,
    /// When updates were accepted, in the record's own time: seconds, or as its dates are written.
    #[arg(long, value_name = "T", value_delimiter = ',')]
    updates: Vec<String>,
    /// Lowest and highest value of the converter: samples there are saturated, and not judged.
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    range: Vec<f64>,
    /// Unit of the readings, for people.
    #[arg(long, value_name = "U")]
    unit: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Quantity {
    /// The samples, or their mean over the window.
    Value,
    /// Frequency of the strongest tone in the window.
    Frequency,
    /// Root mean square over the window, dB; 1 (full scale of WAV) is 0 dB.
    Level,
    /// Mains frequency, ten readings a second.
    Mains,
}

pub(super) fn replay(_: &Context, args: &Replay) -> Result<Said, Failure> {
    let (record, played) = args.input.play()?;
    Ok(Said::Words(words::words(&record, &played), words::json(&record, &played)))
}

pub(super) fn plot(_: &Context, args: &Plot) -> Result<Said, Failure> {
    let out = &args.output;
    let format = Format::of(out)?;
    let (record, played) = args.input.play()?;
    let nominal = args.input.nominal.filter(|_| args.input.measure != Quantity::Value);
    let picture = format.picture(plot::svg(&draw::figure(&record, &played, nominal)))?;
    std::fs::write(out, &picture).map_err(|e| Failure::usage(format!("{}: {e}", out.display())))?;
    let (anomalies, bytes) = (played.anomalies.len(), picture.len());
    let found = if anomalies == 1 { "1 anomaly".into() } else { format!("{anomalies} anomalies") };
    let text = format!("{}: {} of {found}", out.display(), record.name());
    let value = json!({
        "schema": 1, "picture": out.display().to_string(), "bytes": bytes, "anomalies": anomalies,
        "learned": !played.learned.is_empty(),
    });
    Ok(Said::Words(text, value))
}

impl Input {
    fn play(&self) -> Result<(Record, Played), Failure> {
        let ends = Ends::of(&self.range);
        if ends.is_none() && !self.range.is_empty() {
            return Err(Failure::usage("--range: the lowest and the highest value, as in --range 0,10"));
        }
        let (column, times) = (self.column.as_deref(), self.time_column.as_deref());
        let record = Record::survey(&self.file, column, times, ends)?;
        let spec = self.spec(&record)?;
        let updates = self.updates.iter().map(|t| record.instant(t)).collect::<Result<Vec<Mono>, _>>()?;
        let reported = match &self.reported_column {
            Some(column) => record.reports(column)?,
            None => Vec::new(),
        };
        let played = play::play(&record, spec, &reported, &updates)?;
        Ok((record, played))
    }

    fn spec(&self, record: &Record) -> Result<Spec, Failure> {
        let window = self.window(record)?;
        let interval = match self.measure {
            Quantity::Mains => Duration::from_millis(100),
            _ if window.is_zero() => Duration::from_nanos(record.period_ns),
            _ => window,
        };
        let quarter = u32::try_from(self.readings(record, interval) / 4)
            .unwrap_or(u32::MAX)
            .clamp(LEAST_LEARN, DEFAULT_LEARN);
        // The record has an end: its readings are learned from even where they are worth few independent ones.
        let learning = Learning::new(self.learn.unwrap_or(quarter), 0, 0.0).map_err(|_| {
            Failure::usage(format!("--learn: from {FEWEST} to {LONGEST_RECORD} readings can be learned from"))
        })?;
        let rate = self.false_alarms_per_year;
        if !(0.001..=100_000.0).contains(&rate) {
            let text = format!("--false-alarms-per-year {rate}: 0.001 to 100000");
            return Err(Failure::usage(text));
        }
        let max_lag = interval.saturating_mul(5).max(LEAST_LAG);
        Ok(Spec {
            id: record.name(),
            plc: Some(CONTROLLER.into()),
            kind: Kind::Process,
            measure: self.measurable(record)?,
            unit: self.unit.clone().unwrap_or_else(|| self.measure.unit().into()),
            window,
            interval,
            false_alarms_per_year: rate,
            learning: Some(learning),
            settle: 0,
            limits: None,
            reported: self.reported_column.as_ref().map(|_| max_lag),
        })
    }

    /// How many readings the record will give, about: a gap in it gives none.
    fn readings(&self, record: &Record, interval: Duration) -> u128 {
        let good = record.qualities.iter().filter(|(q, _)| q.is_good()).map(|(_, n)| u128::from(*n)).sum();
        match self.measure {
            Quantity::Value if self.window.is_none() => good,
            _ => record.covered.as_nanos() / interval.as_nanos().max(1) + 1,
        }
    }

    /// What is measured, where the record has samples enough for it.
    fn measurable(&self, record: &Record) -> Result<Measure, Failure> {
        let measure = self.measure()?;
        if let Measure::Mains(mains) = measure {
            let (rate, least) = (record.rate(), MIN_SAMPLES_PER_CYCLE * mains.nominal.hertz());
            // A millionth for periods that are no whole nanoseconds.
            if rate * (1.0 + 1e-6) < least {
                return Err(Failure::usage(format!(
                    "--measure mains: the record has {} samples a second; mains of {} Hz need at least {least}, 32 \
                     samples for each cycle",
                    Figure(rate),
                    mains.nominal.hertz()
                )));
            }
        }
        Ok(measure)
    }

    fn measure(&self) -> Result<Measure, Failure> {
        let nominal = self.nominal;
        let mains = |nominal| Measure::Mains(Mains { nominal, class: Class::P });
        Ok(match self.measure {
            Quantity::Value if nominal.is_some() => {
                return Err(Failure::usage(
                    "--nominal: goes with `--measure frequency` and `--measure mains`",
                ));
            }
            Quantity::Value => Measure::Value,
            Quantity::Level => Measure::Level(1.0),
            Quantity::Frequency => match nominal {
                Some(hertz) if !(hertz > 0.0 && hertz.is_finite()) => {
                    return Err(Failure::usage("--nominal: a frequency above 0"));
                }
                _ => Measure::Frequency,
            },
            Quantity::Mains => match nominal {
                None | Some(50.0) => mains(Nominal::Fifty),
                Some(60.0) => mains(Nominal::Sixty),
                Some(_) => return Err(Failure::usage("--nominal: mains has 50 or 60 Hz")),
            },
        })
    }

    fn window(&self, record: &Record) -> Result<Duration, Failure> {
        let seconds = match (self.measure, self.window) {
            (Quantity::Mains, Some(_)) => {
                return Err(Failure::usage("--window: `mains` has a window of its own"));
            }
            (Quantity::Value | Quantity::Mains, None) => return Ok(Duration::ZERO),
            (_, window) => window.unwrap_or(1.0),
        };
        let window = Duration::try_from_secs_f64(seconds).ok().filter(|w| !w.is_zero());
        let window = window.ok_or_else(|| Failure::usage("--window: a number of seconds above 0"))?;
        let samples = window.as_nanos() / u128::from(record.period_ns);
        // Only a tone needs all samples of its window at once; sums take as many as come.
        let (fewest, most) = match self.measure {
            Quantity::Frequency => (MIN_SAMPLES as u128, MAX_SAMPLES as u128),
            _ => (1, u128::MAX),
        };
        if !(fewest..=most).contains(&samples) {
            let range = if most == u128::MAX { "at least 1".into() } else { format!("{fewest} to {most}") };
            return Err(Failure::usage(format!(
                "--window: {seconds} s are {samples} samples of this record; {range} can make a reading"
            )));
        }
        if samples > u128::from(record.samples) {
            return Err(Failure::usage(format!(
                "--window: {seconds} s are {samples} samples, and the record has {}: not one reading comes of it",
                record.samples
            )));
        }
        Ok(window)
    }
}

impl Quantity {
    fn of(measure: Measure) -> Quantity {
        match measure {
            Measure::Value => Quantity::Value,
            Measure::Frequency => Quantity::Frequency,
            Measure::Level(_) => Quantity::Level,
            Measure::Mains(_) => Quantity::Mains,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Quantity::Value => "value",
            Quantity::Level => "level",
            Quantity::Frequency => "frequency",
            Quantity::Mains => "mains frequency",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Quantity::Value => "",
            Quantity::Level => "dB",
            Quantity::Frequency | Quantity::Mains => "Hz",
        }
    }
}

/// Readings learned from by live signals, where nothing else is said.
const DEFAULT_LEARN: u32 = 16_384;
/// Below this, what is left after filtering is too little to learn a spread from.
const LEAST_LEARN: u32 = 2 * FEWEST as u32;
/// A controller's report may be so late, at least.
const LEAST_LAG: Duration = Duration::from_secs(5);
/// The controller that every update of a record is of.
const CONTROLLER: &str = "record";

#[cfg(test)]
mod honest_tests;
#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod tests;
