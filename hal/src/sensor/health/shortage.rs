//! Shortage of processor, memory and disk: pressure stall information, and killed processes.

use super::{Reading, Unit};
use crate::sensor::{SourceError, Tree};

/// Most lines of a table that are looked at; `/proc/vmstat` has about 200.
const MAX_LINES: usize = 1024;

/// Share of time in which tasks waited for a resource (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// Percent of the last 10, 60 and 300 seconds, 0 to 100.
    pub percent: [f64; 3],
    /// Microseconds since the start.
    pub total_us: u64,
}

/// What one of the files in `/proc/pressure` says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Option<Stall>,
    /// All tasks waited at once.
    pub full: Option<Stall>,
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same with `full`, which a kernel may leave out.
/// `None` for anything else. Fields that are not known are passed over.
pub fn parse_pressure(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines().take(MAX_LINES) {
        let mut words = line.split_ascii_whitespace();
        let place = match words.next()? {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => return None,
        };
        if place.is_some() {
            return None;
        }
        let (mut percent, mut total) = ([None; 3], None);
        for word in words {
            let (name, value) = word.split_once('=')?;
            match name {
                "avg10" => percent[0] = share(value),
                "avg60" => percent[1] = share(value),
                "avg300" => percent[2] = share(value),
                "total" => total = value.parse().ok(),
                _ => {}
            }
        }
        let [Some(a), Some(b), Some(c)] = percent else { return None };
        *place = Some(Stall { percent: [a, b, c], total_us: total? });
    }
    pressure.some.is_some().then_some(pressure)
}

fn share(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|share| (0.0..=100.0).contains(share))
}

/// Processes that the kernel has killed for want of memory: `oom_kill` in `/proc/vmstat` (Linux 4.13).
pub fn parse_oom_kills(text: &str) -> Option<u64> {
    text.lines().take(MAX_LINES).find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

pub(super) fn read(proc: &Tree, reading: &mut Reading<'_>) {
    for resource in ["cpu", "memory", "io"] {
        let path = format!("pressure/{resource}");
        let Some(text) = reading.take(pressure_text(proc, &path)) else { continue };
        let fault = || SourceError::unexpected(&path, &text, "pressure stall information");
        let pressure = reading.take(parse_pressure(&text).ok_or_else(fault));
        for (stall, who) in [(pressure.some, "some"), (pressure.full, "full")] {
            let Some(Stall { percent, total_us }) = stall else { continue };
            for (percent, span) in percent.into_iter().zip(["10s", "60s", "300s"]) {
                reading.add(format!("shortage.{resource}.{who}-{span}"), Unit::Percent, percent);
            }
            reading.add(format!("shortage.{resource}.{who}-total"), Unit::Seconds, total_us as f64 / 1e6);
        }
    }
    if let Some(kills) = reading.take(proc.text("vmstat")).and_then(|text| parse_oom_kills(&text)) {
        reading.add("shortage.memory.kills".to_owned(), Unit::Count, kills as f64);
    }
}

/// A kernel that was started with `psi=0` has the files and answers EOPNOTSUPP.
fn pressure_text(proc: &Tree, path: &str) -> Result<Option<String>, SourceError> {
    match proc.text(path) {
        Err(SourceError::Io { source, .. }) if source.kind() == std::io::ErrorKind::Unsupported => Ok(None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pressure_is_read_as_the_kernel_writes_it() {
        let some = "some avg10=1.50 avg60=0.75 avg300=100.00 total=1234567\n";
        let full = "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let stall = Stall { percent: [1.5, 0.75, 100.0], total_us: 1_234_567 };
        let zero = Stall { percent: [0.0; 3], total_us: 0 };
        assert_eq!(parse_pressure(some), Some(Pressure { some: Some(stall), full: None }));
        assert_eq!(
            parse_pressure(&[some, full].concat()),
            Some(Pressure { some: Some(stall), full: Some(zero) })
        );
        for (text, what) in [
            (String::new(), "nothing"),
            (full.to_owned(), "no line of some"),
            ([some, some].concat(), "the same line twice"),
            (some.replace("1.50", "NaN"), "no number"),
            (some.replace("1.50", "100.01"), "more than all"),
            (some.replace("avg60=0.75 ", ""), "a field is missing"),
            (some.replace("total=1234567", ""), "no total"),
            (some.replace("some", "most"), "another word"),
        ] {
            assert_eq!(parse_pressure(&text), None, "{what}");
        }
    }

    #[test]
    fn killed_processes_are_counted() {
        assert_eq!(parse_oom_kills("nr_free_pages 1\noom_kill 3\noom_kill_x 9\n"), Some(3));
        assert_eq!(parse_oom_kills("nr_free_pages 1\n"), None);
        assert_eq!(parse_oom_kills("oom_kill x"), None);
    }

    proptest! {
        #[test]
        fn pressure_that_is_written_is_read_back(
            a in 0..=10_000_u32, b in 0..=10_000_u32, c in 0..=10_000_u32, total in any::<u64>(), any in "\\PC{0,100}",
        ) {
            let two = |n: u32| format!("{}.{:02}", n / 100, n % 100);
            let text = format!("some avg10={} avg60={} avg300={} total={total}", two(a), two(b), two(c));
            let stall = parse_pressure(&text).and_then(|p| p.some);
            prop_assert_eq!(stall.map(|s| s.total_us), Some(total));
            prop_assert_eq!(stall.map(|s| s.percent.map(|p| (p * 100.0).round() as u32)), Some([a, b, c]));
            let _ = parse_pressure(&any);
        }
    }
}
