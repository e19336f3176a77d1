//! Requests seen through a transfer profile: which are steps of an update, and which merely touch it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::pdu::{FileRecord, FileRecords, Request, Table, registers_reply};
use super::profile::{Captured, Data, Profile, Role, StagedRead, Status};
use crate::transfer::engine::Phase;

/// What a request is to the update of this controller.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Nothing to do with it.
    Process,
    /// It writes where only a transfer may, and is no step of the profile.
    Guarded(&'static str),
    /// An opening step; `first` when it is the first one of the profile.
    Open {
        /// First of the profile.
        first: bool,
        /// Announced length in bytes.
        declared: Option<u64>,
    },
    /// Image bytes.
    Chunks(OneOrMore<Chunk<'a>>),
    /// A step without image bytes.
    Control(Option<Position>),
    /// Makes the image take effect.
    Commit,
    /// Follows the commit.
    Finish,
    /// Gives up.
    Abort,
}

/// Image bytes at `offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Of the first of them, in the image.
    pub offset: u64,
    /// As they lie in the image.
    pub data: Cow<'a, [u8]>,
}

/// What is kept of a step on its way, until the controller has answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// As [`Seen::Open`].
    Open,
    /// As [`Seen::Chunks`]: which bytes of the image they are.
    Chunks(OneOrMore<Range<u64>>),
    /// As [`Seen::Control`].
    Control(Option<Position>),
    /// As [`Seen::Commit`].
    Commit,
    /// Any other: its answer changes nothing.
    Other,
}

/// One and perhaps more: nearly every request carries one chunk, and one needs no heap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMore<T> {
    first: T,
    more: Vec<T>,
}

/// Where the next block goes: its first byte in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(u64);

impl Seen<'_> {
    /// What its answer will be about.
    pub fn step(&self) -> Step {
        match self {
            Seen::Open { .. } => Step::Open,
            Seen::Chunks(chunks) => Step::Chunks(chunks.map(Chunk::range)),
            Seen::Control(position) => Step::Control(*position),
            Seen::Commit => Step::Commit,
            Seen::Process | Seen::Guarded(_) | Seen::Finish | Seen::Abort => Step::Other,
        }
    }
}

impl Chunk<'_> {
    /// Which bytes of the image they are.
    fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.data.len() as u64
    }
}

impl<T> OneOrMore<T> {
    fn one(first: T) -> OneOrMore<T> {
        OneOrMore { first, more: Vec::new() }
    }

    /// From first to last.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn map<U>(&self, f: impl Fn(&T) -> U) -> OneOrMore<U> {
        OneOrMore { first: f(&self.first), more: self.more.iter().map(f).collect() }
    }
}

/// One transfer's place in its profile.
#[derive(Debug)]
pub struct Update {
    profile: Arc<Profile>,
    /// Registers that only some transfer may write, of every profile of this controller.
    guarded: Vec<Range<u32>>,
    windows: Vec<Range<u32>>,
    selected: Option<Position>,
    next: u64,
}

impl Update {
    /// `guarded` adds the registers of the controller's other profiles.
    pub fn new(profile: Arc<Profile>, mut guarded: Vec<Range<u32>>) -> Update {
        guarded.extend(profile.guarded());
        Update { windows: profile.windows(), profile, guarded, selected: None, next: 0 }
    }

    /// The profile.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// What `request` is. Changes nothing: call [`Update::took`] once a step has been accepted.
    pub fn see<'a>(&self, request: &Request<'a>) -> Seen<'a> {
        match request {
            Request::WriteRegisters { span, data } => self.see_write(span, data),
            Request::WriteFile(records) if matches!(self.profile.data, Data::FileRecord { .. }) => {
                self.see_records(records)
            }
            Request::MaskWrite { address } if self.touches(&(*address..*address + 1)) => {
                Seen::Guarded("a mask write")
            }
            Request::ReadWrite { write, .. } if self.touches(write) => {
                Seen::Guarded("a combined read and write")
            }
            _ => Seen::Process,
        }
    }

    /// The controller, or the gateway in its name, has accepted the step.
    pub fn took(&mut self, step: &Step) {
        match step {
            Step::Open => (self.selected, self.next) = (None, 0),
            Step::Control(Some(position)) => self.selected = Some(*position),
            Step::Chunks(chunks) => {
                self.next = chunks.iter().map(|range| range.end).fold(self.next, u64::max);
            }
            Step::Control(None) | Step::Commit | Step::Other => {}
        }
    }

    /// A forwarded step was refused by the controller or got no answer: where it stands is unknown.
    pub fn lost(&mut self, step: &Step) {
        if matches!(step, Step::Control(Some(_)) | Step::Open) {
            self.selected = None;
        }
    }

    /// The reply the gateway gives, while it speaks for the controller, to a read of the registers that a
    /// tool looks at during an update. `None`: the controller itself can answer.
    pub fn staged_reply(&self, request: &Request<'_>, phase: Phase) -> Option<Vec<u8>> {
        let Request::Read { table, span } = request else { return None };
        let words: Option<Vec<u16>> =
            span.clone().map(|address| self.staged_word(*table, address, phase)).collect();
        let function = if *table == Table::Input { 4 } else { 3 };
        Some(registers_reply(function, &words?))
    }

    fn staged_word(&self, table: Table, address: u32, phase: Phase) -> Option<u16> {
        let status = self
            .profile
            .status
            .as_ref()
            .filter(|s| s.table.table() == table && u32::from(s.register) == address);
        if let Some(status) = status {
            return Some(status_word(status, phase));
        }
        let holds = |r: &&StagedRead| {
            r.table.table() == table
                && (u32::from(r.register)..u32::from(r.register) + r.values.len() as u32).contains(&address)
        };
        let read = self.profile.staged_reads.iter().find(holds)?;
        read.values.get((address - u32::from(read.register)) as usize).copied()
    }

    fn see_write<'a>(&self, span: &Range<u32>, data: &'a [u8]) -> Seen<'a> {
        if let Some((step, place, said)) = self.profile.step_of(span, data) {
            return match step.role {
                Role::Open => {
                    Seen::Open { first: place == 0 || step.alternative, declared: said.length.map(u64::from) }
                }
                Role::Select => self.select(said),
                Role::Program => Seen::Control(None),
                Role::Commit => Seen::Commit,
                Role::Finish => Seen::Finish,
                Role::Abort => Seen::Abort,
            };
        }
        match self.offset_of(span, data.len() as u64) {
            Ok(Some(offset)) => Seen::Chunks(OneOrMore::one(Chunk { offset, data: self.unswap(data) })),
            Err(why) => Seen::Guarded(why),
            Ok(None) if self.touches(span) => Seen::Guarded("a register write"),
            Ok(None) => Seen::Process,
        }
    }

    fn select(&self, said: Captured) -> Seen<'static> {
        match (&self.profile.data, said) {
            (Data::Block { block, first, .. }, Captured { block: Some(n), .. }) => {
                match n.checked_sub(*first) {
                    Some(n) => Seen::Control(Some(Position(u64::from(n) * u64::from(*block)))),
                    None => Seen::Guarded("a block number below the first"),
                }
            }
            (Data::Offset { .. }, Captured { offset: Some(offset), .. }) => {
                Seen::Control(Some(Position(offset.into())))
            }
            _ => Seen::Control(None),
        }
    }

    /// Where in the image a register write lands; `None` when it lies outside every window.
    fn offset_of(&self, span: &Range<u32>, len: u64) -> Result<Option<u64>, &'static str> {
        let Some(window) = self.windows.iter().find(|w| span.start < w.end && w.start < span.end) else {
            return Ok(None);
        };
        if span.start < window.start || span.end > window.end {
            return Err("a write across the edge of the update window");
        }
        let inside = 2 * u64::from(span.start - window.start);
        match self.profile.data {
            Data::FileRecord { .. } => Ok(None),
            Data::Linear { .. } => Ok(Some(inside)),
            Data::Block { .. } | Data::Offset { .. } => match self.selected {
                Some(Position(at)) => Ok(Some(at + inside)),
                None => Err("a block without its number"),
            },
            Data::FixedWindow { head, block, .. } => {
                let is_head = head.is_some_and(|(register, _)| u32::from(register) == window.start);
                let full = if is_head { head.map_or(0, |(_, bytes)| bytes) } else { block };
                match (inside, is_head) {
                    (1.., _) => Err("a block that does not start at the window"),
                    _ if len > u64::from(full) => Err("a block longer than the window"),
                    (_, true) => Ok(Some(0)),
                    (_, false) => Ok(Some(self.next)),
                }
            }
        }
    }

    fn see_records<'a>(&self, records: &FileRecords<'a>) -> Seen<'a> {
        let Data::FileRecord { first_file, records_per_file } = self.profile.data else {
            return Seen::Process;
        };
        let chunk = |r: FileRecord<'a>| {
            let file = r.file.checked_sub(first_file).ok_or("a file before the image's first")?;
            let words = (r.data.len() / 2) as u32;
            if u32::from(r.record) + words > u32::from(records_per_file) {
                return Err("records past the end of a file");
            }
            let record = u64::from(file) * u64::from(records_per_file) + u64::from(r.record);
            Ok(Chunk { offset: record * 2, data: self.unswap(r.data) })
        };
        let mut chunks = records.clone().map(chunk);
        let Some(first) = chunks.next() else { return Seen::Process }; // FC 21 has at least one
        let all = first.and_then(|first| Ok(OneOrMore { first, more: chunks.collect::<Result<_, _>>()? }));
        all.map_or_else(Seen::Guarded, Seen::Chunks)
    }

    fn unswap<'a>(&self, data: &'a [u8]) -> Cow<'a, [u8]> {
        if self.profile.swapped { Cow::Owned(swap_words(data)) } else { Cow::Borrowed(data) }
    }

    fn touches(&self, span: &Range<u32>) -> bool {
        self.guarded.iter().any(|g| span.start < g.end && g.start < span.end)
    }
}

/// Swaps the two bytes of every word; an odd last byte stays.
pub fn swap_words(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    out.chunks_exact_mut(2).for_each(|w| w.swap(0, 1));
    out
}

fn status_word(status: &Status, phase: Phase) -> u16 {
    match phase {
        Phase::Idle => status.running,
        Phase::Open => status.open,
        Phase::Receiving => status.accepted,
        Phase::Busy => status.busy.first().copied().unwrap_or(status.accepted),
        Phase::Success => status.success,
        Phase::Failed => status.failed.first().copied().unwrap_or(status.open),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn update(profile: &str) -> Update {
        let path = format!("{}/../deploy/profiles/{profile}.toml", env!("CARGO_MANIFEST_DIR"));
        let profile = Profile::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        Update::new(Arc::new(profile), vec![])
    }

    fn say(seen: &Seen<'_>) -> String {
        match seen {
            Seen::Process => "process".into(),
            Seen::Guarded(why) => format!("guarded: {why}"),
            Seen::Open { first, declared } => format!("open first={first} {}", declared.unwrap_or(0)),
            Seen::Chunks(chunks) => {
                chunks.iter().map(|c| format!("{}={:x?}", c.offset, c.data)).collect::<Vec<_>>().join(" ")
            }
            Seen::Control(at) => format!("control {:?}", at.map(|Position(n)| n)),
            Seen::Commit => "commit".into(),
            Seen::Finish => "finish".into(),
            Seen::Abort => "abort".into(),
        }
    }

    #[test]
    fn a_request_is_what_the_profile_says_it_is() {
        // Requests of one row are taken one after the other; the last is what the row is about.
        type Row = (&'static str, &'static str, &'static [&'static [u8]], &'static str);
        let rows: &[Row] = &[
            // Guarded first: it touches an update and is no step of it.
            (
                "one register of the begin step",
                "generic-linear",
                &[&[6, 0xF2, 0, 0, 1]],
                "guarded: a register write",
            ),
            (
                "a write over the edge of the control block",
                "generic-linear",
                &[&[16, 0xF1, 0xFF, 0, 2, 4, 0, 0, 0, 2]],
                "guarded: a register write",
            ),
            (
                "a mask write into the window",
                "generic-linear",
                &[&[22, 0x40, 0, 0, 0, 0, 0]],
                "guarded: a mask write",
            ),
            (
                "a combined write into the window",
                "generic-linear",
                &[&[23, 0, 0, 0, 1, 0x40, 0, 0, 1, 2, 0, 0]],
                "guarded: a combined read and write",
            ),
            (
                "a write across the window's edge",
                "generic-linear",
                &[&[16, 0x3F, 0xFF, 0, 2, 4, 0, 0, 0, 0]],
                "guarded: a write across the edge of the update window",
            ),
            (
                "a block before its offset",
                "generic-offset-window",
                &[&[16, 0xF1, 0x10, 0, 1, 2, 1, 2]],
                "guarded: a block without its number",
            ),
            (
                "file 0",
                "generic-file-record",
                &[&[21, 9, 6, 0, 0, 0, 0, 0, 1, 1, 2]],
                "guarded: a file before the image's first",
            ),
            (
                "record 9999 and one more",
                "generic-file-record",
                &[&[21, 11, 6, 0, 1, 0x27, 0x0F, 0, 2, 1, 2, 3, 4]],
                "guarded: records past the end of a file",
            ),
            (
                "inside a fixed window",
                "ocp-rackmon-delta",
                &[&[16, 3, 0x11, 0, 1, 2, 1, 2]],
                "guarded: a block that does not start at the window",
            ),
            ("another key", "ocp-rackmon-delta", &[&[6, 3, 1, 0xAA, 0x55]], "guarded: a register write"),
            (
                "a register that stays shut",
                "wirenboard",
                &[&[6, 0x03, 0xE9, 0, 1]],
                "guarded: a register write",
            ),
            // Steps.
            (
                "begin",
                "generic-linear",
                &[&[16, 0xF2, 0, 0, 3, 6, 0, 1, 0, 1, 0, 2]],
                "open first=true 65538",
            ),
            ("commit by FC 16", "generic-linear", &[&[16, 0xF2, 0, 0, 1, 2, 0, 2]], "commit"),
            ("abort", "generic-linear", &[&[6, 0xF2, 0, 0, 3]], "abort"),
            ("the second opening step", "ocp-rackmon-delta", &[&[6, 3, 1, 0xA5, 0xA5]], "open first=false 0"),
            ("another way to open", "wirenboard", &[&[6, 0, 131, 0, 1]], "open first=true 0"),
            ("the step after the commit", "ocp-rackmon-delta", &[&[6, 3, 4, 0x55, 0xAA]], "finish"),
            // Chunks.
            ("a linear area", "generic-linear", &[&[6, 0x40, 3, 8, 9]], "6=[8, 9]"),
            (
                "an offset and its block",
                "generic-offset-window",
                &[&[16, 0xF1, 8, 0, 2, 4, 0, 1, 0, 4], &[16, 0xF1, 0x11, 0, 1, 2, 1, 2]],
                "65542=[1, 2]",
            ),
            (
                "a block number and its block",
                "ucw-bootloader",
                &[&[6, 0xE0, 1, 0, 3], &[16, 0xE1, 0x01, 0, 1, 2, 1, 2]],
                "386=[1, 2]",
            ),
            (
                "a new opening step forgets the block",
                "ucw-bootloader",
                &[&[6, 0xE0, 1, 0, 3], &[6, 0xE0, 0, 0, 2], &[16, 0xE1, 0, 0, 1, 2, 1, 2]],
                "guarded: a block without its number",
            ),
            (
                "two records of two files",
                "generic-file-record",
                &[&[21, 18, 6, 0, 1, 0, 5, 0, 1, 1, 2, 6, 0, 2, 0, 0, 0, 1, 3, 4]],
                "10=[1, 2] 20000=[3, 4]",
            ),
            ("swapped words", "wirenboard", &[&[16, 0x10, 0, 0, 2, 4, 1, 2, 3, 4]], "0=[2, 1, 4, 3]"),
            (
                "blocks of a fixed window follow each other",
                "wirenboard",
                &[
                    &[16, 0x10, 0, 0, 2, 4, 1, 2, 3, 4],
                    &[16, 0x20, 0, 0, 1, 2, 5, 6],
                    &[16, 0x20, 0, 0, 1, 2, 7, 8],
                ],
                "6=[8, 7]",
            ),
            // The rest.
            ("a process write", "generic-linear", &[&[6, 0, 1, 0, 1]], "process"),
            ("a read of the window", "generic-linear", &[&[3, 0x40, 0, 0, 1]], "process"),
            (
                "file records of a profile without files",
                "generic-linear",
                &[&[21, 9, 6, 0, 1, 0, 0, 0, 1, 1, 2]],
                "process",
            ),
        ];
        for (what, profile, requests, expected) in rows {
            let mut update = update(profile);
            let mut last = String::new();
            for pdu in *requests {
                let request = Request::parse(pdu).unwrap();
                let seen = update.see(&request);
                last = say(&seen);
                update.took(&seen.step());
            }
            assert_eq!(last, *expected, "{what}");
        }
    }

    #[test]
    fn a_select_that_got_lost_leaves_no_place() {
        let mut update = update("ucw-bootloader");
        let select = Request::parse(&[6, 0xE0, 1, 0, 3]).unwrap();
        let (seen, block) = (update.see(&select), Request::parse(&[16, 0xE1, 0, 0, 1, 2, 1, 2]).unwrap());
        update.took(&seen.step());
        update.lost(&seen.step());
        assert_eq!(update.see(&block), Seen::Guarded("a block without its number"));
    }

    #[test]
    fn a_tool_that_polls_a_staged_transfer_sees_its_phase() {
        let update = update("ucw-bootloader");
        let cases =
            [(Phase::Idle, 1), (Phase::Open, 2), (Phase::Busy, 3), (Phase::Success, 2), (Phase::Failed, 4)];
        for (phase, word) in cases {
            let request = Request::parse(&[4, 0xE0, 3, 0, 1]).unwrap();
            assert_eq!(update.staged_reply(&request, phase), Some(vec![4, 2, 0, word]), "{phase:?}");
        }
        let elsewhere = Request::parse(&[4, 0, 0, 0, 1]).unwrap();
        assert_eq!(update.staged_reply(&elsewhere, Phase::Open), None, "the controller answers itself");
    }
}
