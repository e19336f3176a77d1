//! The second witness: a signed and released update makes the drive run where it must not, while the
//! controller reports what it reported before. The gateway's own tachometer tells.

use std::time::Duration;

use headgate_tests::peers::{python, run};
use headgate_tests::{Bench, Plc, alarm, digest, eventually, image};

/// Two images that the vendor signs; the second carries the payload.
fn images() -> (Vec<u8>, Vec<u8>) {
    let mut good = image()[..4000].to_vec();
    good.extend_from_slice(b"version=2.1\0");
    let mut bad = image()[4000..8000].to_vec();
    bad.extend_from_slice(b"version=2.2\0payload=overspeed\0\0");
    bad.truncate(bad.len() & !1);
    (good, bad)
}

fn stage(bench: &Bench, name: &str, bytes: &[u8]) -> String {
    let (file, sig) = (format!("{name}.bin"), format!("{name}.bin.sig"));
    bench.write(&file, bytes);
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", &file, "-out", &sig];
    assert_eq!(run(bench.dir.path(), "openssl", &sign).code, 0);
    bench.headgate(&["stage", &file, "--plc", "drive-1"]);
    gateway::vault::hex(&digest(bytes))
}

fn download(bench: &Bench, plc: &Plc, name: &str) -> i32 {
    let path = bench.path(&format!("{name}.bin")).display().to_string();
    python("station.py", &[&plc.conduit.port().to_string(), &path, "generic-file-record"]).code
}

fn signal(bench: &Bench) -> serde_json::Value {
    bench.json(&["signals", "show", "drive-1.shaft"])["signal"].clone()
}

/// A bench that has learned its drive, on an image that came through the gate.
fn learned() -> (Bench, Plc, Vec<u8>, String) {
    let mut bench = Bench::new();
    let old = image()[9000..13_000].to_vec();
    let (plc, tachometer) = bench.drive("drive-1", "generic-file-record", "match", &old);
    bench.configure(&format!(
        "[[signal]]\nid = \"drive-1.shaft\"\nplc = \"drive-1\"\nunit = \"Hz\"\nlearn = 2048\nfalse_alarms_per_year = 0.01\n\
         source = {{ kind = \"modbus\", target = \"{tachometer}\", unit = 1, register = 30001, scale = 0.025, poll_ms = 10 }}\n\
         reported = {{ register = 30041, scale = 0.025, poll_ms = 10, max_lag_s = 1 }}\n\
         [soak]\nlasts_s = 120\nsettles_s = 3\n"
    ));
    let dir = bench.dir.path();
    assert_eq!(run(dir, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "acme.pem"]).code, 0);
    assert_eq!(run(dir, "openssl", &["pkey", "-in", "acme.pem", "-pubout", "-out", "acme.pub"]).code, 0);
    bench.headgate(&["trust", "add", "acme.pub", "--name", "acme", "--vendor", "acme", "--model", "px-200"]);
    let (good, _) = images();
    let id = stage(&bench, "good", &good);
    bench.headgate(&["release", &id, "--plc", "drive-1", "--uses", "2"]);
    bench.start();
    eventually("the controller is connected", || {
        plc.exchange(1, &[3, 0, 0, 0, 1]).ok().filter(|r| r[0] == 3)
    });
    assert_eq!(download(&bench, &plc, "good"), 0);
    plc.wait_flash(&good);
    for _ in 0..6 {
        // Learning takes longer than a test waits for anything else.
        std::thread::sleep(Duration::from_secs(10));
        if signal(&bench)["learned"] == 1.0 {
            break;
        }
    }
    eventually("the signal is learned", || (signal(&bench)["learned"] == 1.0).then_some(()));
    (bench, plc, good, id)
}

#[test]
fn a_signed_update_that_overspeeds_the_drive_is_found_named_and_locked() {
    let (bench, plc, good, good_id) = learned();
    let before = signal(&bench);
    assert!((before["value"].as_f64().expect("a value") - 1064.0).abs() < 10.0, "{before}");
    assert!((before["reported"].as_f64().expect("a value") - 1064.0).abs() < 10.0, "{before}");
    let status = bench.json(&["status"]);
    assert!(alarm(&status, "HG-9001").is_none() && alarm(&status, "HG-9002").is_none(), "{status}");

    let (_, bad) = images();
    let bad_id = stage(&bench, "bad", &bad);
    bench.headgate(&["release", &bad_id, "--plc", "drive-1", "--uses", "5"]);
    assert_eq!(download(&bench, &plc, "bad"), 0, "it is signed and released: it lands");
    plc.wait_flash(&bad);

    let found = bench.wait_alarm("HG-9007");
    assert!(found["latched"] == true && found["source"] == "drive-1", "{found}");
    let text = found["text"].as_str().expect("a text");
    assert!(text.contains("C-000002") && text.contains("drive-1.shaft"), "{text}");
    assert!(text.contains(&format!("headgate deliver {}", &good_id[..12])), "the way back: {text}");
    bench.wait_alarm("HG-9002");
    let now = signal(&bench);
    println!("{text}\n{now}");
    let story = bench.headgate(&["explain", "C-000002"]);
    assert!(story.contains("changed after this update"), "{story}");

    eventually("the receipt says so, too", || {
        let page = bench.headgate(&["receipt", "C-000002"]);
        (page.contains("Watched") && page.contains("changed") && page.contains("Signed")).then_some(())
    });

    // Locked for everything but the way back.
    let (code, why) = bench.refused(&["deliver", &bad_id, "--plc", "drive-1"]);
    assert!(code == 60 && why.contains("HG-9007"), "{code} {why}");
    assert_ne!(download(&bench, &plc, "bad"), 0, "on the wire, too");
    assert_eq!(plc.exchange(1, &[3, 0, 0, 0, 1]).expect("an answer")[0], 3, "process traffic passes");
    bench.headgate(&["deliver", &good_id, "--plc", "drive-1"]);
    plc.wait_flash(&good);
    bench.wait_status("the delivery ends", |s| s["plcs"][0]["delivery"].is_null());
    let (code, _) = bench.refused(&["deliver", &bad_id, "--plc", "drive-1"]);
    assert_eq!(code, 60, "going back does not unlock");
    bench.headgate(&["alarms", "ack", "drive-1", "HG-9007"]);
    let (code, _) = bench.refused(&["deliver", &bad_id, "--plc", "drive-1"]);
    assert_eq!(code, 60, "acknowledging does not unlock");
    bench.refused(&["plc", "unlock", "drive-1", "--reason", " "]);
    let said = bench.headgate(&["plc", "unlock", "drive-1", "--reason", "the vendor was called"]);
    assert!(said.contains("is learned as usual"), "whoever lifts it is told what that teaches: {said}");
    assert!(bench.headgate(&["audit", "list"]).contains("is learned as usual"));
    let plcs = bench.json(&["plc", "list"]);
    assert!(plcs["plcs"][0]["locked"].is_null(), "{plcs}");
    assert!(bench.headgate(&["explain", "C-000002"]).contains("the vendor was called"));
}

#[test]
fn what_was_learned_and_a_lock_survive_a_kill() {
    let (mut bench, plc, _, _) = learned();
    bench.kill();
    bench.start();
    eventually("what was learned is there at once", || (signal(&bench)["learned"] == 1.0).then_some(()));
    std::thread::sleep(Duration::from_secs(5));
    let status = bench.json(&["status"]);
    let quiet = ["HG-9001", "HG-9002", "HG-9003"].iter().all(|code| alarm(&status, code).is_none());
    assert!(quiet, "a restart is no change: {status}");
    let (_, bad) = images();
    let bad_id = stage(&bench, "bad", &bad);
    bench.headgate(&["release", &bad_id, "--plc", "drive-1", "--uses", "5"]);
    eventually("the controller is connected", || {
        plc.exchange(1, &[3, 0, 0, 0, 1]).ok().filter(|r| r[0] == 3)
    });
    assert_eq!(download(&bench, &plc, "bad"), 0);
    bench.wait_alarm("HG-9007");
    bench.kill();
    bench.start();
    let (code, why) = bench.refused(&["deliver", &bad_id, "--plc", "drive-1"]);
    assert!(code == 60 && why.contains("HG-9007"), "{code} {why}");
}
