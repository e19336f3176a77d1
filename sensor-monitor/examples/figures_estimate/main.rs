//! Measures the estimators against their bounds and prints one line for each figure.
//!
//! `cargo run --release -p sensor-monitor --example figures_estimate [tone|phasor|speed]`. Everything but the
//! speed is the same on every run: the noise comes from a seeded generator.

#![forbid(unsafe_code)]

mod bound;
mod noise;
mod phasor;
mod speed;
mod tone;

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |what: &str| only.as_deref().is_none_or(|o| o == what);
    if wanted("tone") {
        tone::print();
    }
    if wanted("phasor") {
        phasor::print();
    }
    if wanted("speed") {
        speed::print();
    }
}

/// `ok` when the figure keeps its limit.
fn verdict(kept: bool) -> &'static str {
    if kept { "ok" } else { "short" }
}
