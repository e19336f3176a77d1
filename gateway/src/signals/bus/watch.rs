//! Judges one bus: what was heard goes in, what it means goes to the judge, what was learned goes to disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hal::clock::Mono;
use hal::store::Store;
use sensor_monitor::anomaly::Series;
use sensor_monitor::bus::{Bus, Firmware, News as BusNews, Stored};
use sensor_monitor::reasons as why;
use serde::{Deserialize, Serialize};

use super::super::News;
use super::super::tell::Telling;
use super::row::{self, BusRow};
use super::words::{self, Plcs};
use super::{DIR, Heard, NONE_YET, Update};
use crate::config;

/// One bus under watch.
pub(super) struct Watch {
    bus: Bus,
    plcs: Plcs,
    store: Option<Store>,
    telling: Telling,
    row: Arc<Mutex<BusRow>>,
    /// The case of the last update of each controller that this bus knows of.
    cases: BTreeMap<String, u64>,
    /// Until when the line was heard.
    now: Mono,
    /// Why it cannot be heard.
    down: Option<String>,
    /// Nobody talks.
    silent: bool,
    /// Something was heard since the start.
    heard: bool,
    /// The sources whose alarm about a change stands.
    standing: BTreeSet<String>,
    /// There is more to keep than was written, and when it was written last.
    dirty: bool,
    kept: Mono,
    shown: Option<Mono>,
    news: Vec<BusNews>,
}

/// What is written of a bus.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    bus: Stored,
    cases: BTreeMap<String, u64>,
}

impl Watch {
    /// A bus with what was learned of it before.
    pub(super) fn new(config: &config::Bus, store: Option<Store>, telling: Telling) -> Watch {
        let id = config.settings.id.clone();
        let row = BusRow {
            id,
            device: config.device.display().to_string(),
            quality: "bad: nothing was heard yet".into(),
            ..BusRow::default()
        };
        let mut watch = Watch {
            bus: Bus::new(config.settings.clone()),
            plcs: config.units.clone(),
            store,
            telling,
            row: Arc::new(Mutex::new(row)),
            cases: BTreeMap::new(),
            now: Mono(0),
            down: None,
            silent: false,
            heard: false,
            standing: BTreeSet::new(),
            dirty: false,
            kept: Mono(0),
            shown: None,
            news: Vec::new(),
        };
        watch.resume();
        watch.show();
        watch
    }

    /// Where the others read how it is.
    pub(super) fn row(&self) -> Arc<Mutex<BusRow>> {
        self.row.clone()
    }

    /// Works until told to stop.
    pub(super) fn run(mut self, heard: &Receiver<Heard>, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match heard.recv_timeout(IDLE) {
                Ok(heard) => self.take(heard),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.telling.flush();
        }
        self.keep();
    }

    fn take(&mut self, heard: Heard) {
        let mut news = std::mem::take(&mut self.news);
        match heard {
            Heard::Seen(until, events) => {
                if self.down.take().is_some() {
                    self.bus.gap(until);
                    self.lost_or_not();
                } else if !std::mem::replace(&mut self.heard, true) {
                    // An alarm of the run before may stand.
                    self.say(News::Clear(self.source(), why::SIGNAL_LOST));
                }
                self.heard = true;
                events.iter().for_each(|event| self.bus.event(event, &mut news));
                self.bus.tick(until, &mut news);
                self.now = until;
            }
            Heard::Measured(frames) => {
                let heard = self.down.is_none() && self.heard;
                for frame in frames.iter().filter(|_| heard) {
                    self.bus.frame(frame.talker, frame.at, &frame.measured, &mut news);
                }
            }
            Heard::Counted(counts) => self.change_row(|row| row.kernel = Some(row::counts(&counts))),
            Heard::Down(why) => {
                self.down = Some(why);
                self.lost_or_not();
            }
            Heard::Lost(at) => self.bus.gap(at),
            Heard::Updated(at, update) => self.updated(at, &update),
            Heard::Learn(at) => {
                self.bus.learn(at);
                self.keep();
                self.shown = None;
            }
        }
        news.drain(..).for_each(|one| self.pass_on(one));
        self.news = news;
        if !self.standing.is_empty() && !self.bus.in_alarm() {
            for source in std::mem::take(&mut self.standing) {
                self.say(News::Clear(source, why::BUS_CHANGED));
            }
        }
        self.dirty |= self.bus.take_learned();
        if self.dirty && self.now.since(self.kept) >= KEEP_EVERY {
            self.keep();
        }
        if self.shown.is_none_or(|at| self.now.since(at) >= SHOW_EVERY) {
            self.show();
        }
    }

    /// A verified update of a controller on this bus: a new epoch, once for each case.
    fn updated(&mut self, at: Mono, update: &Update) {
        let units: Vec<u8> =
            self.plcs.iter().filter(|(_, plc)| **plc == update.plc).map(|(u, _)| *u).collect();
        let known = self.cases.get(&update.plc).copied();
        let is_known = known == Some(update.case) || (update.case == NONE_YET && known.is_some());
        if units.is_empty() || is_known {
            return;
        }
        self.cases.insert(update.plc.clone(), update.case);
        // A bus that was not there when it happened has learned what it did since.
        if known.is_some() || !update.again {
            for unit in units {
                self.bus.expected_change(unit, Firmware(update.digest), at);
            }
        }
        self.keep();
        self.shown = None;
    }

    fn pass_on(&mut self, news: BusNews) {
        let id = self.bus.settings().id.clone();
        match news {
            BusNews::Changed(changed) => {
                let text = words::changed(&id, &changed, &self.plcs);
                let source = words::source(&changed.anomaly.signal, &id);
                self.standing.insert(source.clone());
                self.say(News::Raise(source, changed.anomaly.code, text));
            }
            BusNews::New(anomaly, novelty) => {
                let text = words::new(&id, novelty, &anomaly.causes, &self.plcs);
                let source = format!("{id}.unit-{}", novelty.unit());
                self.say(News::Raise(source, anomaly.code, text));
            }
            BusNews::Epoch(change) => {
                let text = words::epoch(&id, &change, &self.plcs);
                let case = self.plcs.get(&change.unit).and_then(|plc| self.cases.get(plc)).copied();
                tracing::info!(bus = %id, "{text}");
                if let Some(case) = case {
                    self.say(News::Told(case, text));
                }
                self.keep();
            }
            BusNews::Learned => {
                self.say(News::Learned(id, Series::Measured));
                self.keep();
            }
            BusNews::Silent => {
                self.silent = true;
                self.lost_or_not();
            }
            BusNews::Back => {
                self.silent = false;
                self.lost_or_not();
            }
        }
        self.shown = None;
    }

    /// The line is lost for one reason or another, or it is not.
    fn lost_or_not(&mut self) {
        let id = &self.bus.settings().id;
        let news = match (&self.down, self.silent) {
            (Some(why), _) => News::Raise(self.source(), why::SIGNAL_LOST, format!("{id}: {why}")),
            (None, true) => {
                News::Raise(self.source(), why::SIGNAL_LOST, format!("{id}: nobody talks on the line"))
            }
            (None, false) => News::Clear(self.source(), why::SIGNAL_LOST),
        };
        self.say(news);
        self.shown = None;
    }

    /// The bus itself is lost as a whole. What changes is a unit's own: who has seen one has not seen the next.
    fn source(&self) -> String {
        self.bus.settings().id.clone()
    }

    fn say(&mut self, news: News) {
        self.telling.say(news);
    }

    fn show(&mut self) {
        self.shown = Some(self.now);
        let quality = match (&self.down, self.silent, self.heard) {
            (Some(why), ..) => format!("bad: {why}"),
            (None, true, _) => "bad: nobody talks".into(),
            (None, false, false) => "bad: nothing was heard yet".into(),
            (None, false, true) => "good".into(),
        };
        let talkers = row::talkers(&self.bus, &self.plcs);
        let new = self.bus.novelties().map(|n| words::novelty_words(n, &self.plcs)).collect();
        let (learned, judged) = (self.bus.progress(), self.bus.is_judging());
        let alarm = self.bus.in_alarm() || self.down.is_some() || self.silent;
        self.change_row(|row| {
            *row = BusRow { quality, learned, judged, alarm, new, talkers, ..std::mem::take(row) };
        });
    }

    fn change_row(&self, change: impl FnOnce(&mut BusRow)) {
        change(&mut self.row.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn name(&self) -> String {
        format!("{DIR}/{}.cbor", self.bus.settings().id)
    }

    /// Reads what was kept. What cannot be read, or was kept by another version, is learned anew.
    fn resume(&mut self) {
        let Some(store) = &self.store else { return };
        let kept = match store.read(&self.name(), MAX_KEPT) {
            Ok(None) => return,
            Ok(Some(bytes)) => serde_cbor::from_slice::<Kept>(&bytes).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        let resumed = kept.and_then(|kept| {
            self.bus.resume(kept.bus).map_err(|e| e.to_string())?;
            Ok(kept.cases)
        });
        match resumed {
            Ok(cases) => {
                self.cases = cases;
                self.bus.take_learned(); // it is on disk
            }
            Err(e) => {
                let id = &self.bus.settings().id;
                tracing::warn!(bus = %id, error = %e, "what was learned cannot be read; it is learned anew");
            }
        }
    }

    fn keep(&mut self) {
        (self.dirty, self.kept) = (false, self.now);
        self.bus.take_learned();
        let Some(store) = &self.store else { return };
        let kept = Kept { bus: self.bus.stored(), cases: self.cases.clone() };
        let written = serde_cbor::to_vec(&kept)
            .map_err(|e| e.to_string())
            .and_then(|bytes| store.write_atomic(&self.name(), &bytes).map_err(|e| e.to_string()));
        if let Err(e) = written {
            let id = &self.bus.settings().id;
            tracing::warn!(bus = %id, error = %e, "what was learned could not be kept");
        }
    }
}

/// Longest wait before looking whether to stop.
const IDLE: Duration = Duration::from_millis(200);
/// Series that are learned later than the rest are kept this often.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// The row that others read is at most this old.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// Largest file read: 64 units, all quantities.
const MAX_KEPT: u64 = 64 << 20;

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
