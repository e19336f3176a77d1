//! The engineer's tool: the requests a download consists of, written from the register maps.

use gateway::sim::Kind;

use super::random::Random;

/// What a station does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A request; `Part` says which, so that a history can be bent.
    Ask(Part, Vec<u8>),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Close the connection and open another.
    Reconnect,
    /// Do nothing for so many milliseconds.
    Wait(u64),
    /// Read the status until it says so, at most 60 times.
    Poll { pdu: Vec<u8>, until: Vec<u16> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Open,
    Select,
    Data,
    Program,
    Commit,
    Finish,
    Abort,
    Other,
}

/// The requests of a download of `image`.
pub fn download(kind: Kind, image: &[u8], random: &mut Random) -> Vec<Act> {
    use Part::*;
    let ask = |part, pdu| Act::Ask(part, pdu);
    let mut acts = Vec::new();
    match kind {
        Kind::FileRecord => {
            acts.push(ask(Open, begin(0xF000, image.len())));
            let size = 2 * (1 + random.below(122)) as usize;
            let size = size.max(image.len() / 24 / 2 * 2);
            for (offset, part) in blocks(image, size) {
                acts.push(ask(Data, file_write(offset, &part)));
            }
            finish_generic(&mut acts, 0xF000);
        }
        Kind::OffsetWindow => {
            acts.push(ask(Open, begin(0xF100, image.len())));
            let size = *random.pick(&[64usize, 96, 128]);
            for (offset, part) in blocks(image, size) {
                acts.push(ask(Select, write_many(0xF108, &(offset as u32).to_be_bytes())));
                acts.push(ask(Data, write_many(0xF110, &part)));
            }
            finish_generic(&mut acts, 0xF100);
        }
        Kind::Linear => {
            acts.push(ask(Open, begin(0xF200, image.len())));
            let size = 2 * (40 + random.below(83)) as usize;
            for (offset, part) in blocks(image, size) {
                acts.push(ask(Data, write_many(0x4000 + (offset / 2) as u16, &part)));
            }
            finish_generic(&mut acts, 0xF200);
        }
        Kind::RackmonDelta | Kind::RackmonPanasonic => {
            let (key, size) = if kind == Kind::RackmonDelta { (0xA5A5, 64) } else { (0xAA55, 96) };
            acts.push(ask(Open, write_one(0x300, 0x55AA)));
            acts.push(ask(Open, write_one(0x301, key)));
            for (_, part) in blocks(image, size) {
                acts.push(ask(Data, write_many(0x310, &filled(part, size))));
            }
            acts.push(ask(Commit, write_one(0x303, 0x55AA)));
            acts.push(Act::Poll { pdu: vec![3, 3, 2, 0, 1], until: vec![0xAA, 0x55] });
            acts.push(ask(Finish, write_one(0x304, 0x55AA)));
        }
        Kind::Ucw => {
            acts.push(ask(Open, write_one(0xE000, 5)));
            acts.push(ask(Open, write_one(0xE000, 2)));
            for (n, (_, part)) in blocks(image, 128).into_iter().enumerate() {
                acts.push(ask(Select, write_one(0xE001, n as u16)));
                let part = filled(part, 128);
                acts.push(ask(Data, write_many(0xE100, &part[..64])));
                acts.push(ask(Data, write_many(0xE120, &part[64..])));
                acts.push(ask(Program, write_one(0xE000, 4)));
            }
            acts.push(ask(Commit, write_one(0xE000, 3)));
            acts.push(Act::Poll { pdu: vec![4, 0xE0, 3, 0, 1], until: vec![2, 4, 5] });
            acts.push(ask(Finish, write_one(0xE000, 1)));
        }
        Kind::WirenBoard => {
            acts.push(ask(Open, write_one(*random.pick(&[129, 131]), 1)));
            acts.push(ask(Data, write_many(0x1000, &swapped(&image[..32]))));
            for (_, part) in blocks(&image[32..], 136) {
                acts.push(ask(Data, write_many(0x2000, &swapped(&filled(part, 136)))));
            }
        }
    }
    acts
}

/// The abort of a kind, where it has one.
pub fn abort(kind: Kind) -> Vec<u8> {
    let base = match kind {
        Kind::FileRecord => 0xF000,
        Kind::OffsetWindow => 0xF100,
        _ => 0xF200,
    };
    write_one(base, 3)
}

fn finish_generic(acts: &mut Vec<Act>, base: u16) {
    acts.push(Act::Ask(Part::Commit, write_one(base, 2)));
    let [b1, b2] = (base + 3).to_be_bytes();
    acts.push(Act::Poll { pdu: vec![3, b1, b2, 0, 1], until: vec![0, 4, 5] });
}

fn begin(base: u16, len: usize) -> Vec<u8> {
    let [l1, l2, l3, l4] = (len as u32).to_be_bytes();
    write_many(base, &[0, 1, l1, l2, l3, l4])
}

/// Offsets and even-sized pieces; an odd last byte is followed by 0xFF.
fn blocks(image: &[u8], size: usize) -> Vec<(usize, Vec<u8>)> {
    let even = |part: &[u8]| filled(part.to_vec(), part.len().next_multiple_of(2));
    image.chunks(size).enumerate().map(|(n, part)| (n * size, even(part))).collect()
}

fn filled(mut part: Vec<u8>, size: usize) -> Vec<u8> {
    part.resize(size.max(part.len()), 0xFF);
    part
}

fn swapped(data: &[u8]) -> Vec<u8> {
    data.chunks(2).flat_map(|w| [w[1], w[0]]).collect()
}

pub fn write_one(register: u16, value: u16) -> Vec<u8> {
    [&[6][..], &register.to_be_bytes(), &value.to_be_bytes()].concat()
}

pub fn write_many(register: u16, data: &[u8]) -> Vec<u8> {
    let count = (data.len() / 2) as u16;
    [&[16][..], &register.to_be_bytes(), &count.to_be_bytes(), &[data.len() as u8], data].concat()
}

pub fn file_write(offset: usize, data: &[u8]) -> Vec<u8> {
    let record = offset / 2;
    let (file, record) = ((1 + record / 10_000) as u16, (record % 10_000) as u16);
    let head =
        [&file.to_be_bytes()[..], &record.to_be_bytes(), &((data.len() / 2) as u16).to_be_bytes()].concat();
    [&[21, 7 + data.len() as u8, 6][..], &head, data].concat()
}
