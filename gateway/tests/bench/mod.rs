//! A bench without wires: generated stations, the real conduit, the simulated controller, and a judge
//! that answers with real proofs. Time is moved by hand, so a history of minutes plays in microseconds.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

pub mod images;
pub mod judge;
pub mod plan;
pub mod random;
pub mod tool;
pub mod world;
