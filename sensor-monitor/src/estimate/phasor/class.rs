//! The two classes: which window, how far apart, and how the frequency is followed.
//!
//! Class P is for protection: short windows, quick answers. Class M is for measurement: a longer window keeps
//! out what lies beyond half the rate of reports, which would come back as a slow swing that is not there.

use serde::{Deserialize, Serialize};

use super::Nominal;
use super::window::Shape;

/// Performance class of IEC/IEEE 60255-118-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Protection: up to twice the nominal frequency of reports.
    #[default]
    P,
    /// Measurement: interharmonics are filtered out; up to nominal reports each second.
    M,
}

/// One pass: the spans that trade latency for noise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    form: Form,
    /// From the middle to the outer two windows, in cycles.
    apart: f64,
    /// How far the next pass follows the frequency, hertz.
    pub(super) follow: f64,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// A box of one cycle, smoothed by a second box of so many cycles.
    Boxes(f64),
    /// A low pass: half length in seconds, cut-off in hertz.
    LowPass(f64, f64),
}

impl Span {
    /// At a mixing frequency whose cycle takes so many seconds.
    pub(super) fn shape(self, cycle: f64) -> Shape {
        match self.form {
            Form::Boxes(smooth) => Shape::Boxes { cycle, smooth: smooth * cycle },
            Form::LowPass(half, cutoff) => Shape::LowPass { half, cutoff },
        }
    }

    /// Seconds from the middle to the outer two windows.
    pub(super) fn apart(self, cycle: f64) -> f64 {
        self.apart * cycle
    }

    fn reach(self, nominal: f64) -> f64 {
        let slowest = 1.0 / (nominal - self.follow);
        self.shape(slowest).half() + self.apart(slowest)
    }
}

/// The passes over each window: the first is mixed at nominal, each next at what the one before found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) first: Span,
    pub(super) next: Span,
    /// How often the next one is done.
    pub(super) times: usize,
}

impl Plan {
    /// `None` for reports that the class does not know.
    pub(super) fn new(class: Class, nominal: Nominal, reports: u32) -> Option<Plan> {
        let is_steady = reports <= nominal.cycles();
        match class {
            Class::P if is_steady => Some(Plan { first: STEADY, next: STEADY, times: 1 }),
            Class::P if reports <= 2 * nominal.cycles() => Some(Plan { first: FAST, next: FAST, times: 1 }),
            Class::M if is_steady => Some(Plan { first: STEADY, next: low_pass(reports), times: 2 }),
            _ => None,
        }
    }

    /// Seconds needed on each side of an instant.
    pub(super) fn reach(self, nominal: Nominal) -> f64 {
        self.first.reach(nominal.hertz()).max(self.next.reach(nominal.hertz()))
    }
}

/// Reports no faster than the mains: the triangle of two cycles; the whole is within 2 reports at 45 Hz.
const STEADY: Span = Span { form: Form::Boxes(1.0), apart: 0.75, follow: 5.0 };
/// Faster reports: a latency of 2 reports leaves one cycle on each side.
const FAST: Span = Span { form: Form::Boxes(0.5), apart: 0.2, follow: 2.0 };

/// Passes modulation of up to a fifth of the reports (5 Hz at most), and stops what is 0.45 of them away: half
/// of them, less the tenth by which the mains may be off.
fn low_pass(reports: u32) -> Span {
    let reports = f64::from(reports);
    let pass = (reports / 5.0).min(5.0);
    let between = 0.45 * reports - pass;
    let form = Form::LowPass(LENGTH / between, pass + CUTOFF * between);
    Span { form, apart: 1.0, follow: 5.0 }
}

/// Half length of the low pass times the width of its transition: less, and it does not fall in it.
const LENGTH: f64 = 1.25;
/// Where in its transition the low pass has fallen to a half.
const CUTOFF: f64 = 0.35;
