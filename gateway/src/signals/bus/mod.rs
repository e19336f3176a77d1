//! The field buses of the running gateway: each has a thread that hears the line and one that judges it.
//!
//! ```text
//!   tty --> listen: Tap ---------Heard--> watch: Bus --news--> the judge: alarms, cases, the broker
//!   converter --> level: FrontEnd --^    ^   |
//!   the signals' thread ---orders----+   +--> data/buses/ID.cbor, what was learned
//! ```
//!
//! Finding thresholds takes seconds on a small box. Meanwhile the line is heard on: what was seen waits in a
//! bounded queue with its own times, and what does not fit is a gap. Nothing here writes to a line, and nothing
//! here locks a controller: a bus says that behaviour changed, and after a verified update that it may.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hal::clock::{Clock, Mono};
use hal::sensor::serial_line::{Counters, Event};
use hal::store::Store;
use sensor_monitor::bus::{Frame, FrontEnd};

use super::Tell;
use crate::config;

mod level;
mod listen;
mod row;
mod watch;
mod words;

pub use row::{BusRow, QuantityRow, TalkerRow};

/// Folder of the data folder for what was learned of buses.
pub const DIR: &str = "buses";

/// The case of a controller that has taken no image yet; said after a start, so that the first one is known to
/// be the first.
pub const NONE_YET: u64 = 0;

/// A controller took a verified image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Its case, or [`NONE_YET`].
    pub case: u64,
    /// The controller.
    pub plc: String,
    /// SHA-256 of the image.
    pub digest: [u8; 32],
    /// Whether this may have been said before, as after every start.
    pub again: bool,
}

/// What comes to the thread that judges.
#[derive(Debug)]
enum Heard {
    /// What was seen, and until when all was.
    Seen(Mono, Vec<Event>),
    /// What the kernel's driver has counted.
    Counted(Counters),
    /// What a front-end measured.
    Measured(Vec<Frame>),
    /// The line cannot be heard: why. What is seen next ends it.
    Down(String),
    /// Something found no room; from this time on it is whole again.
    Lost(Mono),
    /// An update was accepted.
    Updated(Mono, Update),
    /// A person wants it learned anew.
    Learn(Mono),
}

/// A way to the threads of one bus.
pub struct Handle {
    id: String,
    clock: Clock,
    orders: SyncSender<Heard>,
    row: Arc<Mutex<BusRow>>,
}

impl Handle {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether `id` is the source of its alarms: the bus, or one of its units.
    pub(super) fn is_named_by(&self, id: &str) -> bool {
        id.strip_prefix(&self.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The bus as it was a moment ago.
    pub fn row(&self) -> BusRow {
        self.row.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A controller took an image.
    pub fn updated(&self, update: Update) {
        self.order(Heard::Updated(self.clock.mono(), update));
    }

    /// A person wants it learned anew.
    pub fn learn(&self) {
        self.order(Heard::Learn(self.clock.mono()));
    }

    fn order(&self, order: Heard) {
        if let Err(e) = self.orders.try_send(order) {
            tracing::error!(bus = %self.id, error = %e, "the bus takes no orders");
        }
    }
}

/// Starts both threads of every bus. They end when `stop` is set; what was learned is kept then, too.
pub fn start(
    buses: &[config::Bus],
    clock: &Clock,
    store: Option<&Store>,
    tell: impl Fn() -> Tell,
    stop: &Arc<AtomicBool>,
) -> (Vec<Handle>, Vec<JoinHandle<()>>) {
    let (mut handles, mut threads) = (Vec::new(), Vec::new());
    for (number, bus) in buses.iter().enumerate() {
        let (orders, heard) = sync_channel(QUEUE);
        let watch = watch::Watch::new(bus, store.cloned(), super::tell::Telling::new(tell()));
        let row = watch.row();
        let judging = std::thread::Builder::new().name(format!("bus-{number}"));
        let hearing = std::thread::Builder::new().name(format!("bus-{number}-line"));
        let (to_watch, to_stop, also_stop) = (orders.clone(), stop.clone(), stop.clone());
        let (its, its_clock) = (bus.clone(), clock.clone());
        let started = judging.spawn(move || watch.run(&heard, &also_stop)).and_then(|judging| {
            threads.push(judging);
            threads.push(hearing.spawn(move || listen::run(&its, &its_clock, &to_watch, &to_stop))?);
            threads.extend(start_level(number, bus, clock, &orders, stop)?);
            Ok(())
        });
        let id = bus.settings.id.clone();
        if let Err(e) = started {
            tracing::error!(bus = %id, error = %e, "no thread for this bus");
        }
        handles.push(Handle { id, clock: clock.clone(), orders, row });
    }
    (handles, threads)
}

/// The thread of the bus's front-end, where it has one.
fn start_level(
    number: usize,
    bus: &config::Bus,
    clock: &Clock,
    orders: &SyncSender<Heard>,
    stop: &Arc<AtomicBool>,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let Some(level) = bus.level.clone() else { return Ok(None) };
    let front_end = FrontEnd::new(bus.settings.line, bus.reply, level.connection)
        .map_err(|e| std::io::Error::other(format!("front-end: {e}")))?;
    let (id, clock, orders, stop) = (bus.settings.id.clone(), clock.clone(), orders.clone(), stop.clone());
    let thread = std::thread::Builder::new().name(format!("bus-{number}-level"));
    thread.spawn(move || level::run(&id, &level, front_end, &clock, &orders, &stop)).map(Some)
}

/// Pieces and orders that may wait for the thread that judges: minutes of a busy line.
const QUEUE: usize = 65_536;
