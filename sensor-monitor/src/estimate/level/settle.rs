//! What an edge still lacks after it crossed the middle: the shape of edges that are shorter than a sample.
//!
//! One edge between two samples shows nothing. Over many edges the samples fall on every part of it, as far as
//! the sampling rate is no multiple of the bit rate, and the mean of what they lack is the area between edge and
//! plateau. A slow edge and a dip after it make the area larger, an overshoot makes it smaller or negative; the
//! echo of a line's far end is one or the other.

/// Share of a bit after the crossing that is looked at; then the next edge may begin.
pub const ZONE: f64 = 0.75;
/// Fewest edges.
pub const MIN_EDGES: usize = 8;

/// The area between edges and their plateaus, in seconds of a whole swing, mean over the edges within the ranges
/// given; `None` with fewer than [`MIN_EDGES`], or with plateaus that are none. `bit` is in samples.
pub fn settling<'a>(
    pieces: impl Iterator<Item = &'a [f64]>,
    (low, high): (f64, f64),
    rate: f64,
    bit: f64,
) -> Option<f64> {
    let zone = (ZONE * bit) as usize;
    if zone == 0 || high <= low || rate <= 0.0 {
        return None;
    }
    let share = |x: f64| (x - low) / (high - low);
    let (mut lacks, mut edges) = (0.0, 0_usize);
    for piece in pieces {
        for at in 1..piece.len().saturating_sub(zone) {
            let rising = share(piece[at]) > 0.5;
            if rising == (share(piece[at - 1]) > 0.5) {
                continue;
            }
            let after = &piece[at..at + zone];
            // Another crossing so soon is a glitch.
            if after.iter().all(|x| (share(*x) > 0.5) == rising) {
                let left = |x: &f64| if rising { 1.0 - share(*x) } else { share(*x) };
                lacks += after.iter().map(left).sum::<f64>();
                edges += 1;
            }
        }
    }
    let mean = lacks / edges.max(1) as f64 / rate;
    (edges >= MIN_EDGES && mean.is_finite()).then_some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_of_an_edge_far_shorter_than_a_sample_is_found() {
        // Twelve and a bit samples for each bit; the edge is an exponential of a tenth of a sample.
        let (bit, tau) = (12.37, 0.1);
        let samples: Vec<f64> = (0..40_000)
            .map(|i| {
                let (number, phase) = ((f64::from(i) / bit).floor(), f64::from(i) % bit);
                let up = 1.0 - (-phase / tau).exp();
                if number % 2.0 == 0.0 { up } else { 1.0 - up }
            })
            .collect();
        let found = settling(std::iter::once(&samples[..]), (0.0, 1.0), 1.0, bit).unwrap();
        // From the crossing at tau ln 2 on, half of the exponential's area is left.
        assert!((found - tau / 2.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn what_has_no_edges_has_no_area() {
        let of = |x: &[f64], levels| settling(std::iter::once(x), levels, 1.0, 12.0);
        assert_eq!(of(&[0.0; 500], (0.0, 1.0)), None);
        assert_eq!(of(&[0.0; 500], (1.0, 1.0)), None);
        assert_eq!(of(&[f64::NAN; 500], (0.0, 1.0)), None);
        assert_eq!(of(&[], (0.0, 1.0)), None);
    }
}
