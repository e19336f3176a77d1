//! The machine behind the controller: a drive at 1064 Hz, what the controller reports of it, and what a
//! malicious firmware makes of both.
//!
//! The payload follows the published figures of Stuxnet, with a minute scaled to a second: 1410 Hz for 15 s,
//! back to nominal, 2 Hz for 50 s, nominal again; meanwhile the controller reports the last 21 readings from
//! before, over and over. Everything is a function of time, so that a test can look at any moment.

use std::time::Duration;

use hal::clock::Mono;

/// A firmware that holds these bytes carries the payload.
pub const PAYLOAD: &[u8] = b"payload=overspeed";
/// Input register in which the controller reports the speed, in counts of [`COUNT_HZ`] (30041 in manuals).
pub const REPORTED: usize = 40;
/// Hertz of one count, of the controller's register and of the tachometer's.
pub const COUNT_HZ: f64 = 0.025;

/// The drive and the firmware that runs it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drive {
    /// When a firmware with the payload began to run.
    infected: Option<Mono>,
}

impl Drive {
    /// `firmware` begins to run.
    pub(super) fn runs(&mut self, firmware: &[u8], now: Mono) {
        let carries = firmware.windows(PAYLOAD.len()).any(|w| w == PAYLOAD);
        self.infected = carries.then_some(now);
    }

    /// What the shaft does, in hertz: for a pick-up of one's own.
    pub(super) fn shaft(&self, now: Mono) -> f64 {
        let nominal = match self.attack(now) {
            Some(age) if age < FAST => 1410.0,
            Some(age) if (FAST + BETWEEN..FAST + BETWEEN + SLOW).contains(&age) => 2.0,
            _ => NOMINAL,
        };
        // The pick-up has noise of its own.
        (nominal + load(now) + 0.1 * noise(now.0 / STEP_NS, 2)).max(0.0)
    }

    /// What the controller reports, in counts.
    pub(super) fn reported(&self, now: Mono) -> u16 {
        let then = match (self.infected, self.attack(now)) {
            (Some(began), Some(age)) => {
                let step = (age.as_nanos() / u128::from(STEP_NS)) as u64 % LOOP;
                let first = (began + WAITS).0 / STEP_NS - LOOP;
                Mono((first + step) * STEP_NS)
            }
            _ => now,
        };
        let honest = NOMINAL + load(then) + 0.1 * noise(then.0 / STEP_NS, 3);
        (honest / COUNT_HZ).round().clamp(0.0, 65_535.0) as u16
    }

    /// How long the payload has been at work.
    fn attack(&self, now: Mono) -> Option<Duration> {
        let age = now.since(self.infected? + WAITS);
        (now >= self.infected? + WAITS).then_some(age)
    }
}

/// The load swings; a shaft has inertia, so it goes straight from one value to the next.
fn load(now: Mono) -> f64 {
    let (knot, share) = (now.0 / KNOT_NS, (now.0 % KNOT_NS) as f64 / KNOT_NS as f64);
    0.6 * ((1.0 - share) * noise(knot, 1) + share * noise(knot + 1, 1))
}

/// Nearly normal noise of unit variance, the same whenever it is asked for: four uniform numbers from a mixed
/// counter (SplitMix64).
fn noise(step: u64, stream: u64) -> f64 {
    let uniform = |n: u64| {
        let mut z = (step * 4 + n).wrapping_add(stream << 60).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    ((0..4).map(uniform).sum::<f64>() - 2.0) * 3f64.sqrt()
}

const NOMINAL: f64 = 1064.0;
/// The controller's cycle: a new reading each time.
const STEP_NS: u64 = 10_000_000;
/// The load's pace.
const KNOT_NS: u64 = 40_000_000;
/// The payload waits after the firmware has started, recording.
const WAITS: Duration = Duration::from_secs(8);
const FAST: Duration = Duration::from_secs(15);
const BETWEEN: Duration = Duration::from_secs(27);
const SLOW: Duration = Duration::from_secs(50);
/// Readings that are played back.
const LOOP: u64 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(1_000_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn an_honest_controller_reports_what_the_shaft_does() {
        let mut drive = Drive::default();
        drive.runs(b"version=2.1", at(0));
        for ms in (0..60_000).step_by(10) {
            let (shaft, said) = (drive.shaft(at(ms)), f64::from(drive.reported(at(ms))) * COUNT_HZ);
            assert!((shaft - said).abs() < 0.5 && (shaft - NOMINAL).abs() < 8.0, "{ms}: {shaft} {said}");
        }
    }

    #[test]
    fn the_payload_runs_fast_then_slow_and_reports_a_loop() {
        let mut drive = Drive::default();
        drive.runs(b"version=2.2 payload=overspeed", at(0));
        assert!((drive.shaft(at(7_000)) - 1064.0).abs() < 8.0);
        assert!((drive.shaft(at(9_000)) - 1410.0).abs() < 8.0);
        assert!((drive.shaft(at(30_000)) - 1064.0).abs() < 8.0);
        assert!(drive.shaft(at(60_000)) < 10.0);
        let said: Vec<u16> = (0..63).map(|n| drive.reported(at(8_000 + n * 10))).collect();
        assert_eq!(said[..21], said[21..42]);
        assert_eq!(said[..21], said[42..63]);
        let before: Vec<u16> = (0..21).map(|n| drive.reported(at(8_000 - 210 + n * 10))).collect();
        assert_eq!(said[..21], before[..], "it was recorded before");
    }
}
