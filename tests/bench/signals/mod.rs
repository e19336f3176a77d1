//! The signal library against the bounds of theory, the limits of a standard, and a peer.

mod bound;
pub(crate) mod delay;
pub(crate) mod false_alarms;
mod limits;
pub(crate) mod mains;
pub(crate) mod speed;
mod step;
pub(crate) mod tone;
