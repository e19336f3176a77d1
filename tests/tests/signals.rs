//! Alarms of signals, from outside: whose they are, and how they end.

use headgate_tests::{Bench, eventually, image};
use serde_json::Value;

/// Ten values a second: `level` from reading `from` on, 1 before.
fn record(from: usize, level: f64) -> Vec<u8> {
    let line = |n: usize| format!("{:.1},{}\n", n as f64 / 10.0, if n < from { 1.0 } else { level });
    format!("time,value\n{}", (0..600).map(line).collect::<String>()).into_bytes()
}

fn table(id: &str, file: &str) -> String {
    format!(
        "[[signal]]\nid = \"{id}\"\nplc = \"pump-3\"\nlearn = 0\nhigh = 10\n\
         source = {{ kind = \"file\", path = \"{file}\", column = \"value\", time = \"time\", rate_hz = 10 }}\n"
    )
}

fn bench(tables: &str) -> Bench {
    let mut bench = Bench::new();
    let _plc = bench.controller("pump-3", "generic-file-record", "match", &image());
    bench.configure(tables);
    bench
}

/// The alarm of one signal.
fn of<'a>(status: &'a Value, source: &str, code: &str) -> Option<&'a Value> {
    status["alarms"].as_array()?.iter().find(|a| a["code"] == code && a["source"] == source)
}

fn stands(status: &Value, source: &str, code: &str) -> bool {
    of(status, source, code).is_some_and(|a| a["standing"] == true)
}

#[test]
fn who_acknowledges_one_signal_is_still_told_of_the_next() {
    let mut bench = bench(&(table("pressure", "a.csv") + &table("flow", "b.csv")));
    bench.write("a.csv", &record(5, 20.0));
    bench.write("b.csv", &record(60, 30.0));
    bench.start();
    bench.wait_status("the first is beyond its limit", |s| stands(s, "pressure", "HG-9004"));
    bench.headgate(&["alarms", "ack", "pressure", "HG-9004"]);
    let status = bench.wait_status("the second is, too", |s| stands(s, "flow", "HG-9004"));
    let (first, second) = (of(&status, "pressure", "HG-9004"), of(&status, "flow", "HG-9004"));
    assert_eq!(first.map(|a| &a["acknowledged"]), Some(&Value::Bool(true)), "{status}");
    let second = second.expect("just seen");
    assert_eq!(second["acknowledged"], false, "{status}");
    assert_eq!(second["plc"], "pump-3", "{status}");
    let shown = bench.headgate(&["signals", "show", "flow"]);
    assert!(shown.contains("HG-9004 flow") && shown.contains("limits: at most 10"), "{shown}");
}

#[test]
fn a_record_that_ended_or_is_empty_or_is_not_there_is_a_lost_signal_that_says_why() {
    let short = record(600, 1.0).iter().copied().take(60).collect::<Vec<_>>();
    let short = &short[..=short.iter().rposition(|b| *b == b'\n').expect("lines")];
    let names = ["ended", "empty", "missing", "column"];
    let tables: String = names.iter().map(|n| table(n, &format!("{n}.csv"))).collect();
    let mut bench = bench(&tables);
    bench.write("ended.csv", short);
    bench.write("empty.csv", b"time,value\n");
    bench.write("column.csv", b"time,flow\n0,1\n1,1\n2,1\n");
    bench.start();
    for (id, why) in [
        ("ended", "the record has ended"),
        ("empty", "the record has ended"),
        ("missing", "missing.csv"),
        ("column", "value"),
    ] {
        let status = bench.wait_status(&format!("{id} is lost"), |s| stands(s, id, "HG-9006"));
        let text = of(&status, id, "HG-9006").expect("just seen")["text"].to_string();
        assert!(text.contains(why), "{id}: {text}");
        let row = bench.json(&["signals", "show", id])["signal"].clone();
        assert!(row["failing"].as_str().is_some_and(|f| f.contains(why)), "{id}: {row}");
        assert!(row["quality"].as_str().is_some_and(|q| q.starts_with("bad")), "{id}: {row}");
    }
}

#[test]
fn what_a_person_has_had_learned_anew_does_not_come_back_with_a_restart() {
    let line = |n: usize| format!("{:.2},{}\n", n as f64 / 50.0, 10.0 + (n * 7919 % 101) as f64 / 100.0);
    let record = format!("time,value\n{}", (0..6000).map(line).collect::<String>());
    let mut bench = bench(
        "[[signal]]\nid = \"flow\"\nlearn = 260\n\
         source = { kind = \"file\", path = \"a.csv\", column = \"value\", time = \"time\", rate_hz = 50 }\n",
    );
    bench.write("a.csv", record.as_bytes());
    bench.start();
    let learned = |bench: &Bench| bench.json(&["signals", "show", "flow"])["signal"]["learned"].as_f64();
    eventually("it is learned", || (learned(&bench) == Some(1.0)).then_some(()));
    bench.kill();
    bench.start();
    assert_eq!(learned(&bench), Some(1.0), "what was learned is kept");
    bench.headgate(&["signals", "learn", "flow"]);
    assert!(learned(&bench) < Some(0.5));
    bench.kill();
    bench.start();
    assert!(learned(&bench) < Some(0.5), "and so is that it was forgotten");
}

#[test]
fn alarms_of_what_is_no_longer_configured_or_is_well_after_a_restart_end() {
    let mut bench = bench(&(table("gone", "a.csv") + &table("mended", "b.csv") + &table("still", "c.csv")));
    ["a.csv", "b.csv", "c.csv"].iter().for_each(|file| bench.write(file, &record(5, 20.0)));
    bench.start();
    for id in ["gone", "mended", "still"] {
        bench.wait_status(id, |s| stands(s, id, "HG-9004"));
    }
    bench.headgate(&["alarms", "ack", "still", "HG-9004"]);
    bench.kill();
    bench.reconfigure(&table("gone", "a.csv"), "");
    bench.write("b.csv", &record(600, 1.0));
    bench.start();
    let status = bench
        .wait_status("two of them end", |s| !stands(s, "gone", "HG-9004") && !stands(s, "mended", "HG-9004"));
    let still = of(&status, "still", "HG-9004").expect("it stands");
    assert_eq!((&still["standing"], &still["acknowledged"]), (&true.into(), &true.into()), "{status}");
    bench.wait_status("it is found again", |_| {
        bench.json(&["signals", "show", "still"])["signal"]["value"].as_f64().is_some_and(|v| v > 10.0)
    });
    std::thread::sleep(std::time::Duration::from_secs(1));
    let status = bench.json(&["status"]);
    assert_eq!(
        of(&status, "still", "HG-9004").map(|a| &a["count"]),
        Some(&1.into()),
        "a restart is no new alarm"
    );
}

#[test]
fn learned_behaviour_whose_file_is_gone_is_told_like_a_damaged_one_and_counts_once() {
    let mut bench = bench(&table("flow", "flow.csv").replace("learn = 0", "learn = 300"));
    bench.write("flow.csv", &record(5, 1.0));
    // What a gateway has learned is kept when it is forgotten, too.
    bench.start();
    let status = bench.json(&["status"]);
    assert!(!stands(&status, "flow", "HG-9011"), "a new signal has lost nothing: {status}");
    bench.headgate(&["signals", "learn", "flow"]);
    let file = bench.path("data/signals/flow.cbor");
    let waits = std::time::Instant::now();
    while !file.exists() && waits.elapsed() < std::time::Duration::from_secs(10) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // The database is told after the file was written.
    std::thread::sleep(std::time::Duration::from_secs(1));
    bench.kill();
    std::fs::remove_file(&file).expect("it was kept");
    bench.start();
    let status = bench.wait_status("it is told", |s| stands(s, "flow", "HG-9011"));
    let text = of(&status, "flow", "HG-9011").expect("just seen")["text"].to_string();
    assert!(text.contains("flow.cbor: the file is gone"), "{text}");
    bench.kill();
    bench.start();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let status = bench.json(&["status"]);
    assert_eq!(of(&status, "flow", "HG-9011").map(|a| &a["count"]), Some(&1.into()), "{status}");
}

#[test]
fn learned_behaviour_that_cannot_be_read_is_an_alarm_and_a_line_of_doctor() {
    let mut bench = bench(&table("flow", "flow.csv").replace("learn = 0", "learn = 300"));
    bench.write("flow.csv", &record(600, 1.0));
    std::fs::create_dir_all(bench.path("data/signals")).expect("a folder");
    bench.write("data/signals/flow.cbor", b"\xff\x00 not what was learned");
    bench.start();
    let status = bench.wait_status("it is told", |s| stands(s, "flow", "HG-9011"));
    let text = of(&status, "flow", "HG-9011").expect("just seen")["text"].to_string();
    assert!(text.contains("flow.cbor") && text.contains("learned anew"), "{text}");
    let doctor = bench.json_anyhow(&["doctor"]);
    let alarms = doctor["checks"].as_array().and_then(|all| all.iter().find(|c| c["id"] == "alarms"));
    assert!(alarms.is_some_and(|c| c["found"].to_string().contains("flow HG-9011")), "{doctor}");
}
