use proptest::prelude::*;

use super::*;
use crate::sensor::serial_line::Seen;

const LINE: Line = Line { baud: 19_200, bits: 11, slack: Duration::ZERO };
const CHARACTER: u64 = 572_916;
const MS: u64 = 1_000_000;

fn framed(body: &[u8]) -> Vec<u8> {
    [body, &crc16(body).to_le_bytes()].concat()
}

fn words(events: &[Event]) -> String {
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
    events.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Plays pieces, each with the milliseconds at which it began on the line; read when it was over.
fn play(pieces: &[(u64, Vec<u8>)]) -> String {
    let mut tap = Tap::new(LINE, Duration::from_millis(100));
    let mut out = Vec::new();
    for (ms, bytes) in pieces {
        let at = Mono(ms * MS + bytes.len() as u64 * CHARACTER);
        tap.expire(Mono(ms * MS), &mut out);
        tap.bytes(at, bytes, &mut out);
    }
    for late in [10_000, 20_000] {
        tap.expire(Mono(late * MS), &mut out);
    }
    words(&out)
}

#[test]
fn each_frame_is_told_as_the_side_that_sent_it() {
    let ask = |unit| framed(&[unit, 3, 0, 0, 0, 1]);
    let answer = |unit| framed(&[unit, 3, 2, 0, 7]);
    let write = framed(&[1, 6, 0, 1, 0, 3]);
    let maker = framed(&[1, 0x41, 9]);
    let mut broken = answer(1);
    broken[3] ^= 1;
    let both = [ask(1), answer(1)].concat();
    let noise = [vec![0xFF, 0x00], ask(1)].concat();
    let like_a_request = {
        let head = framed(&[1, 3, 8, 0, 0, 1]);
        framed(&[&head[..], &[0, 0, 0]].concat())
    };
    type Row = (&'static str, Vec<(u64, Vec<u8>)>, &'static str);
    let rows: Vec<Row> = vec![
        ("a babble is broken, whoever it was", vec![(10, vec![0x55; 300])], "broken-Station"),
        ("an answer nobody asked for is a stranger", vec![(10, answer(9))], "9:Stranger"),
        ("another unit than was asked", vec![(10, ask(1)), (20, answer(2))], "1:ask3 2:Stranger 1:Timeout"),
        (
            "a broken answer is of the one that was asked",
            vec![(10, ask(1)), (20, broken)],
            "1:ask3 1:broken-Units 1:Timeout",
        ),
        (
            "request and answer",
            vec![(10, ask(1)), (20, answer(1)), (30, ask(2)), (40, answer(2))],
            "1:ask3 1:answer@5.4ms 2:ask3 2:answer@5.4ms",
        ),
        ("read together, they have no times", vec![(10, both)], "1:ask3 1:Untimed"),
        (
            "an answer in pieces has a gap",
            vec![(10, ask(1)), (20, answer(1)[..3].to_vec()), (23, answer(1)[3..].to_vec())],
            "1:ask3 1:answer@5.4ms 1:gap1.3ms",
        ),
        (
            "the echo of a write is its answer",
            vec![(10, write.clone()), (20, write.clone())],
            "1:ask6 1:answer@5.4ms",
        ),
        (
            "after the timeout it is the write again",
            vec![(10, write.clone()), (200, write.clone())],
            "1:ask6 1:Timeout 1:Retry 1:ask6 1:Timeout",
        ),
        (
            "a read again is no answer",
            vec![(10, ask(1)), (50, ask(1)), (60, answer(1))],
            "1:ask3 1:Retry 1:ask3 1:answer@5.4ms",
        ),
        (
            "an exception",
            vec![(10, ask(1)), (20, framed(&[1, 0x83, 2]))],
            "1:ask3 1:answer@5.4ms 1:exception2",
        ),
        (
            "a maker's function goes by the silences",
            vec![(10, maker.clone()), (20, framed(&[1, 0x41, 9, 9]))],
            "1:ask65 1:answer@7.1ms",
        ),
        (
            "nobody answers unit 0",
            vec![(10, framed(&[0, 6, 0, 1, 0, 3])), (60, ask(1)), (70, answer(1))],
            "0:ask6 1:ask3 1:answer@5.4ms",
        ),
        (
            "the station gives up sooner than expected",
            vec![(10, ask(1)), (60, ask(2)), (70, answer(2))],
            "1:ask3 1:Timeout 2:ask3 2:answer@5.4ms",
        ),
        (
            "noise before a frame does not swallow it",
            vec![(10, noise), (20, answer(1))],
            "broken-Station 1:ask3 1:answer@4.3ms",
        ),
        (
            "an answer that begins like a request is waited for",
            vec![(10, ask(1)), (20, like_a_request)],
            "1:ask3 1:answer@5.4ms",
        ),
    ];
    for (what, pieces, expected) in rows {
        assert_eq!(play(&pieces), expected, "{what}");
    }
}

#[test]
fn after_a_gap_nobody_waits_for_an_answer() {
    let mut tap = Tap::new(LINE, Duration::from_millis(100));
    let mut out = Vec::new();
    tap.bytes(Mono(50 * MS), &framed(&[1, 3, 0, 0, 0, 1]), &mut out);
    tap.bytes(Mono(60 * MS), &[1, 3], &mut out);
    tap.gap();
    tap.expire(Mono(10_000 * MS), &mut out);
    assert_eq!((words(&out).as_str(), tap.deadline()), ("1:ask3", None));
}

proptest! {
    #[test]
    fn whatever_comes_is_told_once_and_memory_is_bounded(
        pieces in proptest::collection::vec((0..3_000_000_u64, prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            proptest::collection::vec(any::<u8>(), 2..20).prop_map(|body| framed(&body)),
            (1..4_u8, 1..8_u8).prop_map(|(unit, function)| framed(&[unit, function, 0, 0, 0, 1])),
        ]), 0..40),
    ) {
        let mut tap = Tap::new(LINE, Duration::from_millis(5));
        let (mut at, mut out) = (0, Vec::new());
        for (step, bytes) in &pieces {
            at += step + bytes.len() as u64 * CHARACTER;
            tap.expire(Mono(at - bytes.len() as u64 * CHARACTER), &mut out);
            tap.bytes(Mono(at), bytes, &mut out);
            prop_assert!(tap.heard.len() <= MAX_FRAME);
        }
        tap.expire(Mono(u64::MAX), &mut out);
        prop_assert!(tap.heard.is_empty());
        tap.expire(Mono(u64::MAX), &mut out);
        prop_assert_eq!(tap.deadline(), None);
        // At most four events for each four characters, and a timeout for each request.
        let characters: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert!(out.len() <= 4 * (characters + 1));
    }
}
