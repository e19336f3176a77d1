//! A field bus and its talkers on a terminal.

use sensor_monitor::anomaly::Figure;

use crate::signals::BusRow;
use crate::signals::bus::{QuantityRow, TalkerRow};

/// One line for the bus and one for each talker.
pub(in crate::cli) fn list(bus: &BusRow) -> String {
    let talkers = bus.talkers.iter().filter(|t| t.talker.starts_with("unit-"));
    head(bus) + &talkers.map(|t| short(bus, t)).collect::<String>()
}

/// All that is known of it.
pub(super) fn show(bus: &BusRow) -> String {
    let mut out = head(bus);
    if let Some(kernel) = &bus.kernel {
        out += &format!("  kernel: {kernel}\n");
    }
    out += &bus.new.iter().map(|what| format!("  new: {what}\n")).collect::<String>();
    for talker in &bus.talkers {
        out += &short(bus, talker);
        out += &epochs(talker);
        out += &talker.quantities.iter().map(quantity).collect::<String>();
    }
    out
}

fn head(bus: &BusRow) -> String {
    let learned = match (bus.judged, bus.learned) {
        (true, _) => "learned".into(),
        (false, share) => format!("learning {:.0} %", (100.0 * share).min(99.0)),
    };
    let alarm = if bus.alarm { "  ALARM" } else { "" };
    format!("{:<24} {:<12} {:<8} {:>16}  {}, {learned}{alarm}\n", bus.id, "-", "bus", bus.device, bus.quality)
}

fn short(bus: &BusRow, talker: &TalkerRow) -> String {
    let plc = talker.plc.as_deref().unwrap_or("-");
    let id = format!("{}.{}", bus.id, talker.talker);
    let codes = talker.functions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let functions = if codes.is_empty() { String::new() } else { format!("functions {codes}, ") };
    let figures = ["turnaround", "gap", "clock", "level"].iter().filter_map(|name| {
        let quantity = talker.quantities.iter().find(|q| q.quantity == *name)?;
        Some(format!("{name} {}", value(quantity)))
    });
    let figures = figures.collect::<Vec<_>>().join(", ");
    let figures = if figures.is_empty() { String::new() } else { figures + ", " };
    format!("  {id:<22} {plc:<12} {functions}{figures}{}\n", firmware(talker.firmware.as_deref()))
        .replace(", \n", "\n")
}

fn firmware(digest: Option<&str>) -> String {
    digest.map_or(String::new(), |digest| format!("firmware {}", digest.get(..12).unwrap_or(digest)))
}

/// The epoch of a unit, and the one before its last verified update.
fn epochs(talker: &TalkerRow) -> String {
    let words = |digest: Option<&str>, p50: Option<f64>| {
        let firmware = digest.map_or("no update was verified here".into(), |d| format!("firmware {d}"));
        let p50 = p50.map_or("no answer yet".into(), |ms| format!("turnaround p50 {} ms", Figure(ms)));
        format!("{firmware}; {p50}")
    };
    if !talker.talker.starts_with("unit-") {
        return String::new();
    }
    let mut out =
        format!("    this epoch: {}\n", words(talker.firmware.as_deref(), talker.turnaround_p50_ms));
    if let Some((digest, p50)) = &talker.before {
        out += &format!("    the one before: {}\n", words(digest.as_deref(), *p50));
    }
    let refused: Vec<String> =
        talker.exceptions.iter().map(|(function, code)| format!("{function} with {code}")).collect();
    if !refused.is_empty() {
        out += &format!("    refuses functions: {}\n", refused.join(", "));
    }
    out
}

fn quantity(q: &QuantityRow) -> String {
    let usual = match q.usual {
        Some((median, sigma)) => format!(", usually {} ± {}", Figure(median), Figure(sigma)),
        None if q.value.is_some() => ", not learned yet".into(),
        None => String::new(),
    };
    format!("    {:<12} {}{usual}\n", q.quantity, value(q))
}

fn value(q: &QuantityRow) -> String {
    q.value.map_or("not measured".into(), |v| format!("{} {}", Figure(v), q.unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_shows_its_epochs_and_what_nobody_measures() {
        let quantity = |name: &str, unit: &str, value, usual| QuantityRow {
            quantity: name.into(),
            unit: unit.into(),
            value,
            usual,
        };
        let unit = TalkerRow {
            talker: "unit-7".into(),
            plc: Some("pump-3".into()),
            functions: vec![3, 16],
            exceptions: vec![(3, 2)],
            firmware: Some("ab".repeat(32)),
            turnaround_p50_ms: Some(30.5),
            before: Some((None, Some(20.25))),
            quantities: vec![
                quantity("turnaround", "ms", Some(30.25), Some((30.5, 0.5))),
                quantity("level", "dB", None, None),
            ],
        };
        let bus = BusRow {
            id: "line-2".into(),
            device: "/dev/ttyS1".into(),
            quality: "good".into(),
            talkers: vec![unit],
            ..BusRow::default()
        };
        let text = show(&bus);
        for expected in [
            "functions 3,16, turnaround 30.250 ms, level not measured, firmware abababababab\n",
            "this epoch: firmware ababab",
            "turnaround p50 30.500 ms",
            "the one before: no update was verified here; turnaround p50 20.250 ms",
            "refuses functions: 3 with 2",
            "30.250 ms, usually 30.500 ± 0.5000",
            "learning 0 %",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert_eq!(list(&bus).lines().count(), 2);
    }
}
