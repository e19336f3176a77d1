//! Time between events: jitter, clock drift, and the distribution of turnarounds and gaps.
//!
//! All take times or spans in seconds that the caller measured; none reads a clock. Memory is bounded when
//! they are made.

pub mod compare;
pub mod drift;
pub mod histogram;
pub mod jitter;
