//! What a controller reports of a machine that moves, against what was measured of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Quality};
use sensor_monitor::anomaly::{Kind, Series};
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Event, Measure, Spec};
use sensor_monitor::detect::Detector;
use sensor_monitor::rng::Rng;

/// A machine and its controller: period of the swing in seconds (0: it stands), steps its register is rounded to,
/// seconds from one report to the next.
#[derive(Debug, Clone, Copy)]
struct Setup {
    period: f64,
    rounding: f64,
    every: u64,
}

struct Plant {
    setup: Setup,
    channel: Channel,
    rng: Rng,
    said: VecDeque<f64>,
    second: u64,
}

impl Plant {
    fn learned(setup: Setup) -> Plant {
        let channel = Channel::new(Spec {
            id: "flow".into(),
            plc: None,
            kind: Kind::Process,
            measure: Measure::Value,
            unit: String::new(),
            window: Duration::ZERO,
            interval: Duration::from_secs(1),
            false_alarms_per_year: 1.0,
            learning: Some(Learning::new(4096, 512, 0.0).unwrap()),
            settle: 0,
            limits: None,
            reported: Some(Duration::from_secs(5)),
        });
        let mut plant = Plant { setup, channel, rng: Rng::new(7), said: VecDeque::new(), second: 0 };
        let mut out = Vec::new();
        while plant.channel.progress() < 1.0 && plant.second < 100_000 {
            plant.second(0.0, &mut out);
        }
        assert!(plant.channel.progress() >= 1.0, "{setup:?}");
        plant
    }

    fn second(&mut self, divergence: f64, out: &mut Vec<Event>) {
        self.second += 1;
        let now = Mono(self.second * 1_000_000_000);
        let Setup { period, rounding, every } = self.setup;
        let swing =
            if period > 0.0 { (std::f64::consts::TAU * self.second as f64 / period).sin() } else { 0.0 };
        let truth = 100.0 + 10.0 * swing;
        self.said.push_back(truth + 0.1 * self.rng.normal());
        let late = if self.said.len() > 2 { self.said.pop_front().unwrap() } else { self.said[0] };
        let late = if rounding > 0.0 { (late / rounding).round() * rounding } else { late };
        let measured = truth + divergence + 0.1 * self.rng.normal();
        self.channel.block(&Block::single(now, measured, Quality::Good), out);
        if self.second.is_multiple_of(every) {
            self.channel.report(now, late, out);
        }
    }

    /// Readings until the residual's alarm, of a divergence of so many of its deviations.
    fn found_after(&mut self, size: f64) -> (u64, Detector) {
        let divergence = size * self.channel.model(Series::Residual).unwrap().scale();
        let mut out = Vec::new();
        for n in 1..=300 {
            self.second(divergence, &mut out);
            for event in out.drain(..) {
                if let Event::Anomaly(a) = event
                    && a.series == Series::Residual
                {
                    return (n, a.change.detector);
                }
            }
        }
        panic!("{:?}: not found", self.setup)
    }
}

#[test]
fn a_large_divergence_is_found_on_a_moving_machine_nearly_as_soon_as_on_a_still_one() {
    for every in [1, 2] {
        for rounding in [0.0, 1.0] {
            let still = Plant::learned(Setup { period: 0.0, rounding, every }).found_after(12.0).0;
            for period in [20.0, 60.0, 300.0] {
                let setup = Setup { period, rounding, every };
                let (after, detector) = Plant::learned(setup).found_after(12.0);
                // Two seconds of lag, and what the readings lie apart.
                assert!(after <= still + 2 + 4 * every, "{setup:?}: {after} for {still}, {detector:?}");
                assert!(after <= 12 || every > 1, "{setup:?}: {after}");
            }
        }
    }
}

#[test]
fn a_day_of_a_moving_machine_and_an_honest_controller_raises_nothing() {
    for period in [20.0, 60.0] {
        let mut plant = Plant::learned(Setup { period, rounding: 1.0, every: 2 });
        let mut out = Vec::new();
        for _ in 0..86_400 {
            plant.second(0.0, &mut out);
            out.retain(|e| matches!(e, Event::Anomaly(_)));
        }
        assert_eq!(out, [], "{period}");
    }
}
