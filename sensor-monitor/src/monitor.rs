//! All signals of a gateway, and the soak after each accepted update.
//!
//! A soak watches the signals of one controller harder for a while. A process signal that changes during it,
//! or a report that no longer agrees with the measurement, is [`News::ChangedAfterUpdate`], once; what the
//! bus does differently is information and begins a new epoch of its baselines. A soak ends by itself.

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::Block;

use crate::anomaly::{Anomaly, Figure, Kind, Series};
use crate::baseline::Cause;
use crate::channel::{Channel, Event, Stored};
use crate::detect::Detector;
use crate::feature::Stood;
use crate::level::Basis;
use crate::watch::{self, Finding, Watch};

/// Every signal, by its place in the configuration.
pub struct Monitor {
    channels: Vec<Channel>,
    soaks: Vec<Soak>,
    settings: watch::Settings,
    events: Vec<Event>,
}

/// The watch after one update.
struct Soak {
    case: u64,
    plc: String,
    opened: Mono,
    watched: Vec<Watched>,
    /// What had changed before: that it still is so is not the update's.
    stood: Vec<(usize, Series, Stood)>,
    /// What locked the controller: signal and series.
    locked: Option<(usize, Series)>,
}

struct Watched {
    channel: usize,
    series: Series,
    /// The time of the last value taken.
    last: Option<Mono>,
    /// Like is compared with like: readings of the regime that those before the update were of.
    regime: u16,
    watch: Watch,
    /// Whether a change locks the controller, or is information only.
    matters: bool,
}

/// What the gateway is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// An event of one signal.
    Signal(usize, Event),
    /// A process signal changed in a soak: case of the update, signal, and what changed in words.
    ChangedAfterUpdate(u64, usize, String),
    /// A soak is over in which something that matters had changed: case, and what all its readings say together.
    Measured(u64, String),
    /// A soak is over and nothing that matters had changed: case, and what was seen in words.
    Quiet(u64, String),
}

impl Monitor {
    /// A monitor of these signals.
    pub fn new(channels: Vec<Channel>, settings: watch::Settings) -> Monitor {
        Monitor { channels, soaks: Vec::new(), settings, events: Vec::new() }
    }

    /// The signals.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The place of a signal.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.channels.iter().position(|c| c.spec().id == id)
    }

    /// Case and controller of each soak, and when it began.
    pub fn soaks(&self) -> impl Iterator<Item = (u64, &str, Mono)> {
        self.soaks.iter().map(|s| (s.case, s.plc.as_str(), s.opened))
    }

    /// A block of signal `channel`.
    pub fn block(&mut self, channel: usize, block: &Block, out: &mut Vec<News>) {
        let mut events = std::mem::take(&mut self.events);
        if let Some(c) = self.channels.get_mut(channel) {
            c.block(block, &mut events);
        }
        self.pass_on(channel, &mut events, out);
        self.events = events;
    }

    /// What the controller reports of signal `channel`.
    pub fn report(&mut self, channel: usize, at: Mono, value: f64, out: &mut Vec<News>) {
        let mut events = std::mem::take(&mut self.events);
        if let Some(c) = self.channels.get_mut(channel) {
            c.report(at, value, &mut events);
        }
        self.pass_on(channel, &mut events, out);
        self.events = events;
    }

    /// The operating regime of a controller; `None`: it has regimes and has not said which.
    pub fn set_regime(&mut self, plc: &str, regime: Option<u16>) {
        self.channels
            .iter_mut()
            .filter(|c| c.spec().plc.as_deref() == Some(plc))
            .for_each(|c| c.set_regime(regime));
    }

    /// An operator has the signal learned anew.
    pub fn learn(&mut self, channel: usize) {
        if let Some(c) = self.channels.get_mut(channel) {
            c.relearn(Cause::Operator);
        }
    }

    /// A controller took a verified image: the soak of case `case` begins, with what is known of the time
    /// before. The soak of an earlier update of the same controller ends without a word.
    pub fn accepted(&mut self, case: u64, plc: &str, now: Mono) {
        self.soaks.retain(|s| s.plc != plc);
        let (mut watched, mut stood) = (Vec::new(), Vec::new());
        for (n, c) in
            self.channels.iter_mut().enumerate().filter(|(_, c)| c.spec().plc.as_deref() == Some(plc))
        {
            for series in [Series::Measured, Series::Reported, Series::Residual] {
                let before = c.stood(series);
                let watches = watches(c, n, series, before, now, self.settings);
                // What nothing compares with what was before is judged as if it had been well.
                stood.extend(before.filter(|_| !watches.is_empty()).map(|before| (n, series, before)));
                watched.extend(watches);
            }
            match c.spec().kind {
                Kind::Bus => c.relearn(Cause::VerifiedUpdate),
                _ => c.hold(now, self.settings.settles),
            }
        }
        self.soaks.push(Soak { case, plc: plc.into(), opened: now, watched, stood, locked: None });
    }

    /// A person has looked: the soak of a controller ends, and what it does now is what is usual.
    pub fn settled(&mut self, plc: &str) {
        self.soaks.retain(|s| s.plc != plc);
        for c in self.channels.iter_mut().filter(|c| c.spec().plc.as_deref() == Some(plc)) {
            if c.in_alarm() {
                c.relearn(Cause::Operator);
            }
        }
    }

    /// Ends the soaks whose time is over.
    pub fn tick(&mut self, now: Mono, out: &mut Vec<News>) {
        let lasts = self.settings.lasts;
        let is_over = |s: &Soak| now.since(s.opened) >= lasts;
        for soak in std::mem::take(&mut self.soaks) {
            if !is_over(&soak) {
                self.soaks.push(soak);
                continue;
            }
            self.conclude(soak, out);
        }
    }

    /// Time until [`Monitor::tick`] has something to do.
    pub fn next(&self, now: Mono) -> Option<Duration> {
        self.soaks.iter().map(|s| self.settings.lasts.saturating_sub(now.since(s.opened))).min()
    }

    /// What was learned since the last call and should be kept.
    pub fn take_learned(&mut self) -> Vec<Stored> {
        self.channels.iter_mut().filter_map(Channel::take_learned).collect()
    }

    /// Goes on with what was learned before a restart.
    pub fn resume(&mut self, stored: Stored, id: &str) -> bool {
        self.find(id).is_some_and(|n| self.channels[n].resume(stored))
    }

    fn pass_on(&mut self, channel: usize, events: &mut Vec<Event>, out: &mut Vec<News>) {
        for series in [Series::Reported, Series::Residual] {
            let Some(c) = self.channels.get(channel) else { break };
            if let (Some((at, value)), Some(regime)) = (c.latest(series), c.steady(series)) {
                self.watch(channel, series, regime, at, value, out);
            }
        }
        for event in events.drain(..) {
            match &event {
                // Where something stood before, what is new can come as a further change.
                Event::Anomaly(anomaly) | Event::Further(anomaly) => self.in_soak(channel, anomaly, out),
                Event::Reading(r, Some(regime)) => {
                    self.watch(channel, Series::Measured, *regime, r.at, r.value, out);
                }
                Event::Unjudged(_) => self.unjudged_in_soak(channel, out),
                _ => {}
            }
            out.push(News::Signal(channel, event));
        }
    }

    /// An anomaly of a process signal in a soak is the update's.
    fn in_soak(&mut self, channel: usize, anomaly: &Anomaly, out: &mut Vec<News>) {
        let spec = self.channels[channel].spec();
        let Some(soak) =
            self.soaks.iter_mut().find(|s| spec.plc.as_ref() == Some(&s.plc) && s.locked.is_none())
        else {
            return;
        };
        let after = anomaly.since() >= soak.opened || anomaly.found() >= soak.opened;
        // What stood before goes on; crossing a limit is always new, and so is a level that is surely another.
        let stood = soak.stood.iter().any(|(n, series, stood)| {
            (*n, *series) == (channel, anomaly.series)
                && anomaly.change.detector != Detector::Limit
                && stood.explains(&anomaly.change)
        });
        let place = (channel, anomaly.series);
        let is_further = anomaly.level.filter(|l| l.basis != Basis::Share).is_some_and(|level| {
            let mut watched = soak.watched.iter().filter(|w| (w.channel, w.series) == place);
            watched.any(|w| w.watch.is_further(level.value, level.readings))
        });
        if spec.kind == Kind::Process && after && (!stood || is_further) {
            soak.locked = Some(place);
            out.push(News::ChangedAfterUpdate(soak.case, channel, anomaly.text(&spec.unit)));
        }
    }

    /// Nothing to compare a process signal with: an update that makes its controller say so is not taken at
    /// its word.
    fn unjudged_in_soak(&mut self, channel: usize, out: &mut Vec<News>) {
        let spec = self.channels[channel].spec();
        let mine = |s: &&mut Soak| spec.plc.as_ref() == Some(&s.plc) && s.locked.is_none();
        if spec.kind == Kind::Process
            && let Some(soak) = self.soaks.iter_mut().find(mine)
        {
            soak.locked = Some((channel, Series::Measured));
            let text =
                format!("{}: runs as it never did while it was learned, so nothing judges it", spec.id);
            out.push(News::ChangedAfterUpdate(soak.case, channel, text));
        }
    }

    fn watch(
        &mut self,
        channel: usize,
        series: Series,
        regime: u16,
        at: Mono,
        value: f64,
        out: &mut Vec<News>,
    ) {
        for soak in &mut self.soaks {
            let mine = |w: &&mut Watched| (w.channel, w.series, w.regime) == (channel, series, regime);
            for w in soak.watched.iter_mut().filter(mine) {
                if w.last.is_some_and(|last| at <= last) {
                    continue;
                }
                w.last = Some(at);
                let Some(finding) = w.watch.reading(at, value) else { continue };
                if w.matters && soak.locked.is_none() {
                    soak.locked = Some((channel, series));
                    let text = words(&named(&self.channels[channel].spec().id, series), &finding);
                    out.push(News::ChangedAfterUpdate(soak.case, channel, text));
                }
            }
        }
    }

    fn conclude(&mut self, soak: Soak, out: &mut Vec<News>) {
        let mut changed = None;
        let mut findings = Vec::new();
        for w in soak.watched {
            let place = (w.channel, w.series);
            let finding = w.watch.conclude();
            if finding.is_some_and(|f| f.changed && w.matters) && changed.is_none() {
                changed = Some(place);
            }
            findings.push((place, finding));
        }
        let locked = soak.locked.or(changed);
        let compared = findings.iter().any(|(_, finding)| finding.is_some());
        let lines = self.lines(&soak.plc, &findings, locked);
        let line_of = |place| lines.iter().find(|(p, _)| *p == place).map_or("", |(_, line)| line);
        let story = || lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("; ");
        match changed {
            _ if soak.locked.is_some() => out.push(News::Measured(soak.case, story())),
            Some(place) => {
                out.push(News::ChangedAfterUpdate(soak.case, place.0, line_of(place).into()));
                out.push(News::Measured(soak.case, story()));
            }
            None if !compared => {
                let none = "no signal of this controller could be compared";
                let text = if lines.is_empty() { none.into() } else { format!("{none}: {}", story()) };
                out.push(News::Quiet(soak.case, text));
            }
            None => out.push(News::Quiet(soak.case, story())),
        }
    }

    /// What a soak says of every signal of its controller: each series that was compared, why one was not, and which
    /// of them locked the controller.
    fn lines(
        &self,
        plc: &str,
        findings: &[(Place, Option<Finding>)],
        locked: Option<Place>,
    ) -> Vec<(Place, String)> {
        let mut lines = Vec::new();
        for (n, c) in self.channels.iter().enumerate().filter(|(_, c)| c.spec().plc.as_deref() == Some(plc)) {
            for series in [Series::Measured, Series::Reported, Series::Residual] {
                if series != Series::Measured && c.spec().reported.is_none() {
                    continue;
                }
                let place = (n, series);
                let mine = || findings.iter().filter(|(p, _)| *p == place);
                let name = named(&c.spec().id, series);
                let tail = if locked == Some(place) { "; this locked the controller" } else { "" };
                let before = lines.len();
                lines.extend(
                    mine()
                        .filter_map(|(_, finding)| finding.as_ref())
                        .map(|finding| (place, format!("{}{tail}", words(&name, finding)))),
                );
                if lines.len() == before {
                    let why = match mine().next() {
                        Some(_) => "too few independent readings after the update to compare",
                        None if c.spec().learning.is_none() => "judged by its limits alone",
                        None if c.model(series).is_none() => "still being learned, not compared",
                        None => "too few independent readings before the update to compare",
                    };
                    lines.push((place, format!("{name}: {why}{tail}")));
                }
            }
        }
        lines
    }
}

/// A signal, by its place, and one of its series.
type Place = (usize, Series);

/// Watches over one series of a signal, one for each regime it was in lately. Of a report and a residual they lock
/// nothing where nothing stood before, as their detectors see a change when it comes: they say in the end how it was.
fn watches(
    c: &Channel,
    channel: usize,
    series: Series,
    stood: Option<Stood>,
    now: Mono,
    settings: watch::Settings,
) -> Vec<Watched> {
    let mut watched = Vec::new();
    let matters = c.spec().kind == Kind::Process && (series == Series::Measured || stood.is_some());
    for (regime, before) in c.recent_by_regime(series) {
        // Without a baseline nobody knows how closely readings follow each other, and every slow swing would look like
        // a change.
        let Some(model) = c.model_of(series, regime) else { continue };
        let correlation = model.correlation_time();
        let settings = watch::Settings { correlation, ..settings };
        let watch = match stood.filter(|_| c.steady(series) == Some(regime)) {
            // What it did just before the update is what it did since it changed.
            Some(stood) => {
                let least = watch::MIN_READINGS.max((4.0 * correlation).ceil() as usize);
                let count = usize::try_from(stood.age).unwrap_or(usize::MAX).max(least);
                let before = &before[before.len().saturating_sub(count)..];
                Watch::open(now, before, settings).map(|w| w.away_from(model.mean(), model.scale()))
            }
            None => Watch::open(now, &before, settings),
        };
        watched.extend(watch.map(|watch| Watched { channel, series, last: None, regime, watch, matters }));
    }
    watched
}

/// A series as people name it.
fn named(signal: &str, series: Series) -> String {
    match series {
        Series::Measured => signal.to_owned(),
        other => format!("{signal} ({other})"),
    }
}

/// A finding on one line.
fn words(signal: &str, f: &Finding) -> String {
    // A signal that stood still has no sigma to count in; what is then divided by is nobody's figure.
    let effect = match f.effect.abs() {
        size if size < MOST_SIGMA => {
            let [effect, low, high] = [f.effect, f.interval.0, f.interval.1].map(Figure);
            format!("{effect} sigma [{low} to {high}]")
        }
        _ => format!("moved {}, and stood still before", if f.effect > 0.0 { "up" } else { "down" }),
    };
    let spread = match f.spread_ratio {
        ratio if ratio < MOST_SIGMA => format!("spread x{}", Figure(ratio)),
        _ => "spread out of nothing".into(),
    };
    format!("{signal}: {effect}, {spread}, {}", if f.changed { "changed" } else { "no change that matters" })
}

/// Nothing moves so far that it could be counted in what is usual.
const MOST_SIGMA: f64 = 1e6;
