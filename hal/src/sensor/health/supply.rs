//! Voltages and currents of the gateway: `/sys/class/hwmon` and `/sys/class/power_supply`.

use super::{Reading, Unit, part};
use crate::sensor::Tree;

pub(super) fn read(sys: &Tree, reading: &mut Reading<'_>) {
    let monitors = sys.below("class/hwmon");
    for dir in reading.take(monitors.names("")) {
        let monitor = monitors.below(&dir);
        let Some(kind) = reading.take(monitor.text("name")) else { continue };
        let kind = format!("{}-{}", part(&kind), part(dir.trim_start_matches("hwmon")));
        for file in reading.take(monitor.names("")) {
            // Documentation/hwmon/sysfs-interface: millivolts, milliamperes; an alarm is 0 or 1.
            let (unit, factor) = match file.split_once('_') {
                Some((channel, "input")) if is_channel(channel, "in") => (Unit::Volts, 0.001),
                Some((channel, "input")) if is_channel(channel, "curr") => (Unit::Amperes, 0.001),
                Some((channel, "lcrit_alarm" | "min_alarm")) if is_channel(channel, "in") => {
                    (Unit::Level, 1.0)
                }
                _ => continue,
            };
            reading.number(&monitor, &file, || format!("supply.{kind}.{}", part(&file)), unit, factor);
        }
    }
    let supplies = sys.below("class/power_supply");
    for dir in reading.take(supplies.names("")) {
        let supply = supplies.below(&dir);
        // Documentation/ABI/testing/sysfs-class-power: microvolts, microamperes, percent.
        for (file, unit, factor) in [
            ("online", Unit::Level, 1.0),
            ("voltage_now", Unit::Volts, 1e-6),
            ("current_now", Unit::Amperes, 1e-6),
            ("capacity", Unit::Percent, 1.0),
        ] {
            reading.number(&supply, file, || format!("supply.{}.{file}", part(&dir)), unit, factor);
        }
    }
}

/// `in0`, `curr1`, ...
fn is_channel(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
