//! The conduit's own duties: nobody waits for ever, nobody is forgotten, everything in order.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::protocol::modbus::profile::Profile;
use crate::shield::allow::{Functions, Rule};
use crate::transfer::engine::Way;
use crate::transfer::engine::tests::released;
use std::sync::Arc;
use std::time::Duration;

const REPLY: Duration = Duration::from_secs(1);
const READ: [u8; 5] = [3, 0, 0, 0, 1];
/// Refused by the gateway itself.
const DENIED: [u8; 5] = [6, 0, 0, 0, 1];
const BEGIN: [u8; 12] = [16, 0xF2, 0, 0, 3, 6, 0, 1, 0, 0, 0, 8];

fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

fn conduit(way: Way, in_flight: usize) -> Conduit {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/profiles/generic-linear.toml");
    let profile = Profile::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let reads = Rule { unit: 1, functions: Functions::reads(), addresses: vec![], stations: vec![] };
    let settings = Settings {
        unit: 1,
        way,
        enforce: true,
        max_stations: 4,
        safety: false,
        max_per_address: 3,
        longest_transfer: Duration::from_secs(60),
        in_flight,
        reply: REPLY,
        poll_every: None,
    };
    let update = Update::new(Arc::new(profile), vec![]);
    let mut conduit = Conduit::new(settings, AllowList::new(vec![reads]), Some(update), at(0));
    conduit.controller_connected(at(0));
    conduit
}

fn station(conduit: &mut Conduit, n: u8) -> SessionId {
    conduit.station_connected(Station([127, 0, 0, n].into())).unwrap()
}

fn ask(conduit: &mut Conduit, id: SessionId, pdus: &[&[u8]], now: Mono) {
    let mut bytes = Vec::new();
    for (tid, pdu) in pdus.iter().enumerate() {
        frame::append(&mut bytes, tid as u16, 1, pdu);
    }
    conduit.station_received(id, &bytes, now);
}

/// Function codes of the frames in `bytes`, each with its transaction id.
fn frames(bytes: &mut Vec<u8>) -> Vec<(u16, u8)> {
    let (mut rest, mut all) = (&bytes[..], Vec::new());
    while let Some((frame, used)) = frame::first(rest).unwrap() {
        all.push((frame.tid, frame.pdu[0]));
        rest = &rest[used..];
    }
    bytes.clear();
    all
}

/// The controller answers everything it was sent; how many requests that were.
fn answer_all(conduit: &mut Conduit, now: Mono) -> usize {
    let asked = frames(conduit.controller_output());
    for (tid, function) in &asked {
        let mut reply = Vec::new();
        let pdu: &[u8] = if *function == 3 { &[3, 2, 0, 7] } else { &[*function, 0, 0, 0, 0] };
        frame::append(&mut reply, *tid, 1, pdu);
        conduit.controller_received(&reply, now);
    }
    asked.len()
}

fn asked(conduit: &mut Conduit) -> Vec<(u32, Question)> {
    let events = conduit.take_events().into_iter();
    events.filter_map(|e| if let Event::Ask(id, q) = e { Some((id, q)) } else { None }).collect()
}

#[test]
fn every_request_is_answered_in_order_however_many_come_at_once() {
    /// What is asked, and how often.
    type Part = (&'static [u8], usize);
    let cases: &[(&str, usize, &[Part])] = &[
        ("more than one connection may have under way", 16, &[(&READ, 40)]),
        ("one to the controller, many refused behind it", 4, &[(&READ, 1), (&DENIED, 60), (&READ, 3)]),
        ("one at a time", 1, &[(&READ, 20), (&DENIED, 20), (&READ, 5)]),
    ];
    for (what, in_flight, parts) in cases {
        let mut conduit = conduit(Way::Match, *in_flight);
        let (first, second) = (station(&mut conduit, 1), station(&mut conduit, 2));
        let pdus: Vec<&[u8]> = parts.iter().flat_map(|(pdu, n)| std::iter::repeat_n(*pdu, *n)).collect();
        ask(&mut conduit, first, &pdus, at(0));
        ask(&mut conduit, second, &pdus, at(0));
        while answer_all(&mut conduit, at(1)) > 0 {}
        for id in [first, second] {
            let tids: Vec<u16> =
                frames(conduit.station_output(id).unwrap()).into_iter().map(|(tid, _)| tid).collect();
            assert_eq!(tids, (0..pdus.len() as u16).collect::<Vec<_>>(), "{what}");
        }
    }
}

#[test]
fn two_stations_that_wait_for_room_take_turns() {
    let mut conduit = conduit(Way::Match, 1);
    let ids = [station(&mut conduit, 1), station(&mut conduit, 2)];
    ids.iter().for_each(|id| ask(&mut conduit, *id, &[&READ[..]; 10], at(0)));
    (0..10).for_each(|_| assert_eq!(answer_all(&mut conduit, at(1)), 1));
    for id in ids {
        let answered = frames(conduit.station_output(id).unwrap()).len();
        assert!((4..=6).contains(&answered), "{answered} of 10 answers");
    }
}

#[test]
fn one_address_cannot_take_every_place() {
    let mut conduit = conduit(Way::Match, 1);
    let mut places: Vec<SessionId> = (0..3).map(|_| station(&mut conduit, 1)).collect();
    let connect =
        |conduit: &mut Conduit, n: u8| conduit.station_connected(Station([127, 0, 0, n].into())).is_some();
    assert!(!connect(&mut conduit, 1), "its share is taken");
    let [report] = &conduit.take_reports()[..] else { panic!("one report") };
    assert_eq!((report.code, report.count), (why::TOO_MANY_STATIONS, 1));
    assert!(report.expected.contains("at most 3 connections from one address"), "{}", report.expected);
    assert!(connect(&mut conduit, 2), "the last place is another's");
    assert!(!connect(&mut conduit, 3), "now the conduit is full");
    assert!(conduit.take_reports()[0].expected.contains("at most 4 connections"));
    conduit.station_closed(places.remove(0));
    assert!(connect(&mut conduit, 1), "a place that was given back counts no more");
}

#[test]
fn a_delivery_by_command_asks_for_its_record_at_once() {
    let mut conduit = conduit(Way::Stage, 1);
    conduit.deliver(CaseId(1), released(b"abcdefgh"), false, at(0)).unwrap();
    for _ in 0..20 {
        answer_all(&mut conduit, at(10));
        conduit.expire(at(10));
        if let Some((_, Question::PastNoReturn { .. })) = asked(&mut conduit).pop() {
            return;
        }
    }
    panic!("the commit waits for a record nobody was asked for");
}

#[test]
fn a_station_that_leaves_does_not_shorten_the_time_of_a_delivery() {
    let mut conduit = conduit(Way::Stage, 1);
    let id = station(&mut conduit, 1);
    conduit.controller_disconnected(at(90_000));
    conduit.deliver(CaseId(1), released(b"abcdefgh"), true, at(90_000)).unwrap();
    conduit.controller_connected(at(90_100));
    conduit.station_closed(id);
    assert!(conduit.deadline().unwrap() >= at(90_100) + REPLY);
}

#[test]
fn an_opening_step_the_judge_refuses_is_answered() {
    let mut conduit = conduit(Way::Match, 1);
    let id = station(&mut conduit, 1);
    ask(&mut conduit, id, &[&BEGIN], at(0));
    let (number, _) = asked(&mut conduit).pop().unwrap();
    let refusal = Refusal { code: why::NOTHING_RELEASED, case: None, found: "".into(), expected: "".into() };
    conduit.answer(number, Answer::Refused(refusal), at(1));
    assert_eq!(frames(conduit.station_output(id).unwrap()), [(0, 0x90)]);
    assert!(asked(&mut conduit).is_empty(), "and not asked again");
}

#[test]
fn no_chunk_passes_until_the_controller_took_the_opening_step() {
    let chunk: &[u8] = &[16, 0x40, 0, 0, 1, 2, b'a', b'b'];
    let cases: &[(&str, Option<&[u8]>, u8)] = &[
        ("it took it", Some(&[16, 0xF2, 0, 0, 3]), 16),
        ("it refused it", Some(&[0x90, 6]), 0),
        ("it said nothing", None, 0),
    ];
    for (what, reply, passed) in cases {
        let mut conduit = conduit(Way::Match, 4);
        let id = station(&mut conduit, 1);
        ask(&mut conduit, id, &[&BEGIN, chunk], at(0));
        let (number, _) = asked(&mut conduit).pop().unwrap();
        let released = vec![released(b"abcdefgh")];
        conduit.answer(number, Answer::Opened { case: CaseId(1), released }, at(1));
        let sent = frames(conduit.controller_output());
        assert_eq!(sent.len(), 1, "{what}: the chunk waits");
        if let Some(pdu) = reply {
            let mut adu = Vec::new();
            frame::append(&mut adu, sent[0].0, 1, pdu);
            conduit.controller_received(&adu, at(2));
        } else {
            conduit.expire(at(1) + REPLY);
        }
        let functions = frames(conduit.controller_output()).first().map_or(0, |f| f.1);
        assert_eq!(functions, *passed, "{what}");
    }
}

#[test]
fn what_is_owed_goes_out_before_a_broken_connection_closes() {
    let mut conduit = conduit(Way::Match, 4);
    let id = station(&mut conduit, 1);
    ask(&mut conduit, id, &[&READ], at(0));
    conduit.station_received(id, b"GET / HTTP/1.1", at(0));
    assert!(!conduit.is_broken(id), "a reply is still owed");
    answer_all(&mut conduit, at(1));
    assert_eq!(frames(conduit.station_output(id).unwrap()), [(0, 3)]);
    assert!(conduit.is_broken(id));
}

#[test]
fn a_conduit_without_a_profile_sleeps() {
    let settings = Settings { poll_every: Some(REPLY), ..conduit(Way::Match, 1).settings };
    let mut conduit = Conduit::new(settings, AllowList::default(), None, at(0));
    conduit.controller_connected(at(0));
    assert_eq!(conduit.deadline(), None);
    let refused = conduit.deliver(CaseId(1), released(b"abcdefgh"), false, at(0));
    assert_eq!(refused.unwrap_err().code, why::CONTROLLER_REFUSED);
}

#[test]
fn a_refusal_names_what_would_have_passed() {
    let cases: &[(&str, &[u8], hal::reason::ReasonCode, &str)] = &[
        ("a function that no list can name", &[90, 1], why::FUNCTION_DENIED, "this one never passes"),
        ("a restart", &[8, 0, 1, 0, 0], why::FUNCTION_DENIED, "this one never passes"),
        ("silence", &[8, 0, 4, 0, 0], why::DROPPED, "a request that the standard answers"),
        ("an access that a list could name", &DENIED, why::PROCESS_DENIED, "an access on the allow-list"),
    ];
    for (what, pdu, code, expected) in cases {
        let mut conduit = conduit(Way::Match, 1);
        let id = station(&mut conduit, 1);
        ask(&mut conduit, id, &[pdu], at(0));
        let [report] = &conduit.take_reports()[..] else { panic!("{what}: one report") };
        assert_eq!(report.code, *code, "{what}");
        assert!(report.expected.contains(expected), "{what}: {}", report.expected);
    }
}

#[test]
fn nothing_that_programs_a_safety_controller_passes_although_a_list_names_it() {
    let functions: Functions = [3, 21].into_iter().collect();
    let rule = Rule { unit: 1, functions, addresses: vec![], stations: vec![] };
    let settings = Settings { safety: true, ..conduit(Way::Stage, 1).settings };
    let file: &[u8] = &[21, 9, 6, 0, 1, 0, 0, 0, 1, 0xAB, 0xCD];
    for (what, pdu, code) in [
        ("a read", &[3, 0, 0, 0, 1][..], None),
        ("a file record", file, Some(why::SAFETY)),
        ("a function of a vendor", &[90, 1], Some(why::SAFETY)),
        ("a restart", &[8, 0, 1, 0, 0], Some(why::SAFETY)),
    ] {
        let mut conduit = Conduit::new(settings, AllowList::new(vec![rule.clone()]), None, at(0));
        conduit.controller_connected(at(0));
        let id = station(&mut conduit, 1);
        ask(&mut conduit, id, &[pdu], at(0));
        assert_eq!(conduit.take_reports().first().map(|r| r.code), code, "{what}");
    }
}
