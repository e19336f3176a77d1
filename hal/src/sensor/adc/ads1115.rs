//! TI ADS1115: 16 bits, four inputs, up to 860 samples per second, on I2C (data sheet SBAS444).
//!
//! The chip forgets its setup when its supply dips, and another program may change it. So the config register
//! is read again after every value, and a value taken under another setup is never handed over as good.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{Error, I2c};

use super::bus_error;
use crate::sensor::{Flaw, Measure, Quality, SourceError};

/// Which inputs are compared: MUX\[2:0\] (data sheet, Config Register).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the numbers are the pins: positive, then negative")]
#[repr(u16)]
pub enum Input {
    Difference01 = 0,
    Difference03 = 1,
    Difference13 = 2,
    Difference23 = 3,
    Single0 = 4,
    Single1 = 5,
    Single2 = 6,
    Single3 = 7,
}

/// Full scale of the amplifier, plus and minus: PGA\[2:0\].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the number is the range in volts")]
#[repr(u16)]
pub enum Range {
    V6_144 = 0,
    V4_096 = 1,
    V2_048 = 2,
    V1_024 = 3,
    V0_512 = 4,
    V0_256 = 5,
}

impl Range {
    /// Volts at the code 32768.
    pub fn volts(self) -> f64 {
        match self {
            Range::V6_144 => 6.144,
            Range::V4_096 => 4.096,
            Range::V2_048 => 2.048,
            Range::V1_024 => 1.024,
            Range::V0_512 => 0.512,
            Range::V0_256 => 0.256,
        }
    }
}

/// Samples per second, within 10 percent: DR\[2:0\].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the number is the rate")]
#[repr(u16)]
pub enum Rate {
    Sps8 = 0,
    Sps16 = 1,
    Sps32 = 2,
    Sps64 = 3,
    Sps128 = 4,
    Sps250 = 5,
    Sps475 = 6,
    Sps860 = 7,
}

impl Rate {
    /// Longest time one conversion takes, in microseconds: 10 percent slow, and 25 us to wake up.
    pub fn longest_us(self) -> u32 {
        let nominal = [8, 16, 32, 64, 128, 250, 475, 860][self as usize];
        1_100_000 / nominal + 25
    }
}

/// When the chip converts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All the time; a value is as old as one conversion. Poll no faster than the rate, or it comes twice.
    Continuous,
    /// On request; asking takes one conversion.
    Single,
}

/// How one channel is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// Which inputs.
    pub input: Input,
    /// Full scale.
    pub range: Range,
    /// Rate, and with it the noise.
    pub rate: Rate,
    /// When to convert.
    pub mode: Mode,
    /// Volts on VDD. An input cannot follow a signal beyond it, however wide the range is.
    pub supply: f64,
}

impl Setup {
    /// The config register with its comparator off, and without OS.
    fn config(&self) -> u16 {
        let single = u16::from(self.mode == Mode::Single);
        (self.input as u16) << 12
            | (self.range as u16) << 9
            | single << 8
            | (self.rate as u16) << 5
            | COMPARATOR_OFF
    }
}

const CONVERSION: u8 = 0x00;
const CONFIG: u8 = 0x01;
/// OS: written, it starts a conversion; read, none is under way.
const OS: u16 = 1 << 15;
/// COMP_QUE = 11.
const COMPARATOR_OFF: u16 = 0b11;
/// How often a conversion is asked for once its longest time has passed, an eighth of that time apart.
const MAX_ASKS: u32 = 8;

/// One channel of the chip.
#[derive(Debug)]
pub struct Ads1115<I, D> {
    i2c: I,
    delay: D,
    address: u8,
    setup: Setup,
    is_running: bool,
    was_reset: bool,
}

impl<I: I2c, D: DelayNs> Ads1115<I, D> {
    /// Nothing is written until the first value is asked for. Addresses are 0x48 to 0x4B.
    pub fn new(i2c: I, delay: D, address: u8, setup: Setup) -> Ads1115<I, D> {
        Ads1115 { i2c, delay, address, setup, is_running: false, was_reset: false }
    }

    /// Gives the bus back.
    pub fn release(self) -> (I, D) {
        (self.i2c, self.delay)
    }

    /// One conversion of the present setup: its code, under that setup.
    fn code(&mut self) -> Result<i16, SourceError> {
        match self.setup.mode {
            Mode::Single => {
                self.configure("ADS1115: start a conversion")?;
                self.wait()?;
            }
            Mode::Continuous if !self.is_running => {
                self.configure("ADS1115: set up")?;
                self.delay.delay_us(self.setup.rate.longest_us());
                self.is_running = true;
            }
            Mode::Continuous => {}
        }
        let code = self.register(CONVERSION, "ADS1115: read a value")?.cast_signed();
        let config = self.register(CONFIG, "ADS1115: read the setup")? & !OS;
        if config == self.setup.config() {
            return Ok(code);
        }
        self.is_running = false;
        self.was_reset = true;
        let found = format!("{config:#06x} instead of {:#06x}", self.setup.config());
        Err(SourceError::unexpected("ADS1115: config register", &found, "the setup that was written"))
    }

    fn configure(&mut self, what: &'static str) -> Result<(), SourceError> {
        let [high, low] = (self.setup.config() | OS).to_be_bytes();
        self.i2c.write(self.address, &[CONFIG, high, low]).map_err(|e| bus_error(what, e.kind(), e))
    }

    fn wait(&mut self) -> Result<(), SourceError> {
        let longest = self.setup.rate.longest_us();
        self.delay.delay_us(longest);
        for _ in 0..MAX_ASKS {
            if self.register(CONFIG, "ADS1115: wait for a conversion")? & OS != 0 {
                return Ok(());
            }
            self.delay.delay_us(longest / MAX_ASKS);
        }
        Err(SourceError::unexpected("ADS1115: conversion", "still converting", "a value in twice its time"))
    }

    fn register(&mut self, register: u8, what: &'static str) -> Result<u16, SourceError> {
        let mut bytes = [0; 2];
        let read = self.i2c.write_read(self.address, &[register], &mut bytes);
        read.map_err(|e| bus_error(what, e.kind(), e))?;
        Ok(u16::from_be_bytes(bytes))
    }
}

impl<I: I2c + Send, D: DelayNs + Send> Measure for Ads1115<I, D> {
    /// Volts; saturated at the ends of the code and at the supply, settling right after a lost setup.
    fn measure(&mut self) -> Result<(f64, Quality), SourceError> {
        let code = self.code()?;
        let volts = f64::from(code) * self.setup.range.volts() / 32_768.0;
        let saturated = matches!(code, i16::MIN | i16::MAX) || volts.abs() >= self.setup.supply;
        let mut quality = Quality::Good;
        if std::mem::take(&mut self.was_reset) {
            quality = Quality::Uncertain(Flaw::Settling);
        }
        if saturated {
            quality = quality.and(Quality::Uncertain(Flaw::Saturated));
        }
        Ok((volts, quality))
    }
}

#[cfg(target_os = "linux")]
impl Ads1115<linux_embedded_hal::I2cdev, linux_embedded_hal::Delay> {
    /// The chip at `address` on the bus `path`, e.g. `/dev/i2c-1`.
    ///
    /// # Errors
    /// [`SourceError::Io`] when there is no such bus.
    pub fn open(path: &std::path::Path, address: u8, setup: Setup) -> Result<Self, SourceError> {
        let bus = linux_embedded_hal::I2cdev::new(path);
        let bus = bus.map_err(|e| SourceError::io(path.display().to_string(), e))?;
        Ok(Ads1115::new(bus, linux_embedded_hal::Delay, address, setup))
    }
}
