//! A terminal device that is listened to. It is opened for reading only: nothing here can write to the line.
//!
//! The kernel raises RTS and DTR when a port is opened. An adapter that keys its transmitter by RTS would drive
//! the line, so its transmitter must be off (docs/signals.md).

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::termios::{ControlModes, OptionalActions, ioctl_tiocexcl, tcgetattr, tcsetattr};

use crate::sensor::SourceError;

/// Speed and format as a port is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Bits per second.
    pub baud: u32,
    /// Parity bit.
    pub parity: Parity,
    /// Two stop bits instead of one.
    pub two_stop: bool,
}

/// Parity bit of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// There is none.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

impl Format {
    /// Bits of a character: start, eight of data, parity, stop.
    pub const fn bits(self) -> u32 {
        let parity = matches!(self.parity, Parity::Even | Parity::Odd);
        9 + parity as u32 + 1 + self.two_stop as u32
    }
}

/// An open port.
#[derive(Debug)]
pub struct Port {
    what: String,
    file: File,
}

impl Port {
    /// Opens `path` for reading, for this process alone, and sets it: raw, eight bits, no flow control.
    ///
    /// # Errors
    /// [`SourceError`] when there is no such device, it is no terminal, or it cannot have this speed.
    pub fn open(path: &Path, format: Format) -> Result<Port, SourceError> {
        let what = path.display().to_string();
        let io = |e: rustix::io::Errno| SourceError::io(&what, e);
        let mut options = File::options();
        // Without waiting: a modem line that is not there would hold it.
        options.read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
        let file = options.open(path).map_err(|e| SourceError::io(&what, e))?;
        let mut settings = tcgetattr(&file).map_err(|e| match e {
            rustix::io::Errno::NOTTY => SourceError::unexpected(&what, "no terminal", "a serial port"),
            e => io(e),
        })?;
        settings.make_raw();
        let modes = &mut settings.control_modes;
        modes.remove(
            ControlModes::PARENB | ControlModes::PARODD | ControlModes::CSTOPB | ControlModes::CRTSCTS,
        );
        modes.insert(ControlModes::CREAD | ControlModes::CLOCAL);
        match format.parity {
            Parity::None => {}
            Parity::Even => modes.insert(ControlModes::PARENB),
            Parity::Odd => modes.insert(ControlModes::PARENB | ControlModes::PARODD),
        }
        modes.set(ControlModes::CSTOPB, format.two_stop);
        settings.set_speed(format.baud).map_err(io)?;
        tcsetattr(&file, OptionalActions::Flush, &settings).map_err(io)?;
        let speed = tcgetattr(&file).map_err(io)?.input_speed();
        if speed.abs_diff(format.baud) > format.baud / 50 {
            return Err(SourceError::unexpected(what, &format!("{speed} bit/s"), "the speed of the line"));
        }
        ioctl_tiocexcl(&file).map_err(io)?;
        Ok(Port { what, file })
    }

    /// Waits at most `wait` for bytes and gives how many came; 0: none in this time.
    ///
    /// # Errors
    /// [`SourceError::Io`] when the device is gone.
    pub fn read(&mut self, buffer: &mut [u8], wait: Duration) -> Result<usize, SourceError> {
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(0),
            other => other.map_err(|e| SourceError::io(&self.what, e))?,
        };
        match self.file.read(buffer) {
            // A terminal that hung up reads as ended.
            Ok(0) => Err(SourceError::io(&self.what, ErrorKind::UnexpectedEof)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            other => other.map_err(|e| SourceError::io(&self.what, e)),
        }
    }
}
