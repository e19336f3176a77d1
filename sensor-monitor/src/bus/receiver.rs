//! Characters from a sampled voltage: what a UART does, with the time of each character in samples.
//!
//! Pure and without memory beyond one character. Parity is passed over: the frame's CRC decides.

/// Above this, in volts on the side of space, the line is not at rest: half of a receiver's threshold
/// (TIA/EIA-485-A, 200 mV), so that the weakest lawful signal begins a character and noise at rest does not.
const THRESHOLD: f64 = 0.1;
/// Data bits of a character (Modbus over Serial Line V1.02 §2.5.1).
const DATA: u32 = 8;

/// One character.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Character {
    /// Its data.
    pub(super) byte: u8,
    /// Where its last stop bit ends, in samples from the first one pushed.
    pub(super) end: f64,
}

/// Reads one line.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    /// Samples of one bit.
    bit: f64,
    /// Bits of one character.
    bits: u32,
    /// Samples taken.
    taken: u64,
    last: f64,
    open: Option<Open>,
}

/// A character that is coming.
#[derive(Debug, Clone, Copy)]
struct Open {
    start: f64,
    /// The bit that is looked at next; 0 is the start bit.
    next: u32,
    byte: u8,
}

impl Receiver {
    /// `bit` samples to a bit, `bits` bits to a character, start and stop counted.
    pub(super) fn new(bit: f64, bits: u32) -> Receiver {
        Receiver { bit, bits: bits.max(DATA + 2), taken: 0, last: 0.0, open: None }
    }

    /// Takes one sample, space positive; what is no number is taken for rest.
    pub(super) fn push(&mut self, volts: f64) -> Option<Character> {
        let (at, last) = (self.taken as f64, self.last);
        self.taken += 1;
        self.last = if volts.is_finite() { volts } else { 0.0 };
        let is_space = self.last > THRESHOLD;
        let Some(open) = &mut self.open else {
            if is_space && last <= THRESHOLD {
                let start = at - (self.last - THRESHOLD) / (self.last - last);
                self.open = Some(Open { start, next: 0, byte: 0 });
            }
            return None;
        };
        if at < open.start + (f64::from(open.next) + 0.5) * self.bit {
            return None;
        }
        let bit = open.next;
        open.next += 1;
        match bit {
            // A spike is no start bit.
            0 if !is_space => self.open = None,
            1..=DATA if !is_space => open.byte |= 1 << (bit - 1),
            bit if bit == self.bits - 1 => {
                let (byte, end) = (open.byte, open.start + f64::from(self.bits) * self.bit);
                self.open = None;
                // Space where the stop bit should be: no character (a break, another speed).
                return (!is_space).then_some(Character { byte, end });
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line's voltage for `bytes` as 8E1, `bit` samples to a bit, bits `stretch` times as long.
    fn wave(bytes: &[u8], bit: f64, stretch: f64) -> Vec<f64> {
        let mut levels = vec![-1.5; 20];
        for byte in bytes {
            levels.push(1.5);
            levels.extend((0..8).map(|i| if byte >> i & 1 == 1 { -1.5 } else { 1.5 }));
            levels.extend([if byte.count_ones() % 2 == 1 { -1.5 } else { 1.5 }, -1.5]);
        }
        levels.extend([-1.5; 3]);
        let count = levels.len() as f64 * bit * stretch;
        (0..count as usize)
            .map(|i| levels[((i as f64 / (bit * stretch)) as usize).min(levels.len() - 1)])
            .collect()
    }

    fn read(samples: &[f64], bit: f64) -> Vec<u8> {
        let mut receiver = Receiver::new(bit, 11);
        samples.iter().filter_map(|v| receiver.push(*v)).map(|c| c.byte).collect()
    }

    #[test]
    fn every_character_is_read_at_any_rate_and_with_a_clock_that_is_two_percent_off() {
        let all: Vec<u8> = (0..=255).collect();
        for bit in [8.0, 10.4, 12.37, 50.0] {
            for stretch in [0.98, 1.0, 1.02] {
                assert_eq!(read(&wave(&all, bit, stretch), bit), all, "{bit} samples, {stretch}");
            }
        }
    }

    #[test]
    fn what_is_no_character_is_none() {
        let spike = [vec![-1.5; 50], vec![1.5; 3], vec![-1.5; 200]].concat();
        let breaks = [vec![-1.5; 50], vec![1.5; 5000], vec![-1.5; 200]].concat();
        let nothing = vec![f64::NAN; 1000];
        for (what, samples) in [("a spike", spike), ("a break", breaks), ("no numbers", nothing)] {
            assert!(read(&samples, 10.0).is_empty(), "{what}");
        }
    }
}
