//! Estimators: samples in, one physical quantity out.
//!
//! Each estimator owns its memory: it allocates when it is made and never again. None reads a clock. What
//! cannot be measured is said (`None`, or a [`hal::sensor::Quality`]) and never guessed; no output is NaN.

pub(crate) mod grid;
pub mod level;
mod linear;
pub mod phasor;
pub mod spectrum;
pub mod timing;
pub mod tone;
