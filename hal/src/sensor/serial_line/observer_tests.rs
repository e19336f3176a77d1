use proptest::prelude::*;

use super::super::rtu::crc16;
use super::*;

const LINE: Line = Line { baud: 115_200, bits: 11, slack: Duration::ZERO };
const MS: u64 = 1_000_000;

fn framed(body: &[u8]) -> Vec<u8> {
    [body, &crc16(body).to_le_bytes()].concat()
}

fn observer() -> Observer {
    Observer::new(LINE, Duration::from_millis(100))
}

/// Plays pieces, each with side and milliseconds, then lets 10 s pass; one readable line out.
fn play(pieces: &[(Side, u64, Vec<u8>)]) -> (String, Observer) {
    let (mut observer, mut out) = (observer(), Vec::new());
    for (side, ms, bytes) in pieces {
        observer.bytes(*side, Mono(ms * MS), bytes, &mut out);
    }
    observer.expire(Mono(10_000 * MS), &mut out);
    observer.expire(Mono(20_000 * MS), &mut out);
    let word = |event: &Event| {
        let what = match event.seen {
            Seen::Request { function } => format!("ask{function}"),
            Seen::Turnaround(ns) => format!("answer@{:.1}ms", ns as f64 / 1e6),
            Seen::Gap(ns) => format!("gap{:.1}ms", ns as f64 / 1e6),
            Seen::Exception(code) => format!("exception{code}"),
            Seen::Broken(side) => format!("broken-{side:?}"),
            other => format!("{other:?}"),
        };
        event.unit.map_or(what.clone(), |unit| format!("{unit}:{what}"))
    };
    (out.iter().map(word).collect::<Vec<_>>().join(" "), observer)
}

#[test]
fn what_happens_on_a_line_is_told_in_order() {
    use Side::{Station, Units};
    let ask = |unit| framed(&[unit, 3, 0, 0, 0, 1]);
    let answer = |unit| framed(&[unit, 3, 2, 0, 7]);
    let mut broken = answer(1);
    broken[3] ^= 1;
    let late = answer(1);
    type Row = (&'static str, Vec<(Side, u64, Vec<u8>)>, &'static str);
    let rows: Vec<Row> = vec![
        // 7 characters of 95.5 us are counted back from the 25 ms at which the answer had been read.
        (
            "an answer has a turnaround",
            vec![(Station, 20, ask(1)), (Units, 25, answer(1))],
            "1:ask3 1:answer@4.3ms",
        ),
        (
            "a request in pieces is one request",
            vec![
                (Station, 20, ask(1)[..3].to_vec()),
                (Station, 21, ask(1)[3..].to_vec()),
                (Units, 25, answer(1)),
            ],
            "1:ask3 1:answer@3.3ms",
        ),
        (
            "an answer in pieces has a gap",
            vec![(Station, 20, ask(1)), (Units, 25, late[..2].to_vec()), (Units, 26, late[2..].to_vec())],
            "1:ask3 1:answer@4.8ms 1:gap0.5ms",
        ),
        (
            "an exception is an answer",
            vec![(Station, 20, ask(1)), (Units, 21, framed(&[1, 0x83, 2]))],
            "1:ask3 1:answer@0.5ms 1:exception2",
        ),
        ("no answer is a timeout, told once", vec![(Station, 20, ask(1))], "1:ask3 1:Timeout"),
        (
            "the same request again is a retry",
            vec![(Station, 20, ask(1)), (Station, 200, ask(1)), (Units, 205, answer(1))],
            "1:ask3 1:Timeout 1:Retry 1:ask3 1:answer@4.3ms",
        ),
        (
            "another request before the answer gives the first one up",
            vec![(Station, 20, ask(1)), (Station, 60, ask(2)), (Units, 65, answer(2))],
            "1:ask3 1:Timeout 2:ask3 2:answer@4.3ms",
        ),
        (
            "a broken answer belongs to the unit that was asked",
            vec![(Station, 20, ask(1)), (Units, 25, broken)],
            "1:ask3 1:broken-Units 1:Timeout",
        ),
        ("a broken request is nobody's", vec![(Station, 20, vec![1, 3, 0, 0, 0])], "broken-Station"),
        (
            "an answer from another unit is a stranger's",
            vec![(Station, 20, ask(1)), (Units, 25, answer(9))],
            "1:ask3 9:Stranger 1:Timeout",
        ),
        ("an answer to nothing is a stranger's", vec![(Units, 25, answer(1))], "1:Stranger"),
        (
            "a second answer is a stranger's",
            vec![(Station, 20, ask(1)), (Units, 25, answer(1)), (Units, 30, answer(1))],
            "1:ask3 1:answer@4.3ms 1:Stranger",
        ),
        ("nobody answers to everybody", vec![(Station, 20, framed(&[0, 6, 0, 1, 0, 2]))], "0:ask6"),
        (
            "a late answer is still one",
            vec![(Station, 20, ask(1)), (Units, 220, answer(1))],
            "1:ask3 1:Timeout 1:answer@199.3ms",
        ),
        (
            "a frame that is too long is broken",
            vec![(Station, 20, ask(1)), (Units, 60, vec![1; 300])],
            "1:ask3 1:broken-Units 1:Timeout",
        ),
    ];
    for (what, pieces, expected) in rows {
        assert_eq!(play(&pieces).0, expected, "{what}");
    }
}

#[test]
fn sums_are_kept_for_each_unit() {
    let ask = framed(&[1, 3, 0, 0, 0, 1]);
    let pieces = [
        (Side::Station, 20, ask.clone()),
        (Side::Station, 200, ask),
        (Side::Units, 205, framed(&[1, 0x83, 2])),
    ];
    let (_, observer) = play(&pieces);
    let expected =
        Totals { requests: 2, answers: 1, exceptions: 1, retries: 1, timeouts: 1, ..Totals::default() };
    assert_eq!(observer.totals().get(&1), Some(&expected));
}

#[test]
fn counters_of_the_kernel_are_told_when_something_is_new() {
    let (mut observer, mut out) = (observer(), Vec::new());
    let at = |framing| Counters { framing, received: framing * 100, ..Counters::default() };
    for framing in [7, 7, 9] {
        observer.counters(Mono(1), at(framing), &mut out);
    }
    let new = Counters { framing: 2, received: 200, ..Counters::default() };
    assert_eq!(out, [Event { at: Mono(1), unit: None, seen: Seen::Counted(new) }]);
}

#[test]
fn a_caller_that_keeps_the_deadline_hears_of_everything() {
    let (mut observer, mut out) = (observer(), Vec::new());
    observer.bytes(Side::Station, Mono(MS), &framed(&[1, 3, 0, 0, 0, 1]), &mut out);
    let mut calls = 0;
    while let Some(deadline) = observer.deadline() {
        observer.expire(deadline, &mut out);
        calls += 1;
        assert!(calls < 5, "the deadline does not move");
    }
    assert_eq!(out.last().map(|e| (e.at, e.seen)), Some((Mono(101 * MS), Seen::Timeout)));
}

proptest! {
    #[test]
    fn any_bytes_at_any_time_end_in_events_and_bounded_memory(
        pieces in proptest::collection::vec(
            (any::<bool>(), 0..200_000_000_u64, proptest::collection::vec(any::<u8>(), 0..20), any::<bool>()), 0..60),
    ) {
        let (mut observer, mut out, mut at) = (observer(), Vec::new(), 0);
        for (station, step, bytes, whole) in pieces {
            at += step;
            let side = if station { Side::Station } else { Side::Units };
            let bytes = if whole { framed(&bytes) } else { bytes };
            observer.bytes(side, Mono(at), &bytes, &mut out);
            prop_assert!(observer.totals().len() <= MAX_UNITS);
        }
    }
}
