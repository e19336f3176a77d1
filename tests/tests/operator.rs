//! What an operator is told: of an ordinary day nothing, of what is wrong until it is right again.

use std::net::TcpListener;

use headgate_tests::peers::python;
use headgate_tests::{Bench, Plc, alarm, eventually, free_address, image};

fn old_firmware() -> Vec<u8> {
    image()[..4096].to_vec()
}

fn bench_with(profile: &str, way: &str) -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", profile, way, &old_firmware());
    bench.trust_acme();
    (bench, plc)
}

fn download(bench: &Bench, plc: &Plc, name: &str) -> i32 {
    let path = bench.path(name).display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

fn alarms(bench: &Bench) -> serde_json::Value {
    bench.json(&["alarms", "list"])
}

#[test]
fn an_image_larger_than_its_profile_allows_gets_nowhere() {
    let (mut bench, plc) = bench_with("ucw-bootloader", "stage");
    let large: Vec<u8> = image().into_iter().cycle().take(256 * 1024 + 2).collect();
    bench.write("large.bin", &large);
    let sign =
        ["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", "large.bin", "-out", "large.bin.sig"];
    assert_eq!(headgate_tests::peers::run(bench.dir.path(), "openssl", &sign).code, 0);
    for verb in ["verify", "stage"] {
        let (code, error) = bench.refused(&[verb, "large.bin", "--plc", "pump-3"]);
        assert_eq!(code, 40, "{error}");
        assert!(error.contains("HG-6010") && error.contains("262146") && error.contains("262144"), "{error}");
    }
    // Staged under a profile with more room, it is refused when it is released, and when it is delivered.
    bench.reconfigure("ucw-bootloader", "ocp-rackmon-delta");
    let digest = bench.stage("large.bin", &large, "pump-3");
    bench.headgate(&["release", &digest, "--plc", "pump-3"]);
    bench.reconfigure("ocp-rackmon-delta", "ucw-bootloader");
    bench.start();
    bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
    for verb in ["release", "deliver"] {
        let (code, error) = bench.refused(&[verb, &digest, "--plc", "pump-3"]);
        assert!(code == 40 && error.contains("HG-6010"), "{verb}: {code} {error}");
    }
    assert_eq!(plc.flash(), old_firmware(), "nothing was erased");
}

#[test]
fn a_good_update_asks_nobody_for_anything() {
    for (way, profile) in [("match", "generic-file-record"), ("stage", "ucw-bootloader")] {
        let (mut bench, plc) = bench_with(profile, way);
        bench.start();
        let new = image()[8192..20_480].to_vec();
        let digest = bench.release("new.bin", &new, "pump-3");
        bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
        if way == "match" {
            assert_eq!(download(&bench, &plc, "new.bin"), 0);
        } else {
            bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
        }
        plc.wait_flash(&new);
        let status = bench
            .wait_status("the case is closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
        let list = alarms(&bench);
        assert_eq!(list["alarms"], serde_json::json!([]), "{way}: {status}");
    }
}

#[test]
fn a_controller_that_is_away_is_an_alarm_until_it_is_back_whoever_acknowledges_it() {
    let mut bench = Bench::new();
    let (target, conduit) = (free_address(), free_address());
    bench.plc("pump-3", "match", "generic-file-record", target, conduit);
    bench.start();
    let silent = || {
        alarms(&bench)["alarms"]
            .as_array()
            .and_then(|a| a.first().cloned())
            .filter(|a| a["code"] == "HG-6012")
    };
    let found = eventually("a controller that was never there is told", &silent);
    assert!(found["standing"] == true && found["acknowledged"] == false, "{found}");
    bench.headgate(&["alarms", "ack", "pump-3", "HG-6012"]);
    let found = silent().expect("it is still away, and on the list");
    assert!(found["active"] == true && found["acknowledged"] == true, "{found}");
    assert!(bench.headgate(&["alarms", "list"]).contains("active, acknowledged"));
    let controller = TcpListener::bind(target).expect("the address is free");
    eventually("it is back, and nobody has to do anything", || silent().is_none().then_some(()));
    drop(controller);
}

#[test]
fn who_only_observes_hears_what_would_have_been_refused_and_of_no_tampering() {
    for way in ["match", "stage"] {
        let (mut bench, plc) = bench_with("generic-file-record", way);
        bench.reconfigure("mode = \"enforce\"", "mode = \"observe\"");
        bench.start();
        let connected = |s: &serde_json::Value| s["plcs"][0]["identity"].is_string();
        bench.wait_status("it has said who it is", connected);
        let (first, second) = (image()[8192..20_480].to_vec(), image()[20_480..30_000].to_vec());
        bench.release("good.bin", &first, "pump-3");
        bench.write("unknown.bin", &second);

        assert_eq!(download(&bench, &plc, "good.bin"), 0);
        plc.wait_flash(&first);
        let told = || bench.headgate(&["explain", "C-000001"]);
        eventually("what became of it is in the case", || {
            told().contains("the controller is now").then_some(())
        });
        assert!(told().contains("would have passed"), "{}", told());
        let list = alarms(&bench);
        assert_eq!(list["alarms"], serde_json::json!([]), "{way}: a good image");

        assert_eq!(download(&bench, &plc, "unknown.bin"), 0, "what is only observed passes");
        plc.wait_flash(&second);
        let told = || bench.headgate(&["explain", "C-000002"]);
        eventually("what became of it is in the case", || {
            told().contains("the controller is now").then_some(())
        });
        let list = alarms(&bench);
        let all = list["alarms"].as_array().expect("a list");
        let refused =
            all.iter().find(|a| a["text"].as_str().is_some_and(|t| t.contains("would have been refused")));
        assert!(
            refused.is_some_and(|a| a["text"].as_str().is_some_and(|t| t.contains("observed only"))),
            "{list}"
        );
        for code in ["HG-6016", "HG-7008", "HG-6004", "HG-6005"] {
            assert!(alarm(&list, code).is_none(), "{way}: {code} is not true: {list}");
        }
    }
}

#[test]
fn a_case_that_waits_for_its_delivery_ends_with_it() {
    let (mut bench, plc) = bench_with("generic-file-record", "stage");
    bench.start();
    let new = image()[8192..20_480].to_vec();
    let digest = bench.release("new.bin", &new, "pump-3");
    bench.headgate(&["release", &digest, "--plc", "pump-3", "--uses", "3"]);
    bench.wait_status("it is connected", |s| s["plcs"][0]["routes"][0]["connected"] == true);
    let path = bench.path("new.bin").display().to_string();
    let leaves = [&plc.conduit.port().to_string(), &path, "generic-file-record", "--leave"];
    python("station.py", &leaves);
    bench.wait_status("the image waits", |s| s["open_cases"][0]["state"] == "ready");
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&new);
    bench.wait_status("both cases are closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    assert!(bench.headgate(&["explain", "C-000001"]).contains("delivered by C-000002"));
}

#[test]
fn what_was_mended_leaves_quarantine_and_nothing_is_queued_for_a_broker_that_is_not_there() {
    let (bench, _plc) = bench_with("generic-file-record", "match");
    let new = image()[8192..20_480].to_vec();
    bench.write("new.bin", &new);
    let (code, error) = bench.refused(&["stage", "new.bin", "--plc", "pump-3"]);
    assert!(code == 10 && error.contains("HG-1001"), "nobody has signed it: {code} {error}");
    let kept = |area: &str| bench.json(&["vault", "list"])[area].as_array().map(Vec::len);
    assert_eq!((kept("images"), kept("quarantine")), (Some(0), Some(1)));
    bench.release("new.bin", &new, "pump-3");
    assert_eq!((kept("images"), kept("quarantine")), (Some(1), Some(0)), "it is signed now");
    assert_eq!(bench.json(&["status"])["outbox"], 0);
}
