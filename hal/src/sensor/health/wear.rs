//! How worn an eMMC is, by its own word (JESD84-B51, extended CSD 267 to 269).

use super::{Reading, Unit, part};
use crate::sensor::{SourceError, Tree};

/// What one eMMC says of its wear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wear {
    /// Percent of its life that are used at most, for the areas of type A (in most chips single level cells) and
    /// B. In steps of 10; 110 is beyond its life. `None` when the chip does not say.
    pub used: [Option<u8>; 2],
}

/// `life_time`: two numbers, `0x01 0x02`. `None` when it is anything else.
pub fn parse_life_time(text: &str) -> Option<Wear> {
    let mut words = text.split_ascii_whitespace().map(hex);
    match (words.next()??, words.next()??, words.next()) {
        (a @ 0..=11, b @ 0..=11, None) => {
            let used = |step: u8| (step > 0).then_some(step * 10);
            Some(Wear { used: [used(a), used(b)] })
        }
        _ => None,
    }
}

/// `pre_eol_info`, what is left of the reserved blocks: 1 normal, 2 warning (80 percent used), 3 urgent.
/// `None` when it is undefined or anything else.
pub fn parse_pre_eol(text: &str) -> Option<u8> {
    hex(text.trim()).filter(|level| (1..=3).contains(level))
}

fn hex(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("0x").filter(|d| !d.starts_with('+'))?;
    u8::from_str_radix(digits, 16).ok()
}

pub(super) fn read(sys: &Tree, reading: &mut Reading<'_>) {
    let disks = sys.below("block");
    for dir in reading.take(disks.names("")) {
        let device = disks.below(&dir).below("device");
        let fault = |found: &str, expected| SourceError::unexpected(format!("{dir}: wear"), found, expected);
        if let Some(text) = reading.take(device.text("life_time")) {
            let wear = parse_life_time(&text).ok_or_else(|| fault(&text, "two numbers from 0x00 to 0x0b"));
            for (used, kind) in reading.take(wear.map(|w| w.used)).into_iter().zip(["a", "b"]) {
                if let Some(used) = used {
                    reading.add(format!("wear.{}.life-{kind}", part(&dir)), Unit::Percent, f64::from(used));
                }
            }
        }
        if let Some(text) = reading.take(device.text("pre_eol_info")) {
            // 0 is allowed and says nothing.
            if let Some(level) = parse_pre_eol(&text) {
                reading.add(format!("wear.{}.reserve", part(&dir)), Unit::Level, f64::from(level));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registers_of_an_emmc_are_read_as_its_standard_says() {
        let rows = [
            ("0x01 0x02", Some([Some(10), Some(20)])),
            ("0x00 0x0b\n", Some([None, Some(110)])),
            ("0x0c 0x00", None),
            ("0x01", None),
            ("0x01 0x01 0x01", None),
            ("1 2", None),
            ("0x+1 0x01", None),
            ("", None),
        ];
        for (text, used) in rows {
            assert_eq!(parse_life_time(text), used.map(|used| Wear { used }), "{text}");
        }
        for (text, level) in
            [("0x01", Some(1)), ("0x03", Some(3)), ("0x00", None), ("0x04", None), ("x", None)]
        {
            assert_eq!(parse_pre_eol(text), level, "{text}");
        }
    }
}
