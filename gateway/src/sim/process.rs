//! The process image: what a controller shows of its machine, and what stations set.

use std::ops::Range;

use hal::clock::Mono;

/// Holding registers, all writable: 0 to 199.
pub(super) const HOLDING: usize = 200;
/// Input registers and discrete inputs, moving with time: 0 to 63. As many coils.
pub(super) const INPUTS: usize = 64;

/// Values of one controller's process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    holding: Vec<u16>,
    coils: Vec<bool>,
}

impl Process {
    pub(super) fn new() -> Process {
        Process { holding: vec![0; HOLDING], coils: vec![false; INPUTS] }
    }

    /// A moving value: register `n` climbs one every `n + 1` tenths of a second.
    pub(super) fn input(n: usize, now: Mono) -> u16 {
        (now.0 / 100_000_000 / (n as u64 + 1)) as u16
    }

    pub(super) fn holding(&self, span: Range<usize>) -> Option<&[u16]> {
        self.holding.get(span)
    }

    pub(super) fn set_holding(&mut self, start: usize, words: &[u16]) -> bool {
        let place = self.holding.get_mut(start..start + words.len());
        place.map(|p| p.copy_from_slice(words)).is_some()
    }

    pub(super) fn coils(&self, span: Range<usize>) -> Option<&[bool]> {
        self.coils.get(span)
    }

    pub(super) fn set_coils(&mut self, start: usize, values: &[bool]) -> bool {
        let place = self.coils.get_mut(start..start + values.len());
        place.map(|p| p.copy_from_slice(values)).is_some()
    }
}
