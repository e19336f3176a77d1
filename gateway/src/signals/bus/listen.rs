//! Hears one line: opens the port for reading, reads, and opens it again when it is gone.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use hal::clock::{Clock, Mono};
use hal::sensor::serial_line::counters::{self, Counters};
use hal::sensor::serial_line::{Event, Port, Tap};
use hal::sensor::{SourceError, Tree};

use super::Heard;
use crate::config::Bus;

/// Hears the line until `stop` is set or nobody listens any more.
pub(super) fn run(bus: &Bus, clock: &Clock, out: &SyncSender<Heard>, stop: &AtomicBool) {
    let mut line = Line { tap: Tap::new(bus.settings.line, bus.reply), out, is_up: None, lost: false };
    while !stop.load(Ordering::Relaxed) {
        let port = Port::open(&bus.device, bus.format);
        let failed = match port.and_then(|port| line.hear(port, bus, clock, stop)) {
            Ok(()) => return,
            Err(e) => e,
        };
        if line.is_up != Some(false) {
            tracing::warn!(bus = %bus.settings.id, error = %failed, "the line cannot be heard; it is tried again");
            line.send(Heard::Down(failed.to_string()));
        }
        line.is_up = Some(false);
        super::super::input::pause(RETRY, stop);
    }
}

struct Line<'a> {
    tap: Tap,
    out: &'a SyncSender<Heard>,
    /// `None` before the first word of it.
    is_up: Option<bool>,
    /// Something found no room in the queue.
    lost: bool,
}

impl Line<'_> {
    /// Until the port fails (an error), or is to stop.
    fn hear(
        &mut self,
        mut port: Port,
        bus: &Bus,
        clock: &Clock,
        stop: &AtomicBool,
    ) -> Result<(), SourceError> {
        self.tap.gap();
        let counted = counters_of(&bus.device);
        let mut buffer = [0; READ];
        let (mut events, mut told, mut asked) = (Vec::new(), clock.mono(), None::<Mono>);
        while !stop.load(Ordering::Relaxed) {
            let now = clock.mono();
            let wait = self
                .tap
                .deadline()
                .map_or(LONGEST_WAIT, |due| due.since(now).clamp(SHORTEST_WAIT, LONGEST_WAIT));
            let have = port.read(&mut buffer, wait)?;
            let now = clock.mono();
            if have > 0 {
                // A port that opens is not yet a line that is heard: the first bytes are.
                self.is_up = Some(true);
                self.tap.bytes(now, &buffer[..have], &mut events);
            } else {
                // Nothing is waiting to be read: what is late is late.
                self.tap.expire(now, &mut events);
            }
            if self.is_up == Some(true) && (!events.is_empty() || now.since(told) >= TELL_EVERY) {
                told = now;
                if !self.seen(now, std::mem::take(&mut events)) {
                    return Ok(());
                }
            }
            if asked.is_none_or(|at| now.since(at) >= COUNT_EVERY) {
                asked = Some(now);
                if let Some((driver, port)) = &counted
                    && let Ok(Some(counts)) = Counters::read(&Tree::new(counters::DRIVERS), driver, *port)
                {
                    self.send(Heard::Counted(counts));
                }
            }
        }
        Ok(())
    }

    /// False when nobody listens any more.
    fn seen(&mut self, now: Mono, events: Vec<Event>) -> bool {
        if self.lost {
            self.lost = false;
            if !self.send(Heard::Lost(now)) {
                return false;
            }
        }
        self.send(Heard::Seen(now, events))
    }

    fn send(&mut self, heard: Heard) -> bool {
        match self.out.try_send(heard) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost = true;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Driver and port whose counts the kernel shows; USB adapters have none.
fn counters_of(device: &Path) -> Option<(String, u32)> {
    // Names such as /dev/serial/by-id/... lead to the device.
    let device = std::fs::canonicalize(device).ok()?;
    let table = Tree::new("/").text(counters::TABLE.trim_start_matches('/')).ok()??;
    counters::find(&table, device.to_str()?)
}

/// Bytes read at once.
const READ: usize = 4096;
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// Shortest and longest wait for bytes.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// See [`SHORTEST_WAIT`].
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// The judging thread hears at least this often how far the line was heard.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// Time between two looks at the kernel's counts.
const COUNT_EVERY: Duration = Duration::from_secs(10);
