//! The limits of IEC/IEEE 60255-118-1:2018 for each test and class.
//!
//! Recalled, from C37.118.1-2011 with 1a-2014, which that standard carries over; not yet read again in its own
//! text. What is suspended there has no limit here.

use sensor_monitor::estimate::phasor::Class;

/// Largest total vector error (percent), frequency error (Hz) and ROCOF error (Hz/s).
pub(super) type Three = (f64, f64, Option<f64>);

/// What one class asks for at one rate of reports.
pub(super) struct Limits {
    /// Widest frequency beside nominal, Hz, and the limits over it.
    pub(super) range: f64,
    pub(super) steady: Three,
    /// Lowest magnitude, percent of nominal.
    pub(super) lowest: i32,
    /// Size of one harmonic as a share, and the limits beside it.
    pub(super) harmonic: (f64, Three),
    /// With an interharmonic of 10 %; not asked of class P.
    pub(super) out_of_band: Option<Three>,
    /// Fastest modulation, Hz, and the limits under it.
    pub(super) modulation: (f64, Three),
    pub(super) ramp: Three,
    /// Seconds after a step until each of the three is within its steady limit again.
    pub(super) response: (f64, f64, f64),
    /// Share of the step.
    pub(super) overshoot: f64,
    /// Seconds until half of a step is reported.
    pub(super) delay: f64,
    /// Seconds from an instant to its report.
    pub(super) latency: f64,
}

impl Limits {
    /// Of `class` at `fs` reports each second and `f0` hertz nominal.
    pub(super) fn of(class: Class, f0: f64, fs: f64) -> Limits {
        let delay = 1.0 / (4.0 * fs);
        match class {
            Class::P => Limits {
                range: 2.0,
                steady: (1.0, 0.005, Some(0.4)),
                lowest: 80,
                harmonic: (0.01, (1.0, 0.005, Some(0.4))),
                out_of_band: None,
                modulation: ((fs / 10.0).min(2.0), (3.0, 0.06, Some(2.3))),
                ramp: (1.0, 0.01, Some(0.4)),
                response: (2.0 / f0, 4.5 / f0, 6.0 / f0),
                overshoot: 0.05,
                delay,
                latency: 2.0 / fs,
            },
            Class::M => {
                let slow = (14.0 / f0).max(14.0 / fs);
                Limits {
                    range: (fs / 5.0).min(5.0),
                    steady: (1.0, 0.005, Some(0.1)),
                    lowest: 10,
                    harmonic: (0.1, (1.0, if fs > 20.0 { 0.025 } else { 0.005 }, None)),
                    out_of_band: Some((1.3, 0.010, None)),
                    modulation: ((fs / 5.0).min(5.0), (3.0, 0.3, Some(14.0))),
                    ramp: (1.0, 0.01, Some(0.2)),
                    response: (7.0 / fs, slow, slow),
                    overshoot: 0.10,
                    delay,
                    latency: 7.0 / fs,
                }
            }
        }
    }
}
