//! The gateway's health, from a tree that looks like a machine and from the machine this runs on.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use hal::clock::Mono;
use hal::sensor::health::{Health, MAX_VITALS, Unit, Vital};
use hal::sensor::{Flaw, Quality};

fn put(root: &Path, path: &str, text: &str) {
    let full = root.join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(full, text).unwrap();
}

const TITLES: &str = "Inter-|   Receive                   |  Transmit\n face |bytes    packets errs drop fifo frame \
    compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

fn machine(root: &Path) {
    put(root, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
    put(root, "sys/class/thermal/thermal_zone0/temp", "48312\n");
    put(root, "sys/class/thermal/thermal_zone1/type", "broken\n");
    put(root, "sys/class/thermal/thermal_zone1/temp", "-274000\n");
    put(root, "sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n");
    put(root, "sys/class/thermal/cooling_device0/max_state", "4\n");
    put(root, "sys/class/thermal/cooling_device0/cur_state", "1\n");
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "600000\n");
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "900000\n");
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1200000\n");
    put(root, "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "17\n");
    put(root, "sys/devices/system/cpu/cpuidle/current_driver", "none\n");
    put(root, "sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    put(root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    put(root, "sys/class/hwmon/hwmon1/in1_input", "5021\n");
    put(root, "sys/class/power_supply/mains/online", "1\n");
    put(root, "sys/block/mmcblk0/device/life_time", "0x02 0x00\n");
    put(root, "sys/block/mmcblk0/device/pre_eol_info", "0x01\n");
    put(root, "proc/pressure/memory", "some avg10=2.50 avg60=0.00 avg300=0.00 total=2000000\n");
    put(root, "proc/vmstat", "nr_free_pages 1\noom_kill 3\n");
    let counts = "lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    put(root, "proc/net/dev", &format!("{TITLES}{counts}"));
}

fn find<'a>(vitals: &'a [Vital], name: &str) -> Option<&'a Vital> {
    vitals.iter().find(|v| v.name == name)
}

#[test]
fn what_a_machine_has_is_listed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    machine(dir.path());
    let mut vitals = Vec::new();
    let faults = Health::new(dir.path()).read(Mono(5), &mut vitals);
    assert!(faults.is_empty(), "{faults:?}");
    let rows = [
        ("heat.0.cpu-thermal", Unit::Celsius, 48.312),
        ("cooling.0.cpufreq-cpu0", Unit::Percent, 25.0),
        ("frequency.0.now", Unit::Hertz, 6e8),
        ("frequency.0.cap", Unit::Percent, 75.0),
        ("throttle.0.core", Unit::Count, 17.0),
        ("supply.rpi_volt-1.in0_lcrit_alarm", Unit::Level, 1.0),
        ("supply.rpi_volt-1.in1_input", Unit::Volts, 5.021),
        ("supply.mains.online", Unit::Level, 1.0),
        ("wear.mmcblk0.life-a", Unit::Percent, 20.0),
        ("wear.mmcblk0.reserve", Unit::Level, 1.0),
        ("shortage.memory.some-10s", Unit::Percent, 2.5),
        ("shortage.memory.some-total", Unit::Seconds, 2.0),
        ("shortage.memory.kills", Unit::Count, 3.0),
        ("network.eth0.rx-errors", Unit::Count, 3.0),
        ("network.eth0.tx-carrier", Unit::Count, 15.0),
    ];
    for (name, unit, value) in rows {
        let vital = find(&vitals, name).unwrap_or_else(|| unreachable_name(name, &vitals));
        assert_eq!(
            (vital.unit, vital.block.at, vital.block.quality),
            (unit, Mono(5), Quality::Good),
            "{name}"
        );
        assert!((vital.block.samples[0] - value).abs() < 1e-9, "{name}: {vital:?}");
    }
    assert_eq!(find(&vitals, "heat.1.broken").unwrap().block.quality, Quality::Bad(Flaw::SourceError));
    for absent in
        ["wear.mmcblk0.life-b", "network.lo.rx-errors", "shortage.cpu.some-10s", "shortage.memory.full-10s"]
    {
        assert!(find(&vitals, absent).is_none(), "{absent}");
    }
    assert_eq!(vitals.len(), rows.len() + 1 + 2 + 7, "two more averages, seven more counts of eth0");
}

fn unreachable_name<'a>(name: &str, vitals: &'a [Vital]) -> &'a Vital {
    let names: Vec<&str> = vitals.iter().map(|v| v.name.as_str()).collect();
    assert!(names.contains(&name), "{name} is not in {names:?}");
    &vitals[0]
}

#[test]
fn what_cannot_be_read_is_a_fault_and_hides_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    machine(dir.path());
    for (path, text) in [
        ("sys/class/thermal/thermal_zone1/temp", "hot"),
        ("sys/block/mmcblk0/device/life_time", "0x99"),
        ("proc/pressure/memory", "some avg10=x"),
        ("proc/net/dev", "nothing known\n\n"),
    ] {
        put(dir.path(), path, text);
    }
    let mut vitals = Vec::new();
    let faults = Health::new(dir.path()).read(Mono(5), &mut vitals);
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(
        find(&vitals, "heat.0.cpu-thermal").is_some() && find(&vitals, "shortage.memory.kills").is_some()
    );
}

#[test]
fn a_machine_without_end_is_read_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    for cpu in 0..700 {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/");
        put(dir.path(), &format!("{path}scaling_cur_freq"), "1");
        put(dir.path(), &format!("{path}scaling_max_freq"), "1");
        put(dir.path(), &format!("{path}cpuinfo_max_freq"), "1");
    }
    let mut vitals = Vec::new();
    assert!(Health::new(dir.path()).read(Mono(0), &mut vitals).is_empty());
    assert_eq!(vitals.len(), MAX_VITALS);
    assert!(Health::new(&dir.path().join("none")).read(Mono(0), &mut vitals).is_empty());
    assert_eq!(vitals.len(), MAX_VITALS, "a machine that is not there has nothing");
}

#[test]
fn this_machine_is_read() {
    let mut vitals = Vec::new();
    let faults = Health::new(Path::new("/")).read(Mono(0), &mut vitals);
    println!("{} values, {} faults: {faults:?}", vitals.len(), faults.len());
    for vital in &vitals {
        assert!(!vital.name.is_empty() && vital.block.samples.len() == 1, "{vital:?}");
    }
}
