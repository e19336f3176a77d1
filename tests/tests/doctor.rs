//! `headgate doctor`: one page that says what is wrong, with and without a gateway that runs.

use std::os::unix::fs::PermissionsExt as _;

use headgate_tests::{Bench, image};
use serde_json::Value;

/// What doctor says, and its exit code.
fn doctor(bench: &Bench) -> (Value, i32) {
    let output = bench.try_headgate(&["--json", "doctor"]);
    let value = serde_json::from_slice(&output.stdout).expect("JSON alone on standard output");
    (value, output.status.code().expect("an exit code"))
}

fn check<'a>(page: &'a Value, id: &str) -> &'a Value {
    let found = page["checks"].as_array().expect("checks").iter().find(|check| check["id"] == id);
    found.unwrap_or(&Value::Null)
}

fn level(page: &Value, id: &str) -> String {
    check(page, id)["level"].as_str().unwrap_or("not there").into()
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
    bench.trust_acme();
    bench
}

#[test]
fn a_healthy_gateway_has_nothing_that_fails_and_what_is_left_to_do_is_said() {
    let mut bench = bench();
    bench.start();
    bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
    let (page, exit) = doctor(&bench);
    assert_eq!((exit, &page["running"], &page["schema"]), (0, &Value::Bool(true), &Value::from(1)), "{page}");
    for (id, expected) in [
        ("config.files", "ok"),
        ("config.approved", "warn"),
        ("gate", "ok"),
        ("tpm", "ok"),
        ("tpm.pcrs", "warn"),
        ("tpm.boot-states", "ok"),
        ("tpm.nv-writes", "ok"),
        ("tpm.state", "ok"),
        ("trust.keys", "warn"),
        ("data.permissions", "ok"),
        ("clock", "ok"),
        ("plc.pump-3", "ok"),
        ("alarms", "ok"),
        ("broker", "not there"),
    ] {
        assert_eq!(level(&page, id), expected, "{id}: {page}");
    }
    for check in page["checks"].as_array().expect("checks") {
        let says = |key: &str| check[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(check["level"] == "ok" || (says("next") && says("expected") && says("found")), "{check}");
    }
    let words = bench.headgate(&["doctor"]);
    assert!(words.contains("as told by the gateway that runs") && words.contains("next: "), "{words}");
}

#[test]
fn without_a_gateway_that_runs_the_data_folder_and_the_network_are_looked_at() {
    let mut bench = bench();
    bench.configure("[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n");
    let (page, exit) = doctor(&bench);
    assert_eq!((exit, &page["running"]), (70, &Value::Bool(false)), "no broker listens there: {page}");
    assert_eq!((level(&page, "gateway"), level(&page, "gate")), ("warn".into(), "ok".into()), "{page}");
    assert_eq!((level(&page, "broker"), level(&page, "plc.pump-3")), ("fail".into(), "ok".into()), "{page}");
    bench.reconfigure("[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n", "");
    assert_eq!(doctor(&bench).1, 0);
}

#[test]
fn what_is_broken_fails_and_names_the_next_step() {
    let mut bench = bench();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(bench.path("data"), open).expect("it is ours");
    bench.tpm2("tpm2_nvincrement", &["-C", "o", "0x01801001"]);
    let (page, exit) = doctor(&bench);
    assert_eq!(exit, 70, "{page}");
    for (id, part) in [("data.permissions", "chmod 750"), ("gate", "headgate init --again")] {
        let check = check(&page, id);
        assert!(
            check["level"] == "fail" && check["next"].as_str().is_some_and(|n| n.contains(part)),
            "{page}"
        );
    }
    bench.tpm.kill();
    let (page, exit) = doctor(&bench);
    assert_eq!((exit, level(&page, "tpm")), (70, "fail".into()), "{page}");
    bench.reconfigure("unit = 1", "unit = 1000");
    let (page, exit) = doctor(&bench);
    let files = check(&page, "config.files");
    assert!(exit == 70 && files["found"].as_str().is_some_and(|t| t.contains("line")), "{page}");
}

#[test]
fn before_init_it_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = "schema = 1\n[gateway]\nname = \"a\"\ndata = \"data\"\nsocket = \"s\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\npcrs = [0]\n";
    std::fs::write(dir.path().join("headgate.toml"), text).expect("writable");
    let said = headgate_tests::peers::run(
        dir.path(),
        headgate_tests::headgate().to_str().expect("text"),
        &["--config", "headgate.toml", "doctor"],
    );
    assert!(said.code == 70 && said.text.contains("headgate init makes it"), "{} {}", said.code, said.text);
    assert!(!dir.path().join("data").exists(), "looking makes no data folder");
}
