//! Records as they come from the field: gaps, clocks that run back, other rates, other forms of CSV.

use serde_json::Value;

use super::tests::{noise, run, write};

/// Rows of a time and noise of deviation 0.1 about what `level` says.
fn rows(count: u64, time: impl Fn(u64) -> u64, level: impl Fn(u64) -> f64) -> String {
    let mut seed = 11;
    let row = |n| format!("{},{:.4}\n", time(n), level(n) + 0.1 * noise(&mut seed));
    "time,value\n".to_owned() + &(0..count).map(row).collect::<String>()
}

fn replay(text: &str, options: &str) -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", text);
    run(&folder, format!("replay a.csv {options}").trim_end()).unwrap()
}

fn plot(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.csv", text);
    run(&folder, "plot a.csv -o out.svg").unwrap();
    std::fs::read_to_string(folder.path().join("out.svg")).unwrap()
}

fn codes(value: &Value) -> Vec<&str> {
    value["anomalies"].as_array().unwrap().iter().map(|a| a["code"].as_str().unwrap()).collect()
}

/// All counts by quality.
fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
}

#[test]
fn a_long_gap_takes_nothing_from_what_is_learned_and_little_of_the_picture() {
    let step = |n| if n < 3500 { 20.0 } else { 21.0 };
    let text = rows(4000, |n| if n < 2000 { n } else { n + 1_000_000 }, step);
    let (words, value) = replay(&text, "");
    assert_eq!(codes(&value), ["HG-9001"], "{words}");
    assert!(words.contains("from 999 readings") || words.contains("from 1000 readings"), "{words}");
    let picture = plot(&text);
    assert!(
        picture.contains(">gap 11.6 d<") && picture.contains("nothing was recorded for 11.6 d"),
        "{picture}"
    );
    assert!(picture.contains(">1003000<"), "times after the gap are on the axis");
}

#[test]
fn a_clock_that_ran_back_is_bad_once_and_what_follows_is_judged_and_drawn_after_it() {
    let text = rows(5000, |n| if n < 2500 { n } else { n - 1500 }, |n| if n < 4000 { 20.0 } else { 21.0 });
    let (words, value) = replay(&text, "");
    assert!(words.contains("1 bad: time stood still or ran back"), "{words}");
    assert!(words.contains("record 2502: 1000 s follows 2499 s"), "{words}");
    assert_eq!((codes(&value), words.matches("lost  ").count()), (vec!["HG-9001"], 0), "{words}");
    assert_eq!(value["anomalies"][0]["found"].as_str().unwrap().split('.').next(), Some("2502"), "{words}");
    let picture = plot(&text);
    assert!(
        picture.contains(">clock \u{2212}25.0 min<") && picture.contains("the clock ran back by 25.0 min")
    );
    // An update is placed on the first of two stretches that have its time.
    let (_, value) = replay(&text, "--updates 1200,3400");
    assert_eq!(value["updates"][0]["at"], "1200.000 s");
    assert_eq!(value["updates"][1]["at"], "3400.000 s");
}

#[test]
fn rows_of_one_time_are_said_to_be_so() {
    let (words, _) = replay(&rows(1200, |n| n / 2, |_| 20.0), "");
    assert!(words.contains("600 rows have the time of the row before"), "{words}");
    assert!(words.contains("600 good, 600 bad: time stood still or ran back"), "{words}");
}

#[test]
fn alarms_are_raised_and_cleared_once_and_told_in_the_order_of_time() {
    let level = |n| match n {
        3000..3800 => 23.0,
        5000..5800 => 17.0,
        7000..8500 => 20.0 + (n - 7000) as f64 * 2e-4,
        _ => 20.0,
    };
    let (words, value) = replay(&rows(12_000, |n| n, level), "--learn 2000");
    assert_eq!(codes(&value), ["HG-9001"; 3], "{words}");
    let cleared = value["cleared"].as_array().unwrap();
    assert!(cleared.iter().all(|c| c["codes"][0] == "HG-9001") && cleared.len() == 3, "{words}");
    let story: Vec<&str> =
        words.lines().filter(|l| l.starts_with("anomaly ") || l.starts_with("cleared ")).collect();
    let kinds: String = story.iter().map(|l| &l[..1]).collect();
    assert_eq!(kinds, "acacac", "{words}");
    assert!(!words.contains("since 0"), "{words}");
    let level = |n| match n {
        0..3000 => 20.0,
        3000..3500 => 25.0,
        _ => 15.0,
    };
    let (words, value) = replay(&rows(4000, |n| n, level), "--learn 2000");
    assert_eq!(codes(&value), ["HG-9001"], "{words}");
    assert!(value["anomalies"][0]["further"].as_u64() >= Some(1), "{words}");
    assert!(words.contains("while it stood; the last 350"), "{words}");
}

#[test]
fn a_window_of_any_length_is_read_and_one_of_a_slow_record_is_kept() {
    let milliseconds: String =
        (0..140_002).map(|n| format!("{}.{:03},{}\n", n / 1000, n % 1000, n % 7)).collect();
    let (words, value) = replay(&format!("time,value\n{milliseconds}"), "--window 70");
    assert_eq!(value["readings"]["count"], 2, "{words}");
    let (words, value) = replay(&rows(6000, |n| n, |_| 20.0), "--window 10");
    assert_eq!(value["readings"]["count"], 600, "{words}");
}

#[test]
fn what_is_too_large_or_stands_still_is_said_in_words_of_its_own() {
    let huge = rows(700, |n| n, |n| if n < 100 { 5.0 } else { 1e150 });
    let (words, value) = replay(&huge, "");
    assert!(words.contains("600 bad: too large to be judged"), "{words}");
    assert_eq!(value["lost"][0]["flaw"], "too-large", "{words}");
    let still: String = (0..1500).map(|n| format!("{n},{}\n", if n < 1000 { 0 } else { 5 })).collect();
    let (words, value) = replay(&format!("time,value\n{still}"), "");
    assert!(words.contains("0 without moving") && words.contains("usually 0 without moving"), "{words}");
    assert!(!words.contains("e-100") && value["learned"][0]["sigma"] == 0.0, "{words}");
}

#[test]
fn a_rate_that_changes_is_said_and_the_start_of_a_change_is_counted_in_it() {
    let time = |n| if n < 2000 { n } else { 2000 + (n - 2000) * 10 };
    let (words, value) = replay(&rows(4000, time, |n| if n < 3000 { 20.0 } else { 20.3 }), "");
    assert!(words.contains("rate     from 2080.000 s on one each 10.000 s"), "{words}");
    assert_eq!(value["record"]["rates"][0]["period_s"], 10.0, "{words}");
    let seconds = |name: &str| -> f64 {
        value["anomalies"][0][name].as_str().unwrap().trim_end_matches(" s").parse().unwrap()
    };
    assert!((11_900.0..=12_050.0).contains(&seconds("since")), "it began at 12000 s: {words}");
    // Windows are as long as before, and of fewer samples.
    let (words, value) = replay(&rows(4000, time, |_| 20.0), "--window 50");
    let count = value["readings"]["count"].as_u64().unwrap();
    assert!((435..=442).contains(&count), "2000 s and 20000 s are 440 windows: {words}");
}

#[test]
fn a_form_that_is_not_read_is_refused_with_its_row_what_stands_there_and_a_way_out() {
    let files: [(&str, &[u8], &[&str]); 12] = [
        (
            "a unit",
            "time,value\n1,\u{20AC}5\n2,\u{20AC}6\n".as_bytes(),
            &["record 2 has \"\u{20AC}5\" (and 1 more", "without a unit"],
        ),
        (
            "another encoding",
            b"time,Preis \x80\n1,5\n",
            &["record 1", "0x80", "\"time,Preis \"", "save the file as UTF-8"],
        ),
        (
            "a decimal comma",
            b"time;value\n1;5,0\n2;6,5\n",
            &["record 2 has \"5,0\"", "a decimal point, not a comma"],
        ),
        (
            "a decimal comma between commas",
            b"time,value\n1,5\n2,6,5\n",
            &["record 3 has 3 fields", "the header has 2", "\"2,6,5\"", "quotes"],
        ),
        ("times with a comma", b"time;value\n1,5;5\n2,5;6\n", &["record 2 has \"1,5\"", "not a comma"]),
        (
            "times that fall",
            b"time,value\n9,5\n8,6\n7,6\n6,6\n",
            &["its times fall", "record 3: 8 s follows 9 s", "the oldest first"],
        ),
        (
            "milliseconds",
            b"time,value\n1700000000000,5\n1700000001000,6\n",
            &["record 2 has \"1700000000000\"", "9223372036", "Divide it by 1000"],
        ),
        (
            "bars",
            b"time|value\n1|5\n2|6\n",
            &["[\"time|value\"]", "'|' separates no columns", "comma, semicolon or tab"],
        ),
        (
            "no header",
            b"0,5.1\n1,5.2\n2,5.1\n",
            &["record 1 is no header", "[\"0\", \"5.1\"]", "names of the columns"],
        ),
        ("no time at all", b"time,value\nnoon,5\none,6\n", &["record 2 has \"noon\"", "expected seconds"]),
        ("no value at all", b"time,value\n1,Bad\n2,Bad\n", &["record 2 has \"Bad\"", "expected a number"]),
        ("a long row", b"time,value\n1,5\n2,6,note\n", &["record 3 has 3 fields"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (what, bytes, texts) in files {
        write(&folder, "a.csv", bytes);
        let failure = run(&folder, "replay a.csv").err().unwrap_or_else(|| panic!("{what}: not refused"));
        assert_eq!(failure.exit, 2, "{what}: {}", failure.text);
        for text in texts {
            assert!(failure.text.contains(text), "{what}: {text} is not in {}", failure.text);
        }
    }
    write(&folder, "a.csv", "time,value,value\n1,5,7\n2,6,8\n3,5,7\n");
    let failure = run(&folder, "replay a.csv --column value").expect_err("which of the two?");
    assert!(failure.text.contains("names \"value\" 2 times"), "{}", failure.text);
    let (words, _) = run(&folder, "replay a.csv").unwrap();
    assert!(words.contains("names \"value\" 2 times; taken is the one that follows the times"), "{words}");
}

#[test]
fn rows_that_say_less_are_counted_named_and_add_up() {
    let mut text = String::from("time,value,note\n");
    for n in 0..600 {
        text += &match n % 50 {
            7 => format!("{n}\n"),
            13 => format!("noon,{n},\n"),
            21 => format!("{n},Bad,\n"),
            34 => format!("{n},NaN,,,\n"),
            _ => format!("{n},{},\n", n % 7),
        };
    }
    let (words, value) = replay(&text, "");
    for text in [
        "12 rows have fewer fields than the header; the first is record 9: \"7\"",
        "record 15 has \"noon\" (and 11 more",
        "record 23 has \"Bad\"",
    ] {
        assert!(words.contains(text), "{text} is not in {words}");
    }
    let (samples, readings) = (&value["record"], &value["readings"]);
    assert_eq!(samples["samples"], 600, "{words}");
    assert_eq!((sum(&samples["quality"]), sum(&readings["quality"])), (600, 600), "{words}");
    assert_eq!(samples["quality"], readings["quality"], "each sample is a reading: {words}");
}

#[test]
fn the_end_of_a_range_is_pointed_out_and_where_a_person_names_it_saturated() {
    let clipped = |n: u64, x: f64| if n < 2000 { x } else { (x + 1.0).min(20.9) };
    let mut seed = 5;
    let row = |n| format!("{n},{:.4}\n", clipped(n, 20.0 + 0.1 * noise(&mut seed)));
    let text = "time,value\n".to_owned() + &(0..4000).map(row).collect::<String>();
    let (words, _) = replay(&text, "--learn 1000");
    assert!(
        words.contains("samples stand at the highest value, 20.900") && words.contains("--range LOW,HIGH"),
        "{words}"
    );
    let (words, value) = replay(&text, "--learn 1000 --range -1,20.9");
    let saturated = value["record"]["quality"]["uncertain: saturated"].as_u64().unwrap();
    assert!((1500..1900).contains(&saturated) && !words.contains("--range"), "{words}");
    assert_eq!(value["lost"].as_array().unwrap().len(), 1, "on the edge it is lost once: {words}");
}

#[test]
fn a_wav_file_that_was_cut_says_how_much_of_it_is_there() {
    let mut bytes =
        b"RIFF\x24\x20\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1F\0\0\x80\x3E\0\0\x02\0\x10\0data\0\x20\0\0"
            .to_vec();
    bytes.extend([7; 2000]);
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.wav", &bytes);
    let failure = run(&folder, "replay a.wav").expect_err("it is cut");
    for text in ["after 1000 samples, 2000 of 8192 bytes", "copy the file again"] {
        assert!(failure.text.contains(text), "{}", failure.text);
    }
    write(&folder, "a.wav", &bytes[..30]);
    let failure = run(&folder, "replay a.wav").expect_err("it has no samples");
    assert!(failure.text.contains("its end before its samples"), "{}", failure.text);
}

#[test]
fn what_is_too_large_to_be_judged_is_counted_as_such_of_the_record_too() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String =
        (0..600).map(|n| format!("{n},{}\n", if n % 100 == 7 { "3e100" } else { "5" })).collect();
    write(&folder, "huge.csv", format!("time,value\n{rows}"));
    let (words, value) = run(&folder, "replay huge.csv").unwrap();
    assert!(words.contains("594 good, 6 bad: too large to be judged of 600 samples"), "{words}");
    assert_eq!(value["record"]["quality"], value["readings"]["quality"], "{words}");
}
