//! A key that must be turned before anything rewrites a controller: here a register of another device.

use std::process::Child;

use headgate_tests::peers::{mbpoll, python, start_python};
use headgate_tests::{Bench, Plc, free_address, image, wait_for};

struct Keyed {
    bench: Bench,
    plc: Plc,
    key: std::net::SocketAddr,
    switch: Child,
    digest: String,
}

impl Drop for Keyed {
    fn drop(&mut self) {
        let _ = self.switch.kill();
        let _ = self.switch.wait();
    }
}

impl Keyed {
    /// A controller with a released image, behind a key that nobody has turned.
    fn new() -> Keyed {
        let mut bench = Bench::new();
        let plc = bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
        let key = free_address();
        let switch = start_python("controller.py", &[&key.port().to_string()]);
        wait_for(key);
        bench.reconfigure(
            "[[plc.route]]",
            "[plc.permissive]\nsignal = \"key\"\nlow = 1\nmax_age_s = 1\n[[plc.route]]",
        );
        bench.configure(&format!(
            "[[signal]]\nid = \"key\"\nlearn = 0\nhigh = 100\n\
             source = {{ kind = \"modbus\", target = \"{key}\", unit = 1, register = 40006, poll_ms = 200 }}\n"
        ));
        bench.trust_acme();
        let digest = bench.release("new.bin", &image()[8192..14_192], "pump-3");
        let mut keyed = Keyed { bench, plc, key, switch, digest };
        keyed.turn(0);
        keyed.bench.start();
        keyed.bench.wait_status("the identity is known", |s| s["plcs"][0]["identity"].is_string());
        keyed.wait("absent: signal key is 0");
        keyed
    }

    fn turn(&self, value: u16) {
        let said = mbpoll(self.key, &["-r", "6", "127.0.0.1", &value.to_string()]);
        assert_eq!(said.code, 0, "{}", said.text);
    }

    fn wait(&self, permissive: &str) {
        self.bench.wait_status(permissive, |s| {
            s["plcs"][0]["permissive"].as_str().is_some_and(|p| p.starts_with(permissive))
        });
    }

    fn download(&self) -> i32 {
        let path = self.bench.path("new.bin").display().to_string();
        python("station.py", &[&self.plc.conduit.port().to_string(), &path, "generic-file-record"]).code
    }
}

#[test]
fn a_key_that_nobody_has_turned_holds_station_and_command_until_it_is_turned() {
    let keyed = Keyed::new();
    assert_ne!(keyed.download(), 0, "the station is refused");
    let alarm = keyed.bench.wait_alarm("HG-4015");
    assert!(alarm["text"].as_str().is_some_and(|t| t.contains("signal key is 0")), "{alarm}");
    let (code, text) = keyed.bench.refused(&["deliver", &keyed.digest, "--plc", "pump-3"]);
    assert!(code == 60 && text.contains("HG-4015") && text.contains("at least 1"), "{code} {text}");
    assert_eq!(keyed.plc.flash(), image()[..4096], "and the flash is as it was");
    keyed.turn(1);
    keyed.wait("present");
    assert_eq!(keyed.download(), 0);
    keyed.plc.wait_flash(&image()[8192..14_192]);
}

#[test]
fn a_key_that_is_no_longer_read_is_no_key() {
    let mut keyed = Keyed::new();
    keyed.turn(1);
    keyed.wait("present");
    keyed.switch.kill().expect("it runs");
    keyed.wait("absent");
    assert_ne!(keyed.download(), 0);
    assert_eq!(keyed.plc.flash(), image()[..4096]);
}

#[test]
fn the_controller_does_not_hold_its_own_key_and_a_recording_is_none() {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
    let table =
        |source: &str| format!("[[signal]]\nid = \"key\"\nlearn = 0\nhigh = 100\nsource = {source}\n");
    bench.reconfigure("[[plc.route]]", "[plc.permissive]\nsignal = \"key\"\nlow = 1\n[[plc.route]]");
    let modbus = |target: std::net::SocketAddr| {
        format!("{{ kind = \"modbus\", target = \"{target}\", unit = 1, register = 40006 }}")
    };
    let file = "{ kind = \"file\", path = \"x.csv\", column = \"v\", rate_hz = 1 }".to_string();
    let mut last = String::new();
    for (source, why) in [
        (modbus(plc.target), "read from the controller itself"),
        (modbus(plc.conduit), "read from the controller itself"),
        (file, "is a recorded file"),
    ] {
        let now = table(&source);
        match last.is_empty() {
            true => bench.configure(&now),
            false => bench.reconfigure(&last, &now),
        }
        last = now;
        let (code, text) = bench.refused(&["config", "check"]);
        assert!(code == 2 && text.contains(why), "{code} {text}");
    }
    bench.reconfigure(&last, "");
    let (code, text) = bench.refused(&["config", "check"]);
    assert!(code == 2 && text.contains("there is no [[signal]] \"key\""), "{code} {text}");
}

#[test]
fn a_key_on_a_digital_input_is_taken_and_a_chip_that_is_not_there_is_no_key() {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &image()[..4096]);
    bench.reconfigure(
        "[[plc.route]]",
        "[plc.permissive]\nsignal = \"key\"\nlow = 1\nmax_age_s = 1\n[[plc.route]]",
    );
    bench.configure(
        "[[signal]]\nid = \"key\"\nlearn = 0\nhigh = 1\nsource = { kind = \"gpio\", \
         chip = \"/dev/no-such-chip\", line = \"KEY\", bias = \"pull-down\", poll_ms = 1000 }\n",
    );
    let (code, text) = bench.refused(&["config", "check"]);
    assert!(code == 2 && text.contains("max_age_s 1"), "{code} {text}");
    bench.reconfigure("poll_ms = 1000", "poll_ms = 200");
    bench.headgate(&["config", "check"]);
    bench.trust_acme();
    let digest = bench.release("new.bin", &image()[8192..14_192], "pump-3");
    bench.start();
    let lost = bench.wait_alarm("HG-9006");
    let told = |text: &str| text.contains("/dev/no-such-chip") && text.contains("No such file");
    assert!(lost["text"].as_str().is_some_and(told), "{lost}");
    let (code, text) = bench.refused(&["deliver", &digest, "--plc", "pump-3"]);
    assert!(code == 60 && text.contains("HG-4015") && text.contains("signal key has"), "{code} {text}");
    assert_eq!(plc.flash(), image()[..4096]);
}
