//! The Cramer-Rao bound of real tones in white noise, from the Fisher matrix summed sample by sample.
//!
//! Independent of the library: neither its closed forms nor its solver are used.

use std::f64::consts::TAU;

/// One tone: cycles per sample, peak, phase.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) frequency: f64,
    pub(crate) amplitude: f64,
    pub(crate) phase: f64,
}

impl Part {
    pub(crate) fn at(self, t: f64) -> f64 {
        self.amplitude * (TAU * self.frequency * t + self.phase).cos()
    }
}

/// Standard deviations of frequency (cycles per sample) and amplitude of the first of `parts`, when all their
/// frequencies, amplitudes and phases are unknown and there is no offset, in noise of deviation `sigma`.
pub(crate) fn first_of(parts: &[Part], n: usize, sigma: f64) -> (f64, f64) {
    let size = 3 * parts.len();
    let mut fisher = vec![vec![0.0; size]; size];
    let mut column = vec![0.0; size];
    for i in 0..n {
        let t = i as f64 - (n as f64 - 1.0) / 2.0;
        for (k, part) in parts.iter().enumerate() {
            let (sin, cos) = (TAU * part.frequency * i as f64 + part.phase).sin_cos();
            column[3 * k] = cos;
            column[3 * k + 1] = -part.amplitude * sin;
            column[3 * k + 2] = -part.amplitude * TAU * t / n as f64 * sin;
        }
        for row in 0..size {
            for other in 0..size {
                fisher[row][other] += column[row] * column[other];
            }
        }
    }
    let variance = |unknown: usize| inverse_at(&fisher, unknown) * sigma * sigma;
    (variance(2).sqrt() / n as f64, variance(0).sqrt())
}

/// Element (`k`, `k`) of the inverse, by Gauss-Jordan with pivots.
fn inverse_at(matrix: &[Vec<f64>], k: usize) -> f64 {
    let size = matrix.len();
    let mut m: Vec<Vec<f64>> = matrix
        .iter()
        .enumerate()
        .map(|(row, values)| {
            let mut values = values.clone();
            values.push(if row == k { 1.0 } else { 0.0 });
            values
        })
        .collect();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|a, b| m[*a][column].abs().total_cmp(&m[*b][column].abs()))
            .expect("there is a row left");
        m.swap(column, pivot);
        let lead = m[column].clone();
        for (row, values) in m.iter_mut().enumerate() {
            if row != column {
                let factor = values[column] / lead[column];
                values.iter_mut().zip(&lead).for_each(|(v, l)| *v -= factor * l);
            }
        }
    }
    m[k][size] / m[k][k]
}
