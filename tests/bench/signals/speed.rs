//! Samples each second of one core, against FFTW on the same core in turn.
//!
//! The bounds were chosen before the first run, from what had been measured of the parts on another machine at
//! windows of 4,096 (million samples each second: FFTW real to complex 820, mixer 1,100, one pass of reading
//! 6,500, a real transform in Rust 512). Tracker: a fixed tone needs no transform, and its mixer was to be 1.2
//! times FFTW. Whole path: a transform, about eight passes of a mixer for interpolation and fit, and ten of
//! reading are 10.8 ns for each sample, or 0.11 of FFTW; the bound is 0.10.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use hal::clock::Mono;
use hal::sensor::{Block, Quality};
use sensor_monitor::anomaly::{Kind, Series};
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Event, Measure, Spec};
use sensor_monitor::estimate::tone::{ToneEstimator, track::ToneTracker};
use sensor_monitor::rng::Rng;

use crate::figure::{Bound, figure, median, ratios};

const N: usize = 4096;
const ROUNDS: usize = 21;
const ROUND: Duration = Duration::from_millis(60);
const TRACKER: f64 = 1.2;
const PATH: f64 = 0.10;

pub(crate) fn measure() {
    let mut fftw = Fftw::new();
    let mut rng = Rng::new(11);
    let samples: Vec<f64> = (0..N).map(|i| (i as f64 * 0.8171).cos() + 0.01 * rng.normal()).collect();
    let mut estimator = ToneEstimator::new(N, 1.0).expect("within the limits");
    let mut tracker = ToneTracker::new(N, 1.0, 0.13).expect("within the limits");
    let mut path = Path::new(&samples);
    assert!(tracker.estimate(&samples).is_some(), "it measures what it is measured with");

    let mut track = || {
        black_box(tracker.estimate(black_box(&samples)));
    };
    let mut tone = || {
        black_box(estimator.estimate(black_box(&samples)));
    };
    let mut whole = || path.window();
    let mut rates = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        rates[0].push(fftw.rate());
        let runs: [&mut dyn FnMut(); 3] = [&mut track, &mut tone, &mut whole];
        for (rates, run) in rates[1..].iter_mut().zip(runs) {
            rates.push(rate(run));
        }
    }
    let [peer, track, tone, whole] = &rates;
    println!("signal-speed: {}, windows of {N} doubles, {ROUNDS} rounds of {ROUND:?}", fftw.version);
    println!(
        "  Msamples/s on one core: FFTW real to complex {:.0}, tone tracker {:.0}, tone estimator {:.0}, whole path \
         from block to judged reading (frequency) {:.0}",
        median(peer),
        median(track),
        median(tone),
        median(whole),
    );
    figure("speed-tracker-of-fftw", "ratio", &ratios(track, peer), Bound::AtLeast(TRACKER));
    figure("speed-path-of-fftw", "ratio", &ratios(whole, peer), Bound::AtLeast(PATH));
}

/// Million samples each second.
fn rate(run: &mut dyn FnMut()) -> f64 {
    let began = Instant::now();
    let mut windows = 0_u64;
    while began.elapsed() < ROUND {
        for _ in 0..16 {
            run();
        }
        windows += 16;
    }
    windows as f64 * N as f64 / began.elapsed().as_secs_f64() / 1e6
}

/// A channel that has learned: every block is measured and judged.
struct Path {
    channel: Channel,
    block: Block,
    out: Vec<Event>,
}

impl Path {
    fn new(samples: &[f64]) -> Path {
        let spec = Spec {
            id: "drive.shaft".into(),
            plc: None,
            kind: Kind::Process,
            measure: Measure::Frequency,
            unit: "Hz".into(),
            window: Duration::from_nanos(PERIOD_NS * N as u64),
            interval: Duration::from_nanos(PERIOD_NS * N as u64),
            false_alarms_per_year: 1.0,
            learning: Some(Learning::new(512, 64, 0.0).expect("a valid setting")),
            settle: 0,
            limits: None,
            reported: None,
        };
        let mut channel = Channel::new(spec);
        let mut rng = Rng::new(12);
        let (mut out, mut at) = (Vec::new(), 0);
        while channel.model(Series::Measured).is_none() {
            let noisy = samples.iter().map(|x| x + 0.01 * rng.normal()).collect();
            channel.block(&block(at, noisy), &mut out);
            at += PERIOD_NS * N as u64;
        }
        Path { channel, block: block(at, samples.to_vec()), out }
    }

    fn window(&mut self) {
        self.out.clear();
        self.channel.block(black_box(&self.block), &mut self.out);
        assert!(
            matches!(self.out.first(), Some(Event::Reading(r, _)) if r.quality.is_good()),
            "{:?}",
            self.out
        );
        self.block.at = Mono(self.block.at.0 + PERIOD_NS * N as u64);
    }
}

fn block(at: u64, samples: Vec<f64>) -> Block {
    Block { at: Mono(at), period_ns: PERIOD_NS, samples, lost: 0, quality: Quality::Good }
}

const PERIOD_NS: u64 = 100_000;

/// FFTW in a process of its own, compiled here; it works when it is told to.
struct Fftw {
    child: Child,
    told: ChildStdin,
    says: BufReader<ChildStdout>,
    version: String,
}

impl Fftw {
    fn new() -> Fftw {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (source, program) = (dir.path().join("fftw.c"), dir.path().join("fftw"));
        std::fs::write(&source, include_str!("fftw.c")).expect("writable");
        let made = Command::new("cc")
            .arg("-O2")
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .args(["-lfftw3", "-lm"])
            .status();
        assert!(made.is_ok_and(|s| s.success()), "FFTW does not compile: deploy/setup.sh --bench");
        let mut command = Command::new(&program);
        let mut child = command
            .arg(N.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("just compiled");
        let (told, says) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut fftw = Fftw { child, told, says: BufReader::new(says), version: String::new() };
        fftw.version = fftw.line();
        fftw
    }

    /// Million samples each second in one round.
    fn rate(&mut self) -> f64 {
        writeln!(self.told, "{}", ROUND.as_millis()).expect("it listens");
        self.line().parse().expect("a number")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("it answers");
        line.trim().into()
    }
}

impl Drop for Fftw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
