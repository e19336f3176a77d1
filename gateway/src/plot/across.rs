//! From seconds to pixels, where the time axis may be broken: what lies between two stretches is left out.

use super::{LEFT, PLOT, Stretch};

/// The stretches in their places.
pub(super) struct Across {
    pieces: Vec<Piece>,
}

/// One stretch and where it is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    /// What is added to a time for the one that the record says.
    pub(super) shift: f64,
}

impl Across {
    pub(super) fn new(stretches: &[Stretch]) -> Across {
        let length = |s: &Stretch| (s.between.1 - s.between.0).max(0.0);
        let breaks = stretches.len().saturating_sub(1) as f64;
        // A stretch of a few readings is still to be seen.
        let room = (PLOT - BREAK * breaks - LEAST * stretches.len() as f64).max(0.0);
        let total: f64 = stretches.iter().map(length).sum();
        let mut left = LEFT;
        let place = |s: &Stretch| {
            let share = if total > 0.0 { length(s) / total } else { 1.0 / stretches.len() as f64 };
            let right = left + LEAST + room * share;
            let (from, to) = s.between;
            let piece = Piece { from, to, left, right, shift: s.clock_s - from };
            left = right + BREAK;
            piece
        };
        Across { pieces: stretches.iter().map(place).collect() }
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Where each break is, from left to right.
    pub(super) fn breaks(&self) -> impl Iterator<Item = (f64, f64)> {
        self.pieces.windows(2).map(|p| (p[0].right, p[1].left))
    }

    pub(super) fn x(&self, at: f64) -> f64 {
        let after = self.pieces.partition_point(|p| p.from <= at);
        let Some(piece) = after.checked_sub(1).and_then(|n| self.pieces.get(n)) else { return LEFT };
        let share =
            |from: f64, to: f64| if to > from { ((at - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        match self.pieces.get(after) {
            Some(next) if at > piece.to => {
                piece.right + (next.left - piece.right) * share(piece.to, next.from)
            }
            _ => piece.left + (piece.right - piece.left) * share(piece.from, piece.to),
        }
    }

    /// All stretches together, in seconds.
    pub(super) fn length(&self) -> f64 {
        self.pieces.iter().map(|p| (p.to - p.from).max(0.0)).sum()
    }
}

/// Width of a break.
const BREAK: f64 = 14.0;
/// Width of the shortest stretch.
const LEAST: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_takes_no_room_and_what_is_there_keeps_its_order() {
        let stretch = |from, to| Stretch { between: (from, to), clock_s: 0.0 };
        let across = Across::new(&[stretch(0.0, 100.0), stretch(1e6, 1e6 + 100.0), stretch(2e6, 2e6)]);
        let places: Vec<f64> = [-5.0, 0.0, 50.0, 100.0, 5e5, 1e6, 1e6 + 100.0, 2e6, 9e9]
            .iter()
            .map(|at| across.x(*at))
            .collect();
        assert!(places.windows(2).all(|w| w[0] <= w[1]), "{places:?}");
        assert!((places[3] - LEFT) > 0.45 * PLOT && places[8] <= LEFT + PLOT, "{places:?}");
        assert_eq!(across.breaks().count(), 2);
        assert!(Across::new(&[]).x(5.0) == LEFT);
    }
}
