//! What one station may take of a conduit: neither its time nor its places, so that another one is served.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use headgate_tests::{Bench, Plc, connect, eventually, exchange, image};

const READ: &[u8] = &[3, 0, 0, 0, 10];
const LEN: u16 = 4000;
const BEGIN: &[u8] = &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, LEN.to_be_bytes()[0], LEN.to_be_bytes()[1]];

fn old_firmware() -> Vec<u8> {
    image().iter().take(2048).map(|b| b ^ 0x5A).collect()
}

/// A gateway in `way` with one released image, and `keys` in its route.
fn bench(way: &str, keys: &str) -> (Bench, Plc) {
    let mut bench = Bench::new();
    let plc = bench.controller("pump-3", "generic-file-record", way, &old_firmware());
    bench.reconfigure("in_flight = 8\n", &format!("in_flight = 8\n{keys}"));
    bench.trust_acme();
    bench.release("new.bin", &image()[..usize::from(LEN)], "pump-3");
    bench.start();
    eventually("the controller is connected", || plc.exchange(1, READ).ok().filter(|r| r[0] == 3));
    (bench, plc)
}

/// A connection from 127.0.0.`host`.
fn station(host: u8, plc: &Plc) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).expect("a loopback address");
    socket.connect(&plc.conduit.into()).expect("somebody listens");
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    socket
}

/// FC 21: the first two bytes of the released image, again and again.
fn first_record() -> Vec<u8> {
    let mut pdu = vec![21, 9, 6, 0, 1, 0, 0, 0, 1];
    pdu.extend_from_slice(&image()[..2]);
    pdu
}

fn a_trickle_ends(way: &str) {
    let (bench, plc) = bench(way, "transfer_s = 2\n");
    let mut slow = station(1, &plc);
    let mut other = station(2, &plc);
    assert_eq!(exchange(&mut slow, 1, BEGIN).expect("an answer")[0], 16);
    assert_eq!(exchange(&mut other, 1, BEGIN).expect("an answer"), [0x90, 6], "one at a time");
    let refused = eventually("the transfer is ended", || {
        let reply = exchange(&mut slow, 1, &first_record()).expect("an answer");
        (reply != first_record()).then_some(reply)
    });
    assert_eq!(refused, [0x95, 4], "device failure: a tool stops at once");
    let case = bench.headgate(&["explain", "C-000001"]);
    assert!(case.contains("refused HG-6021") && case.contains("no commit after 2 s"), "{case}");
    bench.wait_alarm("HG-6021");
    assert_eq!(exchange(&mut slow, 1, BEGIN).expect("an answer"), [0x90, 4], "others have a turn first");
    assert_eq!(exchange(&mut other, 1, BEGIN).expect("an answer")[0], 16, "and this one takes it");
    assert_eq!(exchange(&mut slow, 1, READ).expect("an answer")[0], 3, "process traffic passes");
    assert_eq!(plc.flash(), old_firmware());
}

#[test]
fn a_matched_transfer_that_never_ends_is_ended_and_another_station_has_its_turn() {
    a_trickle_ends("match");
}

#[test]
fn a_staged_transfer_that_never_ends_is_ended_and_another_station_has_its_turn() {
    a_trickle_ends("stage");
}

#[test]
fn ten_thousand_half_open_connections_of_one_address_leave_places_for_another() {
    let (bench, plc) = bench("match", "");
    let mut held = Vec::new();
    for n in 0..10_000 {
        if let Ok(mut socket) = TcpStream::connect_timeout(&plc.conduit, Duration::from_millis(500)) {
            let _ = socket.write_all(&[0, 1, 0]); // half a header, then silence
            held.push(socket);
        }
        // The oldest ones are those that were taken in: they stay.
        if held.len() > 400 {
            held.pop();
        }
        if n % 1000 == 999 {
            let mut other = station(2, &plc);
            assert_eq!(exchange(&mut other, 1, READ).expect("an answer")[0], 3, "after {n} connections");
        }
    }
    let alarm = bench.wait_alarm("HG-6015");
    let text = alarm["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("127.0.0.1") && text.contains("at most 32 connections from one address"),
        "{alarm}"
    );
    drop(held);
    eventually("places given back can be had again", || {
        exchange(&mut connect(plc.conduit), 1, READ).ok().filter(|r| r[0] == 3)
    });
}
