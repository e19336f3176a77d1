//! The word behind a figure of `make bench` follows from its interval.

#[path = "../bench/figure.rs"]
#[allow(dead_code)]
mod figure;

use figure::Bound;

#[test]
fn noise_is_neither_ok_nor_short() {
    let nan = f64::NAN;
    let rows = [
        (Bound::AtMost(1.0), 0.95, (0.90, 1.00), "ok"),
        (Bound::AtMost(1.0), 1.05, (1.01, 1.10), "short"),
        (Bound::AtMost(1.0), 0.98, (0.90, 1.10), "ok"),
        // The lower end within the bound is not enough.
        (Bound::AtMost(1.0), 1.02, (0.90, 1.10), "short"),
        (Bound::AtMost(1.0), 1.02, (0.50, 1.60), "noisy"),
        (Bound::AtMost(1.0), 0.90, (0.80, 1.20), "noisy"),
        // However wide: it is all on one side.
        (Bound::AtMost(1.0), 0.50, (0.20, 0.99), "ok"),
        (Bound::AtMost(1.0), 2.00, (1.01, 5.00), "short"),
        (Bound::AtMost(1.0), nan, (nan, nan), "noisy"),
        (Bound::AtLeast(2.0), 2.1, (2.0, 2.2), "ok"),
        (Bound::AtLeast(2.0), 1.9, (1.8, 2.1), "short"),
        (Bound::AtLeast(2.0), 2.1, (1.8, 2.4), "noisy"),
        (Bound::AtLeast(2.0), 9.0, (3.0, 20.0), "ok"),
        (Bound::Within(0.5, 2.0), 1.0, (0.5, 2.0), "ok"),
        (Bound::Within(0.5, 2.0), 0.6, (0.4, 0.8), "short"),
        (Bound::Within(0.5, 2.0), 1.9, (1.5, 2.3), "noisy"),
        (Bound::Within(0.5, 2.0), 3.0, (2.5, 9.0), "short"),
    ];
    for (bound, value, interval, word) in rows {
        assert_eq!(bound.word(value, interval), word, "{value} {interval:?} against {bound}");
    }
}
