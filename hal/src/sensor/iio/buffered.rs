//! Reads the character device of an IIO buffer. It waits at most half a second for records.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::stream::Stream;
use crate::clock::Mono;
use crate::sensor::{Block, Source, SourceError};

/// Most bytes taken by one read.
pub const MAX_READ: usize = 262_144;
/// Longest wait for records, in nanoseconds.
const WAIT_NS: i64 = 500_000_000;

/// `/dev/iio:deviceN`, or anything else that gives its records.
#[derive(Debug)]
pub struct Buffered {
    what: String,
    file: File,
    stream: Stream,
    buffer: Vec<u8>,
    channel: usize,
}

impl Buffered {
    /// Opens the device. As a [`Source`] it hands over the first channel of the plan.
    ///
    /// # Errors
    /// [`SourceError::Io`] when there is no such device or it is in use.
    pub fn open(path: &Path, stream: Stream) -> Result<Buffered, SourceError> {
        let what = path.display().to_string();
        let mut options = File::options();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = options.open(path).map_err(|e| SourceError::io(&what, e))?;
        Ok(Buffered { what, file, stream, buffer: vec![0; MAX_READ], channel: 0 })
    }

    /// Hands over another channel, counted in the order of the plan.
    #[must_use]
    pub fn channel(mut self, channel: usize) -> Buffered {
        self.channel = channel;
        self
    }

    /// Waits for records and appends each channel's blocks to its row of `out`, in the order of the plan.
    /// `clock` is asked once, right after the read.
    ///
    /// # Errors
    /// [`SourceError::Io`] when the device is gone; an end of file is one.
    pub fn read_all(
        &mut self,
        clock: impl FnOnce() -> Mono,
        out: &mut [Vec<Block>],
    ) -> Result<(), SourceError> {
        let wait = Timespec { tv_sec: 0, tv_nsec: WAIT_NS };
        let ready = poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&wait));
        match ready {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            other => other.map_err(|e| SourceError::io(&self.what, e))?,
        };
        let have = match self.file.read(&mut self.buffer) {
            Ok(0) => return Err(SourceError::io(&self.what, ErrorKind::UnexpectedEof)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            other => other.map_err(|e| SourceError::io(&self.what, e))?,
        };
        self.stream.push(&self.buffer[..have], clock(), out);
        Ok(())
    }
}

impl Source for Buffered {
    /// What this waits is added to `now`.
    fn read(&mut self, now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError> {
        let started = std::time::Instant::now();
        let mut rows = vec![Vec::new(); self.stream.channels()];
        self.read_all(|| now + started.elapsed(), &mut rows)?;
        out.append(rows.get_mut(self.channel).unwrap_or(&mut Vec::new()));
        Ok(())
    }
}
