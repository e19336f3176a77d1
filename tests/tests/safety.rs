//! Safety controllers: process reads pass, and nothing is ever delivered to them.

use headgate_tests::{Bench, Plc, eventually, image};

const READ: &[u8] = &[3, 0, 0, 0, 10];

/// A gateway with a safety controller and a standard one, and an image that is staged for the latter.
fn bench() -> (Bench, Plc, String) {
    let mut bench = Bench::new();
    let old = image()[..4096].to_vec();
    let sis = bench.controller("sis-1", "generic-file-record", "match", &old);
    bench.reconfigure("mode = \"enforce\"", "mode = \"enforce\"\nclass = \"safety\"");
    bench.reconfigure("way = \"match\"\n", "");
    bench.reconfigure("profile = \"generic-file-record\"\n", "");
    bench.controller("pump-3", "generic-file-record", "match", &old);
    bench.trust_acme();
    bench.start();
    let digest = bench.stage("new.bin", &image()[..9000], "pump-3");
    eventually("reads pass", || sis.exchange(1, READ).ok().filter(|r| r[0] == 3));
    (bench, sis, digest)
}

#[test]
fn nothing_is_staged_released_or_delivered_to_a_safety_controller() {
    let (bench, sis, digest) = bench();
    let until = hal::clock::Clock::system().wall().ms + 3_600_000;
    let until = hal::clock::Wall::trusted(until).to_string();
    for args in [
        &["stage", "new.bin", "--plc", "sis-1"][..],
        &["stage", "new.bin", "--plc", "sis-1", "--break-glass"],
        &["release", &digest, "--plc", "sis-1"],
        &["deliver", &digest, "--plc", "sis-1"],
        &["countersign", "new.bin", "--plc", "sis-1", "--expires", &until, "--reason", "x", "-o", "d"],
    ] {
        let (exit, error) = bench.refused(args);
        assert!(exit == 40 && error.contains("HG-4020"), "{args:?}: {exit} {error}");
        assert!(error.contains("sis-1") && error.contains("key switch"), "{args:?}: {error}");
    }
    let draft = ["ticket", "break-glass", "--plc", "sis-1", "--action", "pass-unverified", "--until", &until];
    bench.headgate(&[&draft[..], &["--reason", "hurry", "-o", "go.json"]].concat());
    bench.headgate(&["sign-document", "go.json", "--key", "site.key"]);
    let (exit, error) = bench.refused(&["ticket", "use", "go.json"]);
    assert!(exit == 40 && error.contains("HG-4020"), "not on the site key's word either: {exit} {error}");
    assert_eq!(
        bench.json(&["ticket", "list"])["tickets"],
        serde_json::json!([]),
        "and the document is not spent"
    );
    assert_eq!(sis.flash(), image()[..4096]);
}

#[test]
fn on_the_wire_process_reads_pass_and_programming_does_not() {
    let (bench, sis, _) = bench();
    let before = sis.exchange(1, READ).expect("an answer");
    let file = [21, 9, 6, 0, 1, 0, 0, 0, 1, 0xAB, 0xCD];
    for (what, pdu) in [
        ("a file record", &file[..]),
        ("a function of a vendor", &[90, 0, 0x30]),
        ("a restart", &[8, 0, 1, 0, 0]),
    ] {
        let reply = sis.exchange(1, pdu).expect("an answer");
        assert_eq!(reply, [pdu[0] | 0x80, 1], "{what}");
    }
    let begin = sis.exchange(1, &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, 0x10, 0]).expect("an answer");
    assert_eq!(begin[0], 0x90, "nor the first step of an update");
    let alarm = bench.wait_alarm("HG-4020");
    assert!(
        alarm["source"] == "sis-1" && alarm["next"].as_str().is_some_and(|n| n.contains("key switch")),
        "{alarm}"
    );
    assert_eq!(sis.exchange(1, READ).expect("an answer"), before, "reads pass as they are");
    assert_eq!(
        sis.exchange(1, &[6, 0, 5, 0, 7]).expect("an answer"),
        [6, 0, 5, 0, 7],
        "and what the list names"
    );
    assert_eq!(sis.flash(), image()[..4096]);
}
