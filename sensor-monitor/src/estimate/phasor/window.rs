//! The window of a phasor: the last samples, weighted about any instant and mixed down to zero.
//!
//! For class P the weight is a box of one cycle smoothed by a second box. With both one cycle long it is the
//! triangle of two cycles of IEC/IEEE 60255-118-1 Annex D. Its gain is zero at every harmonic, but for what
//! sampling adds, which the [`Moments`] hold. For class M it is a low pass, as long as the reports ask for.

use std::f64::consts::PI;

use crate::estimate::tone::mixer::Complex;

/// The shape, in seconds and hertz.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A box of one cycle, smoothed by a second box.
    Boxes {
        /// Length of the first box: one cycle.
        cycle: f64,
        /// Length of the second box.
        smooth: f64,
    },
    /// A windowed low pass: `sin(2 pi cutoff t) / t` under a raised cosine (Hann).
    LowPass {
        /// Half of the whole length.
        half: f64,
        /// Where it has fallen to a half.
        cutoff: f64,
    },
}

impl Shape {
    /// Half of the whole length, seconds.
    pub(super) fn half(self) -> f64 {
        match self {
            Shape::Boxes { cycle, smooth } => (cycle + smooth) / 2.0,
            Shape::LowPass { half, .. } => half,
        }
    }

    fn weights(self, from: f64, step: f64) -> Weights {
        let turning = |turn: f64| (Complex::polar(1.0, turn * from), Complex::polar(1.0, turn * step));
        let (hann, wave) = match self {
            Shape::Boxes { .. } => (0.0, 0.0),
            Shape::LowPass { half, cutoff } => (PI / half, 2.0 * PI * cutoff),
        };
        Weights { shape: self, hann: turning(hann), wave: turning(wave) }
    }
}

/// The weights of one sample after another: turning is cheaper than a sine for each.
struct Weights {
    shape: Shape,
    hann: (Complex, Complex),
    wave: (Complex, Complex),
}

impl Weights {
    /// The weight at `t` seconds, one step after the last.
    fn next(&mut self, t: f64) -> f64 {
        match self.shape {
            Shape::Boxes { smooth, .. } => ((self.shape.half() - t.abs()) / smooth).clamp(0.0, 1.0),
            Shape::LowPass { cutoff, .. } => {
                let angle = 2.0 * PI * cutoff * t;
                let sinc = if angle.abs() < 1e-4 { 1.0 } else { self.wave.0.im / angle };
                let weight = sinc * (0.5 + 0.5 * self.hann.0.re);
                self.hann.0 = self.hann.0 * self.hann.1;
                self.wave.0 = self.wave.0 * self.wave.1;
                weight
            }
        }
    }
}

/// The sampled window at one frequency: `sum w (i t)^k exp(i 2 pi f t) / sum w` for k = 0, 1, 2, from which
/// its value nearby, and for a frequency that moves, follows without another pass.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    sums: [Complex; 3],
}

impl Moments {
    /// The gain for a signal `off` radians per second from where the moments are, whose frequency grows by
    /// `chirp` radians per second each second.
    pub(super) fn gain(self, off: f64, chirp: f64) -> Complex {
        let [zero, one, two] = self.sums;
        // exp(i (off t + chirp t^2 / 2)) to second order; (i t)^2 = -t^2, hence -i on the chirp.
        let moving = Complex { re: 0.0, im: -chirp / 2.0 };
        zero + one.scale(off) + two.scale(off * off / 2.0) + two * moving
    }

    fn add(&mut self, turn: Complex, weight: f64, t: f64) {
        let [zero, one, two] = &mut self.sums;
        let now = turn.scale(weight);
        *zero = *zero + now;
        let now = Complex { re: -now.im * t, im: now.re * t };
        *one = *one + now;
        let now = Complex { re: -now.im * t, im: now.re * t };
        *two = *two + now;
    }

    fn scale(self, by: f64) -> Moments {
        Moments { sums: self.sums.map(|sum| sum.scale(by)) }
    }
}

/// One window of samples at its mixing frequency.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mixed {
    /// The complex amplitude (r.m.s., angle at the centre), not yet corrected for gain and image.
    pub(super) raw: Complex,
    /// What the window does to the expected frequency.
    pub(super) direct: Moments,
    /// What the window does to its negative.
    pub(super) image: Moments,
}

/// The last samples, by number.
#[derive(Debug, Clone)]
pub(super) struct Window {
    rate: f64,
    samples: Vec<f64>,
    count: u64,
}

impl Window {
    /// Holds `seconds` at `rate` hertz.
    pub(super) fn new(rate: f64, seconds: f64) -> Window {
        let room = (seconds * rate).ceil() as usize + 8;
        Window { rate, samples: vec![0.0; room.next_power_of_two()], count: 0 }
    }

    /// Forgets all samples; the next one has number 0.
    pub(super) fn clear(&mut self) {
        self.samples.fill(0.0);
        self.count = 0;
    }

    /// Adds one sample; its number.
    pub(super) fn push(&mut self, sample: f64) -> u64 {
        let mask = self.samples.len() - 1;
        self.samples[self.count as usize & mask] = sample;
        self.count += 1;
        self.count - 1
    }

    /// Mixes the window about `centre` (samples from the first, in fractions) down by `mixing` hertz; the
    /// moments are those of a signal at `expected` hertz.
    pub(super) fn mix(&self, centre: f64, mixing: f64, expected: f64, shape: Shape) -> Mixed {
        let half = shape.half() * self.rate;
        let first = (centre - half).ceil().max(0.0) as u64;
        let last = ((centre + half).floor().max(0.0) as u64).min(self.count.saturating_sub(1));
        let turning = |hertz: f64| {
            let angle = 2.0 * PI * hertz / self.rate;
            (Complex::polar(1.0, angle * (first as f64 - centre)), Complex::polar(1.0, angle))
        };
        let (mut turn, step) = turning(-mixing);
        let (mut direct_turn, direct_step) = turning(expected - mixing);
        let (mut image_turn, image_step) = turning(-expected - mixing);
        let mask = self.samples.len() - 1;
        let (mut mixed, mut weights) = (Mixed::default(), 0.0);
        let mut shaped = shape.weights((first as f64 - centre) / self.rate, 1.0 / self.rate);
        for number in first..=last {
            let t = (number as f64 - centre) / self.rate;
            let weight = shaped.next(t);
            mixed.raw = mixed.raw + turn.scale(weight * self.samples[number as usize & mask]);
            mixed.direct.add(direct_turn, weight, t);
            mixed.image.add(image_turn, weight, t);
            weights += weight;
            turn = turn * step;
            direct_turn = direct_turn * direct_step;
            image_turn = image_turn * image_step;
        }
        if weights <= 0.0 {
            return Mixed::default();
        }
        Mixed {
            raw: mixed.raw.scale(std::f64::consts::SQRT_2 / weights),
            direct: mixed.direct.scale(1.0 / weights),
            image: mixed.image.scale(1.0 / weights),
        }
    }
}
