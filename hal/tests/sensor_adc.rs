//! Converters against a played bus: every byte on it is written out here, from the data sheets.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock as I2c, Transaction as OnI2c};
use embedded_hal_mock::eh1::spi::{Mock as Spi, Transaction as OnSpi};
use hal::clock::Mono;
use hal::sensor::adc::{Ads1115, Input, Mcp3208, Mode, Pins, Range, Rate, Setup};
use hal::sensor::{Flaw, Measure, Polled, Quality, Source, SourceError};

const ADDRESS: u8 = 0x48;
const SETUP: Setup = Setup {
    input: Input::Single0,
    range: Range::V4_096,
    rate: Rate::Sps860,
    mode: Mode::Single,
    supply: 3.3,
};
/// 100 001 1 111 00011: AIN0 to ground, 4.096 V, single shot, 860 per second, comparator off.
const CONFIG: u16 = 0x43E3;
const OS: u16 = 0x8000;

fn set(config: u16) -> OnI2c {
    let [high, low] = (config | OS).to_be_bytes();
    OnI2c::write(ADDRESS, vec![1, high, low])
}

fn config(word: u16) -> OnI2c {
    OnI2c::write_read(ADDRESS, vec![1], word.to_be_bytes().to_vec())
}

fn value(code: i16) -> OnI2c {
    OnI2c::write_read(ADDRESS, vec![0], code.to_be_bytes().to_vec())
}

fn single(code: i16, setup: Setup, word: u16) -> (f64, Quality) {
    let bus = I2c::new(&[set(word), config(word | OS), value(code), config(word | OS)]);
    let mut chip = Ads1115::new(bus, NoopDelay::new(), ADDRESS, setup);
    let measured = chip.measure().unwrap();
    chip.release().0.done();
    measured
}

#[test]
fn every_setup_has_the_bits_of_the_data_sheet() {
    let rows = [
        (SETUP, CONFIG, "single ended"),
        (
            Setup { input: Input::Difference01, range: Range::V2_048, rate: Rate::Sps128, ..SETUP },
            0x0583,
            "the reset value",
        ),
        (
            Setup { input: Input::Difference03, range: Range::V6_144, rate: Rate::Sps8, ..SETUP },
            0x1103,
            "AIN0 to AIN3",
        ),
        (
            Setup { input: Input::Difference13, range: Range::V1_024, rate: Rate::Sps16, ..SETUP },
            0x2723,
            "AIN1 to AIN3",
        ),
        (
            Setup { input: Input::Difference23, range: Range::V0_512, rate: Rate::Sps32, ..SETUP },
            0x3943,
            "AIN2 to AIN3",
        ),
        (
            Setup { input: Input::Single3, range: Range::V0_256, rate: Rate::Sps475, ..SETUP },
            0x7BC3,
            "AIN3 to ground",
        ),
    ];
    for (setup, word, what) in rows {
        let (volts, quality) = single(-16_384, setup, word);
        assert_eq!((volts, quality), (-setup.range.volts() / 2.0, Quality::Good), "{what}");
    }
}

#[test]
fn the_ends_of_the_code_and_the_supply_are_saturated() {
    let saturated = Quality::Uncertain(Flaw::Saturated);
    for (code, quality) in
        [(i16::MAX, saturated), (i16::MIN, saturated), (26_400, saturated), (26_399, Quality::Good)]
    {
        assert_eq!(single(code, SETUP, CONFIG).1, quality, "{code}");
    }
}

#[test]
fn a_conversion_is_waited_for_and_one_that_never_ends_is_an_error() {
    let bus = I2c::new(&[
        set(CONFIG),
        config(CONFIG),
        config(CONFIG),
        config(CONFIG | OS),
        value(1),
        config(CONFIG | OS),
    ]);
    let mut chip = Ads1115::new(bus, NoopDelay::new(), ADDRESS, SETUP);
    assert_eq!(chip.measure().unwrap(), (0.000_125, Quality::Good));
    chip.release().0.done();

    let mut script = vec![set(CONFIG)];
    script.extend((0..8).map(|_| config(CONFIG)));
    let mut chip = Ads1115::new(I2c::new(&script), NoopDelay::new(), ADDRESS, SETUP);
    assert!(matches!(chip.measure(), Err(SourceError::Unexpected { .. })));
    chip.release().0.done();
    assert_eq!(Rate::Sps8.longest_us(), 137_525);
}

#[test]
fn a_chip_that_lost_its_setup_gives_no_value_and_is_set_up_again() {
    let word = CONFIG & !0x0100;
    let reset = 0x8583;
    let bus = I2c::new(&[
        set(word),
        value(100),
        config(word | OS),
        value(101), // a value of the reset setup: another input, another range
        config(reset),
        set(word),
        value(128),
        config(word),
        value(256),
        config(word),
    ]);
    let setup = Setup { mode: Mode::Continuous, ..SETUP };
    let mut chip = Ads1115::new(bus, NoopDelay::new(), ADDRESS, setup);
    assert_eq!(chip.measure().unwrap(), (0.0125, Quality::Good));
    let lost = chip.measure().unwrap_err().to_string();
    assert!(lost.contains("0x0583"), "{lost}");
    assert_eq!(chip.measure().unwrap(), (0.016, Quality::Uncertain(Flaw::Settling)));
    assert_eq!(chip.measure().unwrap(), (0.032, Quality::Good));
    chip.release().0.done();
}

#[test]
fn a_chip_that_does_not_answer_is_a_bus_error_and_its_poll_is_counted() {
    use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
    let silent = set(CONFIG).with_error(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
    let script = [silent, set(CONFIG), config(CONFIG | OS), value(8), config(CONFIG | OS)];
    let mut bus = I2c::new(&script);
    let chip = Ads1115::new(bus.clone(), NoopDelay::new(), ADDRESS, SETUP);
    let mut source = Polled::new(chip, Duration::from_millis(10));
    let mut out = Vec::new();
    let error = source.read(Mono(0), &mut out).unwrap_err();
    assert!(matches!(&error, SourceError::Bus { found, .. } if found.contains("acknowledge")), "{error}");
    source.read(Mono(10_000_000), &mut out).unwrap();
    assert_eq!((out[0].lost, out[0].samples[0]), (1, 0.001));
    bus.done();
}

fn transfer(send: [u8; 3], got: [u8; 3]) -> Vec<OnSpi<u8>> {
    vec![OnSpi::transaction_start(), OnSpi::transfer(send.to_vec(), got.to_vec()), OnSpi::transaction_end()]
}

#[test]
fn the_spi_converter_is_asked_as_its_data_sheet_shows() {
    let rows = [
        (
            Pins::Single(0),
            [0x06, 0x00, 0],
            [0xFF, 0xE8, 0x00],
            2.5,
            Quality::Good,
            "channel 0; bits before the null bit float",
        ),
        (Pins::Single(5), [0x07, 0x40, 0], [0, 0x00, 0x00], 0.0, Quality::Good, "ground is a value"),
        (
            Pins::Single(7),
            [0x07, 0xC0, 0],
            [0, 0x0F, 0xFF],
            5.0 * 4095.0 / 4096.0,
            Quality::Uncertain(Flaw::Saturated),
            "full scale",
        ),
        (
            Pins::Pair { positive: 3 },
            [0x04, 0xC0, 0],
            [0, 0x04, 0x00],
            1.25,
            Quality::Good,
            "channel 3 against channel 2",
        ),
        (
            Pins::Pair { positive: 6 },
            [0x05, 0x80, 0],
            [0, 0x0C, 0x00],
            3.75,
            Quality::Good,
            "channel 6 against channel 7",
        ),
    ];
    for (pins, send, got, volts, quality, what) in rows {
        let mut chip = Mcp3208::new(Spi::new(&transfer(send, got)), pins, 5.0);
        assert_eq!(chip.measure().unwrap(), (volts, quality), "{what}");
        chip.release().done();
    }
}

#[test]
fn a_line_that_nobody_drives_is_no_value() {
    let script = transfer([0x06, 0, 0], [0xFF, 0xFF, 0xFF]);
    let mut chip = Mcp3208::new(Spi::new(&script), Pins::Single(0), 5.0);
    assert!(matches!(chip.measure(), Err(SourceError::Unexpected { .. })));
    chip.release().done();
}

#[test]
fn a_bus_that_is_not_there_is_an_error_with_its_path() {
    let path = Path::new("/dev/no-such-bus");
    for error in [
        Ads1115::open(path, ADDRESS, SETUP).err().unwrap(),
        Mcp3208::open(path, Pins::Single(0), 5.0).err().unwrap(),
    ] {
        assert!(error.to_string().contains("no-such-bus"), "{error}");
    }
}
