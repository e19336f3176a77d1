//! The Headgate box: everything between a station and a controller that is not pure arithmetic.

pub mod state;
pub mod vault;
