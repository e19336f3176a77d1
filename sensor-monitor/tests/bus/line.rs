//! A simulated RS-485 line of 500 m with a station and four units, as a front-end at the station samples it.
//!
//! Plateaus come from the resistances: drivers of 30 ohm, terminators of 120 ohm, and 100 ohm of cable loop for
//! each kilometre (PVC 0.22 mm2). Edges are ramps, as slew-limited drivers make them, through a first-order low
//! pass that grows with the way. What is wrong at the far end comes back as one echo after the round trip; the
//! second round is left out, and so are the cable's dispersion and its skin effect.

use std::collections::VecDeque;
use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::serial_line::{Event, Line, Observer, Side, crc16};
use hal::sensor::{Block, Quality};
use sensor_monitor::bus::{Bus, Connection, FrontEnd, News, Owners, Probe};
use sensor_monitor::estimate::level::bus::BusConfig;
use sensor_monitor::rng::Rng;

/// Metres of cable; the station is at 0.
const LENGTH: f64 = 500.0;
/// Seconds for each metre: 0.66 of the speed of light.
const PER_METRE: f64 = 5e-9;
/// Ohm of the loop for each metre.
const LOOP: f64 = 0.1;
const SOURCE: f64 = 30.0;
const TERMINATOR: f64 = 120.0;
/// Low pass of the drivers, and of each metre of the way, seconds.
const LOW_PASS: (f64, f64) = (20e-9, 0.4e-9);
/// Standard deviation of the noise between the wires, volts.
const NOISE: f64 = 0.02;
/// 12 bits over +-5 V.
const LSB: f64 = 10.0 / 4096.0;
/// Samples for each bit. No whole number, so that samples fall on every part of the edges.
pub(crate) const SAMPLES_PER_BIT: f64 = 12.37;
/// Slow wander of each transmitter, dB, and how many of its frames it takes.
const WANDER: (f64, f64) = (0.03, 60.0);
/// After so long an edge and its echo are complete, seconds.
const SETTLED: f64 = 20e-6;

/// What stands at the far end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FarEnd {
    Terminated,
    Missing,
    Extra,
    /// A tap of so many farad beside the terminator.
    Tap(f64),
}

#[derive(Debug, Clone)]
pub(crate) struct Device {
    metres: f64,
    /// Amplitude without load, volts.
    open: f64,
    /// Of a straight edge from end to end, seconds.
    edge: f64,
    ppm: f64,
    turnaround: f64,
    wander: f64,
    /// What was changed, dB.
    pub(crate) decibels: f64,
}

/// The line and all that talks on it.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) baud: f64,
    pub(crate) devices: Vec<Device>,
    pub(crate) far_end: FarEnd,
    rng: Rng,
    now_ns: u64,
    next: usize,
    waves: VecDeque<Wave>,
}

/// Samples of one frame.
#[derive(Debug, Clone)]
struct Wave {
    from_ns: u64,
    samples: Vec<f64>,
}

impl Wire {
    pub(crate) fn new(baud: u32, seed: u64) -> Wire {
        let mut rng = Rng::new(seed);
        let places = [0.0, 110.0, 230.0, 350.0, 480.0];
        let devices = places.into_iter().map(|metres| Device {
            metres,
            // Into 70 ohm these give 1.5 to 3 V.
            open: 2.15 + 2.1 * rng.uniform(),
            edge: 0.3e-6 + 0.5e-6 * rng.uniform(),
            ppm: 60.0 * rng.normal(),
            turnaround: 4e-3 + 8e-3 * rng.uniform(),
            wander: 0.0,
            decibels: 0.0,
        });
        let devices = devices.collect();
        let baud = f64::from(baud);
        Wire { baud, devices, far_end: FarEnd::Terminated, rng, now_ns: 0, next: 1, waves: VecDeque::new() }
    }

    pub(crate) fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    pub(crate) fn line(&self) -> Line {
        Line { baud: self.baud as u32, bits: 11, slack: Duration::ZERO }
    }

    pub(crate) fn probe(&self) -> Probe {
        let bit = 1.0 / self.baud;
        Probe::new(BusConfig { rate: SAMPLES_PER_BIT * self.baud, bit, reference: 2.0, mark_is_low: true })
            .unwrap()
    }

    /// The front-end that reads its frames from the samples.
    pub(crate) fn sampler(&self) -> FrontEnd {
        let connection =
            Connection { rate_hz: SAMPLES_PER_BIT * self.baud, reference_v: 2.0, swapped: false };
        FrontEnd::new(self.line(), Duration::from_secs(1), connection).unwrap()
    }

    /// What a converter gives of the frames since `heard`, and of the line at rest between them.
    pub(crate) fn blocks(&mut self, heard: &mut u64) -> Vec<Block> {
        let rate = SAMPLES_PER_BIT * self.baud;
        let period_ns = (1e9 / rate) as u64;
        let mut blocks = Vec::new();
        let block = |at, samples| Block { at: Mono(at), period_ns, samples, lost: 0, quality: Quality::Good };
        for wave in std::mem::take(&mut self.waves) {
            let rest = (wave.from_ns.saturating_sub(*heard) as f64 * 1e-9 * rate) as usize;
            // No bias: at rest the wires are at the same voltage.
            let rest: Vec<f64> = (0..rest.max(2)).map(|_| NOISE * self.rng.normal()).collect();
            blocks.push(block(*heard, rest));
            *heard = wave.from_ns + (wave.samples.len() as f64 / rate * 1e9) as u64;
            blocks.push(block(wave.from_ns, wave.samples));
        }
        blocks
    }

    /// The station asks the next unit and it answers; the observer sees both.
    pub(crate) fn poll(&mut self, observer: &mut Observer, out: &mut Vec<Event>) {
        let unit = self.next;
        self.next = if unit == 4 { 1 } else { unit + 1 };
        let request = framed(&[unit as u8, 3, 0, 16, 0, 2]);
        let data: Vec<u8> = (0..4).map(|_| self.rng.bits() as u8).collect();
        let answer = framed(&[&[unit as u8, 3, 4][..], &data].concat());
        let turnaround =
            self.devices[unit].turnaround * (1.0 + 0.03 * self.rng.normal()) + 1e-3 * self.rng.uniform();
        self.say(0, &request, Side::Station, observer, out);
        self.now_ns += (turnaround.max(1e-3) * 1e9) as u64;
        self.say(unit, &answer, Side::Units, observer, out);
        self.now_ns += self.line().silence_ns() + 1_000_000;
    }

    pub(crate) fn now(&self) -> Mono {
        Mono(self.now_ns)
    }

    fn say(&mut self, who: usize, bytes: &[u8], side: Side, observer: &mut Observer, out: &mut Vec<Event>) {
        let samples = self.sample(who, bytes);
        self.waves.push_back(Wave { from_ns: self.now_ns, samples });
        if self.waves.len() > 4 {
            self.waves.pop_front();
        }
        self.now_ns += (bytes.len() as f64 * 11.0 / self.baud * 1e9) as u64;
        observer.bytes(side, Mono(self.now_ns), bytes, out);
    }

    /// The samples that lie within a stretch of time, and the place of the stretch in them.
    pub(crate) fn samples(&self, from: Mono, to: Mono) -> Option<(&[f64], std::ops::Range<usize>)> {
        // An answer is placed by a count of characters in whole nanoseconds.
        let near = |w: &&Wave| w.from_ns <= from.0 + 2000;
        let wave = self.waves.iter().rev().find(near)?;
        let place = |at: Mono| {
            let seconds = at.0.saturating_sub(wave.from_ns) as f64 * 1e-9;
            (seconds * SAMPLES_PER_BIT * self.baud) as usize
        };
        Some((&wave.samples, place(from)..place(to)))
    }

    /// A frame of device `who` as the converter at the station gives it.
    fn sample(&mut self, who: usize, bytes: &[u8]) -> Vec<f64> {
        let (sd, frames) = WANDER;
        let keep = 1.0 - 1.0 / frames;
        let step = sd * (1.0 - keep * keep).sqrt() * self.rng.normal();
        let device = &mut self.devices[who];
        device.wander = keep * device.wander + step;
        let gain = 10f64.powf((device.decibels + device.wander) / 20.0);
        let (metres, edge, bit) = (device.metres, device.edge, (1.0 + device.ppm * 1e-6) / self.baud);
        let amplitude = gain * device.open * divided(metres, self.far_end);
        let matched = gain * device.open * divided(metres, FarEnd::Terminated);
        // What the first wave does not know of the far end comes with the echo.
        let late = 1.0 - matched / amplitude;
        let delay = 2.0 * (LENGTH - metres) * PER_METRE;
        let far_end = self.far_end;
        let response = |t: f64| {
            let direct = LOW_PASS.0 + LOW_PASS.1 * metres;
            let echoed = LOW_PASS.0 + LOW_PASS.1 * (2.0 * LENGTH - metres);
            match far_end {
                FarEnd::Tap(farads) => {
                    let tau = farads * TERMINATOR / 2.0;
                    // On its way back the dip loses what the resistance takes.
                    let loss = TERMINATOR / (TERMINATOR + LOOP * LENGTH);
                    ramp(t, edge, direct) - loss * pulse(t - delay, edge, tau)
                }
                _ => (1.0 - late) * ramp(t, edge, direct) + late * ramp(t - delay, edge, echoed),
            }
        };
        // From idle (mark), through all bits of 8E1, to mark.
        let mut edges: VecDeque<(f64, f64)> = VecDeque::new();
        let (mut last, mut time) = (-1.0, 0.0);
        for byte in bytes {
            let parity = byte.count_ones() % 2 == 1;
            let bits = (0..8).map(|i| byte >> i & 1 == 1);
            for mark in std::iter::once(false).chain(bits).chain([parity, true]) {
                let to = if mark { -1.0 } else { 1.0 };
                if to != last {
                    edges.push_back((time, to - last));
                }
                (last, time) = (to, time + bit);
            }
        }
        let period = 1.0 / (SAMPLES_PER_BIT * self.baud);
        let phase = self.rng.uniform() * period;
        let count = (time / period) as usize + 1;
        let mut settled = -1.0;
        (0..count)
            .map(|i| {
                let t = phase + i as f64 * period;
                while edges.front().is_some_and(|(at, _)| t - at > SETTLED) {
                    settled += edges.pop_front().unwrap().1;
                }
                let open =
                    edges.iter().take_while(|(at, _)| *at < t).map(|(at, step)| step * response(t - at));
                let volts = amplitude * (settled + open.sum::<f64>()) + NOISE * self.rng.normal();
                ((volts.clamp(-5.0, 5.0 - LSB)) / LSB).round() * LSB
            })
            .collect()
    }
}

/// Bus and front-end on a wire.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) wire: Wire,
    pub(crate) bus: Bus,
    pub(crate) front_end: bool,
    owners: Owners,
    probe: Probe,
}

impl Bench {
    pub(crate) fn new(wire: Wire, bus: Bus) -> Bench {
        let (owners, probe) = (Owners::new(&wire.line()), wire.probe());
        Bench { bus, owners, probe, wire, front_end: true }
    }

    pub(crate) fn observer(&self) -> Observer {
        Observer::new(self.wire.line(), Duration::from_secs(1))
    }

    /// As [`Bench::run`], but the front-end reads the frames itself, from samples that never stop.
    pub(crate) fn run_sampled(&mut self, windows: u32, observer: &mut Observer) -> Vec<News> {
        let end = self.wire.now() + self.bus.settings().window * windows;
        let (mut out, mut events, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        let (mut sampler, mut heard) = (self.wire.sampler(), self.wire.now().0);
        self.wire.blocks(&mut heard);
        heard = self.wire.now().0;
        while self.wire.now() < end {
            self.wire.poll(observer, &mut events);
            events.drain(..).for_each(|event| self.bus.event(&event, &mut out));
            for block in self.wire.blocks(&mut heard) {
                sampler.block(&block, &mut frames);
            }
            for frame in frames.drain(..) {
                self.bus.frame(frame.talker, frame.at, &frame.measured, &mut out);
            }
        }
        out
    }

    /// Runs `windows` windows and gives what the bus said.
    pub(crate) fn run(&mut self, windows: u32, observer: &mut Observer) -> Vec<News> {
        let end = self.wire.now() + self.bus.settings().window * windows;
        let (mut out, mut events) = (Vec::new(), Vec::new());
        while self.wire.now() < end {
            self.wire.poll(observer, &mut events);
            for event in events.drain(..) {
                self.bus.event(&event, &mut out);
                let Some(owned) = self.owners.event(&event).filter(|_| self.front_end) else { continue };
                if let Some((samples, gate)) = self.wire.samples(owned.from, owned.to) {
                    self.bus.frame(owned.talker, event.at, &self.probe.measure(samples, gate), &mut out);
                }
            }
        }
        out
    }
}

/// Share of the open amplitude of a driver at `metres` that stands at the station, in rest.
fn divided(metres: f64, far_end: FarEnd) -> f64 {
    let (near, far) = (LOOP * metres, LOOP * (LENGTH - metres));
    let left = TERMINATOR + near;
    let load = match far_end {
        FarEnd::Missing => left,
        FarEnd::Extra => parallel(left, far + TERMINATOR / 2.0),
        FarEnd::Terminated | FarEnd::Tap(_) => parallel(left, far + TERMINATOR),
    };
    load / (load + SOURCE) * TERMINATOR / left
}

fn parallel(a: f64, b: f64) -> f64 {
    a * b / (a + b)
}

/// A ramp of length `edge` from 0 to 1 through a low pass.
fn ramp(t: f64, edge: f64, tau: f64) -> f64 {
    let slope = |t: f64| if t > 0.0 { t - tau * (1.0 - (-t / tau).exp()) } else { 0.0 };
    (slope(t) - slope(t - edge)) / edge
}

/// The same ramp through a high pass: what a capacitor takes of it.
fn pulse(t: f64, edge: f64, tau: f64) -> f64 {
    let slope = |t: f64| if t > 0.0 { tau * (1.0 - (-t / tau).exp()) } else { 0.0 };
    (slope(t) - slope(t - edge)) / edge
}

pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    [body, &crc16(body).to_le_bytes()].concat()
}
