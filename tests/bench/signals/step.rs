//! The response to a step of magnitude or phase, sampled in equivalent time: from run to run the step moves by
//! a part of a report.

use std::f64::consts::TAU;

use super::limits::Limits;
use super::mains::{Errors, PEAK, Setup, Truth};

/// The longest times, in seconds, and the overshoot as a share of the step.
#[derive(Clone, Copy, Default)]
pub(super) struct Response {
    pub(super) tve: f64,
    pub(super) frequency: f64,
    pub(super) rocof: f64,
    pub(super) delay: f64,
    pub(super) overshoot: f64,
}

impl Response {
    pub(super) fn worst(self, o: Response) -> Response {
        Response {
            tve: self.tve.max(o.tve),
            frequency: self.frequency.max(o.frequency),
            rocof: self.rocof.max(o.rocof),
            delay: self.delay.max(o.delay),
            overshoot: self.overshoot.max(o.overshoot),
        }
    }

    /// To a step of `size` (a share of the magnitude) or of `angle` radians.
    pub(super) fn of(setup: Setup, size: f64, angle: f64) -> Response {
        let f0 = setup.f0();
        let fs = f64::from(setup.reports);
        // (time after the step, errors, share of the step that is done)
        let mut points: Vec<(f64, Errors, f64)> = Vec::new();
        // Enough moves to see a tenth of a cycle even at ten reports each second.
        let moves = MOVES.max((20.0 * f0 / fs) as usize);
        let reach = setup.reach();
        for i in 0..moves {
            let step = 2.0 * reach + 0.1 + i as f64 / moves as f64 / fs;
            let truth = |t: f64| {
                let done = if t >= step { 1.0 } else { 0.0 };
                Truth {
                    peak: PEAK * (1.0 + size * done),
                    phase: TAU * f0 * t + angle * done,
                    frequency: f0,
                    rocof: 0.0,
                }
            };
            let signal = |t: f64| truth(t).peak * truth(t).phase.cos();
            setup.run(step + 2.0 * reach + 0.1, signal, |p| {
                let errors = Errors::of(p, &truth(p.at), f0);
                let share = if size == 0.0 {
                    (p.angle - (p.angle / TAU).round() * TAU) / angle
                } else {
                    (p.magnitude * 2_f64.sqrt() / PEAK - 1.0) / size
                };
                points.push((p.at - step, errors, share));
            });
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let out_of = |limit: &dyn Fn(&Errors) -> bool| {
            let mut out = points.iter().filter(|p| limit(&p.1)).map(|p| p.0);
            let first = out.next();
            first.map_or(0.0, |first| out.next_back().unwrap_or(first) - first)
        };
        let half = points.iter().find(|p| p.2 >= 0.5).map_or(f64::INFINITY, |p| p.0.abs());
        let ends = points.iter().fold((0.0_f64, 0.0_f64), |(o, u), p| (o.max(p.2 - 1.0), u.max(-p.2)));
        let (tve, fe, rfe) = Limits::of(setup.class, f0, fs).steady;
        Response {
            tve: out_of(&|e| e.tve > tve),
            frequency: out_of(&|e| e.frequency > fe),
            rocof: out_of(&|e| rfe.is_some_and(|rfe| e.rocof > rfe)),
            delay: half,
            overshoot: ends.0.max(ends.1),
        }
    }
}

const MOVES: usize = 20;
