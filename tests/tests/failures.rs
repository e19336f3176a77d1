//! The failure contract, row by row: what breaks, what passes, what is refused, what is said.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use headgate_tests::peers::{mbpoll, python, run};
use headgate_tests::{Bench, Plc, alarm, connect, digest, eventually, exchange, image};

const READ: &[u8] = &[3, 0, 0, 0, 10];
const BEGIN: &[u8] = &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, 0x10, 0];

fn old_firmware() -> Vec<u8> {
    image().iter().take(2048).map(|b| b ^ 0x5A).collect()
}

/// A gateway in `match` with one released image of `len` bytes called `new.bin`.
fn bench(len: usize) -> (Bench, Plc, Vec<u8>) {
    prepare(Bench::new(), len)
}

fn prepare(mut bench: Bench, len: usize) -> (Bench, Plc, Vec<u8>) {
    let plc = bench.controller("pump-3", "generic-file-record", "match", &old_firmware());
    let new = image()[..len].to_vec();
    bench.write("new.bin", &new);
    let dir = bench.dir.path();
    assert_eq!(run(dir, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "acme.pem"]).code, 0);
    assert_eq!(run(dir, "openssl", &["pkey", "-in", "acme.pem", "-pubout", "-out", "acme.pub"]).code, 0);
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", "new.bin", "-out", "new.bin.sig"];
    assert_eq!(run(dir, "openssl", &sign).code, 0);
    bench.headgate(&["trust", "add", "acme.pub", "--name", "acme", "--vendor", "acme", "--model", "px-200"]);
    bench.headgate(&["stage", "new.bin", "--plc", "pump-3"]);
    bench.headgate(&["release", &gateway::vault::hex(&digest(&new)), "--plc", "pump-3"]);
    bench.start();
    eventually("the controller is connected", || plc.exchange(1, READ).ok().filter(|r| r[0] == 3));
    (bench, plc, new)
}

fn reads_pass(plc: &Plc) {
    let reply = plc.exchange(1, READ).expect("an answer");
    assert_eq!(reply[0], 3, "process reads pass: {reply:02x?}");
}

fn updates_are_refused(plc: &Plc) {
    let reply = plc.exchange(1, BEGIN).expect("an answer");
    assert_eq!(reply[0], 0x90, "an update is refused: {reply:02x?}");
}

#[test]
fn a_dead_tpm_shuts_the_gate_and_nothing_else() {
    let (mut bench, plc, _) = bench(1000);
    bench.tpm.kill();
    let status = bench.wait_status("the gate shuts", |s| s["gate"]["open"] == false);
    assert_eq!(status["gate"]["code"], "HG-7001");
    assert_eq!(bench.wait_alarm("HG-7001")["latched"], true);
    reads_pass(&plc);
    updates_are_refused(&plc);
}

#[test]
fn another_boot_state_shuts_the_gate_while_it_runs_and_after_a_restart() {
    let (mut bench, plc, _) = bench(1000);
    bench.extend(4, "another kernel");
    let status = bench.wait_status("the gate shuts", |s| s["gate"]["open"] == false);
    assert_eq!(status["gate"]["code"], "HG-7002");
    reads_pass(&plc);
    bench.kill();
    bench.start_anyhow();
    let status = bench.wait_status("the TPM refuses", |s| s["gate"]["code"] == "HG-7002");
    assert!(status["gate"]["text"].as_str().is_some_and(|t| t.contains("0x000001c4")), "{status}");
    eventually("reads pass again", || plc.exchange(1, READ).ok().filter(|r| r[0] == 3));
    updates_are_refused(&plc);
}

#[test]
fn kill_9_in_a_download_leaves_the_old_firmware_and_reads_are_back_within_a_second() {
    let (mut bench, plc, new) = bench(40_000);
    let mut socket = connect(plc.conduit);
    let len = (new.len() as u32).to_be_bytes();
    let begin = [&[16, 0xF0, 0, 0, 3, 6, 0, 1][..], &len].concat();
    assert_eq!(exchange(&mut socket, 1, &begin).expect("an answer")[0], 16);
    for record in 0..50u16 {
        let at = usize::from(record) * 200;
        let mut pdu = vec![21, 207, 6, 0, 1, 0, 0, 0, 100];
        pdu[5..7].copy_from_slice(&(record * 100).to_be_bytes());
        pdu.extend_from_slice(&new[at..at + 200]);
        assert_eq!(exchange(&mut socket, 1, &pdu).expect("an answer"), pdu, "a block passes");
    }
    bench.kill();
    assert_eq!(plc.flash(), old_firmware());
    bench.start_anyhow();
    let start = Instant::now();
    eventually("reads pass", || {
        let mut socket = std::net::TcpStream::connect(plc.conduit).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        exchange(&mut socket, 1, READ).ok().filter(|r| r[0] == 3)
    });
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let commit = plc.exchange(1, &[6, 0xF0, 0, 0, 2]).expect("an answer");
    assert_eq!(commit, [0x86, 2], "the half transfer cannot be committed");
    bench.wait_status("the gate opens", |s| s["gate"]["open"] == true);
    let case = bench.headgate(&["explain", "C-000001"]);
    assert!(case.contains("aborted") && case.contains("restarted"), "{case}");
    let (port, path) = (plc.conduit.port().to_string(), bench.path("new.bin").display().to_string());
    assert_eq!(python("station.py", &[&port, &path, "generic-file-record"]).code, 0);
    plc.wait_flash(&new);
}

#[test]
fn an_image_altered_on_disk_is_never_delivered() {
    let (bench, plc, new) = bench(20_000);
    let stored = bench.path(&format!("data/vault/{}.img", gateway::vault::hex(&digest(&new))));
    let mut bytes = std::fs::read(&stored).expect("the vault's file");
    bytes[10_000] ^= 1;
    std::fs::write(&stored, &bytes).expect("writable");
    updates_are_refused(&plc);
    bench.wait_alarm("HG-7006");
    assert_eq!(plc.flash(), old_firmware());
    reads_pass(&plc);
}

#[test]
fn a_damaged_state_refuses_firmware_and_passes_process_traffic() {
    let (mut bench, plc, _) = bench(1000);
    bench.kill();
    let path = bench.path("data/state.db");
    let whole = std::fs::read(&path).expect("the state");
    for (what, bytes) in [("cut", whole[..whole.len() / 3].to_vec()), ("overwritten", vec![0x41; 9000])] {
        std::fs::write(&path, &bytes).expect("writable");
        bench.start_anyhow();
        eventually("reads pass", || plc.exchange(1, READ).ok().filter(|r| r[0] == 3));
        updates_are_refused(&plc);
        let (code, text) = bench.refused(&["status"]);
        assert!(code == 71 && text.contains("HG-7005"), "{what}: {code} {text}");
        bench.kill();
    }
    std::fs::remove_file(&path).expect("it is there");
    let (code, text) = bench.refused(&["status"]);
    assert!(code == 71 && text.contains("HG-7005"), "gone is not new: {code} {text}");
}

#[test]
fn a_full_disk_refuses_firmware_tells_why_and_passes_process_traffic() {
    let Some(bench) = Bench::on_disk(96 << 20) else { return };
    let (mut bench, plc, new) = prepare(bench, 20_000);
    let ballast = bench.disk.as_ref().expect("made with one").fill();
    bench.write("more.bin", &image()[20_000..60_000]);
    let dir = bench.dir.path();
    let sign =
        ["pkeyutl", "-sign", "-rawin", "-inkey", "acme.pem", "-in", "more.bin", "-out", "more.bin.sig"];
    assert_eq!(run(dir, "openssl", &sign).code, 0);
    let (code, text) = bench.refused(&["stage", "more.bin", "--plc", "pump-3"]);
    assert!(code == 70 && text.contains("HG-7007"), "{code} {text}");
    // The rows that the log has room for are still written; one of these meets its end.
    for n in 0..3000 {
        if plc.exchange(1, BEGIN).expect("an answer")[0] == 0x90 {
            println!("update {n} was refused");
            break;
        }
        plc.exchange(1, &[6, 0xF0, 0, 0, 3]).expect("an answer");
    }
    updates_are_refused(&plc);
    reads_pass(&plc);
    assert_eq!(plc.flash(), old_firmware());
    bench.wait_alarm("HG-7007");
    // It also starts like that.
    bench.kill();
    bench.start_anyhow();
    eventually("reads pass", || plc.exchange(1, READ).ok().filter(|r| r[0] == 3));
    assert_eq!(plc.flash(), old_firmware());
    // With room again, everything works without a restart.
    std::fs::remove_file(ballast).expect("it is there");
    bench.wait_status("the gate opens", |s| s["gate"]["open"] == true);
    bench.headgate(&["stage", "more.bin", "--plc", "pump-3"]);
    let (port, path) = (plc.conduit.port().to_string(), bench.path("new.bin").display().to_string());
    assert_eq!(python("station.py", &[&port, &path, "generic-file-record"]).code, 0);
    plc.wait_flash(&new);
}

#[test]
fn a_trust_store_from_elsewhere_or_an_old_one_shuts_the_gate() {
    let (mut bench, plc, _) = bench(1000);
    bench.kill();
    let path = bench.path("data/trust.sealed");
    let first = std::fs::read(&path).expect("the trust store");
    bench.write("more.pub", &[9; 32]);
    let other = Bench::new();
    let dir = other.dir.path();
    assert_eq!(run(dir, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "x.pem"]).code, 0);
    assert_eq!(run(dir, "openssl", &["pkey", "-in", "x.pem", "-pubout", "-out", "x.pub"]).code, 0);
    let key = std::fs::read(other.path("x.pub")).expect("a key");
    bench.write("x.pub", &key);
    for b in [&bench, &other] {
        b.headgate(&["trust", "add", "x.pub", "--name", "x", "--vendor", "acme", "--model", "*"]);
    }
    for (what, code, bytes) in [
        ("an old copy", "HG-7011", first.clone()),
        ("another gateway's", "HG-7004", std::fs::read(other.path("data/trust.sealed")).expect("its store")),
        ("a cut one", "HG-7004", first[..first.len() / 2].to_vec()),
    ] {
        std::fs::write(&path, bytes).expect("writable");
        bench.start_anyhow();
        let status = bench.wait_status(what, |s| s["gate"]["code"] == code);
        assert_eq!(status["gate"]["open"], false, "{what}");
        eventually("reads pass", || plc.exchange(1, READ).ok().filter(|r| r[0] == 3));
        bench.kill();
    }
}

#[test]
fn malformed_streams_close_their_own_connection_only() {
    let (bench, plc, _) = bench(1000);
    let mut good = connect(plc.conduit);
    let bad: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 1, 0, 0, 0, 0, 1],
        &[0, 1, 0, 0, 0, 255, 1, 3],
        &[0, 1, 0, 9, 0, 6, 1, 3, 0, 0, 0, 1],
        &[0xFF; 600],
    ];
    for bytes in bad {
        let mut socket = connect(plc.conduit);
        socket.write_all(bytes).expect("sent");
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.is_empty(), "nothing is answered: {rest:02x?}");
        assert_eq!(exchange(&mut good, 1, READ).expect("an answer")[0], 3, "others pass");
    }
    let alarm = bench.wait_alarm("HG-6014");
    assert!(alarm["count"].as_u64().is_some_and(|n| n >= 1), "{alarm}");
    let wrong_size = exchange(&mut good, 1, &[3, 0, 0, 0, 126]).expect("an answer");
    assert_eq!(wrong_size, [0x83, 3], "a request that breaks its own rules is exception 03");
}

#[test]
fn split_and_merged_frames_are_the_same_conversation() {
    let (_bench, plc, _) = bench(1000);
    let mut socket = connect(plc.conduit);
    let mut frames = Vec::new();
    for tid in 0..12u16 {
        gateway::protocol::modbus::frame::append(&mut frames, tid, 1, READ);
    }
    for piece in frames.chunks(5) {
        socket.write_all(piece).expect("sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut replies = vec![0; 12 * (7 + 2 + 20)];
    socket.read_exact(&mut replies).expect("twelve replies");
    let tids: Vec<u16> = replies.chunks(29).map(|r| u16::from_be_bytes([r[0], r[1]])).collect();
    assert_eq!(tids, (0..12).collect::<Vec<_>>(), "in the order of the requests");
}

#[test]
fn half_open_connections_do_not_stop_those_that_work() {
    let (bench, plc, _) = bench(1000);
    let mut good = connect(plc.conduit);
    assert_eq!(exchange(&mut good, 1, READ).expect("an answer")[0], 3);
    let mut idle = Vec::new();
    for n in 0..10_000 {
        if let Ok(mut socket) = std::net::TcpStream::connect_timeout(&plc.conduit, Duration::from_millis(500))
        {
            let _ = socket.write_all(&[0, 1, 0]); // half a header, then silence
            idle.push(socket);
        }
        if idle.len() > 400 {
            idle.remove(0);
        }
        if n % 1000 == 0 {
            assert_eq!(exchange(&mut good, 1, READ).expect("an answer")[0], 3, "after {n} connections");
        }
    }
    assert_eq!(exchange(&mut good, 1, READ).expect("an answer")[0], 3);
    bench.wait_alarm("HG-6015");
    let status = std::fs::read_to_string(format!("/proc/{}/status", bench.pid())).expect("it runs");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("a figure");
    let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(kib < 128 * 1024, "peak memory {kib} KiB");
}

#[test]
fn a_million_refused_frames_cause_no_nv_increment_and_no_signature() {
    let (bench, plc, _) = bench(1000);
    let before = bench.json(&["status"])["tpm_usage"].clone();
    let counter = bench.tpm2("tpm2_nvread", &["0x1801000", "-C", "0x1801000", "-s", "8"]);
    let mut socket = connect(plc.conduit);
    let mut batch = Vec::new();
    for tid in 0..16u16 {
        let pdu: &[u8] = if tid % 2 == 0 { &[6, 0xF0, 0, 0, 2] } else { &[90, 0, 0x30] };
        gateway::protocol::modbus::frame::append(&mut batch, tid, 1, pdu);
    }
    let mut replies = vec![0; 16 * 9];
    for _ in 0..1_000_000 / 16 {
        socket.write_all(&batch).expect("sent");
        socket.read_exact(&mut replies).expect("sixteen refusals");
    }
    assert!(replies.chunks(9).all(|r| r[7] & 0x80 != 0), "{replies:02x?}");
    reads_pass(&plc);
    let status = bench.wait_status("the flood is counted", |s| {
        alarm(s, "HG-6002").is_some() && alarm(s, "HG-6004").is_some()
    });
    assert_eq!(status["tpm_usage"][0], before[0], "NV increments");
    assert_eq!(status["tpm_usage"][1], before[1], "signatures");
    let after = bench.tpm2("tpm2_nvread", &["0x1801000", "-C", "0x1801000", "-s", "8"]);
    assert_eq!(after, counter, "the TPM's own counter");
    assert!(status["outbox"].as_u64().is_some_and(|n| n < 10_000), "{}", status["outbox"]);
}

#[test]
fn a_silent_controller_is_told_as_such_and_comes_back() {
    let mut bench = Bench::new();
    let target = headgate_tests::free_address();
    let conduit = headgate_tests::free_address();
    bench.plc("ghost", "match", "generic-file-record", target, conduit);
    bench.start();
    let said = mbpoll(conduit, &["-o", "3", "-r", "1", "-c", "1", "127.0.0.1"]);
    assert!(said.code != 0 || said.text.contains("fail"), "{}", said.text);
    let mut socket = connect(conduit);
    assert_eq!(
        exchange(&mut socket, 1, READ).expect("an answer"),
        [0x83, 0x0B],
        "gateway target failed to respond"
    );
}
