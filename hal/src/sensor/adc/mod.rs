//! Converters on I2C and SPI that no kernel driver has taken: through the traits of embedded-hal.
//!
//! Each is a [`Measure`](super::Measure) in volts: [`Polled`](super::Polled) asks it at a period, [`Burst`] as
//! fast as its bus allows. The real buses are opened by `open`, on Linux; tests play the bus.

mod ads1115;
mod burst;
mod mcp3208;

pub use ads1115::{Ads1115, Input, Mode, Range, Rate, Setup};
pub use burst::Burst;
pub use mcp3208::{Mcp3208, Pins};

use super::SourceError;

/// Keeps the error kind of embedded-hal and what the driver said.
fn bus_error(what: &'static str, kind: impl std::fmt::Display, error: impl std::fmt::Debug) -> SourceError {
    let said: String = format!("{error:?}").chars().take(120).collect();
    SourceError::Bus { what, found: format!("{kind}: {said}") }
}
