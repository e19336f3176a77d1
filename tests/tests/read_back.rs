//! A gateway that is killed between the commit of an update and the reading back of the identity: what the
//! controller has taken stays taken, and nobody is accused of it.

use headgate_tests::peers::{python, start_python};
use headgate_tests::relay::{Hold, Relay};
use headgate_tests::{Bench, Plc, alarm, eventually, image};

/// What is on record once the controller has taken an image and has not yet said what it runs.
const TAKEN: &str = "its identity is read back";

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn new_firmware(n: usize) -> Vec<u8> {
    image()[n * 6000..][..6000].to_vec()
}

/// A running gateway that knows its controller, a relay between them, and two released images.
fn bench(way: &str) -> (Bench, Plc, Relay, [String; 2]) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", way, &old_firmware());
    let relay = Relay::to(plc.target);
    bench.reconfigure(&format!("target = \"{}\"", plc.target), &format!("target = \"{}\"", relay.address));
    bench.trust_acme();
    let released = [1, 2].map(|n| bench.release(&format!("{n}.bin"), &new_firmware(n), "pump-3"));
    bench.start();
    bench.wait_status("the identity is known", |s| s["plcs"][0]["identity"].is_string());
    (bench, plc, relay, released)
}

fn arguments(bench: &Bench, plc: &Plc, name: &str) -> [String; 3] {
    let path = bench.path(name).display().to_string();
    [plc.conduit.port().to_string(), path, "generic-file-record".into()]
}

fn download(bench: &Bench, plc: &Plc, name: &str) -> i32 {
    python("station.py", &arguments(bench, plc, name).each_ref().map(String::as_str)).code
}

fn state(bench: &Bench, case: &str) -> String {
    let said = bench.json(&["explain", case]);
    said["cases"][0]["state"].as_str().expect("a state").to_string()
}

fn wait_story(bench: &Bench, case: &str, text: &str) {
    eventually(&format!("{case} says {text:?}"), || {
        let said = bench.try_headgate(&["explain", case]);
        String::from_utf8_lossy(&said.stdout).contains(text).then_some(())
    });
}

/// Delivers by command, once the controller is back.
fn deliver(bench: &Bench, digest: &str) {
    eventually("the update is not refused", || {
        let said = bench.try_headgate(&["deliver", digest, "--plc", "pump-3"]);
        let error = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() || error.contains("not connected"), "the next update: {error}");
        said.status.success().then_some(())
    });
}

/// The controller says that it runs image `n`, its case is done, and nobody has to look at anything.
fn all_is_well(bench: &Bench, plc: &Plc, case: &str, n: usize) {
    let digest = gateway::vault::hex(&headgate_tests::digest(&new_firmware(n)));
    let status = bench.wait_status("the new identity is known and no case is open", |s| {
        let says = s["plcs"][0]["identity"].as_str().unwrap_or_default();
        says.contains(&digest[..8]) && s["open_cases"].as_array().is_some_and(Vec::is_empty)
    });
    let story = bench.headgate(&["explain", case]);
    assert_eq!(state(bench, case), "done", "{story}");
    assert!(story.contains("identity read back"), "{story}");
    assert_eq!(plc.flash(), new_firmware(n));
    assert!(status["plcs"][0]["changed_outside"].is_null(), "{status}");
    assert!(alarm(&status, "HG-6016").is_none(), "nobody changed it outside the gate: {status}");
    let unconfirmed = alarm(&status, "HG-6018").filter(|a| a["active"] == true);
    assert!(unconfirmed.is_none(), "nothing is owed: {unconfirmed:?}");
}

#[test]
fn a_matched_image_that_was_taken_ends_as_taken_though_the_gateway_dies_before_it_is_read_back() {
    let (mut bench, plc, relay, _) = bench("match");
    relay.hold(Hold::Identity);
    assert_eq!(download(&bench, &plc, "1.bin"), 0);
    wait_story(&bench, "C-000001", TAKEN);
    bench.kill();
    assert_eq!(state(&bench, "C-000001"), "delivering", "it was killed before the reading back");
    relay.hold(Hold::Nothing);
    bench.start();
    all_is_well(&bench, &plc, "C-000001", 1);
    assert_eq!(download(&bench, &plc, "2.bin"), 0, "the next update");
    all_is_well(&bench, &plc, "C-000002", 2);
}

#[test]
fn a_matched_image_ends_as_taken_though_the_gateway_dies_before_the_commit_is_answered() {
    let (mut bench, plc, relay, _) = bench("match");
    relay.hold(Hold::Everything);
    let arguments = arguments(&bench, &plc, "1.bin");
    let mut station = start_python("station.py", &arguments.each_ref().map(String::as_str));
    relay.wait_held();
    bench.kill();
    station.wait().expect("it ended");
    assert_eq!(state(&bench, "C-000001"), "delivering", "it was killed before the answer");
    plc.wait_flash(&new_firmware(1));
    relay.hold(Hold::Nothing);
    bench.start();
    all_is_well(&bench, &plc, "C-000001", 1);
}

#[test]
fn a_delivery_that_was_played_is_read_back_though_the_gateway_dies_before() {
    let (mut bench, plc, relay, released) = bench("stage");
    relay.hold(Hold::Identity);
    deliver(&bench, &released[0]);
    wait_story(&bench, "C-000001", TAKEN);
    bench.kill();
    assert_eq!(state(&bench, "C-000001"), "delivering", "it was killed before the reading back");
    relay.hold(Hold::Nothing);
    bench.start();
    all_is_well(&bench, &plc, "C-000001", 1);
    deliver(&bench, &released[1]);
    all_is_well(&bench, &plc, "C-000002", 2);
}

#[test]
fn a_delivery_that_is_never_read_back_does_not_stand_in_the_way_of_the_next() {
    let (mut bench, plc, relay, released) = bench("stage");
    relay.hold(Hold::Identity);
    deliver(&bench, &released[0]);
    wait_story(&bench, "C-000001", TAKEN);
    bench.kill();
    bench.start();
    deliver(&bench, &released[1]);
    wait_story(&bench, "C-000001", "taken; C-000002 came before its identity was read back");
    assert_eq!(state(&bench, "C-000001"), "done");
    relay.hold(Hold::Nothing);
    all_is_well(&bench, &plc, "C-000002", 2);
    for (case, read_back) in [("C-000001", "none"), ("C-000002", "identity-only")] {
        eventually(&format!("{case} has a receipt"), || {
            bench.json(&["receipt", case])["signed"].is_string().then_some(())
        });
        bench.headgate(&["receipt", case, "-o", case]);
        let checked = bench.json(&["receipt", "--verify", case]);
        let controller = &checked["statement"]["predicate"]["headgate"]["controller"];
        assert_eq!(controller["readBack"], read_back, "{case}: {checked}");
    }
}

#[test]
fn a_change_past_the_gate_right_after_an_update_is_not_taken_for_the_update() {
    let (bench, plc, _relay, _) = bench("match");
    assert_eq!(download(&bench, &plc, "1.bin"), 0);
    wait_story(&bench, "C-000001", "identity read back");
    bench.write("other.bin", &image()[..5000]);
    let (port, path) = (plc.target.port().to_string(), bench.path("other.bin").display().to_string());
    assert_eq!(
        python("station.py", &[&port, &path, "generic-file-record"]).code,
        0,
        "somebody behind the gate"
    );
    let found = bench.wait_alarm("HG-6016");
    assert!(found["text"].as_str().is_some_and(|t| t.contains("no case explains it")), "{found}");
    let status = bench.json(&["status"]);
    assert!(!status["plcs"][0]["changed_outside"].is_null(), "{status}");
}
