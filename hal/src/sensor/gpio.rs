//! One digital input of the board: a key switch, a door contact, a relay's feedback. Linux GPIO character device, its
//! second interface (`linux/gpio.h`, kernel 5.10).
//!
//! The line is asked for as an input and stays ours as long as it is read. A line that is an output is refused: to make an
//! input of it would let go of whatever it drives.

use std::path::{Path, PathBuf};

use super::{Measure, Quality, SourceError};

/// Which line of a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its number on the chip, from 0.
    Number(u32),
    /// By the name that the board gives it; it must be the only one of that name there.
    Name(String),
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Which::Number(number) => write!(f, "{number}"),
            Which::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// What holds a line that nothing drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// Whatever the board does.
    #[default]
    AsIs,
    /// The chip's own resistor to its supply.
    PullUp,
    /// The chip's own resistor to ground.
    PullDown,
}

/// How a line is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The chip's device, e.g. `/dev/gpiochip0`. The kernel may number chips otherwise at the next boot where there are
    /// several: a name that udev gives, or the line by its name, stays.
    pub chip: PathBuf,
    /// The line.
    pub line: Which,
    /// Low means 1: a contact that connects to ground.
    pub active_low: bool,
    /// What holds an open input.
    pub bias: Bias,
}

/// Most lines of a chip that are looked through for a name; the kernel's own drivers have a few hundred.
pub const MAX_LINES: u32 = 4096;

/// A line of a chip that is read: 1 when it is active, 0 when not.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Gpio {
    request: gpiocdev::Request,
    what: String,
}

#[cfg(target_os = "linux")]
impl Gpio {
    /// Asks the kernel for the line.
    ///
    /// # Errors
    /// [`SourceError`] when there is no such chip or line, two lines have that name, it is an output, or somebody else has it.
    pub fn open(setup: &Setup) -> Result<Gpio, SourceError> {
        let what = format!("{} line {}", setup.chip.display(), setup.line);
        let offset = find(setup, &what)?;
        let mut builder = gpiocdev::Request::builder();
        builder.on_chip(&setup.chip).with_consumer("headgate").with_line(offset).as_input();
        if setup.active_low {
            builder.as_active_low();
        }
        match setup.bias {
            Bias::AsIs => {}
            Bias::PullUp => drop(builder.with_bias(gpiocdev::line::Bias::PullUp)),
            Bias::PullDown => drop(builder.with_bias(gpiocdev::line::Bias::PullDown)),
        }
        let request = builder.request().map_err(|e| refused(&what, &e))?;
        Ok(Gpio { request, what })
    }
}

#[cfg(target_os = "linux")]
impl Measure for Gpio {
    fn measure(&mut self) -> Result<(f64, Quality), SourceError> {
        let value = self.request.lone_value().map_err(|e| refused(&self.what, &e))?;
        Ok((if value == gpiocdev::line::Value::Active { 1.0 } else { 0.0 }, Quality::Good))
    }
}

/// The number of the line, which must be an input that nobody has.
#[cfg(target_os = "linux")]
fn find(setup: &Setup, what: &str) -> Result<u32, SourceError> {
    let chip = open_chip(&setup.chip)?;
    let lines = chip.info().map_err(|e| refused(what, &e))?.num_lines;
    let info = |offset| chip.line_info(offset).map_err(|e| refused(what, &e));
    let unexpected = |found: String, expected| SourceError::Unexpected { what: what.into(), found, expected };
    let line = match &setup.line {
        Which::Number(number) if *number < lines => info(*number)?,
        Which::Number(_) => {
            return Err(unexpected(format!("{lines} lines"), "a line of that number, from 0"));
        }
        Which::Name(name) => {
            let mut named = Vec::new();
            for offset in 0..lines.min(MAX_LINES) {
                named.extend(Some(info(offset)?).filter(|line| line.name == *name));
            }
            match named.len() {
                1 => named.remove(0),
                n => return Err(unexpected(format!("{n} lines of this name"), "one")),
            }
        }
    };
    if line.used {
        return Err(unexpected(format!("it is in use by {:?}", line.consumer), "a line that nobody has"));
    }
    if line.direction == gpiocdev::line::Direction::Output {
        return Err(unexpected("an output".into(), "an input: reading it would let go of what it drives"));
    }
    Ok(line.offset)
}

#[cfg(target_os = "linux")]
fn open_chip(path: &Path) -> Result<gpiocdev::chip::Chip, SourceError> {
    // It says of a path that is not there only that it cannot be opened.
    std::fs::metadata(path).map_err(|e| SourceError::io(path.display().to_string(), e))?;
    gpiocdev::chip::Chip::from_path(path).map_err(|e| refused(&path.display().to_string(), &e))
}

#[cfg(target_os = "linux")]
fn refused(what: &str, error: &gpiocdev::Error) -> SourceError {
    let found = error.to_string().chars().take(160).collect();
    SourceError::Unexpected {
        what: what.into(),
        found,
        expected: "a digital input that the kernel lets us read",
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn setup(chip: &str) -> Setup {
        Setup { chip: chip.into(), line: Which::Number(0), active_low: false, bias: Bias::AsIs }
    }

    #[test]
    fn what_is_no_chip_is_refused_by_its_name() {
        for (chip, says) in [("/no/such/gpiochip", "No such file"), ("/dev/null", "/dev/null")] {
            let error = Gpio::open(&setup(chip)).unwrap_err().to_string();
            assert!(error.contains(chip) && error.contains(says), "{error}");
        }
    }
}
