//! What is told at the end of a soak: every series that was judged, and which one locked the controller.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Quality};
use sensor_monitor::anomaly::Kind;
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Measure, Spec};
use sensor_monitor::detect::limit::Range;
use sensor_monitor::monitor::{Monitor, News};
use sensor_monitor::rng::Rng;
use sensor_monitor::watch;

fn spec(id: &str) -> Spec {
    Spec {
        id: id.into(),
        plc: Some("pump".into()),
        kind: Kind::Process,
        measure: Measure::Value,
        unit: "l/s".into(),
        window: Duration::ZERO,
        interval: Duration::from_secs(1),
        false_alarms_per_year: 1.0,
        learning: Some(Learning::new(2048, 256, 0.0).unwrap()),
        settle: 0,
        limits: None,
        reported: Some(Duration::from_secs(5)),
    }
}

/// It began just before the update.
const LATE: &str = "late: too few independent readings before the update to compare";

/// Three signals of one controller and one of another, an update, and after it a report that is `off`: how the soak
/// ended.
fn ended(off: f64) -> Vec<News> {
    let limits = Range { low: 0.0, high: 9.0, hysteresis: 0.0, on_delay: 3, off_delay: 3 };
    let guard = Spec { learning: None, reported: None, limits: Some(limits), ..spec("guard") };
    let other = Spec { plc: Some("fan".into()), reported: None, ..spec("fan-speed") };
    let late = Spec { reported: None, ..spec("late") };
    let channels = [spec("flow"), guard, late, other].into_iter().map(Channel::new).collect();
    let mut monitor = Monitor::new(channels, watch::Settings::default());
    let (mut rng, mut out) = (Rng::new(3), Vec::new());
    for second in 1..=12_000u64 {
        let now = Mono(second * 1_000_000_000);
        if second == 8000 {
            monitor.accepted(5, "pump", now);
        }
        let level = 50.0 + (second as f64 / 3.0).sin();
        let off = if second > 8200 { off } else { 0.0 };
        monitor.block(0, &Block::single(now, level + 0.1 * rng.normal(), Quality::Good), &mut out);
        monitor.report(0, now, level + off + 0.1 * rng.normal(), &mut out);
        monitor.block(1, &Block::single(now, 3.0 + 0.1 * rng.normal(), Quality::Good), &mut out);
        if second > 7900 {
            monitor.block(2, &Block::single(now, rng.normal(), Quality::Good), &mut out);
        }
        monitor.block(3, &Block::single(now, rng.normal(), Quality::Good), &mut out);
        monitor.tick(now, &mut out);
        out.retain(|news| !matches!(news, News::Signal(..)));
    }
    out
}

#[test]
fn the_story_of_a_lock_names_every_series_and_the_one_that_locked() {
    let news = ended(0.5);
    let [News::ChangedAfterUpdate(5, 0, first), News::Measured(5, story)] = news.as_slice() else {
        panic!("{news:?}")
    };
    assert!(first.starts_with("flow (measured minus reported) fell"), "{first}");
    let lines: Vec<&str> = story.split("; ").collect();
    assert!(lines[0].starts_with("flow: ") && lines[0].ends_with("no change that matters"), "{lines:?}");
    assert!(lines[1].starts_with("flow (reported): "), "{lines:?}");
    assert!(lines[2].starts_with("flow (measured minus reported): -"), "{lines:?}");
    assert!(lines[2].ends_with(", changed") && lines[3] == "this locked the controller", "{lines:?}");
    assert_eq!(lines[4..], ["guard: judged by its limits alone", LATE]);
}

#[test]
fn the_story_of_a_quiet_soak_names_every_series_too() {
    let news = ended(0.0);
    let [News::Quiet(5, story)] = news.as_slice() else { panic!("{news:?}") };
    for series in ["flow: ", "flow (reported): ", "flow (measured minus reported): ", "guard: ", "late: "] {
        assert!(story.contains(series), "{series} in {story}");
    }
    assert_eq!(story.matches("no change that matters").count(), 3, "{story}");
    assert!(!story.contains("locked") && !story.contains("fan"), "{story}");
}
