//! The gateway's own health: what is watched without being asked for, and one look at the machine for all of it.
//!
//! What a machine has decides what is watched; [`standard`] goes by one look at it. These signals learn nothing:
//! temperature and load follow the day, and a limit is what says that a box is unwell. Counters become rates here,
//! since what counts up for ever has neither a usual value nor a limit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hal::clock::{Clock, Mono};
use hal::sensor::health::{Health, Unit, Vital};
use hal::sensor::{Block, Flaw};
use sensor_monitor::anomaly::Kind;
use sensor_monitor::channel::{Measure, Spec};
use sensor_monitor::detect::limit::Range;

use super::Mailbox;
use super::input::{Out, pause};
use crate::config::{Input, Signal};

/// Vitals whose names begin and end like this have a limit.
struct Rule {
    begins: &'static str,
    ends: &'static str,
    /// Above this the gateway is unwell, in the unit of [`rate_unit`].
    high: f64,
    hysteresis: f64,
    /// Looks in a row before it is an alarm, and before that ends.
    delays: (u32, u32),
}

const fn rule(
    begins: &'static str,
    ends: &'static str,
    high: f64,
    hysteresis: f64,
    delays: (u32, u32),
) -> Rule {
    Rule { begins, ends, high, hysteresis, delays }
}

/// What is too much. The delays are for a look every ten seconds.
const RULES: &[Rule] = &[
    // Most boards throttle at 80 to 85 and switch themselves off at 100 to 125 degrees.
    rule("heat.", "", 85.0, 5.0, (3, 6)),
    rule("cooling.", "cpufreq-cpu0", 0.5, 0.0, (6, 30)),
    rule("throttle.", "", 0.5, 0.0, (3, 30)),
    rule("supply.", "-alarm", 0.5, 0.0, (1, 6)),
    rule("supply.", "_alarm", 0.5, 0.0, (1, 6)),
    rule("wear.", ".life-a", 80.0, 0.0, (1, 1)),
    rule("wear.", ".life-b", 80.0, 0.0, (1, 1)),
    // JESD84-B51: 2 is a warning, 3 urgent.
    rule("wear.", ".reserve", 1.5, 0.0, (1, 1)),
    rule("shortage.cpu.", "some-60s", 80.0, 10.0, (6, 6)),
    rule("shortage.memory.", "full-60s", 10.0, 2.0, (3, 6)),
    rule("shortage.io.", "full-60s", 50.0, 10.0, (6, 6)),
    // One killed process is an event, and stands for an hour.
    rule("shortage.memory.", "kills", 0.0, 0.0, (1, 360)),
    rule("network.", ".rx-errors", 1.0, 0.0, (3, 30)),
    rule("network.", ".rx-frame", 1.0, 0.0, (3, 30)),
    rule("network.", ".rx-overruns", 1.0, 0.0, (3, 30)),
    rule("network.", ".tx-errors", 1.0, 0.0, (3, 30)),
    rule("network.", ".tx-carrier", 1.0, 0.0, (3, 30)),
    // Drops are ordinary in small numbers: frames of protocols that nobody speaks here.
    rule("network.", ".rx-drops", 600.0, 0.0, (6, 30)),
    rule("network.", ".tx-drops", 600.0, 0.0, (6, 30)),
];

/// By what the names of vitals begin with.
const CAUSES: &[(&str, &[&str])] = &[
    ("heat.", &["ambient temperature", "fan, filter or heat sink", "load"]),
    ("cooling.", &["heat", "load"]),
    ("throttle.", &["heat", "supply too weak"]),
    ("supply.", &["power supply or its cable", "devices that it feeds"]),
    ("wear.", &["age of the flash memory", "a program that writes all the time"]),
    ("shortage.cpu.", &["load", "heat that slows the processor down"]),
    ("shortage.memory.", &["a program that takes too much memory"]),
    ("shortage.io.", &["a disk that is slow or fails", "load"]),
    ("network.", &["cable or connector", "port at the other end", "more traffic than this gateway takes"]),
];

/// The signals that watch this machine, less the vitals in `taken`, which the configuration names itself.
pub(crate) fn standard(every: Duration, taken: &[Signal]) -> Vec<Signal> {
    let mut vitals = Vec::new();
    for fault in Health::new(Path::new("/")).read(Mono(0), &mut vitals) {
        tracing::debug!(error = %fault, "a figure of this machine cannot be read");
    }
    vitals.retain(|vital| is_wired(&vital.name));
    of(&vitals, every, taken)
}

/// Whether a vital is of no network interface, or of one with hardware: bridges and tunnels have no cable.
fn is_wired(name: &str) -> bool {
    let interface = name.strip_prefix("network.").and_then(|rest| rest.rsplit_once('.'));
    interface.is_none_or(|(interface, _)| Path::new("/sys/class/net").join(interface).join("device").exists())
}

fn of(vitals: &[Vital], every: Duration, taken: &[Signal]) -> Vec<Signal> {
    let is_taken = |vital: &Vital| {
        let id = format!("{PREFIX}{}", vital.name);
        let same = |s: &Signal| {
            s.spec.id == id || matches!(&s.input, Input::Health { vital: v, .. } if *v == vital.name)
        };
        id.len() > MAX_ID || taken.iter().any(same)
    };
    let ruled = vitals.iter().filter(|v| !is_taken(v)).filter_map(|v| Some((v, rule_of(&v.name)?)));
    ruled.take(MAX_STANDARD).map(|(vital, rule)| signal(vital, rule, every)).collect()
}

fn rule_of(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|r| name.starts_with(r.begins) && name.ends_with(r.ends))
}

fn signal(vital: &Vital, rule: &Rule, every: Duration) -> Signal {
    let limits = Range {
        low: f64::NEG_INFINITY,
        high: rule.high,
        hysteresis: rule.hysteresis,
        on_delay: rule.delays.0,
        off_delay: rule.delays.1,
    };
    let spec = Spec {
        id: format!("{PREFIX}{}", vital.name),
        plc: None,
        kind: Kind::Health,
        measure: Measure::Value,
        unit: rate_unit(vital.unit).into(),
        window: Duration::ZERO,
        interval: every,
        false_alarms_per_year: 1.0,
        learning: None,
        settle: 0,
        limits: Some(limits),
        reported: None,
    };
    let input = Input::Health { vital: vital.name.clone(), every };
    Signal { spec, input, current_loop: None, reported: None }
}

/// What most often causes that the signal `id` of this machine is beyond its limit, likeliest first; `None` for one that
/// the configuration names.
pub(super) fn causes(id: &str) -> Option<Vec<String>> {
    let name = id.strip_prefix(PREFIX)?;
    let (_, causes) = CAUSES.iter().find(|(begins, _)| name.starts_with(begins))?;
    Some(causes.iter().map(|cause| (*cause).to_string()).collect())
}

/// What a vital is measured in once counters are rates.
fn rate_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Celsius => "degC",
        Unit::Hertz => "Hz",
        Unit::Volts => "V",
        Unit::Amperes => "A",
        Unit::Percent | Unit::Seconds => "%",
        Unit::Count => "1/min",
        Unit::Level => "",
    }
}

/// Signals that are read together: numbers and vitals.
pub(super) type Watched = Vec<(usize, String)>;

/// Reads `watched` every `every` until `stop` is set or nobody listens.
pub(super) fn run(watched: &Watched, every: Duration, clock: &Clock, mailbox: &Mailbox, stop: &AtomicBool) {
    let health = Health::new(Path::new("/"));
    let mut outs: Vec<Out<'_>> = watched.iter().map(|(number, _)| Out::new(*number, mailbox)).collect();
    let (mut rates, mut vitals) = (Rates::default(), Vec::new());
    let mut told = vec![String::new(); watched.len()];
    while !stop.load(Ordering::Relaxed) {
        let now = clock.mono();
        vitals.clear();
        health.read(now, &mut vitals);
        for (((_, name), out), told) in watched.iter().zip(&mut outs).zip(&mut told) {
            let block = match vitals.iter().find(|v| v.name == *name) {
                Some(vital) => rates.block(now, vital),
                None => {
                    if told.is_empty() {
                        let known: Vec<&str> = vitals.iter().map(|v| v.name.as_str()).collect();
                        let why = format!("this machine has no figure {name:?}; it has {}", known.join(", "));
                        out.fail(name, told, &why);
                    }
                    Some(Block::nothing(now, Flaw::SourceError))
                }
            };
            if block.is_some_and(|block| !out.send(block)) {
                return;
            }
        }
        pause(every.saturating_sub(clock.mono().since(now)), stop);
    }
}

/// Counters of the last look.
#[derive(Default)]
struct Rates(BTreeMap<String, (Mono, f64)>);

impl Rates {
    /// A vital as it is judged: counts as events a minute, counted seconds as a share of time in percent. `None`
    /// for the first look at a counter, and for one that began anew.
    fn block(&mut self, now: Mono, vital: &Vital) -> Option<Block> {
        let factor = match vital.unit {
            Unit::Count => 60.0,
            Unit::Seconds => 100.0,
            _ => return Some(vital.block.clone()),
        };
        let count = *vital.block.samples.first().filter(|count| count.is_finite())?;
        let (then, before) = self.0.insert(vital.name.clone(), (now, count))?;
        let time = now.since(then).as_secs_f64();
        (count >= before && time > 0.0)
            .then(|| Block::single(now, (count - before) / time * factor, vital.block.quality))
    }
}

/// What the ids of these signals begin with.
const PREFIX: &str = "health.";
/// Longest id of a signal.
const MAX_ID: usize = 64;
/// Most signals that are watched without being asked for.
const MAX_STANDARD: usize = 96;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hal::sensor::Quality;
    use sensor_monitor::channel::{Channel, Event};

    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn vital(name: &str, unit: Unit, at: u64, value: f64) -> Vital {
        let block = Block::single(Mono(at * 1_000_000_000), value, Quality::Good);
        Vital { name: name.into(), unit, block }
    }

    #[test]
    fn what_a_limit_makes_sense_for_is_watched_and_nothing_that_the_configuration_names() {
        let vitals = [
            vital("heat.0.cpu-thermal", Unit::Celsius, 0, 40.0),
            vital("frequency.0.now", Unit::Hertz, 0, 1e9),
            vital("network.eth0.rx-packets", Unit::Count, 0, 7.0),
            vital("network.eth0.rx-errors", Unit::Count, 0, 0.0),
            vital("shortage.memory.kills", Unit::Count, 0, 0.0),
            vital(&format!("network.{}.rx-errors", "x".repeat(60)), Unit::Count, 0, 0.0),
        ];
        let ids = |taken: &[Signal]| -> Vec<String> {
            of(&vitals, EVERY, taken).into_iter().map(|s| s.spec.id).collect()
        };
        let all =
            ["health.heat.0.cpu-thermal", "health.network.eth0.rx-errors", "health.shortage.memory.kills"];
        assert_eq!(ids(&[]), all);
        let mut own = of(&vitals, EVERY, &[]).remove(0);
        own.spec.id = "box.heat".into();
        assert_eq!(ids(&[own]), all[1..]);
    }

    #[test]
    fn this_machine_has_vitals_and_every_rule_is_a_limit() {
        let found = standard(EVERY, &[]);
        assert!(
            found.iter().any(|s| s.spec.id.starts_with("health.")),
            "no vital of this machine is watched"
        );
        for rule in RULES {
            let one = vital(&format!("{}x{}", rule.begins, rule.ends), Unit::Level, 0, 0.0);
            assert!(Channel::new(of(&[one], EVERY, &[])[0].spec.clone()).spec().limits.is_some());
            assert!(rule.hysteresis <= rule.high && rule.delays.0 > 0 && rule.delays.1 > 0);
            let causes = causes(&format!("{PREFIX}{}x{}", rule.begins, rule.ends)).unwrap();
            assert!(!causes.is_empty(), "{}", rule.begins);
        }
    }

    #[test]
    fn a_cause_is_one_that_can_be() {
        let of = |id| causes(id).unwrap_or_default().join(", ");
        assert!(of("health.network.eth0.rx-errors").starts_with("cable"));
        assert!(!of("health.wear.mmcblk0.life-a").contains("temperature"));
        assert_eq!(causes("pump.flow"), None);
    }

    #[test]
    fn a_counter_is_a_rate_and_one_that_begins_anew_is_nothing() {
        let mut rates = Rates::default();
        let mut look = |at, count| {
            let vital = vital("network.eth0.rx-errors", Unit::Count, at, count);
            rates.block(vital.block.at, &vital).map(|b| b.samples[0])
        };
        assert_eq!(look(0, 100.0), None, "the first");
        assert_eq!(look(10, 105.0), Some(30.0), "5 in 10 s");
        assert_eq!(look(20, 3.0), None, "the driver was loaded again");
        assert_eq!(look(30, 3.0), Some(0.0));
    }

    #[test]
    fn heat_is_an_alarm_after_its_delay_and_ends_by_itself() {
        let signal = of(&[vital("heat.0.cpu-thermal", Unit::Celsius, 0, 40.0)], EVERY, &[]).remove(0);
        let mut channel = Channel::new(signal.spec);
        let mut told = Vec::new();
        let mut feed = |from: u64, celsius: f64| {
            let mut out = Vec::new();
            for n in from..from + 10 {
                channel.block(&vital("heat", Unit::Celsius, n * 10, celsius).block, &mut out);
            }
            out.retain(|e| !matches!(e, Event::Reading(..)));
            (out, channel.in_alarm(), channel.progress())
        };
        told.push(feed(0, 70.0));
        told.push(feed(10, 91.0));
        told.push(feed(20, 82.0));
        told.push(feed(30, 60.0));
        assert_eq!(told[0], (vec![], false, 1.0), "70 degrees are none, and there is nothing to learn");
        let [Event::Anomaly(anomaly)] = &told[1].0[..] else { panic!("{told:?}") };
        assert_eq!(anomaly.code, sensor_monitor::reasons::GATEWAY_HEALTH);
        assert!(told[1].1 && told[2] == (vec![], true, 1.0), "within the hysteresis it stands: {told:?}");
        assert!(matches!(told[3].0[..], [Event::Cleared(_)]) && !told[3].1, "{told:?}");
    }
}
