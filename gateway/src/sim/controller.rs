//! One simulated controller: requests in, replies out, faults on request.
//!
//! It answers FC 1-6, 15, 16, 21, 22, 23 and 43/14 as Application Protocol V1.1b3 says, from bytes of its
//! own reading. While it restarts or has no power it is silent. `None` is always silence.

use std::collections::VecDeque;
use std::time::Duration;

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::bootloader::{Access, ILLEGAL_ADDRESS, ILLEGAL_VALUE, Kind, Loader, Mode, Then};
use super::drive::{Drive, REPORTED};
use super::flash::Flash;
use super::process::{INPUTS, Process};

/// A controller on the bench.
#[derive(Debug)]
pub struct Controller {
    kind: Kind,
    unit: u8,
    flash: Flash,
    loader: Box<dyn Loader>,
    run: Run,
    /// When to leave what runs now for a restart.
    restart_at: Option<Mono>,
    process: Process,
    drive: Drive,
    boot: Duration,
    running: Option<Digest>,
    connections: u64,
    faults: Faults,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Off,
    /// Silent until then; `true`: then it looks for an application to start.
    Starting(Mono, bool),
    Running(Mode),
    /// Nothing in flash runs, not even a bootloader that talks.
    Dead,
}

/// What is to go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// This many replies are lost after the request was carried out.
    pub drop_replies: u32,
    /// This many requests are lost before.
    pub drop_requests: u32,
    /// The next requests get these exceptions instead of being carried out.
    pub refuse: VecDeque<u8>,
    /// Whoever carries replies holds each back this long.
    pub delay: Duration,
}

impl Controller {
    /// A controller with unit id `unit` that runs `firmware` and needs `boot` to start.
    pub fn new(kind: Kind, unit: u8, firmware: &[u8], boot: Duration) -> Controller {
        Controller {
            kind,
            unit,
            flash: Flash::new(kind.layout(), firmware),
            loader: kind.loader(),
            run: Run::Running(Mode::Application),
            restart_at: None,
            process: Process::new(),
            drive: Drive::default(),
            boot,
            running: Some(Digest::of(firmware)),
            connections: 0,
            faults: Faults::default(),
        }
    }

    /// Which controller this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is to go wrong next.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Its flash.
    pub fn flash(&self) -> &Flash {
        &self.flash
    }

    /// Its flash, to take the log or plan a power cut.
    pub fn flash_mut(&mut self) -> &mut Flash {
        &mut self.flash
    }

    /// The firmware that runs at `now`; `None` while it restarts, sits in its bootloader or has no power.
    pub fn booted(&mut self, now: Mono) -> Option<&[u8]> {
        self.advance(now);
        if self.run == Run::Running(Mode::Application) { self.flash.bootable() } else { None }
    }

    /// What the shaft of its drive does, in hertz: for a pick-up that is not the controller's.
    pub fn shaft(&mut self, now: Mono) -> f64 {
        self.advance(now);
        self.drive.shaft(now)
    }

    /// Changes whenever every connection to the controller breaks.
    pub fn connections(&mut self, now: Mono) -> u64 {
        self.advance(now);
        self.connections
    }

    /// Whether it accepts connections.
    pub fn is_reachable(&mut self, now: Mono) -> bool {
        self.advance(now);
        matches!(self.run, Run::Running(_) | Run::Starting(_, false))
    }

    /// Whether settings were wiped that no update has to touch.
    pub fn is_tampered(&self) -> bool {
        self.loader.is_tampered()
    }

    /// The power goes.
    pub fn power_cut(&mut self) {
        self.flash.power_cut();
        self.go_dark();
    }

    /// The power comes back.
    pub fn power_on(&mut self, now: Mono) {
        if self.run == Run::Off {
            self.flash.power_on();
            self.run = Run::Starting(now + self.boot, true);
        }
    }

    /// One request to `unit`, one reply or silence.
    pub fn request(&mut self, unit: u8, pdu: &[u8], now: Mono) -> Option<Vec<u8>> {
        self.advance(now);
        let Run::Running(mode) = self.run else { return None };
        let function = *pdu.first()?;
        if unit != self.unit {
            return None;
        }
        if self.faults.drop_requests > 0 {
            self.faults.drop_requests -= 1;
            return None;
        }
        let reply = match self.faults.refuse.pop_front() {
            Some(code) => Err(code),
            None => match self.carry_out(function, pdu, mode, now) {
                Ok(reply) => Ok(reply?),
                Err(code) => Err(code),
            },
        };
        if self.faults.drop_replies > 0 {
            self.faults.drop_replies -= 1;
            return None;
        }
        Some(reply.unwrap_or_else(|code| vec![function | 0x80, code]))
    }

    /// `Ok(None)`: silence.
    fn carry_out(&mut self, function: u8, pdu: &[u8], mode: Mode, now: Mono) -> Result<Option<Vec<u8>>, u8> {
        match *pdu {
            [3 | 4, a1, a2, q1, q2] => self.read_registers(function, [a1, a2], [q1, q2], mode, now).map(Some),
            [6, a1, a2, v1, v2] => self.write_registers(pdu, [a1, a2], &[v1, v2], pdu, mode, now),
            [16, a1, a2, q1, q2, bytes, ref data @ ..] => {
                let count = usize::from(u16::from_be_bytes([q1, q2]));
                if !(1..=123).contains(&count) || usize::from(bytes) != 2 * count || data.len() != 2 * count {
                    return Err(ILLEGAL_VALUE);
                }
                self.write_registers(pdu, [a1, a2], data, &pdu[..5], mode, now)
            }
            [21, bytes, ref records @ ..] => self.write_file(usize::from(bytes), records, pdu, mode, now),
            // In a bootloader nothing else is there.
            _ if mode == Mode::Bootloader => Err(ILLEGAL_FUNCTION),
            [1 | 2, a1, a2, q1, q2] => self.read_bits(function, [a1, a2], [q1, q2], now).map(Some),
            [5, a1, a2, v1, v2] => {
                let value = match u16::from_be_bytes([v1, v2]) {
                    0xFF00 => true,
                    0 => false,
                    _ => return Err(ILLEGAL_VALUE),
                };
                self.set_coils(u16::from_be_bytes([a1, a2]), &[value])?;
                Ok(Some(pdu.to_vec()))
            }
            [15, a1, a2, q1, q2, bytes, ref data @ ..] => {
                let count = usize::from(u16::from_be_bytes([q1, q2]));
                let len = count.div_ceil(8);
                if !(1..=1968).contains(&count) || usize::from(bytes) != len || data.len() != len {
                    return Err(ILLEGAL_VALUE);
                }
                let bits: Vec<bool> = (0..count).map(|n| data[n / 8] >> (n % 8) & 1 == 1).collect();
                self.set_coils(u16::from_be_bytes([a1, a2]), &bits)?;
                Ok(Some(pdu[..5].to_vec()))
            }
            [22, a1, a2, n1, n2, o1, o2] => {
                let at = usize::from(u16::from_be_bytes([a1, a2]));
                let (and, or) = (u16::from_be_bytes([n1, n2]), u16::from_be_bytes([o1, o2]));
                let old = self.process.holding(at..at + 1).ok_or(ILLEGAL_ADDRESS)?[0];
                self.process.set_holding(at, &[(old & and) | (or & !and)]);
                Ok(Some(pdu.to_vec()))
            }
            [23, a1, a2, q1, q2, w1, w2, c1, c2, bytes, ref data @ ..] => {
                let count = usize::from(u16::from_be_bytes([c1, c2]));
                if !(1..=121).contains(&count) || usize::from(bytes) != 2 * count || data.len() != 2 * count {
                    return Err(ILLEGAL_VALUE);
                }
                let at = usize::from(u16::from_be_bytes([w1, w2]));
                if !self.process.set_holding(at, &words(data)) {
                    return Err(ILLEGAL_ADDRESS);
                }
                self.read_registers(3, [a1, a2], [q1, q2], mode, now).map(|mut reply| {
                    reply[0] = 23;
                    Some(reply)
                })
            }
            [43, 0x0E, code, object] => self.identification(code, object).map(Some),
            [3 | 4 | 6 | 1 | 2 | 5 | 15 | 22 | 23, ..] => Err(ILLEGAL_VALUE),
            _ => Err(ILLEGAL_FUNCTION),
        }
    }

    fn read_registers(
        &self,
        function: u8,
        start: [u8; 2],
        count: [u8; 2],
        mode: Mode,
        now: Mono,
    ) -> Result<Vec<u8>, u8> {
        let (start, count) = (usize::from(u16::from_be_bytes(start)), usize::from(u16::from_be_bytes(count)));
        if !(1..=125).contains(&count) {
            return Err(ILLEGAL_VALUE);
        }
        let mut reply = vec![function, 2 * count as u8];
        for address in start..start + count {
            let register = u16::try_from(address).map_err(|_| ILLEGAL_ADDRESS)?;
            let special = self.loader.read(function == 4, register, mode, now, self.running);
            let word =
                special.or_else(|| self.process_word(function, address, mode, now)).ok_or(ILLEGAL_ADDRESS)?;
            reply.extend_from_slice(&word.to_be_bytes());
        }
        Ok(reply)
    }

    fn process_word(&self, function: u8, address: usize, mode: Mode, now: Mono) -> Option<u16> {
        match (mode, function) {
            (Mode::Bootloader, _) => None,
            (_, 3) => self.process.holding(address..address + 1).map(|w| w[0]),
            _ if address == REPORTED => Some(self.drive.reported(now)),
            _ => (address < INPUTS).then(|| Process::input(address, now)),
        }
    }

    fn write_registers(
        &mut self,
        pdu: &[u8],
        start: [u8; 2],
        data: &[u8],
        reply: &[u8],
        mode: Mode,
        now: Mono,
    ) -> Result<Option<Vec<u8>>, u8> {
        let start = u16::from_be_bytes(start);
        let access = Access { mode, now, flash: &mut self.flash };
        if let Some(outcome) = self.loader.write(pdu[0], start, data, access) {
            return self.follow(outcome.unwrap_or_else(|then| then), reply, now);
        }
        let taken = mode == Mode::Application && self.process.set_holding(usize::from(start), &words(data));
        if taken { Ok(Some(reply.to_vec())) } else { Err(ILLEGAL_ADDRESS) }
    }

    fn write_file(
        &mut self,
        bytes: usize,
        mut records: &[u8],
        pdu: &[u8],
        mode: Mode,
        now: Mono,
    ) -> Result<Option<Vec<u8>>, u8> {
        if bytes != records.len() || !(9..=0xFB).contains(&bytes) {
            return Err(ILLEGAL_VALUE);
        }
        while let [6, f1, f2, r1, r2, n1, n2, rest @ ..] = records {
            let len = 2 * usize::from(u16::from_be_bytes([*n1, *n2]));
            let Some((data, rest)) = rest.split_at_checked(len) else { return Err(ILLEGAL_VALUE) };
            let (file, record) = (u16::from_be_bytes([*f1, *f2]), u16::from_be_bytes([*r1, *r2]));
            let access = Access { mode, now, flash: &mut self.flash };
            match self.loader.write_file(file, record, data, access) {
                None => return Err(ILLEGAL_FUNCTION),
                Some(Ok(Then::Reply)) => records = rest,
                Some(outcome) => return self.follow(outcome.unwrap_or_else(|then| then), pdu, now),
            }
        }
        if records.is_empty() { Ok(Some(pdu.to_vec())) } else { Err(ILLEGAL_ADDRESS) }
    }

    fn follow(&mut self, then: Then, reply: &[u8], now: Mono) -> Result<Option<Vec<u8>>, u8> {
        match then {
            Then::Reply => return Ok(Some(reply.to_vec())),
            Then::ReplyAndBoot(after) => {
                self.restart_at = Some(now + after);
                return Ok(Some(reply.to_vec()));
            }
            Then::Refuse(code) => return Err(code),
            Then::Enter => {
                self.running = None;
                self.run = Run::Starting(now + ENTER, false);
            }
            Then::Boot => self.restart(now),
            Then::Dark => self.go_dark(),
        }
        Ok(None)
    }

    fn read_bits(&self, function: u8, start: [u8; 2], count: [u8; 2], now: Mono) -> Result<Vec<u8>, u8> {
        let (start, count) = (usize::from(u16::from_be_bytes(start)), usize::from(u16::from_be_bytes(count)));
        if !(1..=2000).contains(&count) {
            return Err(ILLEGAL_VALUE);
        }
        if start + count > INPUTS {
            return Err(ILLEGAL_ADDRESS);
        }
        let coils = self.process.coils(start..start + count).ok_or(ILLEGAL_ADDRESS)?;
        let mut reply = vec![function, count.div_ceil(8) as u8];
        reply.resize(2 + count.div_ceil(8), 0);
        for (n, coil) in coils.iter().enumerate() {
            let on = if function == 1 { *coil } else { Process::input(start + n, now) & 1 == 1 };
            reply[2 + n / 8] |= u8::from(on) << (n % 8);
        }
        Ok(reply)
    }

    fn set_coils(&mut self, start: u16, bits: &[bool]) -> Result<(), u8> {
        if self.process.set_coils(usize::from(start), bits) { Ok(()) } else { Err(ILLEGAL_ADDRESS) }
    }

    /// FC 43/14 (V1.1b3 §6.21): vendor, product, revision; conformity 0x81, basic with single objects.
    fn identification(&self, code: u8, object: u8) -> Result<Vec<u8>, u8> {
        let texts = ["acme", "px-200", &self.revision()].map(str::to_owned);
        let wanted: Vec<usize> = match (code, object) {
            (1..=3, 0..=2) => (usize::from(object)..3).collect(),
            (1..=3, _) => (0..3).collect(), // an unknown object starts at the beginning
            (4, 0..=2) => vec![usize::from(object)],
            (4, _) => return Err(ILLEGAL_ADDRESS),
            _ => return Err(ILLEGAL_VALUE),
        };
        let mut reply = vec![43, 0x0E, code, 0x81, 0, 0, wanted.len() as u8];
        for n in wanted {
            reply.extend_from_slice(&[n as u8, texts[n].len() as u8]);
            reply.extend_from_slice(texts[n].as_bytes());
        }
        Ok(reply)
    }

    /// First eight hex digits of the firmware's SHA-256, and the version the firmware names, if any.
    fn revision(&self) -> String {
        let hex = self.running.map_or_else(String::new, |d| d.to_hex()[..8].to_owned());
        let version = self.flash.bootable().and_then(version_text);
        version.map_or(hex.clone(), |v| format!("{v} {hex}"))
    }

    fn advance(&mut self, now: Mono) {
        if let Some(at) = self.restart_at
            && at <= now
        {
            self.restart(at);
        }
        let leaves = self.loader.leaves_at().is_some_and(|at| at <= now);
        match self.run {
            Run::Starting(until, true) if until <= now => self.start(until),
            Run::Starting(until, false) if until <= now => {
                self.run = Run::Running(Mode::Bootloader);
                self.loader.entered(until);
            }
            Run::Running(Mode::Bootloader) if leaves && self.flash.bootable().is_some() => self.start(now),
            _ => {}
        }
    }

    fn start(&mut self, now: Mono) {
        self.loader.reset();
        self.running = self.flash.bootable().map(Digest::of);
        self.drive.runs(self.flash.bootable().unwrap_or_default(), now);
        self.run = match (self.running, self.flash_talks()) {
            (Some(_), _) => Run::Running(Mode::Application),
            (None, true) => Run::Running(Mode::Bootloader),
            (None, false) => Run::Dead,
        };
        if self.running.is_none() {
            self.loader.entered(now);
        }
    }

    /// The controllers with two banks take updates in the application only.
    fn flash_talks(&self) -> bool {
        self.kind.layout() == super::flash::Layout::SingleBank
    }

    fn restart(&mut self, now: Mono) {
        self.restart_at = None;
        self.connections += 1;
        self.loader.reset();
        self.process = Process::new();
        self.run = Run::Starting(now + self.boot, true);
    }

    fn go_dark(&mut self) {
        self.restart_at = None;
        self.connections += 1;
        self.loader.reset();
        self.process = Process::new();
        self.running = None;
        self.run = Run::Off;
    }
}

/// The text after `version=` in a firmware, up to 16 printable characters.
fn version_text(firmware: &[u8]) -> Option<String> {
    let mark = b"version=";
    let at = firmware.windows(mark.len()).position(|w| w == mark)? + mark.len();
    let text: String =
        firmware[at..].iter().take(16).take_while(|b| b.is_ascii_graphic()).map(|b| *b as char).collect();
    (!text.is_empty()).then_some(text)
}

fn words(data: &[u8]) -> Vec<u16> {
    data.chunks_exact(2).map(|w| u16::from_be_bytes([w[0], w[1]])).collect()
}

const ILLEGAL_FUNCTION: u8 = 1;
/// From the application into the bootloader.
const ENTER: Duration = Duration::from_millis(100);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"old firmware version=1.0\0";
    const BOOT: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn hex(reply: Option<Vec<u8>>) -> String {
        reply.map_or("-".into(), |r| r.iter().map(|b| format!("{b:02x}")).collect())
    }

    #[test]
    fn each_function_answers_as_the_standard_says() {
        let mut c = Controller::new(Kind::Linear, 1, OLD, BOOT);
        let cases: &[(&str, &[u8], &str)] = &[
            ("a write and its echo", &[6, 0, 5, 1, 2], "0600050102"),
            ("read back", &[3, 0, 5, 0, 1], "03020102"),
            ("several registers", &[16, 0, 6, 0, 2, 4, 1, 1, 2, 2], "1000060002"),
            ("a mask write", &[22, 0, 5, 0, 0xF2, 0, 0x25], "16000500f20025"),
            ("write, then read", &[23, 0, 5, 0, 2, 0, 6, 0, 1, 2, 9, 9], "170400070909"),
            ("one coil", &[5, 0, 3, 0xFF, 0], "050003ff00"),
            ("coils", &[15, 0, 0, 0, 2, 1, 1], "0f00000002"),
            ("coils read back", &[1, 0, 0, 0, 4], "010109"),
            ("a moving input", &[4, 0, 0, 0, 1], "04020064"),
            ("past the registers", &[3, 0, 199, 0, 2], "8302"),
            ("past the inputs", &[4, 0, 64, 0, 1], "8402"),
            ("126 registers", &[3, 0, 0, 0, 126], "8303"),
            ("half a coil", &[5, 0, 0, 1, 0], "8503"),
            ("counts that differ", &[16, 0, 0, 0, 2, 2, 1, 1], "9003"),
            ("a function it lacks", &[90, 0], "da01"),
            ("identity object 9", &[43, 14, 4, 9], "ab02"),
        ];
        for (what, pdu, expected) in cases {
            assert_eq!(hex(c.request(1, pdu, at(10_000))), *expected, "{what}");
        }
        assert_eq!(c.request(2, &[3, 0, 0, 0, 1], at(10_000)), None, "another unit");
    }

    #[test]
    fn the_identity_names_the_firmware_that_runs() {
        let mut c = Controller::new(Kind::FileRecord, 1, OLD, BOOT);
        let reply = c.request(1, &[43, 14, 4, 2], at(0)).unwrap();
        let expected = format!("1.0 {}", &Digest::of(OLD).to_hex()[..8]);
        assert_eq!(String::from_utf8_lossy(&reply[9..]), expected);
    }

    #[test]
    fn a_commit_with_a_gap_is_refused_and_the_old_firmware_stays() {
        let mut c = Controller::new(Kind::Linear, 1, OLD, BOOT);
        let cases: &[(&str, &[u8], &str)] = &[
            ("a byte before begin", &[16, 0x40, 0, 0, 1, 2, 1, 2], "9002"),
            ("commit before begin", &[6, 0xF2, 0, 0, 2], "8604"),
            ("begin with six bytes", &[16, 0xF2, 0, 0, 3, 6, 0, 1, 0, 0, 0, 6], "10f2000003"),
            ("the first two", &[16, 0x40, 0, 0, 1, 2, 1, 2], "1040000001"),
            ("the last two", &[6, 0x40, 2, 5, 6], "0640020506"),
            ("two past the end", &[6, 0x40, 3, 7, 8], "8602"),
            ("commit", &[6, 0xF2, 0, 0, 2], "8604"),
            ("status failed", &[3, 0xF2, 3, 0, 1], "03020005"),
        ];
        for (what, pdu, expected) in cases {
            assert_eq!(hex(c.request(1, pdu, at(0))), *expected, "{what}");
        }
        assert_eq!(c.booted(at(9_000)), Some(OLD));
    }

    #[test]
    fn a_commit_of_a_whole_image_restarts_into_it() {
        let mut c = Controller::new(Kind::Linear, 1, OLD, BOOT);
        let steps: &[&[u8]] = &[
            &[16, 0xF2, 0, 0, 3, 6, 0, 1, 0, 0, 0, 3],
            &[16, 0x40, 0, 0, 2, 4, 7, 8, 9, 0xFF],
            &[6, 0xF2, 0, 0, 2],
        ];
        steps.iter().for_each(|pdu| assert!(c.request(1, pdu, at(0)).unwrap()[0] < 0x80));
        let status = |c: &mut Controller, ms| hex(c.request(1, &[3, 0xF2, 3, 0, 1], at(ms)));
        let seen: Vec<String> = [50, 200, 800, 1_500].into_iter().map(|ms| status(&mut c, ms)).collect();
        assert_eq!(seen, ["03020003", "03020004", "-", "03020000"]);
        assert_eq!(c.booted(at(1_500)), Some(&[7u8, 8, 9][..]));
        assert_eq!(c.connections(at(1_500)), 1, "the restart broke every connection once");
    }

    #[test]
    fn power_lost_in_a_single_bank_leaves_the_bootloader_and_no_process() {
        let mut c = Controller::new(Kind::WirenBoard, 1, OLD, BOOT);
        assert_eq!(c.request(1, &[6, 0, 129, 0, 1], at(0)), None, "it leaves at once");
        let mut info = vec![16, 0x10, 0, 0, 16, 32, 0, 200, 0, 0];
        info.resize(38, 0);
        assert_eq!(hex(c.request(1, &info, at(500))), "1010000010");
        c.power_cut();
        assert_eq!(c.request(1, &[3, 0, 0, 0, 1], at(600)), None);
        c.power_on(at(1_000));
        assert_eq!(hex(c.request(1, &[3, 0, 0, 0, 1], at(3_000))), "8302", "the process is dead");
        assert_eq!(c.booted(at(900_000)), None, "and stays so");
    }

    #[test]
    fn faults_happen_as_asked() {
        let mut c = Controller::new(Kind::Linear, 1, OLD, BOOT);
        *c.faults() = Faults { drop_replies: 1, refuse: [6].into(), ..Faults::default() };
        assert_eq!(c.request(1, &[6, 0, 0, 0, 7], at(0)), None);
        assert_eq!(hex(c.request(1, &[6, 0, 1, 0, 7], at(0))), "0600010007");
        c.faults().drop_replies = 1;
        assert_eq!(c.request(1, &[6, 0, 0, 0, 7], at(0)), None, "carried out, reply lost");
        assert_eq!(hex(c.request(1, &[3, 0, 0, 0, 1], at(0))), "03020007");
    }
}
