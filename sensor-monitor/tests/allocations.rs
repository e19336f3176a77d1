//! Estimators, and a channel that has learned, allocate nothing: they run for years beside a proxy.
//!
//! The counting allocator is that of the crate `allocation-counter`; it counts those of this thread.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use allocation_counter::measure;
use hal::clock::Mono;
use hal::sensor::{Block, Quality};
use sensor_monitor::anomaly::{Kind, Series};
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Class, Mains, Measure, Nominal, Spec};
use sensor_monitor::estimate::level::bus::{BusConfig, BusLevel};
use sensor_monitor::estimate::level::rms::Rms;
use sensor_monitor::estimate::phasor::{PhasorConfig, PhasorEstimator};
use sensor_monitor::estimate::spectrum::{DistortionMeter, Spectrum};
use sensor_monitor::estimate::timing::drift::DriftEstimator;
use sensor_monitor::estimate::timing::histogram::LogHistogram;
use sensor_monitor::estimate::timing::jitter::Jitter;
use sensor_monitor::estimate::tone::ToneEstimator;
use sensor_monitor::estimate::tone::track::ToneTracker;
use sensor_monitor::rng::Rng;

const N: usize = 1000;
const RATE: f64 = 10_000.0;

fn window(rng: &mut Rng) -> Vec<f64> {
    (0..N).map(|i| (0.13 * 2.0 * std::f64::consts::PI * i as f64).cos() + 0.01 * rng.normal()).collect()
}

#[test]
fn the_count_sees_what_allocates() {
    assert_eq!(measure(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(10)))).count_total, 1);
}

#[test]
fn no_estimator_allocates_after_it_is_made() {
    let mut rng = Rng::new(4);
    let x = window(&mut rng);
    let broken = vec![f64::NAN; N];
    let mut tone = ToneEstimator::new(N, RATE).unwrap();
    let mut tracker = ToneTracker::new(N, RATE, 1300.0).unwrap();
    let mut spectrum = Spectrum::new(N).unwrap();
    let mut distortion = DistortionMeter::new(N, RATE).unwrap();
    let (mut rms, mut histogram) = (Rms::default(), LogHistogram::default());
    let mut drift = DriftEstimator::new(1e-3, 100).unwrap();
    let mut jitter = Jitter::new(100);
    let bus = BusConfig { rate: RATE, bit: 1e-3, reference: 2.0, mark_is_low: true };
    let mut bus = BusLevel::new(bus).unwrap();
    let config = |class| {
        let nominal = Nominal::Fifty;
        PhasorEstimator::new(PhasorConfig { class, rate: RATE, nominal, reports: 10, start: 0.0 }).unwrap()
    };
    let (mut p, mut m) = (config(Class::P), config(Class::M));
    let square: Vec<f64> = (0..N).map(|i| if i / 10 % 2 == 0 { 2.0 } else { -2.0 }).collect();
    let gate = 0..N;
    let mut time = 0.0;
    let rows: &mut [(&str, &mut dyn FnMut())] = &mut [
        ("tone", &mut || assert!(tone.estimate(&x).is_some() && tone.estimate(&broken).is_none())),
        ("tracker", &mut || assert!(tracker.estimate(&x).is_some() && tracker.estimate(&broken).is_none())),
        ("spectrum", &mut || assert!(spectrum.amplitudes(&x, 1.0).is_some())),
        ("distortion", &mut || assert!(distortion.measure(&x, 3).is_some())),
        ("level", &mut || {
            rms.push(&x, Quality::Good);
            assert!(rms.take().1.is_good());
        }),
        ("bus level", &mut || {
            assert!(bus.measure(&square, None, std::slice::from_ref(&gate)).quality.is_good());
        }),
        ("mains, class P", &mut || {
            p.restart();
            assert!((0..20 * N).filter_map(|i| p.push(x[i % N])).count() > 5);
        }),
        ("mains, class M", &mut || {
            m.restart();
            assert!((0..20 * N).filter_map(|i| m.push(x[i % N])).count() > 5);
        }),
        ("histogram", &mut || assert!(histogram.push(0.01) && histogram.quantile(0.5).is_some())),
        ("drift", &mut || {
            for _ in 0..300 {
                time += 1e-3;
                drift.push(time);
            }
            assert!(drift.drift().is_some());
        }),
        ("jitter", &mut || {
            (0..300).for_each(|i| jitter.push(f64::from(i % 7)));
            std::hint::black_box(jitter.scatter());
        }),
    ];
    for (what, run) in rows.iter_mut() {
        let info = measure(&mut *run);
        assert_eq!(info.count_total, 0, "{what}: {info:?}");
    }
}

#[test]
fn a_channel_that_has_learned_measures_and_judges_without_allocating() {
    let mains = |class| Measure::Mains(Mains { nominal: Nominal::Fifty, class });
    for what in [Measure::Value, Measure::Frequency, Measure::Level(1.0), mains(Class::P), mains(Class::M)] {
        let window_ns = 100_000 * N as u64;
        let is_value = what == Measure::Value;
        let window = if is_value { Duration::ZERO } else { Duration::from_nanos(window_ns) };
        let spec = Spec {
            id: "shaft".into(),
            plc: None,
            kind: Kind::Process,
            measure: what,
            unit: String::new(),
            window,
            interval: if is_value { Duration::from_micros(100) } else { window },
            false_alarms_per_year: 1.0,
            learning: Some(Learning::new(512, 64, 0.0).unwrap()),
            settle: 0,
            limits: None,
            reported: None,
        };
        let mut channel = Channel::new(spec);
        let mut rng = Rng::new(2);
        let (mut out, mut at) = (Vec::new(), 0);
        let mut block = |at: &mut u64, lost| {
            let tone = |i: usize| (2.0 * std::f64::consts::PI * 50.0 * i as f64 / RATE).cos();
            let samples = (0..N).map(|i| tone(i) + 0.01 * rng.normal()).collect();
            let block = Block { at: Mono(*at), period_ns: 100_000, samples, lost, quality: Quality::Good };
            *at += window_ns;
            block
        };
        while channel.model(Series::Measured).is_none() {
            channel.block(&block(&mut at, 0), &mut out);
        }
        // The buffers of the caller and of the last values reach their full size once.
        for _ in 0..1100 {
            out.clear();
            channel.block(&block(&mut at, 0), &mut out);
        }
        let blocks: Vec<Block> = (0..50).map(|n| block(&mut at, u64::from(n == 10))).collect();
        let info = measure(|| {
            for block in &blocks {
                out.clear();
                channel.block(block, &mut out);
            }
        });
        assert_eq!(info.count_total, 0, "{what:?}: {info:?}");
    }
}
