//! Temperatures, and what the machine does about them: `/sys/class/thermal`, cpufreq, throttle counters.

use super::{Reading, Unit, part};
use crate::sensor::{Flaw, Quality, Tree};

/// Outside of this, in degrees Celsius, a thermal zone shows a fault and no temperature.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = -55.0..=200.0;

pub(super) fn read(sys: &Tree, reading: &mut Reading<'_>) {
    let thermal = sys.below("class/thermal");
    for dir in reading.take(thermal.names("")) {
        let zone = thermal.below(&dir);
        let Some(kind) = reading.take(zone.text("type")) else { continue };
        let name = format!(
            "{}.{}",
            dir.replace("thermal_zone", "heat.").replace("cooling_device", "cooling."),
            part(&kind)
        );
        if dir.starts_with("thermal_zone") {
            if let Some(milli) = reading.take(zone.number("temp")) {
                let celsius = milli / 1000.0;
                let fits = PLAUSIBLE.contains(&celsius);
                let quality = if fits { Quality::Good } else { Quality::Bad(Flaw::SourceError) };
                reading.add_with(name, Unit::Celsius, celsius, quality);
            }
        } else if dir.starts_with("cooling_device") {
            // How far the machine throttles itself: 0 of max_state is not at all.
            let most = reading.take(zone.number("max_state")).filter(|most| *most > 0.0);
            if let (Some(most), Some(now)) = (most, reading.take(zone.number("cur_state"))) {
                reading.add(name, Unit::Percent, now / most * 100.0);
            }
        }
    }
    let cpus = sys.below("devices/system/cpu");
    for dir in reading.take(cpus.names("")) {
        let number = dir.strip_prefix("cpu").filter(|n| n.parse::<u16>().is_ok());
        let Some(number) = number else { continue };
        let cpu = cpus.below(&dir);
        for (path, name) in [("core", "core"), ("package", "package")] {
            let path = format!("thermal_throttle/{path}_throttle_count");
            reading.number(&cpu, &path, || format!("throttle.{number}.{name}"), Unit::Count, 1.0);
        }
        let khz = |path: &str| format!("cpufreq/{path}");
        reading.number(
            &cpu,
            &khz("scaling_cur_freq"),
            || format!("frequency.{number}.now"),
            Unit::Hertz,
            1000.0,
        );
        // A cap below the most it can do: someone, or the heat, has lowered it.
        let most = reading.take(cpu.number(&khz("cpuinfo_max_freq"))).filter(|most| *most > 0.0);
        if let (Some(most), Some(cap)) = (most, reading.take(cpu.number(&khz("scaling_max_freq")))) {
            reading.add(format!("frequency.{number}.cap"), Unit::Percent, cap / most * 100.0);
        }
    }
}
