//! The main job, from outside: what is released lands, what is not does not, and people are told why.

use headgate_tests::peers::{mbpoll, python, run, start_python};
use headgate_tests::{Bench, Plc, alarm, eventually, free_address, image, wait_for};

fn old_firmware() -> Vec<u8> {
    image().iter().take(4096).map(|b| b ^ 0x5A).collect()
}

fn bench_with(profile: &str, way: &str) -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", profile, way, &old_firmware());
    bench.trust_acme();
    bench.start();
    (bench, plc)
}

/// A station on pymodbus tries an unreleased image, a tampered one, and the released one.
fn plays(profile: &str, way: &str, shape: &str, len: usize, extra: &[&str]) {
    let (bench, plc) = bench_with(profile, way);
    let mut new = image();
    new.truncate(len);
    // The bench's Wiren Board convention: the info block begins with the length of the data.
    if shape == "wirenboard" {
        let data = (len - 32) as u32;
        new[..4].copy_from_slice(&data.to_le_bytes());
    }
    let port = plc.conduit.port().to_string();
    let station = |name: &str, more: &[&str]| {
        let path = bench.path(name).display().to_string();
        python("station.py", &[&[port.as_str(), path.as_str(), shape], extra, more].concat())
    };
    bench.write("new.bin", &new);
    let said = station("new.bin", &[]);
    assert_eq!(said.code, 1, "an image nobody released: {}", said.text);
    assert_eq!(plc.flash(), old_firmware(), "and the flash is as it was");

    bench.release("new.bin", &new, "pump-3");
    let said = station("new.bin", &["--flip", &(len / 2).to_string()]);
    assert_eq!(said.code, 1, "one flipped bit: {}", said.text);
    assert_eq!(plc.flash(), old_firmware(), "and the flash is as it was");

    eventually("the next transfer may begin", || (station("new.bin", &[]).code == 0).then_some(()));
    plc.wait_flash(&new);
    let status =
        bench.wait_status("the case is closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    for code in ["HG-6016", "HG-6018"] {
        let standing = alarm(&status, code).filter(|a| a["active"] == true);
        assert!(standing.is_none(), "a good update leaves no such alarm: {standing:?}");
    }
}

#[test]
fn file_records_of_fc_21_are_matched() {
    plays("generic-file-record", "match", "generic-file-record", 60_001, &[]);
}

#[test]
fn an_offset_window_is_matched() {
    plays("generic-offset-window", "match", "generic-offset-window", 20_000, &[]);
}

#[test]
fn a_linear_area_is_matched() {
    plays("generic-linear", "match", "generic-linear", 30_001, &[]);
}

#[test]
fn file_records_are_staged() {
    plays("generic-file-record", "stage", "generic-file-record", 30_001, &[]);
}

#[test]
fn a_panasonic_battery_unit_is_staged() {
    plays("ocp-rackmon-panasonic", "stage", "rackmon", 96 * 100, &["--enter", "0xAA55", "--block", "96"]);
}

#[test]
fn a_delta_battery_unit_is_staged() {
    plays("ocp-rackmon-delta", "stage", "rackmon", 64 * 100, &["--enter", "0xA5A5", "--block", "64"]);
}

#[test]
fn a_ucw_bootloader_is_staged() {
    plays("ucw-bootloader", "stage", "ucw", 128 * 60, &[]);
}

#[test]
fn a_wiren_board_module_that_commits_by_itself_is_staged() {
    plays("wirenboard", "stage", "wirenboard", 32 + 136 * 30, &[]);
}

#[test]
fn a_minisign_signature_is_accepted_and_a_flipped_bit_names_its_place() {
    let (bench, plc) = bench_with("generic-file-record", "match");
    let dir = bench.dir.path();
    bench.write("new.bin", &image()[..9_000]);
    assert_eq!(run(dir, "minisign", &["-G", "-W", "-p", "mini.pub", "-s", "mini.key"]).code, 0);
    assert_eq!(run(dir, "minisign", &["-S", "-W", "-s", "mini.key", "-m", "new.bin"]).code, 0);
    let (code, text) = bench.refused(&["stage", "new.bin", "--plc", "pump-3"]);
    assert_eq!(code, 13, "the key is not trusted yet: {text}");
    bench.headgate(&["trust", "add", "mini.pub", "--name", "mini", "--vendor", "acme", "--model", "*"]);
    let staged = bench.json(&["stage", "new.bin", "--plc", "pump-3"]);
    assert_eq!(staged["staged"], true);
    bench.headgate(&["release", staged["digest"].as_str().expect("a digest"), "--plc", "pump-3"]);
    let (port, path) = (plc.conduit.port().to_string(), bench.path("new.bin").display().to_string());
    let said = python("station.py", &[&port, &path, "generic-file-record", "--flip", "5000"]);
    assert_eq!((said.code, said.text.trim()), (1, "block at 4800: exception 4"));
    let alarm = bench.wait_alarm("HG-6006");
    assert!(alarm["text"].as_str().is_some_and(|t| t.contains("offset 5000")), "{alarm}");
}

#[test]
fn mbpoll_reads_and_writes_process_values_but_not_the_update_window() {
    let (bench, plc) = bench_with("generic-file-record", "match");
    let read = mbpoll(plc.conduit, &["-r", "1", "-c", "10", "127.0.0.1"]);
    assert!(read.code == 0 && read.text.contains("[10]:"), "{}", read.text);
    let write = mbpoll(plc.conduit, &["-r", "50", "127.0.0.1", "77"]);
    assert_eq!(write.code, 0, "{}", write.text);
    let beyond = mbpoll(plc.conduit, &["-r", "150", "127.0.0.1", "77"]);
    assert!(beyond.text.contains("Illegal data address"), "{}", beyond.text);
    let window = mbpoll(plc.conduit, &["-r", "61441", "127.0.0.1", "1"]);
    assert!(window.text.contains("Illegal data address"), "{}", window.text);
    let other_unit = plc.exchange(255, &[6, 0xF0, 0, 0, 1]).expect("an answer");
    assert_eq!(other_unit, [0x86, 2], "many controllers do not look at the unit id");
    bench.wait_alarm("HG-6001");
    bench.wait_alarm("HG-6003");
}

#[test]
fn a_pymodbus_server_serves_as_controller() {
    let mut bench = Bench::new();
    let (target, conduit) = (free_address(), free_address());
    let mut server = start_python("controller.py", &[&target.port().to_string()]);
    wait_for(target);
    bench.plc("tank-1", "match", "generic-file-record", target, conduit);
    bench.start();
    let read = mbpoll(conduit, &["-r", "1", "-c", "3", "127.0.0.1"]);
    let write = mbpoll(conduit, &["-r", "5", "127.0.0.1", "1234"]);
    let again = mbpoll(conduit, &["-r", "5", "-c", "1", "127.0.0.1"]);
    server.kill().expect("it ran");
    server.wait().expect("it ended");
    assert!(read.code == 0 && read.text.contains("[1]: \t7"), "{}", read.text);
    assert_eq!(write.code, 0, "{}", write.text);
    assert!(again.text.contains("1234"), "{}", again.text);
}

#[test]
fn tpm2_tools_read_back_what_init_provisioned() {
    let bench = Bench::new();
    let epoch = bench.tpm2("tpm2_nvread", &["0x1801000", "-C", "0x1801000", "-s", "8"]);
    assert_eq!(epoch.len(), 8);
    assert!(u64::from_be_bytes(epoch.try_into().expect("eight bytes")) >= 1);
    let handles = bench.tpm2("tpm2_getcap", &["handles-persistent"]);
    assert!(String::from_utf8_lossy(&handles).contains("0x81000001"));
    for kind in ["handles-transient", "handles-loaded-session"] {
        assert!(bench.tpm2("tpm2_getcap", &[kind]).is_empty(), "{kind} left behind");
    }
}

#[test]
fn a_site_key_of_somebody_else_opens_nothing() {
    let bench = Bench::new();
    bench.headgate(&["site-key", "new", "--key", "thief.key", "--public", "thief.pub"]);
    bench.headgate(&["init", "--request-only", "--request", "request-2.json"]);
    bench.headgate(&["site-key", "sign", "request-2.json", "--key", "thief.key", "--out", "forged.json"]);
    let (code, text) = bench.refused(&["trust", "approve-pcrs", "forged.json"]);
    assert_eq!(code, 71, "{text}");
    let (code, text) = bench.refused(&["init", "--site-key", "thief.pub", "--request", "request-3.json"]);
    assert!(code == 2 && text.contains("provisioned already"), "{text}");
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let bench = Bench::new();
    let mut bench = bench;
    bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.write("image.bin", &image()[..1000]);
    bench.write("not-a-key", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let trust = |file| ["trust", "add", file, "--name", "x", "--vendor", "acme", "--model", "*"];
    let (code, text) = bench.refused(&trust("not-a-key"));
    assert!(code == 11 && text.contains("certificate"), "{code} {text}");
    assert_eq!(
        run(bench.dir.path(), "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "secret.pem"]).code,
        0
    );
    let (_, text) = bench.refused(&trust("secret.pem"));
    assert!(text.to_lowercase().contains("private key"), "{text}");
    let (code, text) = bench.refused(&["stage", "image.bin", "--plc", "pump-3"]);
    assert!(code == 10 && text.contains("HG-1001"), "no signature: {code} {text}");
    let (code, _) = bench.refused(&["stage", "image.bin", "--plc", "pump-3", "--signature", "not-a-key"]);
    assert_eq!(code, 11, "a signature file that is none");
    let (code, text) = bench.refused(&["stage", "image.bin", "--plc", "pump-9"]);
    assert!(code == 3 && text.contains("pump-3"), "{code} {text}");
    let (code, _) = bench.refused(&["release", "0123456789abcdef", "--plc", "pump-3"]);
    assert_eq!(code, 3);
    bench.configure("surprise = 1\n");
    let (code, text) = bench.refused(&["config", "check"]);
    assert!(code == 2 && text.contains("line") && text.contains("surprise"), "{code} {text}");
}

#[test]
fn tokio_modbus_speaks_through_the_gate() {
    use tokio_modbus::prelude::*;

    let (_bench, plc) = bench_with("generic-file-record", "match");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut station = tcp::connect_slave(plc.conduit, Slave(1)).await.expect("connected");
        station.write_multiple_registers(10, &[1, 2, 3]).await.expect("answered").expect("on the allow-list");
        let words = station.read_holding_registers(10, 3).await.expect("answered").expect("a read");
        assert_eq!(words, [1, 2, 3]);
        let beyond = station.write_single_register(100, 1).await.expect("answered");
        assert_eq!(beyond, Err(ExceptionCode::IllegalDataAddress));
        let identity = station.call(Request::ReadDeviceIdentification(ReadCode::Basic, 0)).await;
        assert!(matches!(identity, Ok(Ok(Response::ReadDeviceIdentification(_)))), "{identity:?}");
        let unknown = station.call(Request::Custom(0x5A, vec![0, 0x30].into())).await.expect("answered");
        assert!(matches!(unknown, Err(ExceptionCode::IllegalFunction)), "{unknown:?}");
    });
}

#[test]
fn an_observing_conduit_passes_everything_learns_and_says_what_it_would_have_done() {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    bench.trust_acme();
    bench.reconfigure("mode = \"enforce\"", "mode = \"observe\"");
    bench.start();
    for _ in 0..3 {
        assert_eq!(mbpoll(plc.conduit, &["-r", "11", "-c", "10", "127.0.0.1"]).code, 0);
    }
    assert_eq!(
        mbpoll(plc.conduit, &["-r", "151", "127.0.0.1", "7"]).code,
        0,
        "not on the list, but it passes"
    );
    bench.wait_alarm("HG-6001");
    let learned = eventually("the habits are kept", || {
        let text = bench.headgate(&["conduit", "learn", "pump-3"]);
        (text.contains("functions = [3]") && text.contains("functions = [6]")).then_some(text)
    });
    assert!(
        learned.contains("addresses = [\"10-19\"]") && learned.contains("addresses = [\"150\"]"),
        "{learned}"
    );
    bench.write("new.bin", &image()[..9_000]);
    let (port, path) = (plc.conduit.port().to_string(), bench.path("new.bin").display().to_string());
    let said = python("station.py", &[&port, &path, "generic-file-record"]);
    assert_eq!(said.code, 0, "an update nobody released passes, too: {}", said.text);
    plc.wait_flash(&image()[..9_000]);
    eventually("the case says what would have been done", || {
        bench.headgate(&["explain", "C-000001"]).contains("would have been refused: HG-4001").then_some(())
    });
    // The proposal is what the configuration takes.
    let proposal = learned.replace("unit = 1\n", "");
    bench.reconfigure("[[plc.allow]]\nfunctions = [\"reads\"]\n", &proposal);
    bench.headgate(&["config", "check"]);
}

#[test]
fn a_change_past_the_gate_is_noticed_and_stays_until_somebody_explains_it() {
    let (bench, plc) = bench_with("generic-file-record", "match");
    bench.wait_status("the identity is known", |s| s["plcs"][0]["identity"].is_string());
    bench.write("other.bin", &image()[..5_000]);
    let (port, path) = (plc.target.port().to_string(), bench.path("other.bin").display().to_string());
    assert_eq!(
        python("station.py", &[&port, &path, "generic-file-record"]).code,
        0,
        "somebody behind the gate"
    );
    let alarm = bench.wait_alarm("HG-6016");
    assert_eq!(alarm["latched"], true);
    let status = bench.json(&["status"]);
    assert!(!status["plcs"][0]["changed_outside"].is_null(), "{status}");
    bench.headgate(&["alarms", "ack", "pump-3", "HG-6016"]);
    let status = bench.json(&["status"]);
    assert!(status["plcs"][0]["changed_outside"].is_null(), "acknowledged: {status}");
}

#[test]
fn a_staged_image_waits_for_its_release_and_is_delivered_by_command() {
    let (bench, plc) = bench_with("ocp-rackmon-panasonic", "stage");
    let new = image()[..96 * 50].to_vec();
    bench.write("new.bin", &new);
    let (port, path) = (plc.conduit.port().to_string(), bench.path("new.bin").display().to_string());
    let said = python("station.py", &[&port, &path, "rackmon"]);
    assert_eq!(said.code, 1, "nobody released it: {}", said.text);
    let vault = bench.json(&["vault", "list"]);
    assert_eq!(vault["quarantine"][0]["refused"][0], "HG-4001", "it is kept for a look: {vault}");
    let digest = bench.release("new.bin", &new, "pump-3");
    bench.headgate(&["withdraw", &digest, "--plc", "pump-3"]);
    let (code, text) = bench.refused(&["deliver", &digest, "--plc", "pump-3"]);
    assert!(code == 60, "withdrawn: {code} {text}");
    bench.headgate(&["release", &digest, "--plc", "pump-3", "--station", "127.0.0.1"]);
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&new);
    bench.wait_status("the case is closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    let (code, text) = bench.refused(&["deliver", &digest, "--plc", "pump-3"]);
    assert!(code == 60 && text.contains("HG-4004"), "used up: {code} {text}");
}

#[test]
fn a_delivery_that_cannot_go_on_gives_way_to_another_verified_image() {
    let (mut bench, plc) = bench_with("ocp-rackmon-panasonic", "stage");
    let (first, second) = (image()[..96 * 1500].to_vec(), image()[96..96 * 51].to_vec());
    let digest = bench.release("first.bin", &first, "pump-3");
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    eventually("the old firmware is gone", || plc.flash().is_empty().then_some(()));
    bench.kill();
    // While the gateway is down its signer loses the site's trust: the image may not be finished.
    let trusted = bench.json(&["trust", "show"]);
    bench.headgate(&["trust", "remove", trusted["anchors"][0]["id"].as_str().expect("an id")]);
    bench.start();
    assert_eq!(bench.wait_alarm("HG-6018")["latched"], true);
    assert!(plc.flash().is_empty(), "nothing unverified is delivered, even now");
    bench.trust_acme();
    let digest = bench.release("second.bin", &second, "pump-3");
    bench.headgate(&["deliver", &digest, "--plc", "pump-3"]);
    plc.wait_flash(&second);
    bench.wait_status("both cases are closed", |s| s["open_cases"].as_array().is_some_and(Vec::is_empty));
    assert!(bench.headgate(&["explain", "C-000001"]).contains("given up for C-000002"));
}
