//! Delivery: the gateway plays an update to a controller, step by step, from a released image.
//!
//! The machine is asked what to do ([`Delivery::next`]) and told what came back ([`Delivery::reply`],
//! [`Delivery::silence`]). Before the step that destroys the old firmware it asks for a durable record;
//! past it, it never gives up on silence: it starts over from the first step until the controller runs.

use std::sync::Arc;
use std::time::Duration;

use hal::clock::Mono;

use super::pdu::{registers, write_request};
use super::profile::{Data, MAX_FILE_DATA, MAX_REGISTER_DATA, NoReturn, Profile, Role, Status, WriteStep};
use super::update::swap_words;
use crate::transfer::image::Released;

/// What delivery wants next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this request PDU; report its reply or its silence.
    Send(Vec<u8>),
    /// Nothing before this time.
    Wait(Mono),
    /// Write down that the old firmware is about to go, then call [`Delivery::go_on`].
    PastNoReturn,
    /// The controller runs the image, as far as its profile can tell.
    Finished,
    /// Given up; whether the old firmware still runs is told by [`Delivery::is_past`].
    Failed(String),
}

/// One image on its way into one controller.
#[derive(Debug)]
pub struct Delivery {
    profile: Arc<Profile>,
    released: Released,
    at: Place,
    past: bool,
    recorded: bool,
    not_before: Mono,
    poll_until: Option<Mono>,
    tries: u32,
    /// How often this block was begun again.
    setbacks: u32,
    rounds: u32,
    answered_failures: u32,
    failed: Option<String>,
}

/// Where in the profile delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Open(usize),
    Select(u64),
    Data { block: u64, offset: u64 },
    Program(u64),
    PollBlock(u64),
    Commit(usize),
    PollCommit,
    Finish(usize),
    PollRunning,
    Done,
}

impl Delivery {
    /// Starts at the first step. `past`: a record says that the old firmware is gone already.
    pub fn new(profile: Arc<Profile>, released: Released, past: bool) -> Delivery {
        let mut delivery = Delivery {
            profile,
            released,
            at: Place::Open(0),
            past,
            recorded: past,
            not_before: Mono(0),
            poll_until: None,
            tries: 0,
            setbacks: 0,
            rounds: 0,
            answered_failures: 0,
            failed: None,
        };
        delivery.settle_place();
        delivery
    }

    /// Whether the step that destroys the old firmware has been sent.
    pub fn is_past(&self) -> bool {
        self.past
    }

    /// Bytes delivered and bytes in all.
    pub fn progress(&self) -> (u64, u64) {
        let len = self.released.image.len();
        let done = match self.at {
            Place::Open(_) => 0,
            Place::Select(block) | Place::Program(block) | Place::PollBlock(block) => self.block_start(block),
            Place::Data { offset, .. } => offset,
            _ => len,
        };
        (done.min(len), len)
    }

    /// How long the controller may take for what stands next, by its profile.
    pub fn limit(&self) -> Duration {
        match self.at {
            Place::Commit(_) => self.profile.timing.commit,
            Place::Data { .. } | Place::Program(_) => self.profile.timing.block,
            _ => Duration::ZERO,
        }
    }

    /// The durable record of the point of no return has been written.
    pub fn go_on(&mut self) {
        self.recorded = true;
    }

    /// What to do at `now`.
    pub fn next(&mut self, now: Mono) -> Next {
        if let Some(why) = self.failed.clone() {
            return Next::Failed(why);
        }
        if now < self.not_before {
            return Next::Wait(self.not_before);
        }
        if self.at == Place::Done {
            return Next::Finished;
        }
        if self.destroys() && !self.recorded {
            return Next::PastNoReturn;
        }
        match self.request() {
            Ok(pdu) => {
                self.past |= self.destroys();
                Next::Send(pdu)
            }
            Err(why) => {
                // The stored image is not what was verified: nothing of it may be sent.
                self.failed = Some(why.clone());
                Next::Failed(why)
            }
        }
    }

    /// The controller's reply to what was sent.
    pub fn reply(&mut self, pdu: &[u8], now: Mono) {
        self.not_before = now + self.profile.timing.gap;
        match (self.at, pdu) {
            (_, []) => self.retry(now, "an empty reply".into(), true),
            (_, [fc, code, ..]) if fc & 0x80 != 0 => match code {
                // The application's way into the bootloader, asked of the bootloader: it is there already.
                1..=3 if self.past && self.enters() => self.advance(now),
                5 if !self.polls() => self.advance(now),
                5 | 6 => self.wait_busy(now),
                _ => self.retry(now, format!("exception {code:02X}"), true),
            },
            _ if self.polls() => self.polled(pdu, now),
            _ => self.advance(now),
        }
    }

    /// No reply came, or the connection broke.
    pub fn silence(&mut self, now: Mono) {
        if self.step().is_some_and(|s| s.silent) {
            return self.advance(now);
        }
        if matches!((&self.profile.data, self.at), (Data::FixedWindow { .. }, Place::Data { .. })) {
            // Whether the block was taken is unknown, and sent again it would be taken for the next one.
            return self.start_over(now, "no answer to a block".into(), false);
        }
        if matches!(self.at, Place::PollRunning | Place::PollCommit)
            && self.poll_until.is_none_or(|until| now < until)
        {
            let budget = if self.at == Place::PollRunning {
                self.profile.timing.boot
            } else {
                self.profile.timing.commit
            };
            self.poll_until.get_or_insert(now + budget);
            self.not_before = now + POLL;
            return;
        }
        if let (Place::Data { block, .. } | Place::Program(block), Some(_)) =
            (self.at, self.profile.steps(Role::Select).next())
        {
            // A bootloader that has done it may have moved on or emptied its window: the block from its start.
            self.at = Place::Select(block);
            self.tries = self.setbacks;
            self.setbacks += 1;
        }
        self.retry(now, "no answer".into(), false);
    }

    fn request(&mut self) -> Result<Vec<u8>, String> {
        if let Some(step) = self.step() {
            let length = self.released.image.len() as u32; // at most MAX_IMAGE
            let (number, offset) = match self.at {
                Place::Select(block) | Place::Program(block) => {
                    (self.block_number(block), self.block_start(block) as u32)
                }
                _ => (0, 0),
            };
            return Ok(write_request(step.register, &step.words(length, number, offset)));
        }
        match self.at {
            Place::Data { offset, .. } => self.data_request(offset),
            _ => Ok(self.profile.status.as_ref().map_or_else(identify_request, status_request)),
        }
    }

    fn data_request(&mut self, offset: u64) -> Result<Vec<u8>, String> {
        let mut data = self.part(offset)?;
        if self.profile.swapped {
            data = swap_words(&data);
        }
        Ok(match self.profile.data {
            Data::FileRecord { first_file, records_per_file } => {
                let record = offset / 2;
                let file = u64::from(first_file) + record / u64::from(records_per_file);
                file_request(file as u16, (record % u64::from(records_per_file)) as u16, &data)
            }
            Data::FixedWindow { head: Some((register, _)), .. } if offset == 0 => write_many(register, &data),
            Data::FixedWindow { register, .. } => write_many(register, &data),
            Data::Block { register, block, .. } => {
                write_many(register + ((offset % u64::from(block)) / 2) as u16, &data)
            }
            Data::Offset { register, .. } => write_many(register, &data),
            Data::Linear { register, .. } => write_many(register + (offset / 2) as u16, &data),
        })
    }

    /// The bytes of the write at `offset`, filled up where the profile's blocks have a fixed size.
    fn part(&mut self, offset: u64) -> Result<Vec<u8>, String> {
        let len = self.released.image.len();
        let want = self.part_len(offset);
        let inside = want.min(len.saturating_sub(offset));
        let mut data = vec![self.profile.padding.byte; want as usize];
        self.released.image.read_at(offset, &mut data[..inside as usize]).map_err(|e| e.to_string())?;
        Ok(data)
    }

    /// Length of the write at `offset`: even, within one block, one file and one frame.
    fn part_len(&self, offset: u64) -> u64 {
        let left = self.released.image.len().saturating_sub(offset);
        let even = |n: u64| n + n % 2;
        match self.profile.data {
            Data::FileRecord { records_per_file, .. } => {
                let file = 2 * u64::from(records_per_file);
                even(left).min(u64::from(MAX_FILE_DATA)).min(file - offset % file)
            }
            Data::FixedWindow { head: Some((_, bytes)), .. } if offset == 0 => u64::from(bytes),
            Data::FixedWindow { block, .. } => u64::from(block),
            Data::Block { block, .. } => {
                u64::from(MAX_REGISTER_DATA).min(u64::from(block) - offset % u64::from(block))
            }
            Data::Offset { window, .. } => even(left).min(u64::from(window)),
            Data::Linear { .. } => even(left).min(u64::from(MAX_REGISTER_DATA)),
        }
    }

    /// Whether what stands next destroys what the controller runs.
    fn destroys(&self) -> bool {
        match (self.profile.no_return, self.at) {
            (NoReturn::Open, _) => true,
            (NoReturn::FirstBlock, Place::Open(_)) => false,
            (NoReturn::FirstBlock, _) => true,
            (
                NoReturn::Commit,
                Place::Commit(_) | Place::PollCommit | Place::Finish(_) | Place::PollRunning,
            ) => true,
            (NoReturn::Commit, _) => false,
        }
    }

    /// Whether what stands next is a look at a status.
    fn polls(&self) -> bool {
        matches!(self.at, Place::PollBlock(_) | Place::PollCommit | Place::PollRunning)
    }

    /// Whether what stands next leaves the application for the bootloader.
    fn enters(&self) -> bool {
        matches!(self.at, Place::Open(_)) && self.step().is_some_and(|s| s.silent)
    }

    /// The control step that stands next.
    fn step(&self) -> Option<&WriteStep> {
        let nth = |role, n: usize| self.profile.steps(role).filter(|s| !s.alternative).nth(n);
        match self.at {
            Place::Open(n) => nth(Role::Open, n),
            Place::Select(_) => nth(Role::Select, 0),
            Place::Program(_) => nth(Role::Program, 0),
            Place::Commit(n) => nth(Role::Commit, n),
            Place::Finish(n) => nth(Role::Finish, n),
            _ => None,
        }
    }

    fn advance(&mut self, now: Mono) {
        let settle = self.step().map_or(Duration::ZERO, |s| s.settle).max(self.profile.timing.gap);
        self.not_before = now + settle;
        self.tries = 0;
        self.poll_until = None;
        let block = self.block();
        self.at = match self.at {
            Place::Open(n) => Place::Open(n + 1),
            Place::Select(block) => Place::Data { block, offset: self.block_start(block) },
            Place::Data { block, offset } => Place::Data { block, offset: offset + self.part_len(offset) },
            Place::Program(block) => Place::PollBlock(block),
            Place::PollBlock(block) => Place::Select(block + 1),
            Place::Commit(n) => Place::Commit(n + 1),
            Place::PollCommit => Place::Finish(0),
            Place::Finish(n) => Place::Finish(n + 1),
            Place::PollRunning | Place::Done => Place::Done,
        };
        self.settle_place();
        if self.block() != block {
            self.setbacks = 0;
        }
    }

    /// Moves on from places the profile does not have.
    fn settle_place(&mut self) {
        while let Some(next) = self.skip() {
            self.at = next;
        }
    }

    /// The block delivery stands at.
    fn block(&self) -> Option<u64> {
        match self.at {
            Place::Select(n) | Place::Data { block: n, .. } | Place::Program(n) | Place::PollBlock(n) => {
                Some(n)
            }
            _ => None,
        }
    }

    fn skip(&self) -> Option<Place> {
        let absent = self.step().is_none();
        match self.at {
            Place::Open(_) if absent => Some(Place::Select(0)),
            Place::Select(block) if self.block_start(block) >= self.released.image.len() => {
                Some(Place::Commit(0))
            }
            Place::Select(block) if absent => Some(Place::Data { block, offset: self.block_start(block) }),
            Place::Data { block, offset }
                if offset >= self.block_start(block + 1) || offset >= self.padded_len() =>
            {
                Some(Place::Program(block))
            }
            Place::Program(block) if absent => Some(Place::PollBlock(block)),
            Place::PollBlock(block) if !self.profile.status.as_ref().is_some_and(|s| s.poll_blocks) => {
                Some(Place::Select(block + 1))
            }
            Place::Commit(_) if absent => Some(Place::PollCommit),
            Place::PollCommit if self.profile.status.is_none() => Some(Place::Finish(0)),
            Place::Finish(_) if absent => Some(Place::PollRunning),
            _ => None,
        }
    }

    /// First byte of block `n`. Shapes without blocks have one, the whole image.
    fn block_start(&self, n: u64) -> u64 {
        match self.profile.data {
            Data::Block { block, .. } => n * u64::from(block),
            Data::Offset { window, .. } => n * u64::from(window),
            Data::FixedWindow { block, head, .. } => match (n, head) {
                (0, _) => 0,
                (n, Some((_, bytes))) => u64::from(bytes) + (n - 1) * u64::from(block),
                (n, None) => n * u64::from(block),
            },
            Data::FileRecord { .. } | Data::Linear { .. } => n * self.padded_len(),
        }
    }

    fn padded_len(&self) -> u64 {
        let len = self.released.image.len();
        match self.profile.data {
            Data::Block { block, .. } => len.next_multiple_of(u64::from(block)),
            _ => len + len % 2,
        }
    }

    fn block_number(&self, n: u64) -> u16 {
        match self.profile.data {
            Data::Block { first, .. } => (n as u16).saturating_add(first),
            _ => n as u16,
        }
    }

    fn polled(&mut self, pdu: &[u8], now: Mono) {
        let Some(status) = self.profile.status.clone() else {
            return self.advance(now); // any positive identity reply says that it runs
        };
        let word = registers(pdu).and_then(|words| words.first().copied());
        let (good, budget) = match self.at {
            Place::PollBlock(_) => (vec![status.accepted], self.profile.timing.block * 10),
            Place::PollCommit => (vec![status.success, status.running], self.profile.timing.commit),
            _ => (vec![status.running], self.profile.timing.boot),
        };
        match word {
            Some(word) if good.contains(&word) => self.advance(now),
            Some(word) if status.failed.contains(&word) => {
                self.start_over(now, format!("the controller reports status {word:#06x}"), true);
            }
            _ if now < *self.poll_until.get_or_insert(now + budget) => self.not_before = now + POLL,
            _ => self.start_over(now, format!("status {word:04x?} did not change in time"), false),
        }
    }

    fn wait_busy(&mut self, now: Mono) {
        let budget = self.profile.timing.commit + self.profile.timing.block;
        if now < *self.poll_until.get_or_insert(now + budget) {
            self.not_before = now + POLL;
        } else {
            self.start_over(now, "busy for too long".into(), false);
        }
    }

    fn retry(&mut self, now: Mono, why: String, answered: bool) {
        self.tries += 1;
        if self.tries >= TRIES {
            self.start_over(now, why, answered);
        } else {
            self.not_before = now + POLL * self.tries;
        }
    }

    /// Before the point of no return: give up. Past it: from the first step again.
    fn start_over(&mut self, now: Mono, why: String, answered: bool) {
        self.answered_failures += u32::from(answered);
        if !self.past || self.answered_failures >= MAX_ANSWERED_FAILURES {
            self.failed = Some(why);
            return;
        }
        self.rounds += 1;
        (self.tries, self.setbacks) = (0, 0);
        self.poll_until = None;
        self.not_before = now + (ROUND_PAUSE * self.rounds).min(MAX_ROUND_PAUSE);
        self.at = Place::Open(0);
        self.settle_place();
    }
}

/// FC 43/14, basic stream from object 0 (V1.1b3 §6.21).
pub fn identify_request() -> Vec<u8> {
    vec![43, 0x0E, 1, 0]
}

fn status_request(status: &Status) -> Vec<u8> {
    let [r1, r2] = status.register.to_be_bytes();
    vec![status.table.function(), r1, r2, 0, 1]
}

fn file_request(file: u16, record: u16, data: &[u8]) -> Vec<u8> {
    let mut pdu = vec![21, (7 + data.len()) as u8, 6];
    for word in [file, record, (data.len() / 2) as u16] {
        pdu.extend_from_slice(&word.to_be_bytes());
    }
    pdu.extend_from_slice(data);
    pdu
}

/// FC 16 even for one register: bootloaders watch the function code of their window.
fn write_many(register: u16, data: &[u8]) -> Vec<u8> {
    let [a1, a2] = register.to_be_bytes();
    let [q1, q2] = ((data.len() / 2) as u16).to_be_bytes();
    let mut pdu = vec![16, a1, a2, q1, q2, data.len() as u8];
    pdu.extend_from_slice(data);
    pdu
}

/// Tries of one step before delivery starts over or gives up.
const TRIES: u32 = 3;
/// Rounds that the controller itself ended, after which a person must look: flash wears.
const MAX_ANSWERED_FAILURES: u32 = 5;
/// Pause between two looks at a status.
const POLL: Duration = Duration::from_millis(100);
/// Pause before the second round; grows with each.
const ROUND_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two rounds.
const MAX_ROUND_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
