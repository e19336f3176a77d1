//! Microchip MCP3208: 12 bits, eight inputs, up to 100 000 samples per second, on SPI (data sheet DS21298).
//!
//! One conversion is one transfer of three bytes with chip select low throughout (section 6.1). The chip
//! converts on the clock of that transfer, so there is nothing to wait for and nothing it could forget.

use embedded_hal::spi::{Error, SpiDevice};

use super::bus_error;
use crate::sensor::{Flaw, Measure, Quality, SourceError};

/// What is measured (data sheet, table 5-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pins {
    /// Input 0 to 7 against ground.
    Single(u8),
    /// Pseudo-differential: an even input against the odd one after it, or the other way round. The negative
    /// input may lie within 100 mV of ground; a negative difference reads as 0.
    Pair {
        /// The positive input, 0 to 7; the negative one is its neighbour.
        positive: u8,
    },
}

impl Pins {
    /// SGL/DIFF, D2, D1, D0.
    fn select(self) -> u8 {
        match self {
            Pins::Single(input) => 0b1000 | (input & 0b111),
            Pins::Pair { positive } => positive & 0b111,
        }
    }
}

/// The code at full scale.
const FULL: u16 = 0x0FFF;
/// Clock that holds at 2.7 V; 2 MHz is allowed at 5 V. Below 10 kHz the sampled charge leaks (section 6.2).
#[cfg(target_os = "linux")]
const CLOCK_HZ: u32 = 1_000_000;

/// One channel of the chip.
#[derive(Debug)]
pub struct Mcp3208<S> {
    spi: S,
    pins: Pins,
    reference: f64,
}

impl<S: SpiDevice> Mcp3208<S> {
    /// `reference` is the voltage on VREF; the bus runs in mode 0 or 3.
    pub fn new(spi: S, pins: Pins, reference: f64) -> Mcp3208<S> {
        Mcp3208 { spi, pins, reference }
    }

    /// Gives the bus back.
    pub fn release(self) -> S {
        self.spi
    }
}

impl<S: SpiDevice + Send> Measure for Mcp3208<S> {
    /// Volts. Full scale is saturated; 0 is a value, as an input at ground reads 0.
    fn measure(&mut self) -> Result<(f64, Quality), SourceError> {
        // Five zeros, the start bit, then the selection; after D0 one clock to sample, a null bit, 12 bits.
        let select = 0b1_0000 | self.pins.select();
        let send = [select >> 2, select << 6, 0];
        // Two buffers on purpose: the in-place transfer of linux-embedded-hal has aliased its buffer.
        let mut got = [0; 3];
        let done = self.spi.transfer(&mut got, &send);
        done.map_err(|e| bus_error("MCP3208: convert", e.kind(), e))?;
        if got[1] & 0b1_0000 != 0 {
            // A line that floats or is pulled up reads as ones.
            return Err(SourceError::unexpected(
                "MCP3208",
                &format!("{got:02x?}"),
                "a null bit before the value",
            ));
        }
        let code = u16::from_be_bytes([got[1], got[2]]) & FULL;
        let quality = match code {
            FULL => Quality::Uncertain(Flaw::Saturated),
            _ => Quality::Good,
        };
        Ok((f64::from(code) * self.reference / 4096.0, quality))
    }
}

#[cfg(target_os = "linux")]
impl Mcp3208<linux_embedded_hal::SpidevDevice> {
    /// The chip behind `path`, e.g. `/dev/spidev0.0`, at 1 MHz in mode 0.
    ///
    /// # Errors
    /// [`SourceError::Io`] when there is no such device or it refuses the mode.
    pub fn open(path: &std::path::Path, pins: Pins, reference: f64) -> Result<Self, SourceError> {
        use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
        let name = || path.display().to_string();
        let mut spi = linux_embedded_hal::SpidevDevice::open(path)
            .map_err(|e| SourceError::Bus { what: "MCP3208: open", found: format!("{}: {e}", name()) })?;
        let options = SpidevOptions::new()
            .bits_per_word(8)
            .max_speed_hz(CLOCK_HZ)
            .mode(SpiModeFlags::SPI_MODE_0)
            .build();
        spi.configure(&options).map_err(|e| SourceError::io(name(), e))?;
        Ok(Mcp3208::new(spi, pins, reference))
    }
}
