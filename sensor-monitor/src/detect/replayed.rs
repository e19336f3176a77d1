//! A signal that repeats itself exactly: frozen at one value, or played back in a loop.
//!
//! Every window of so many raw values that chance does not explain a repeat is hashed and looked up among the
//! last [`MAX_LAG`]; what is found is compared value by value. The length of the window comes from the
//! baseline ([`Repeats`]): about 8 values of a 12-bit converter with a few bits of noise, hundreds for a
//! signal that hardly moves, and no test at all where repeats are the signal's nature. A loop of `n` values
//! is found after `n` plus the window.

use super::{Change, Detector, Direction};
use crate::baseline::{MAX_LAG, Repeats};

/// Longest window compared, in samples; a signal that needs more is not judged by its repeats.
pub const MAX_WINDOW: u32 = 512;

/// Shortest repeat that is called one, however fine the values are.
pub const MIN_WINDOW: u32 = 6;

/// The detector. Not kept over a restart: it fills again within one loop.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// Equal values in a row that are an alarm; `None` when the signal stands still by nature.
    same: Option<u32>,
    /// Length of a repeat that is an alarm; `None` when the signal repeats by nature.
    window: Option<u32>,
    /// The last values, as bits, by position modulo [`RING`].
    ring: Vec<u64>,
    /// Hash of a window and the position after its end, by hash modulo [`SLOTS`].
    slots: Vec<(u64, u64)>,
    hash: u64,
    /// `BASE` to the power of the window, to take the oldest value out of the hash.
    oldest: u64,
    position: u64,
    run: u32,
}

/// Positions kept: the longest lag and a window before it.
const RING: usize = 8192;
const SLOTS: usize = 2 * RING;
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Replayed {
    /// A detector that alarms by chance at most `rate` times for each sample.
    pub fn new(repeats: &Repeats, rate: f64) -> Replayed {
        let at_least = |n: Option<u32>| n.map(|n| n.max(MIN_WINDOW));
        // A run of n equal values has n - 1 matches of neighbours.
        let same = at_least(repeats.same.length_for(0.5 * rate, MAX_WINDOW).map(|n| n + 1));
        let window = at_least(repeats.lagged.length_for(0.5 * rate, MAX_WINDOW));
        Replayed {
            same,
            window,
            ring: vec![0; RING],
            slots: vec![(0, 0); SLOTS],
            hash: 0,
            oldest: BASE.wrapping_pow(window.unwrap_or(0)),
            position: 0,
            run: 0,
        }
    }

    /// Equal values in a row, and length of a repeat, that are an alarm; `None` where that is not judged.
    pub const fn lengths(&self) -> (Option<u32>, Option<u32>) {
        (self.same, self.window)
    }

    /// Takes one raw value. A value that is not finite ends every repeat.
    pub fn step(&mut self, x: f64) -> Option<Change> {
        if !x.is_finite() {
            self.clear();
            return None;
        }
        // Zero has two signs and one value.
        let bits = mixed(if x == 0.0 { 0 } else { x.to_bits() });
        let last = self.at(self.position.wrapping_sub(1));
        self.run = if self.position > 0 && last == bits { self.run.saturating_add(1) } else { 1 };
        let window = u64::from(self.window.unwrap_or(0));
        self.hash = self.hash.wrapping_mul(BASE).wrapping_add(bits);
        if self.position >= window {
            let gone = self.at(self.position - window);
            self.hash = self.hash.wrapping_sub(gone.wrapping_mul(self.oldest));
        }
        self.ring[(self.position % RING as u64) as usize] = bits;
        self.position += 1;
        if self.same.is_some_and(|n| self.run >= n) {
            let run = u64::from(self.run);
            self.clear();
            return Some(change(run - 1, 1, Detector::Frozen));
        }
        let lag = self.lag(window)?;
        self.clear();
        Some(change(lag + window - 1, lag, Detector::Replayed))
    }

    /// The lag at which the newest window came before.
    fn lag(&mut self, window: u64) -> Option<u64> {
        if window == 0 || self.position < window {
            return None;
        }
        let slot = &mut self.slots[(mixed(self.hash) % SLOTS as u64) as usize];
        let (hash, before) = std::mem::replace(slot, (self.hash, self.position));
        let lag = self.position - before;
        // A lag of one is a value that stands still: `run` judges that.
        let known = before >= window && hash == self.hash && (2..=MAX_LAG as u64).contains(&lag);
        let equal = |back: u64| self.at(self.position - back) == self.at(before - back);
        (known && u64::from(self.run) < window && (1..=window).all(equal)).then_some(lag)
    }

    fn at(&self, position: u64) -> u64 {
        self.ring[(position % RING as u64) as usize]
    }

    /// Forgets the values before a gap.
    pub fn clear(&mut self) {
        self.slots.fill((0, 0));
        (self.hash, self.position, self.run) = (0, 0, 0);
    }
}

/// `samples_ago`: a loop began one lag before its first repeat.
fn change(samples_ago: u64, period: u64, detector: Detector) -> Change {
    Change { samples_ago, magnitude_sigma: period as f64, direction: Direction::Repeats, detector }
}

/// Spreads the bits of a float, whose low ones are often zero (finaliser of SplitMix64).
const fn mixed(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
