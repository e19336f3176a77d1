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

use hal::clock::{Clock, Mono};
use hal::reason::ReasonCode;
use hal::sensor::Block;
use hal::store::Store;
use sensor_monitor::anomaly::Series;
use sensor_monitor::channel::{Channel, Event};
use sensor_monitor::monitor::{self, Monitor};
use sensor_monitor::reasons as why;
use sensor_monitor::regime::Selector;

use self::tell::Telling;

pub mod bus;
mod health;
mod input;
mod keep;
mod row;
mod tell;
mod transducer;

pub use bus::BusRow;
pub(crate) use health::standard as standard_health;
pub use input::start;
pub use keep::DIR;
pub use row::{SeriesRow, SignalRow};

/// What is sent to the signals' thread.
pub enum Mail {
    /// A block of signal `.0`.
    Block(usize, Block),
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
    /// A person wants this signal or bus learned anew; the answer is false when there is none.
    Learn(String, Box<dyn FnOnce(bool) + Send>),
    /// Every signal and every bus as it is now.
    List(Box<dyn FnOnce(Vec<SignalRow>, Vec<BusRow>) + Send>),
    /// End.
    Stop,
}

/// What the rest of the gateway is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// An alarm about a controller, a bus, or the gateway (`None`): code and text.
    Raise(Option<String>, ReasonCode, String),
    /// The last signal of this controller with this code is well again.
    Clear(Option<String>, ReasonCode),
    /// After the update of this case a signal changed: case, controller, signal, text.
    Changed(u64, String, String, String),
    /// The soak of this case is over without a change that matters.
    Quiet(u64, String),
    /// A reading for the broker: signal, its unit, value and quality.
    Reading(String, String, f64, String),
    /// A baseline became ready.
    Learned(String, Series),
    /// Something to tell in the story of this case.
    Told(u64, String),
}

/// A way to the signals' thread.
pub type Mailbox = SyncSender<Mail>;

/// Takes news; false when there is no room for it now.
pub type Tell = Box<dyn FnMut(News) -> bool + Send>;

/// What one alarm is about: a controller, or the gateway (`None`), and the reason.
type Cause = (Option<String>, ReasonCode);

/// The thread's own state.
pub struct Signals {
    monitor: Monitor,
    /// The regime of each controller that has several.
    regimes: BTreeMap<String, Selector>,
    clock: Clock,
    store: Option<Store>,
    buses: Vec<bus::Handle>,
    telling: Telling,
    /// What is in alarm, by controller and code.
    standing: BTreeMap<Cause, BTreeSet<(usize, Option<Series>)>>,
    /// When each signal was last sent to the broker.
    sent: Vec<Option<Mono>>,
    news: Vec<monitor::News>,
}

impl Signals {
    /// The signals of a configuration, with what was learned before.
    pub fn new(
        signals: &[crate::config::Signal],
        soak: sensor_monitor::watch::Settings,
        regimes: BTreeMap<String, Selector>,
        clock: Clock,
        store: Option<Store>,
        buses: Vec<bus::Handle>,
        tell: Tell,
    ) -> Signals {
        let channels = signals.iter().map(|s| Channel::new(s.spec.clone())).collect();
        let mut monitor = Monitor::new(channels, soak);
        for plc in regimes.keys() {
            monitor.set_regime(plc, None);
        }
        if let Some(store) = &store {
            keep::resume(store, &mut monitor);
        }
        let sent = vec![None; signals.len()];
        let (telling, standing, news) = (Telling::new(tell), BTreeMap::new(), Vec::new());
        Signals { monitor, regimes, clock, store, buses, telling, standing, sent, news }
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
                self.forget(&plc);
            }
            Mail::Settled(plc) => {
                self.monitor.settled(&plc);
                self.forget(&plc);
            }
            Mail::Learn(id, reply) => {
                let found = self.monitor.find(&id);
                if let Some(signal) = found {
                    self.monitor.learn(signal);
                    self.well(signal, None);
                }
                let bus = self.buses.iter().find(|bus| bus.id() == id);
                bus.into_iter().for_each(bus::Handle::learn);
                reply(found.is_some() || bus.is_some());
            }
            Mail::Updated(update) => self.buses.iter().for_each(|bus| bus.updated(update.clone())),
            Mail::List(reply) => {
                reply(
                    row::rows(&self.monitor, &self.regimes),
                    self.buses.iter().map(bus::Handle::row).collect(),
                );
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
                monitor::News::Quiet(case, text) => self.say(News::Quiet(case, text)),
            }
        }
        self.telling.flush();
    }

    fn event(&mut self, signal: usize, event: Event) {
        let spec = self.monitor.channels()[signal].spec();
        let (plc, id, unit) = (spec.plc.clone(), spec.id.clone(), spec.unit.clone());
        match event {
            Event::Reading(reading, _) => {
                let due = self.sent[signal].is_none_or(|at| reading.at.since(at) >= PUBLISH_EVERY);
                if due {
                    self.sent[signal] = Some(reading.at);
                    let quality = reading.quality.to_string();
                    self.say(News::Reading(id, unit, reading.value, quality));
                }
            }
            Event::Anomaly(anomaly) => {
                let key = (plc.clone(), anomaly.code);
                self.standing.entry(key).or_default().insert((signal, Some(anomaly.series)));
                self.say(News::Raise(plc, anomaly.code, anomaly.text(&unit)));
            }
            Event::Cleared(series) => self.well(signal, Some(series)),
            Event::Learned(series) => self.say(News::Learned(id, series)),
            Event::Lost(flaw) => {
                self.standing.entry((plc.clone(), why::SIGNAL_LOST)).or_default().insert((signal, None));
                self.say(News::Raise(plc, why::SIGNAL_LOST, format!("{id}: {flaw}")));
            }
            Event::Unjudged(regime) => {
                let rule = plc.as_ref().and_then(|plc| self.regimes.get(plc)).map(Selector::rule);
                let name = rule.zip(regime).map_or("unknown".into(), |(rule, regime)| rule.name(regime));
                let text = format!(
                    "{id}: nothing judges it; regime {name} was never learned, or it keeps switching"
                );
                self.standing.entry((plc.clone(), why::REGIME_UNKNOWN)).or_default().insert((signal, None));
                self.say(News::Raise(plc, why::REGIME_UNKNOWN, text));
            }
            Event::Judged => self.remove(&(plc, why::REGIME_UNKNOWN), |(s, _)| *s == signal),
            Event::Back => {
                let key = (plc, why::SIGNAL_LOST);
                self.remove(&key, |(s, _)| *s == signal);
            }
        }
    }

    /// A series of a signal is well again; `None`: all of them.
    fn well(&mut self, signal: usize, series: Option<Series>) {
        let keys: Vec<_> =
            self.standing.keys().filter(|(_, code)| *code != why::SIGNAL_LOST).cloned().collect();
        for key in keys {
            self.remove(&key, |(s, of)| *s == signal && (series.is_none() || *of == series));
        }
    }

    /// Alarms of a controller end with a word of their own: an update, or a person.
    fn forget(&mut self, plc: &str) {
        let mine = |(of, code): &&Cause| of.as_deref() == Some(plc) && *code != why::SIGNAL_LOST;
        let keys: Vec<_> = self.standing.keys().filter(mine).cloned().collect();
        for key in keys {
            self.remove(&key, |_| true);
        }
    }

    fn remove(
        &mut self,
        key: &(Option<String>, ReasonCode),
        gone: impl Fn(&(usize, Option<Series>)) -> bool,
    ) {
        let Some(set) = self.standing.get_mut(key) else { return };
        set.retain(|entry| !gone(entry));
        if set.is_empty() {
            self.standing.remove(key);
            self.say(News::Clear(key.0.clone(), key.1));
        }
    }

    fn say(&mut self, news: News) {
        self.telling.say(news);
    }

    fn keep(&mut self) {
        if let Some(store) = &self.store {
            keep::keep(store, &mut self.monitor);
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
