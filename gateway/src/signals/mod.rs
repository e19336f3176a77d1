//! The signals of the running gateway: inputs on threads of their own, one thread that judges.
//!
//! ```text
//!   input threads --blocks--> +---------+ --news--> the judge: alarms, locks, cases, the broker
//!   conduits -----reports---> | signals |
//!   the judge ----orders----> +---------+ --------> data/signals/ID.cbor, what was learned
//! ```
//!
//! Field buses have threads of their own ([`bus`]); orders for them come through here.
//!
//! Nothing here lies on the way of a packet or of a verdict. When this thread is busy (finding thresholds takes
//! seconds on a small box), blocks wait in a bounded queue, and what does not fit is counted as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use hal::clock::{Clock, Mono, Wall};
use hal::reason::ReasonCode;
use hal::sensor::{Block, Quality};
use hal::store::Store;
use sensor_monitor::anomaly::Series;
use sensor_monitor::channel::{Channel, Event};
use sensor_monitor::monitor::{self, Monitor};
use sensor_monitor::reasons as why;
use sensor_monitor::regime::Selector;

use self::permissive::{Keys, Permitted};
use self::standing::{Cause, Standing};
use self::tell::Telling;

pub mod bus;
mod health;
mod input;
mod keep;
pub mod permissive;
mod row;
mod standing;
mod tell;
mod transducer;

pub use bus::BusRow;
pub(crate) use health::standard as standard_health;
pub use input::start;
pub use keep::DIR;
pub use row::{AlarmLine, SeriesRow, SignalRow};

/// What is sent to the signals' thread.
pub enum Mail {
    /// A block of signal `.0`.
    Block(usize, Block),
    /// The input of signal `.0` cannot be read, and why.
    Failing(usize, String),
    /// Alarms that stood when the gateway ended: signal, reason, when, and in words.
    Stood(Vec<(String, ReasonCode, Wall, String)>),
    /// The controller of signal `.0` reports this value, in the signal's unit.
    Report(usize, Mono, f64),
    /// What controller `.0` has in the register that says its regime.
    Regime(String, u16),
    /// A controller took a verified image: case and controller.
    Accepted(u64, String),
    /// A controller took a verified image, or has taken one before; for the buses that it is on.
    Updated(bus::Update),
    /// A person has looked at a controller that had changed.
    Settled(String),
    /// A person wants this signal or bus learned anew.
    Learn(String, Box<dyn FnOnce(Learns) + Send>),
    /// Every signal and every bus as it is now.
    List(Box<dyn FnOnce(Vec<SignalRow>, Vec<BusRow>) + Send>),
    /// End.
    Stop,
}

/// Whether what is usual of a signal is learned anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learns {
    /// It is.
    Anew,
    /// Nothing is learned of it: its limits judge.
    Nothing,
    /// There is no such signal or bus.
    Unknown,
}

/// What the rest of the gateway is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// An alarm about a signal or a bus: its id, code and text.
    Raise(String, ReasonCode, String),
    /// The signal or bus no longer has what this code says.
    Clear(String, ReasonCode),
    /// After the update of this case a signal changed: case, controller, signal, text.
    Changed(u64, String, String, String),
    /// The soak of this case is over without a change that matters.
    Quiet(u64, String),
    /// A reading for the broker: signal, its unit, value (`None` for a bad one) and quality.
    Reading(String, String, Option<f64>, String),
    /// Whether the permissive of this controller says yes, by which value, and when it was read.
    Permissive(String, Permitted),
    /// A baseline became ready.
    Learned(String, Series),
    /// What was learned of this signal is in a file of its own from here on.
    Kept(String),
    /// Something to tell in the story of this case.
    Told(u64, String),
}

/// A way to the signals' thread.
pub type Mailbox = SyncSender<Mail>;

/// Takes news; false when there is no room for it now.
pub type Tell = Box<dyn FnMut(News) -> bool + Send>;

/// What the signals' thread works with besides the signals.
pub struct Setup {
    /// The watch after an update.
    pub soak: sensor_monitor::watch::Settings,
    /// The regime of each controller that has several.
    pub regimes: BTreeMap<String, Selector>,
    /// Field buses, each with threads of its own.
    pub buses: Vec<bus::Handle>,
    /// Signals that say whether a controller may be rewritten.
    pub keys: Keys,
    /// Signals of which the database says that what was learned was kept.
    pub kept: BTreeSet<String>,
}

/// The thread's own state.
pub struct Signals {
    monitor: Monitor,
    /// The regime of each controller that has several.
    regimes: BTreeMap<String, Selector>,
    clock: Clock,
    store: Option<Store>,
    buses: Vec<bus::Handle>,
    /// Signals that say whether a controller may be rewritten.
    keys: Keys,
    telling: Telling,
    standing: Standing,
    /// Why the input of each signal could not be read last; gone with the next good reading.
    failing: Vec<Option<String>>,
    /// When each signal was last sent to the broker.
    sent: Vec<Option<Mono>>,
    news: Vec<monitor::News>,
}

impl Signals {
    /// The signals of a configuration, with what was learned before.
    pub fn new(
        signals: &[crate::config::Signal],
        setup: Setup,
        clock: Clock,
        store: Option<Store>,
        tell: Tell,
    ) -> Signals {
        let Setup { soak, regimes, buses, keys, kept } = setup;
        let channels = signals.iter().map(|s| Channel::new(s.spec.clone())).collect();
        let mut monitor = Monitor::new(channels, soak);
        for plc in regimes.keys() {
            monitor.set_regime(plc, None);
        }
        let (resumed, lost) =
            store.as_ref().map_or_else(Default::default, |store| keep::resume(store, &kept, &mut monitor));
        let (sent, failing) = (vec![None; signals.len()], vec![None; signals.len()]);
        let (telling, standing, news) = (Telling::new(tell), Standing::default(), Vec::new());
        let mut all =
            Signals { monitor, regimes, clock, store, buses, keys, telling, standing, failing, sent, news };
        // Those that were kept by an earlier version are known from here on, too.
        resumed.into_iter().filter(|id| !kept.contains(id)).for_each(|id| all.say(News::Kept(id)));
        for (signal, text) in lost {
            all.raise(signal, why::BASELINE_LOST, Cause::Signal, text);
        }
        all
    }

    /// Works until told to stop.
    pub fn run(mut self, mail: &Receiver<Mail>) {
        loop {
            let now = self.clock.mono();
            let wait = self.monitor.next(now).unwrap_or(IDLE).clamp(SHORTEST, IDLE);
            match mail.recv_timeout(wait) {
                Ok(Mail::Stop) | Err(RecvTimeoutError::Disconnected) => return self.keep(),
                Ok(mail) => self.take(mail),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.clock.mono();
            let mut news = std::mem::take(&mut self.news);
            self.monitor.tick(now, &mut news);
            self.news = news;
            self.pass_on();
            self.keep();
        }
    }

    fn take(&mut self, mail: Mail) {
        let mut news = std::mem::take(&mut self.news);
        match mail {
            Mail::Block(signal, block) => self.monitor.block(signal, &block, &mut news),
            Mail::Failing(signal, why) => {
                if let Some(failing) = self.failing.get_mut(signal) {
                    *failing = Some(why);
                }
            }
            Mail::Stood(alarms) => {
                for (id, code, at, text) in alarms {
                    let is_a_bus = self.buses.iter().any(|bus| bus.is_named_by(&id));
                    match self.monitor.find(&id) {
                        Some(signal) => self.standing.resume(signal, code, at, &text),
                        // A line that is lost its own thread knows of; what had changed is found again.
                        None if is_a_bus && code == why::SIGNAL_LOST => {}
                        None => self.say(News::Clear(id, code)),
                    }
                }
            }
            Mail::Report(signal, at, value) => self.monitor.report(signal, at, value, &mut news),
            Mail::Regime(plc, value) => {
                if let Some(selector) = self.regimes.get_mut(&plc) {
                    let before = selector.current();
                    let regime = selector.take(value);
                    if before != Some(regime) {
                        self.monitor.set_regime(&plc, Some(regime));
                    }
                }
            }
            Mail::Accepted(case, plc) => {
                let now = self.clock.mono();
                self.monitor.accepted(case, &plc, now);
                self.forget_all(&plc);
            }
            Mail::Settled(plc) => {
                self.monitor.settled(&plc);
                self.forget_all(&plc);
            }
            Mail::Learn(id, reply) => {
                let bus = self.buses.iter().find(|bus| bus.id() == id);
                bus.into_iter().for_each(bus::Handle::learn);
                reply(match self.monitor.find(&id) {
                    Some(n) if self.monitor.channels()[n].spec().learning.is_none() => Learns::Nothing,
                    Some(signal) => {
                        self.monitor.learn(signal);
                        self.forget(signal);
                        Learns::Anew
                    }
                    None if bus.is_some() => Learns::Anew,
                    None => Learns::Unknown,
                });
            }
            Mail::Updated(update) => self.buses.iter().for_each(|bus| bus.updated(update.clone())),
            Mail::List(reply) => {
                let seen = row::Seen {
                    monitor: &self.monitor,
                    regimes: &self.regimes,
                    standing: &self.standing,
                    failing: &self.failing,
                };
                reply(seen.rows(), self.buses.iter().map(bus::Handle::row).collect());
            }
            Mail::Stop => {}
        }
        self.news = news;
        self.pass_on();
    }

    fn pass_on(&mut self) {
        for news in std::mem::take(&mut self.news) {
            match news {
                monitor::News::Signal(signal, event) => self.event(signal, event),
                monitor::News::ChangedAfterUpdate(case, signal, text) => {
                    let spec = self.monitor.channels()[signal].spec();
                    let (plc, id) = (spec.plc.clone().unwrap_or_default(), spec.id.clone());
                    self.say(News::Changed(case, plc, id, text));
                }
                monitor::News::Measured(case, text) => {
                    self.say(News::Told(case, format!("measured to the end of the watch: {text}")));
                }
                monitor::News::Quiet(case, text) => self.say(News::Quiet(case, text)),
            }
        }
        self.telling.flush();
    }

    fn event(&mut self, signal: usize, event: Event) {
        let spec = self.monitor.channels()[signal].spec();
        let (id, unit) = (spec.id.clone(), spec.unit.clone());
        match event {
            Event::Reading(reading, _) => {
                for (plc, word) in self.keys.reading(signal, &reading) {
                    self.say(News::Permissive(plc, word));
                }
                if reading.quality.is_good() {
                    self.failing[signal] = None;
                    let channel = &self.monitor.channels()[signal];
                    let is_well = channel.progress() >= 1.0 && !channel.in_alarm();
                    let ended = self.standing.good(signal, is_well);
                    self.clear(&id, ended);
                }
                let due = self.sent[signal].is_none_or(|at| reading.at.since(at) >= PUBLISH_EVERY);
                if due {
                    self.sent[signal] = Some(reading.at);
                    let quality = reading.quality.to_string();
                    let value = Some(reading.value).filter(|_| !matches!(reading.quality, Quality::Bad(_)));
                    self.say(News::Reading(id, unit, value, quality));
                }
            }
            Event::Anomaly(mut anomaly) => {
                if let Some(causes) = health::causes(&anomaly.signal) {
                    anomaly.causes = causes;
                }
                self.raise(signal, anomaly.code, Cause::Series(anomaly.series), anomaly.text(&unit));
            }
            Event::Cleared(series) => {
                let ended = self.standing.series_is_well(signal, series);
                self.clear(&id, ended);
            }
            Event::Further(_) => {} // the alarm stands already
            Event::Learned(series) => {
                if self.monitor.channels()[signal].progress() >= 1.0 {
                    let ended = self.standing.signal_is_well(signal, why::BASELINE_LOST);
                    self.clear(&id, ended);
                }
                self.say(News::Learned(id, series));
            }
            Event::Lost(flaw) => {
                let why = self.failing[signal].as_ref().map_or(String::new(), |why| format!(" ({why})"));
                self.raise(signal, why::SIGNAL_LOST, Cause::Signal, format!("{id}: {flaw}{why}"));
            }
            Event::Unjudged(regime) => {
                let rule = spec.plc.as_ref().and_then(|plc| self.regimes.get(plc)).map(Selector::rule);
                let name = rule.zip(regime).map_or("unknown".into(), |(rule, regime)| rule.name(regime));
                let text = format!(
                    "{id}: nothing judges it; regime {name} was never learned, or it keeps switching"
                );
                self.raise(signal, why::REGIME_UNKNOWN, Cause::Signal, text);
            }
            Event::Judged => {
                let ended = self.standing.signal_is_well(signal, why::REGIME_UNKNOWN);
                self.clear(&id, ended);
            }
            Event::Back => {
                let ended = self.standing.signal_is_well(signal, why::SIGNAL_LOST);
                self.clear(&id, ended);
            }
        }
    }

    /// An alarm is a signal's own: what a person says to one must not hide the next one's.
    fn raise(&mut self, signal: usize, code: ReasonCode, cause: Cause, text: String) {
        if !self.standing.raise(signal, code, cause, self.clock.wall(), &text) {
            return; // it stood when the gateway ended, and goes on
        }
        let id = self.monitor.channels()[signal].spec().id.clone();
        self.say(News::Raise(id, code, text));
    }

    fn clear(&mut self, id: &str, ended: Vec<ReasonCode>) {
        ended.into_iter().for_each(|code| self.say(News::Clear(id.into(), code)));
    }

    /// Alarms of a signal end with a word of their own.
    fn forget(&mut self, signal: usize) {
        let ended = self.standing.forget(signal);
        let id = self.monitor.channels()[signal].spec().id.clone();
        self.clear(&id, ended);
    }

    /// Those of all signals of a controller do.
    fn forget_all(&mut self, plc: &str) {
        let of_plc = |n: &usize| self.monitor.channels()[*n].spec().plc.as_deref() == Some(plc);
        let signals: Vec<usize> = (0..self.monitor.channels().len()).filter(of_plc).collect();
        signals.into_iter().for_each(|signal| self.forget(signal));
    }

    fn say(&mut self, news: News) {
        self.telling.say(news);
    }

    fn keep(&mut self) {
        if let Some(store) = &self.store {
            let kept = keep::keep(store, &mut self.monitor);
            kept.into_iter().for_each(|id| self.say(News::Kept(id)));
        }
    }
}

/// Blocks and orders that may wait for the thread.
pub const MAIL: usize = 4096;
/// A reading of each signal goes to the broker this often.
const PUBLISH_EVERY: Duration = Duration::from_secs(10);
/// Longest sleep.
const IDLE: Duration = Duration::from_secs(1);
/// Shortest sleep.
const SHORTEST: Duration = Duration::from_millis(1);
