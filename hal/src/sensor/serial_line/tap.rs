//! A listener on one pair of wires, where requests and answers come through the same port.
//!
//! [`Tap`] is pure. It cuts what comes into frames by the length that each function gives them, or by the
//! silence around them, and tells the [`Observer`] which side sent each. Where form and what was asked before
//! leave a doubt, a frame that can answer the last request does.
//!
//! Invariant: at most [`MAX_FRAME`] characters are kept, whatever comes.

use std::time::Duration;

use super::form::{self, Length};
use super::rtu::{Frame, MAX_FRAME, crc16};
use super::{Counters, Event, Line, Observer, Side};
use crate::clock::Mono;

/// Shortest frame: unit, function, CRC.
const SHORTEST: usize = 4;

/// Hears one line.
#[derive(Debug)]
pub struct Tap {
    character_ns: u64,
    silence_ns: u64,
    observer: Observer,
    heard: Vec<Character>,
    /// Characters beyond the longest frame.
    dropped: u64,
}

#[derive(Debug, Clone, Copy)]
struct Character {
    byte: u8,
    /// When it was over, counted back from the read by the speed of the line.
    end: Mono,
    /// Whether it was the first of a read.
    begins: bool,
}

impl Tap {
    /// `timeout` is how long the station waits for an answer.
    pub fn new(line: Line, timeout: Duration) -> Tap {
        Tap {
            character_ns: line.character_ns(),
            silence_ns: line.silence_ns(),
            observer: Observer::new(line, timeout),
            heard: Vec::with_capacity(MAX_FRAME),
            dropped: 0,
        }
    }

    /// Takes bytes that had been read at `at`. Times must not run back.
    pub fn bytes(&mut self, at: Mono, bytes: &[u8], out: &mut Vec<Event>) {
        let back = |characters: usize| {
            Mono(at.0.saturating_sub(self.character_ns.saturating_mul(characters as u64)))
        };
        let silence = self.heard.last().map(|last| back(bytes.len()).since(last.end));
        if silence.is_some_and(|s| s >= Duration::from_nanos(self.silence_ns)) {
            self.end(out);
        }
        for (index, byte) in bytes.iter().enumerate() {
            if self.heard.len() == MAX_FRAME {
                self.dropped = self.dropped.saturating_add(1);
                continue;
            }
            let end =
                Mono(at.0.saturating_sub(self.character_ns.saturating_mul((bytes.len() - 1 - index) as u64)));
            self.heard.push(Character { byte: *byte, end, begins: index == 0 });
            self.cut(out);
        }
    }

    /// Takes what the kernel's driver has counted until `at`; see [`Observer::counters`].
    pub fn counters(&mut self, at: Mono, now: Counters, out: &mut Vec<Event>) {
        self.observer.counters(at, now, out);
    }

    /// When to call [`Tap::expire`] next.
    pub fn deadline(&self) -> Option<Mono> {
        match self.heard.last() {
            Some(last) => Some(last.end + Duration::from_nanos(self.silence_ns)),
            None => self.observer.deadline(),
        }
    }

    /// Ends what the silence has ended, and requests whose answer has not come. `now` is a time until which
    /// everything was read.
    pub fn expire(&mut self, now: Mono, out: &mut Vec<Event>) {
        let over = self.heard.last().map(|last| last.end + Duration::from_nanos(self.silence_ns) <= now);
        match over {
            Some(true) => self.end(out),
            // What is still coming may be the answer.
            Some(false) => return,
            None => {}
        }
        self.observer.expire(now, out);
    }

    /// The line was not heard for a while: what was begun is forgotten.
    pub fn gap(&mut self) {
        self.heard.clear();
        self.dropped = 0;
        self.observer.forget();
    }

    /// Takes whole frames of a known length off the front.
    fn cut(&mut self, out: &mut Vec<Event>) {
        if self.dropped > 0 || self.heard.len() < SHORTEST {
            return;
        }
        let bytes: Vec<u8> = self.heard.iter().map(|c| c.byte).collect();
        let (as_request, as_answer) = (form::request(&bytes), form::answer(&bytes));
        let likely = if self.observer.waits_for(bytes[0], bytes[1]) {
            [as_answer, as_request]
        } else {
            [as_request, as_answer]
        };
        // An answer may begin like a whole request; what is likely is waited for.
        let whole = match likely {
            [Length::Exactly(length), _] if is_whole(&bytes, length) => Some(length),
            [Length::Exactly(length), _] if length > bytes.len() => None,
            [Length::More, _] => None,
            [_, Length::Exactly(length)] if is_whole(&bytes, length) => Some(length),
            _ => None,
        };
        if let Some(length) = whole {
            self.tell(length, out);
        }
    }

    /// A silence: what was heard is over.
    fn end(&mut self, out: &mut Vec<Event>) {
        if self.dropped == 0 {
            let bytes: Vec<u8> = self.heard.iter().map(|c| c.byte).collect();
            if is_whole(&bytes, bytes.len()) {
                self.tell(bytes.len(), out);
            }
        }
        // Noise before a frame, or frames that were read together behind a broken one.
        while let Some((from, length)) = self.dropped.eq(&0).then(|| self.find()).flatten() {
            if from > 0 {
                self.broken(from, out);
            }
            self.tell(length, out);
        }
        if !self.heard.is_empty() {
            self.broken(self.heard.len(), out);
        }
        self.dropped = 0;
    }

    /// The first whole frame of a known form: where, and how long.
    fn find(&self) -> Option<(usize, usize)> {
        let bytes: Vec<u8> = self.heard.iter().map(|c| c.byte).collect();
        (0..bytes.len().saturating_sub(SHORTEST - 1)).find_map(|from| {
            let rest = &bytes[from..];
            [form::request(rest), form::answer(rest)].into_iter().find_map(|length| match length {
                Length::Exactly(length) if is_whole(rest, length) => Some((from, length)),
                _ => None,
            })
        })
    }

    /// The first `length` characters are a whole frame.
    fn tell(&mut self, length: usize, out: &mut Vec<Event>) {
        let Some(frame) = self.take(length) else { return };
        let side = self.side(&frame);
        self.observer.frame(side, frame, out);
    }

    /// The first `length` characters are none.
    fn broken(&mut self, length: usize, out: &mut Vec<Event>) {
        let Some(mut frame) = self.take(length) else { return };
        frame.dropped = self.dropped;
        let side = if self.observer.waits() { Side::Units } else { Side::Station };
        self.observer.frame(side, frame, out);
    }

    fn take(&mut self, length: usize) -> Option<Frame> {
        let characters: Vec<Character> = self.heard.drain(..length.min(self.heard.len())).collect();
        let (first, last) = (characters.first()?, characters.last()?);
        let character = Duration::from_nanos(self.character_ns);
        let gap = |pair: &[Character]| {
            let began = pair[1].end - character;
            pair[1].begins.then(|| began.0.saturating_sub(pair[0].end.0))
        };
        Some(Frame {
            bytes: characters.iter().map(|c| c.byte).collect(),
            dropped: 0,
            start: first.end - character,
            end: last.end,
            gap_ns: characters.windows(2).filter_map(gap).max(),
        })
    }

    fn side(&self, frame: &Frame) -> Side {
        let Frame { bytes, .. } = frame;
        let length = Length::Exactly(bytes.len());
        let is_repeat = self.observer.asked_last(bytes) && !form::echoes(bytes[1]);
        let answers = self.observer.waits_for(bytes[0], bytes[1]) && !is_repeat;
        match (form::request(bytes) == length, form::answer(bytes) == length) {
            (true, false) => Side::Station,
            (false, true) => Side::Units,
            _ if answers => Side::Units,
            _ => Side::Station,
        }
    }
}

/// Whether the first `length` bytes end with their own CRC.
fn is_whole(bytes: &[u8], length: usize) -> bool {
    let Some((body, crc)) = bytes.get(..length).and_then(<[u8]>::split_last_chunk::<2>) else { return false };
    body.len() + 2 >= SHORTEST && crc16(body) == u16::from_le_bytes(*crc)
}

#[cfg(test)]
#[path = "tap_tests.rs"]
mod tests;
