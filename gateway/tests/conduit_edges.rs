//! What a fuzzer once found in the conduit, kept.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gateway::config::profiles;
use gateway::protocol::modbus::conduit::{Conduit, Event, SessionId, Settings};
use gateway::protocol::modbus::frame;
use gateway::protocol::modbus::update::Update;
use gateway::reasons;
use gateway::shield::allow::{AllowList, Rule};
use gateway::transfer::engine::Way;
use gateway::transfer::event::{Answer, CaseId, Outcome, Question, Station};
use hal::clock::Mono;

const NOW: Mono = Mono(1);

/// An enforcing conduit with its controller connected and one station; process traffic is allowed.
fn conduit(profile: &str, way: Way) -> (Conduit, SessionId) {
    let settings = Settings {
        unit: 1,
        way,
        enforce: true,
        max_stations: 2,
        safety: false,
        max_per_address: 2,
        longest_transfer: Duration::from_secs(3600),
        in_flight: 4,
        reply: Duration::from_secs(1),
        poll_every: None,
    };
    let allow = Rule { unit: 1, functions: (1..128).collect(), addresses: vec![], stations: vec![] };
    let update = Update::new(profiles::find(profile, &[]).unwrap(), Vec::new());
    let mut conduit = Conduit::new(settings, AllowList::new(vec![allow]), Some(update), NOW);
    conduit.controller_connected(NOW);
    let station = conduit.station_connected(Station(IpAddr::V4(Ipv4Addr::LOCALHOST))).unwrap();
    (conduit, station)
}

fn send(conduit: &mut Conduit, station: SessionId, tid: u16, pdu: &[u8]) {
    let mut adu = Vec::new();
    frame::append(&mut adu, tid, 1, pdu);
    conduit.station_received(station, &adu, NOW);
}

#[test]
fn an_opening_step_does_not_pass_when_nothing_is_released() {
    let (mut conduit, station) = conduit("generic-file-record", Way::Match);
    send(&mut conduit, station, 7, &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, 0, 16]);
    let asked = conduit.take_events();
    let [Event::Ask(id, Question::Open { .. })] = asked[..] else { panic!("{asked:?}") };
    conduit.answer(id, Answer::Opened { case: CaseId(1), released: Vec::new() }, NOW);
    assert!(conduit.controller_output().is_empty(), "the controller is not told to open");
    assert_eq!(conduit.station_output(station).unwrap()[7..], [0x90, 4], "the tool is refused");
    let said = conduit.take_events();
    let [Event::Ask(0, Question::End { case: CaseId(1), outcome: Outcome::Refused(why), .. })] = &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!(why.code, reasons::NOTHING_RELEASED);
}
