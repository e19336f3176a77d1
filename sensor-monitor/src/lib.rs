//! Watches measured signals and says when behaviour has changed. Pure: it opens nothing and reads no clock;
//! blocks of samples and `now` come in, anomalies go out.
//!
//! ```text
//!   Block --> estimate --> Feature value --> baseline --> detect --> Anomaly
//!   samples   level, tone,  one number        robust z,    CUSUM bank,  what changed, since when,
//!   quality   phasor,       with quality      per regime   drift, ...   by how much, likely causes
//!             timing
//! ```
//!
//! It never says "compromised": it says which behaviour changed, since when, and ranks what most often
//! causes that. What follows from an anomaly is decided elsewhere.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod anomaly;
pub mod baseline;
pub mod bus;
pub mod channel;
pub mod compare;
pub mod detect;
pub mod estimate;
mod feature;
pub mod level;
mod measure;
pub mod monitor;
mod past;
pub mod reasons;
pub mod regime;
pub mod rng;
pub mod watch;
