//! What is said of a record must be true by its own numbers.

use super::tests::{noise, run, write};
use super::*;

fn replay(text: &str, options: &str) -> (String, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", text);
    run(&folder, format!("replay a.csv {options}").trim_end()).unwrap()
}

fn plot(text: &str, options: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", text);
    run(&folder, format!("plot a.csv {options} -o out.svg").replace("  ", " ").as_str()).unwrap();
    std::fs::read_to_string(folder.path().join("out.svg")).unwrap()
}

/// One row a second; `row` gets the second and noise of deviation 1.
fn record(header: &str, seconds: u64, row: impl Fn(u64, f64, f64) -> String) -> String {
    let mut seed = 11;
    let rows = (0..seconds)
        .map(|n| format!("{n},{}\n", row(n, noise(&mut seed), noise(&mut seed))))
        .collect::<String>();
    format!("{header}\n{rows}")
}

fn one(seconds: u64, value: impl Fn(u64, f64) -> f64) -> String {
    record("time,value", seconds, |n, x, _| format!("{:.5}", value(n, x)))
}

#[test]
fn a_level_is_told_by_all_readings_since_it_moved_and_an_update_by_its_whole_soak() {
    let (words, value) = replay(&one(9000, |n, x| if n < 5000 { x } else { x + 0.4 }), "--updates 4990");
    let level = &value["anomalies"][0]["level"];
    let (reached, effect) = (level["value"].as_f64().unwrap(), level["effect"].as_f64().unwrap());
    assert!(reached > 0.0 && (effect - reached).abs() < 0.2, "{words}");
    assert!(level["readings"].as_u64() > Some(15), "{words}");
    let magnitude = value["anomalies"][0]["change"]["magnitude_sigma"].as_f64().unwrap();
    assert!((magnitude - effect.abs()).abs() < 1e-9, "{words}");
    let update = &value["updates"][0];
    let told = update["changed"].as_str().unwrap();
    assert!(told.contains("rose to ") && told.contains(" readings)") && !told.contains('['), "{told}");
    // The moment of the alarm was chosen by what was large; the end of the soak was not.
    let measured = update["measured"].as_str().unwrap();
    let (low, high) =
        measured.split_once(" sigma [").unwrap().1.split_once(']').unwrap().0.split_once(" to ").unwrap();
    let (low, high): (f64, f64) = (low.parse().unwrap(), high.parse().unwrap());
    assert!(low < 0.4 && 0.4 < high && low > 0.2 && high < 0.6, "{measured}");
    assert!(words.contains("to its end: ") && words.contains(measured), "{words}");
}

#[test]
fn the_size_of_a_large_step_is_that_of_the_step() {
    let (words, value) = replay(&one(4000, |n, x| 0.3 * x + if n < 3000 { 50.0 } else { 395.0 }), "");
    let sigma = value["anomalies"][0]["change"]["magnitude_sigma"].as_f64().unwrap();
    assert!((1000.0..1300.0).contains(&sigma), "345 at 0.3 are 1150: {words}");
}

#[test]
fn a_slow_rise_is_not_told_by_a_reading_below_what_is_usual() {
    let (words, value) = replay(&one(12_000, |n, x| x + n.saturating_sub(5000) as f64 * 5e-4), "");
    for found in value["anomalies"].as_array().unwrap() {
        let (level, usual) = (&found["level"]["value"], &found["usual"][0]);
        assert!(level.as_f64().unwrap() > usual.as_f64().unwrap(), "{words}");
    }
    assert!(words.contains("HG-9001"), "{words}");
}

#[test]
fn false_alarms_are_asked_for_within_the_range_of_live_signals() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", one(20, |_, x| x));
    for rate in ["0.0001", "100001", "1000000000", "NaN", "inf"] {
        for verb in ["replay a.csv", "plot a.csv -o out.svg"] {
            let failure = run(&folder, &format!("{verb} --false-alarms-per-year {rate}")).expect_err(rate);
            assert_eq!(failure.exit, 2);
            assert!(failure.text.contains("0.001 to 100000"), "{}", failure.text);
        }
    }
    run(&folder, "replay a.csv --false-alarms-per-year 100000").unwrap();
}

#[test]
fn a_signal_that_is_mostly_one_value_is_not_said_to_stand_and_its_events_are_no_noise() {
    let (words, _) = replay(&one(3000, |n, x| if n % 10 < 7 { 0.0 } else { 1.0 + 0.1 * x }), "");
    assert!(words.contains("0 in 70.0 % of them") && !words.contains("without moving"), "{words}");
    let blips = |n, _| if [300, 900, 1500, 3000, 4100].contains(&n) { 21.0 } else { 20.0 };
    let (words, _) = replay(&one(8000, blips), "");
    assert!(words.contains("found    nothing"), "{words}");
}

fn spec() -> Spec {
    Spec {
        id: "a".into(),
        plc: None,
        kind: Kind::Process,
        measure: Measure::Value,
        unit: String::new(),
        window: Duration::ZERO,
        interval: Duration::from_secs(1),
        false_alarms_per_year: 1.0,
        learning: Some(Learning::new(600, 0, 0.0).unwrap()),
        settle: 0,
        limits: None,
        reported: None,
    }
}

#[test]
fn a_picture_shows_no_evidence_of_what_was_not_judged_and_says_what_was_lost() {
    let text = one(3000, |n, x| if n < 2000 { x } else { 99.0 });
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", &text);
    let record = Record::survey(&folder.path().join("a.csv"), None, None, Ends::of(&[-90.0, 90.0])).unwrap();
    let played = play::play(&record, spec(), &[], &[]).unwrap();
    let evidence = &played.evidence[&sensor_monitor::anomaly::Series::Measured];
    assert!(evidence.iter().all(|(at, share)| *at < 2000.0 || share.is_nan()), "nothing is judged there");
    let picture = plot(&text, "--range -90,90");
    assert!(picture.contains("lost 2004.000 s to the end"), "{picture}");
    assert!(picture.contains("3000 samples: 2000 good, 1000 uncertain: saturated"), "{picture}");
}

#[test]
fn how_a_report_follows_is_said_and_where_it_does_not_that_too() {
    let row = |n: u64, x: f64, y: f64| (50.0 + 3.0 * (n as f64 / 9.0).sin() + 0.1 * x, 7.0 + y);
    let text =
        record("time,value,said", 3000, |n, x, y| format!("{:.4},{:.4}", row(n, x, y).0, row(n, x, y).1));
    let (words, value) = replay(&text, "--reported-column said");
    assert!(words.contains("the report does not explain the measurement"), "{words}");
    assert_eq!(value["follows"]["explains"], false, "{words}");
    assert!(plot(&text, "--reported-column said").contains("does not explain"), "the picture says so, too");
    let text = record("time,value,said", 3000, |n, x, y| {
        let value = row(n, x, y).0;
        format!("{value:.4},{:.4}", 2.0 * value)
    });
    let (words, value) = replay(&text, "--reported-column said");
    assert!(words.contains("follows  the report is 0 s late, one unit of it is 0.5000 measured"), "{words}");
    assert_eq!(value["follows"]["explains"], true, "{words}");
}

#[test]
fn a_step_while_it_was_learned_is_said() {
    let (words, value) = replay(&one(4000, |n, x| x + if n < 500 { 50.0 } else { 57.0 }), "");
    assert!(
        words.contains("not steady: its level moved from 4") || words.contains("moved from 50."),
        "{words}"
    );
    assert_eq!(value["learned"][0]["moved_at"], "500.000 s", "{words}");
    let (words, _) = replay(&one(4000, |_, x| x), "");
    assert!(!words.contains("not steady"), "{words}");
}

#[test]
fn what_gives_not_one_reading_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", one(200, |_, x| x));
    for (line, text) in [
        ("--measure mains", "mains of 50 Hz need at least 1600, 32 samples for each cycle"),
        ("--measure mains --nominal 60", "mains of 60 Hz need at least 1920"),
        ("--window 100000", "100000 samples, and the record has 200"),
    ] {
        let failure = run(&folder, &format!("replay a.csv {line}")).expect_err(line);
        assert_eq!(failure.exit, 2);
        assert!(failure.text.contains(text), "{}", failure.text);
    }
}

#[test]
fn times_that_jitter_about_one_rate_are_no_change_of_it() {
    let mut seed = 13;
    let row = |n: u32| {
        let jitter = (50.0 * noise(&mut seed)).clamp(-300.0, 300.0).round() / 1000.0;
        format!("{:.3},{:.4}\n", f64::from(n) + 1.0 + jitter, noise(&mut seed))
    };
    let text = "time,value\n".to_owned() + &(0..8000).map(row).collect::<String>();
    let (words, value) = replay(&text, "");
    assert_eq!(value["record"]["rates"].as_array().map(Vec::len), Some(0), "{words}");
    assert!(words.contains("its times are irregular"), "{words}");
}
