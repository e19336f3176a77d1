//! What one history consists of. A plan can lose any of its parts, so a failing one is made small.

use std::time::Duration;

use gateway::sim::Kind;
use gateway::transfer::engine::Way;

use super::images::{Family, families};
use super::random::Random;
use super::tool::{Act, Part, abort, download, write_many, write_one};

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub kind: Kind,
    pub way: Way,
    /// False: the conduit only watches, and nothing is promised but answers and a case that fits.
    pub enforce: bool,
    pub family: usize,
    pub in_flight: usize,
    pub poll: bool,
    /// Which good builds are released.
    pub released: Vec<usize>,
    pub stations: Vec<Script>,
    pub troubles: Vec<Trouble>,
    /// Segments are cut and joined at random.
    pub cut: bool,
    pub judge: JudgeManner,
}

/// What one station does.
#[derive(Debug, Clone)]
pub struct Script {
    pub address: u8,
    pub starts: Duration,
    pub acts: Vec<Act>,
    /// Requests under way at once.
    pub depth: usize,
    /// Stops after a refusal, as tools do.
    pub polite: bool,
}

/// Something that happens to the world.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub at: Duration,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    GatewayPowerCut,
    ControllerPowerCut {
        off_ms: u64,
    },
    ControllerCutAfterWrites(u32),
    ConnectionBreaks {
        ms: u64,
    },
    DropReplies(u32),
    DropRequests(u32),
    Refuse(Vec<u8>),
    Slow {
        ms: u64,
        for_ms: u64,
    },
    GateShuts {
        ms: u64,
    },
    /// A person has the gateway deliver.
    Deliver(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgeManner {
    /// Longest time for an answer.
    pub slow_ms: u64,
    /// Of 100 questions, so many are never answered.
    pub mute: u64,
    /// Of 100 questions, so many are answered with a refusal.
    pub refuses: u64,
}

impl Plan {
    pub fn new(seed: u64) -> Plan {
        let random = &mut Random::new(seed);
        let kind = Kind::ALL[(seed % 7) as usize];
        let dual = matches!(kind, Kind::FileRecord | Kind::OffsetWindow | Kind::Linear);
        let way = if dual && random.chance(60) { Way::Match } else { Way::Stage };
        let family = random.below(families(kind).len() as u64) as usize;
        let released = random.pick(&[vec![0], vec![0, 1], vec![1], vec![0, 1], vec![]]).clone();
        let mut plan = Plan {
            seed,
            kind,
            way,
            enforce: !random.chance(5),
            family,
            in_flight: *random.pick(&[1, 1, 2, 4, 16]),
            poll: random.chance(30),
            released,
            stations: Vec::new(),
            troubles: Vec::new(),
            cut: random.chance(30),
            judge: JudgeManner { slow_ms: 20, mute: 0, refuses: 0 },
        };
        if random.chance(12) {
            plan.judge = JudgeManner {
                slow_ms: *random.pick(&[20, 3_000, 12_000]),
                mute: *random.pick(&[0, 10]),
                refuses: *random.pick(&[0, 20]),
            };
        }
        let family = &families(kind)[family];
        plan.stations.push(script(&plan, family, 1, random));
        if random.chance(25) {
            plan.stations.push(script(&plan, family, 2, random));
        }
        for _ in 0..*random.pick(&[0, 0, 0, 0, 1, 1, 2]) {
            let within = *random.pick(&[200, 2_000]);
            let at = Duration::from_millis(random.below(within));
            plan.troubles.push(Trouble { at, what: trouble(&plan, random) });
        }
        if random.chance(12) && !plan.released.is_empty() {
            let n = *random.pick(&plan.released);
            plan.troubles
                .push(Trouble { at: Duration::from_millis(random.below(400)), what: What::Deliver(n) });
            if random.chance(60) {
                plan.stations[0].acts.clear();
            }
        }
        plan
    }

    /// Every plan with one part less.
    pub fn smaller(&self) -> Vec<Plan> {
        let mut all = Vec::new();
        for n in 0..self.troubles.len() {
            let mut less = self.clone();
            less.troubles.remove(n);
            all.push(less);
        }
        for s in 0..self.stations.len() {
            let len = self.stations[s].acts.len();
            let mut size = len;
            while size > 0 {
                for from in (0..len).step_by(size) {
                    let mut less = self.clone();
                    less.stations[s].acts.drain(from..(from + size).min(len));
                    all.push(less);
                }
                size /= 2;
            }
        }
        if self.cut {
            all.push(Plan { cut: false, ..self.clone() });
        }
        if self.poll {
            all.push(Plan { poll: false, ..self.clone() });
        }
        let calm = JudgeManner { slow_ms: 20, mute: 0, refuses: 0 };
        if self.judge != calm {
            all.push(Plan { judge: calm, ..self.clone() });
        }
        all
    }
}

fn trouble(plan: &Plan, random: &mut Random) -> What {
    match random.below(12) {
        0 | 1 => What::GatewayPowerCut,
        2 => What::ControllerPowerCut { off_ms: random.below(5_000) },
        3 | 4 => What::ControllerCutAfterWrites(random.below(24) as u32),
        5 => What::ConnectionBreaks { ms: random.below(3_000) },
        6 => What::DropReplies(1 + random.below(4) as u32),
        7 => What::DropRequests(1 + random.below(4) as u32),
        8 => What::Refuse((0..1 + random.below(3)).map(|_| *random.pick(&[2, 3, 4, 6])).collect()),
        9 => What::Slow { ms: 200 + random.below(2_500), for_ms: 500 + random.below(6_000) },
        10 => What::GateShuts { ms: random.below(4_000) },
        _ if !plan.released.is_empty() => What::Deliver(*random.pick(&plan.released)),
        _ => What::GatewayPowerCut,
    }
}

fn script(plan: &Plan, family: &Family, address: u8, random: &mut Random) -> Script {
    let build = match random.below(10) {
        0 => &family.never,
        1 => &family.good[1],
        2 => &family.good[0],
        _ => plan.released.first().map_or(&family.good[0], |n| &family.good[*n]),
    };
    let mut acts = download(plan.kind, &build.bytes, random);
    for _ in 0..*random.pick(&[0, 0, 0, 1, 1, 2, 3]) {
        bend(plan, family, &mut acts, random);
    }
    let depth = if random.chance(25) { *random.pick(&[2, 4, 24]) } else { 1 };
    let starts = Duration::from_millis(random.below(if address == 1 { 50 } else { 600 }));
    Script { address, starts, acts, depth, polite: random.chance(60) }
}

/// Bends a download: what a faulty, restarted or hostile tool does.
fn bend(plan: &Plan, family: &Family, acts: &mut Vec<Act>, random: &mut Random) {
    if acts.is_empty() {
        return;
    }
    let data: Vec<usize> = (0..acts.len()).filter(|i| matches!(acts[*i], Act::Ask(Part::Data, _))).collect();
    let any = random.below(acts.len() as u64) as usize;
    let chunk = if data.is_empty() { any } else { *random.pick(&data) };
    match random.below(17) {
        0 => {
            if let Act::Ask(_, pdu) = &mut acts[chunk] {
                let from = if pdu[0] == 21 { 9 } else { 6 };
                let at = from + random.below(pdu.len().saturating_sub(from) as u64) as usize;
                if let Some(byte) = pdu.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        1 => acts.swap(chunk, any),
        2 => acts.insert(chunk, acts[chunk].clone()),
        3 => acts.insert(any, acts[chunk].clone()),
        4 => {
            // A part of a block again, at its own place, equal or not.
            if let Act::Ask(part, pdu) = acts[chunk].clone()
                && let (16, true) = (pdu[0], pdu.len() > 12)
            {
                let address = u16::from_be_bytes([pdu[1], pdu[2]]) + 1;
                let mut inside = pdu[8..pdu.len() - 2].to_vec();
                if random.chance(50) {
                    inside[0] ^= 0x40;
                }
                acts.insert(chunk + 1, Act::Ask(part, write_many(address, &inside)));
            }
        }
        5 => {
            acts.remove(chunk);
        }
        6 => {
            if let Some(at) = acts.iter().position(|a| matches!(a, Act::Ask(Part::Commit, _))) {
                let commit = acts.remove(at);
                acts.insert(any.min(acts.len()), commit);
            }
        }
        7 => acts.insert(any, Act::Ask(Part::Abort, abort(plan.kind))),
        8 => {
            // Starts over in the middle, perhaps with another build.
            let build = random.pick(&family.good);
            let again = download(plan.kind, &build.bytes, random);
            acts.truncate(any);
            acts.extend(again);
        }
        9 => acts.insert(any, Act::Reconnect),
        10 => acts.truncate(any),
        11 => acts.insert(any, Act::Wait(*random.pick(&[100, 2_000, 11_000, 31_000]))),
        12 => {
            let registers = [
                0xF000, 0xF100, 0xF200, 0xF108, 0xF110, 0x4000, 0x300, 0x310, 0xE000, 0xE100, 129, 1000,
                1001, 0x1000, 0x2000,
            ];
            let register = *random.pick(&registers);
            let [r1, r2] = u16::to_be_bytes(register);
            let pdu = match random.below(5) {
                0 => vec![22, r1, r2, 0, 0, 0xFF, 0xFF],
                1 => vec![23, 0, 0, 0, 1, r1, r2, 0, 1, 2, 0, 2],
                2 => write_one(register, random.below(6) as u16),
                3 => write_many(register, &vec![random.next() as u8; 2 * (1 + random.below(40)) as usize]),
                _ => write_many(register.wrapping_sub(1), &[0, 0, 0, 1, 0, 0]),
            };
            acts.insert(any, Act::Ask(Part::Other, pdu));
        }
        13 => {
            let raw = match random.below(4) {
                0 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                1 => vec![0, 1, 0, 0, 0, 1, 1],
                2 => vec![0, 1, 0, 0, 255, 255, 1, 3],
                _ => (0..random.below(300)).map(|_| random.next() as u8).collect(),
            };
            acts.insert(any, Act::Raw(raw));
        }
        14 => {
            let pdu: Vec<u8> = match random.below(6) {
                0 => vec![90, 0, 0x30, 0, 1],
                1 => vec![8, 0, 1, 0, 0],
                2 => vec![3, 0, 0, 0, 126],
                3 => vec![21, 9, 6, 0, 0, 0, 0, 0, 1, 1, 2],
                4 => vec![43, 14, 1, 0],
                _ => (0..1 + random.below(60)).map(|_| random.next() as u8).collect(),
            };
            acts.insert(any, Act::Ask(Part::Other, pdu));
        }
        15 => {
            // Announces another length.
            if let Some(Act::Ask(_, pdu)) = acts.iter_mut().find(|a| matches!(a, Act::Ask(Part::Open, _)))
                && pdu.len() == 12
            {
                pdu[11] = pdu[11].wrapping_add(*random.pick(&[1, 2, 255, 200]));
            }
        }
        _ => {
            // Only the opening steps once more.
            let open = acts.iter().find(|a| matches!(a, Act::Ask(Part::Open, _))).cloned();
            if let Some(open) = open {
                acts.insert(any, open);
            }
        }
    }
}
