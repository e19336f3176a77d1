//! A serial line: whatever comes in whatever pieces, each character is told at most once, a whole frame is told
//! by its own unit, and nothing is left when the line has fallen silent. The seeds are made by hand; each is named
//! for what happens on its line.
#![no_main]

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::serial_line::{Line, Tap};
use libfuzzer_sys::fuzz_target;

// A piece is a byte of silence in half milliseconds, a byte of length, and so many bytes.
fuzz_target!(|data: &[u8]| {
    let line = Line { baud: 19_200, bits: 11, slack: Duration::ZERO };
    let mut tap = Tap::new(line, Duration::from_millis(20));
    let (mut at, mut rest, mut characters, mut out) = (0_u64, data, 0, Vec::new());
    while let [silence, length, more @ ..] = rest {
        let (piece, left) = more.split_at(usize::from(*length).min(more.len()));
        at += u64::from(*silence) * 500_000;
        tap.expire(Mono(at), &mut out);
        at += line.character_ns() * piece.len() as u64;
        tap.bytes(Mono(at), piece, &mut out);
        characters += piece.len();
        rest = left;
    }
    for _ in 0..2 {
        tap.expire(Mono(u64::MAX), &mut out);
    }
    assert_eq!(tap.deadline(), None, "something is still waited for");
    // The shortest frame has four characters; a timeout, a request and a retry are the most one can tell.
    assert!(out.len() <= 4 * (characters + 1));
    assert!(out.iter().all(|event| event.at.0 <= at + 20_000_000));
});
