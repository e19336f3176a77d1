//! Symmetric positive definite systems, solved in place: the normal equations of the least-squares fits.

/// A symmetric system of up to a fixed number of unknowns. Only the lower triangle is read.
#[derive(Debug, Clone)]
pub(crate) struct Normal {
    unknowns: usize,
    matrix: Vec<f64>,
    right: Vec<f64>,
}

/// A pivot smaller than this share of its diagonal: the unknowns cannot be told apart.
const SINGULAR: f64 = 1e-13;

impl Normal {
    /// Room for `unknowns`.
    pub(crate) fn new(unknowns: usize) -> Normal {
        Normal { unknowns: 0, matrix: vec![0.0; unknowns * unknowns], right: vec![0.0; unknowns] }
    }

    /// Empties the system for a fit of `unknowns`; more than there is room for are cut.
    pub(crate) fn clear(&mut self, unknowns: usize) {
        self.unknowns = unknowns.min(self.right.len());
        self.matrix[..self.unknowns * self.unknowns].fill(0.0);
        self.right[..self.unknowns].fill(0.0);
    }

    /// Sets the product of columns `row` and `column`.
    pub(crate) fn set(&mut self, row: usize, column: usize, value: f64) {
        let (low, high) = if row < column { (row, column) } else { (column, row) };
        self.matrix[high * self.unknowns + low] = value;
    }

    /// Sets the product of column `row` and the data.
    pub(crate) fn set_right(&mut self, row: usize, value: f64) {
        self.right[row] = value;
    }

    /// Solves by Cholesky; the unknowns, and the energy of the data that they explain. `None` when the system
    /// is singular or holds what is not finite.
    pub(crate) fn solve(&mut self) -> Option<(&[f64], f64)> {
        let n = self.unknowns;
        let m = &mut self.matrix;
        for row in 0..n {
            let diagonal = m[row * n + row];
            for column in 0..=row {
                let mut value = m[row * n + column];
                for k in 0..column {
                    value -= m[row * n + k] * m[column * n + k];
                }
                if row != column {
                    m[row * n + column] = value / m[column * n + column];
                } else if value > SINGULAR * diagonal && value.is_finite() {
                    m[row * n + row] = value.sqrt();
                } else {
                    return None;
                }
            }
        }
        let x = &mut self.right;
        for row in 0..n {
            for k in 0..row {
                x[row] -= m[row * n + k] * x[k];
            }
            x[row] /= m[row * n + row];
        }
        let explained: f64 = x[..n].iter().map(|v| v * v).sum();
        for row in (0..n).rev() {
            for k in row + 1..n {
                x[row] -= m[k * n + row] * x[k];
            }
            x[row] /= m[row * n + row];
        }
        self.right[..n].iter().all(|v| v.is_finite()).then_some((&self.right[..n], explained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_system_has_its_known_solution() {
        let mut system = Normal::new(3);
        system.clear(2);
        system.set(0, 0, 4.0);
        system.set(0, 1, 2.0);
        system.set(1, 1, 3.0);
        system.set_right(0, 10.0);
        system.set_right(1, 9.0);
        let (x, explained) = system.solve().unwrap();
        assert!((explained - 33.0).abs() < 1e-12);
        assert!((x[0] - 1.5).abs() < 1e-14 && (x[1] - 2.0).abs() < 1e-14, "{x:?}");
    }

    #[test]
    fn equal_columns_and_nan_have_no_solution() {
        for other in [1.0, f64::NAN, f64::INFINITY] {
            let mut system = Normal::new(2);
            system.clear(2);
            system.set(0, 0, 1.0);
            system.set(0, 1, 1.0);
            system.set(1, 1, other);
            assert!(system.solve().is_none(), "{other}");
        }
    }
}
