//! One series of numbers under watch: baseline, detectors, and whether an alarm stands.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hal::clock::Mono;
use serde::{Deserialize, Serialize};

use crate::baseline::{Cause, MAX_REGIMES, Model, Regimes, Settings, Stored};
use crate::detect::calibrate::{Tuning, Wanted};
use crate::detect::suite::Suite;
use crate::detect::{Change, Direction};

/// A series and all that judges it.
#[derive(Debug, Clone)]
pub(crate) struct Feature {
    wanted: Wanted,
    seed: u64,
    /// Whether what a short record leaves open widens the limits.
    doubts: bool,
    regimes: Regimes,
    tunings: BTreeMap<u16, Tuning>,
    suites: BTreeMap<u16, Suite>,
    regime: Option<u16>,
    /// The regime of the last value, unless it settles or is held.
    steady: Option<u16>,
    /// The last good values of each regime.
    recent: BTreeMap<u16, VecDeque<f64>>,
    /// Values until this time are neither learned nor judged.
    hold: Option<Mono>,
    alarm: Option<Alarm>,
    /// The last good value, judged or not.
    latest: Option<(Mono, f64)>,
    /// After the last value, as a share of what an alarm takes, 1 while one stands; `None` while nothing is judged.
    evidence: Option<f64>,
    learned: bool,
}

/// An alarm that stands. While it does, every detector goes on: what it finds keeps the alarm up, and is told only
/// where it is of the kind that was not told yet.
#[derive(Debug, Clone, Copy)]
struct Alarm {
    /// Values since the last one that tipped a detector.
    quiet: u32,
    /// Values that must pass quietly before it ends.
    patience: u32,
    /// Which way it moved last, once that was told.
    moved: Option<Direction>,
    told_repeats: bool,
    /// Values since it moved that way, as estimated.
    age: u64,
}

/// What stood of a series when an update was accepted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stood {
    /// Which way it had moved.
    pub(crate) moved: Option<Direction>,
    /// Whether it repeated itself.
    pub(crate) repeats: bool,
    /// Values since then.
    pub(crate) age: u64,
}

impl Stood {
    /// Whether a change is no other than what stood.
    pub(crate) fn explains(&self, change: &Change) -> bool {
        match (change.direction, self.moved) {
            (Direction::Repeats, _) => self.repeats,
            (Direction::Up, Some(Direction::Down)) | (Direction::Down, Some(Direction::Up)) => false,
            (Direction::Wider, Some(Direction::Narrower)) | (Direction::Narrower, Some(Direction::Wider)) => {
                false
            }
            (_, moved) => moved.is_some(),
        }
    }
}

/// What a change is to the alarm that stands.
enum Tip {
    /// The first of its kind.
    New,
    /// Another direction, or again after a while.
    Further,
    /// The same as before.
    Same,
}

impl Alarm {
    const fn new() -> Alarm {
        Alarm { quiet: 0, patience: QUIET, moved: None, told_repeats: false, age: 0 }
    }

    /// A detector was tipped. A change that took long to find takes as long to be missed: a slow ramp is not over
    /// because it was quiet for a minute.
    fn tip(&mut self, change: &Change) -> Tip {
        let took = u32::try_from(change.samples_ago.saturating_add(1)).unwrap_or(u32::MAX);
        self.patience = self.patience.max(took.saturating_mul(2).min(MOST_PATIENCE));
        let was_quiet = std::mem::replace(&mut self.quiet, 0) >= QUIET;
        let (is_new, is_other) = match change.direction {
            Direction::Repeats => (!std::mem::replace(&mut self.told_repeats, true), false),
            direction => {
                let before = self.moved.replace(direction);
                if before != Some(direction) {
                    self.age = change.samples_ago.saturating_add(1);
                }
                (before.is_none(), before != Some(direction))
            }
        };
        match (is_new, is_other || was_quiet) {
            (true, _) => Tip::New,
            (false, true) => Tip::Further,
            (false, false) => Tip::Same,
        }
    }

    /// Takes a value that tipped nothing and left so much evidence; true when all is well again. The alarm began
    /// at a share of 1 and ends below [`WELL`], so that it does not come and go on the edge.
    fn calm(&mut self, evidence: f64) -> bool {
        self.quiet = self.quiet.saturating_add(1);
        self.quiet >= self.patience && evidence < WELL
    }
}

/// What a value did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    /// A behaviour changed: the alarm begins, or what moved begins to repeat itself, too, or the other way round.
    Changed { change: Change, usual: (f64, f64) },
    /// The alarm that stands goes on: in another direction, or again after a while.
    Further { change: Change, usual: (f64, f64) },
    /// The alarm is over.
    Cleared,
    /// The baseline became ready.
    Learned,
}

/// A feature over a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredFeature {
    regimes: Stored,
    tunings: Vec<(u16, Tuning)>,
}

impl Feature {
    pub(crate) fn new(settings: Settings, wanted: Wanted, seed: u64) -> Feature {
        Feature {
            wanted,
            seed,
            doubts: true,
            regimes: Regimes::new(settings),
            tunings: BTreeMap::new(),
            suites: BTreeMap::new(),
            regime: None,
            steady: None,
            recent: BTreeMap::new(),
            hold: None,
            alarm: None,
            latest: None,
            evidence: None,
            learned: false,
        }
    }

    /// Takes what it learns at its word, for series that are told together: see [`Tuning::find_as_learned`].
    pub(crate) fn without_doubt(self) -> Feature {
        Feature { doubts: false, ..self }
    }

    pub(crate) fn stored(&self) -> StoredFeature {
        let tunings = self.tunings.iter().map(|(k, t)| (*k, t.clone())).collect();
        StoredFeature { regimes: self.regimes.stored(), tunings }
    }

    /// Takes what was learned before; false where it cannot be, and then it is learned anew.
    pub(crate) fn resume(&mut self, stored: StoredFeature) -> bool {
        let Ok(regimes) = Regimes::restore(stored.regimes) else { return false };
        self.regimes = regimes;
        self.tunings = stored.tunings.into_iter().take(MAX_REGIMES).collect();
        self.learned = true;
        true
    }

    /// Takes one good value. Gives at most one outcome: an alarm that stands is told once for what moved
    /// and once for what repeats.
    pub(crate) fn take(&mut self, at: Mono, value: f64, regime: u16) -> Option<Outcome> {
        let outcome = self.judge(at, value, regime);
        let is_judged = self.steady.is_some() && self.model().is_some();
        self.latest = Some((at, value));
        self.evidence = self
            .suites
            .get(&regime)
            .map(Suite::evidence)
            .filter(|_| is_judged)
            .map(|e| if self.alarm.is_some() { 1.0 } else { e });
        outcome
    }

    fn judge(&mut self, at: Mono, value: f64, regime: u16) -> Option<Outcome> {
        self.steady = None;
        self.alarm.iter_mut().for_each(|alarm| alarm.age = alarm.age.saturating_add(1));
        if self.hold.is_some_and(|until| at < until) {
            return None;
        }
        if self.hold.take().is_some() {
            self.suites.values_mut().for_each(Suite::clear);
        }
        if self.regime != Some(regime) {
            self.regime = Some(regime);
            self.suites.values_mut().for_each(Suite::clear);
        }
        let ready = self.regimes.get(regime).is_some_and(|b| b.model().is_some());
        let settles = self.regimes.settles(regime);
        let model = self.regimes.observe(regime, value);
        if !settles {
            self.steady = Some(regime);
            keep(&mut self.recent, regime, value);
        }
        let Some(model) = model else {
            let became = !ready && self.regimes.get(regime).is_some_and(|b| b.model().is_some());
            return became.then(|| self.ready(regime));
        };
        let usual = (model.median(), model.seen_scale());
        if !self.suites.contains_key(&regime) {
            let suite = suite(model, self.wanted, (self.seed, self.doubts), self.tunings.get(&regime))?;
            self.tunings.insert(regime, suite.1);
            self.suites.insert(regime, suite.0);
        }
        let suite = self.suites.get_mut(&regime)?;
        match suite.step(value) {
            Some(change) => {
                suite.start_over();
                let tip = self.alarm.get_or_insert(Alarm::new()).tip(&change);
                self.regimes.freeze();
                match tip {
                    Tip::New => Some(Outcome::Changed { change, usual }),
                    Tip::Further => Some(Outcome::Further { change, usual }),
                    Tip::Same => None,
                }
            }
            None => {
                let evidence = suite.evidence();
                self.alarm.as_mut()?.calm(evidence).then(|| {
                    self.alarm = None;
                    self.regimes.thaw();
                    Outcome::Cleared
                })
            }
        }
    }

    fn ready(&mut self, regime: u16) -> Outcome {
        self.tunings.remove(&regime);
        self.suites.remove(&regime);
        self.learned = true;
        Outcome::Learned
    }

    /// Samples were lost: what needs neighbours starts anew.
    pub(crate) fn gap(&mut self) {
        self.suites.values_mut().for_each(Suite::gap);
    }

    /// For `time` from `now` on, nothing is learned or judged.
    pub(crate) fn hold(&mut self, now: Mono, time: Duration) {
        self.hold = Some(now + time);
        self.alarm = None;
        self.regimes.thaw();
    }

    pub(crate) fn relearn(&mut self, cause: Cause) {
        self.regimes.relearn(cause);
        self.tunings.clear();
        self.suites.clear();
        self.alarm = None;
        self.recent.clear();
        // That it was forgotten is kept, too: a restart must not bring back what a person has had learned anew.
        self.learned = true;
    }

    /// Asks for another rate of false alarms; only before the limits were found.
    pub(crate) fn want(&mut self, wanted: Wanted) {
        if !self.is_judging() {
            self.wanted = wanted;
        }
    }

    /// Whether the limits of the present regime were found.
    pub(crate) fn is_judging(&self) -> bool {
        self.suites.contains_key(&self.regime.unwrap_or(0))
    }

    /// The limits, when this learned exactly what `other` did and is to raise as many false alarms.
    pub(crate) fn limits_for(&self, other: &Feature) -> Option<Tuning> {
        let fits = self.is_judging() && self.wanted == other.wanted && self.model() == other.model();
        self.tunings.get(&self.regime.unwrap_or(0)).filter(|_| fits).cloned()
    }

    /// Judges by limits that were found for a series like this.
    pub(crate) fn adopt(&mut self, limits: Tuning) {
        self.tunings.insert(self.regime.unwrap_or(0), limits);
    }

    /// The last good values of each regime, oldest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = (u16, Vec<f64>)> {
        self.recent.iter().map(|(regime, values)| (*regime, values.iter().copied().collect()))
    }

    /// The regime of the last value; `None` while the process settles after a switch, or on hold.
    pub(crate) fn steady(&self) -> Option<u16> {
        self.steady
    }

    /// Whether the last value was judged.
    pub(crate) fn is_judged(&self) -> bool {
        self.evidence.is_some()
    }

    /// Whether any regime was learned.
    pub(crate) fn has_learned(&self) -> bool {
        self.regimes.states().any(|(regime, _)| self.model_of(regime).is_some())
    }

    /// Whether values are held back at `at`.
    pub(crate) fn is_held(&self, at: Mono) -> bool {
        self.hold.is_some_and(|until| at < until)
    }

    /// The last `count` good values, when there are so many.
    pub(crate) fn last(&self, count: usize) -> Option<Vec<f64>> {
        let recent = self.recent.get(&self.regime.unwrap_or(0))?;
        let skipped = recent.len().checked_sub(count).filter(|_| count > 0)?;
        Some(recent.iter().skip(skipped).copied().collect())
    }

    pub(crate) fn model(&self) -> Option<&Model> {
        self.model_of(self.regime.unwrap_or(0))
    }

    /// What was learned of one regime.
    pub(crate) fn model_of(&self, regime: u16) -> Option<&Model> {
        self.regimes.get(regime).and_then(|b| b.model())
    }

    /// What was learned in the epoch before, for comparison.
    pub(crate) fn previous(&self) -> Option<&Model> {
        self.regimes.get(self.regime.unwrap_or(0)).and_then(|b| b.previous())
    }

    pub(crate) fn latest(&self) -> Option<(Mono, f64)> {
        self.latest
    }

    /// What the last value left of evidence, 0 to 1; 1 while an alarm stands.
    pub(crate) fn evidence(&self) -> Option<f64> {
        self.evidence
    }

    /// What the alarm that stands is about; without one, what has most of the evidence for a change, where that is
    /// half of what an alarm takes.
    pub(crate) fn stood(&self) -> Option<Stood> {
        let suspected = || self.suites.get(&self.regime?)?.suspected();
        match self.alarm {
            Some(Alarm { moved, told_repeats: repeats, age, .. }) => Some(Stood { moved, repeats, age }),
            None => suspected().map(|(moved, age)| Stood { moved: Some(moved), repeats: false, age }),
        }
    }

    pub(crate) fn in_alarm(&self) -> bool {
        self.alarm.is_some()
    }

    /// Share of the record that is collected, 0 to 1.
    pub(crate) fn progress(&self) -> f64 {
        self.regimes.get(self.regime.unwrap_or(0)).map_or(0.0, |b| b.progress())
    }

    /// Whether something was learned since the last call.
    pub(crate) fn take_learned(&mut self) -> bool {
        std::mem::take(&mut self.learned)
    }
}

/// Detectors for a model; their limits are found by simulation unless they are known already.
fn suite(
    model: &Model,
    wanted: Wanted,
    (seed, doubts): (u64, bool),
    known: Option<&Tuning>,
) -> Option<(Suite, Tuning)> {
    let tuning = match known.filter(|t| t.is_for(model, wanted)) {
        Some(tuning) => tuning.clone(),
        None if doubts => Tuning::find(model, wanted, seed).ok()?,
        None => Tuning::find_as_learned(model, wanted, seed).ok()?,
    };
    let suite = Suite::new(model, wanted, tuning.clone()).ok()?;
    Some((if doubts { suite } else { suite.without_away() }, tuning))
}

/// Adds a value to those of its regime; a regime beyond the most that are learned is not kept either.
fn keep(recent: &mut BTreeMap<u16, VecDeque<f64>>, regime: u16, value: f64) {
    if !recent.contains_key(&regime) && recent.len() >= MAX_REGIMES {
        return;
    }
    let values = recent.entry(regime).or_insert_with(|| VecDeque::with_capacity(RECENT));
    if values.len() == RECENT {
        values.pop_front();
    }
    values.push_back(value);
}

/// Good values kept of a regime: what a watch compares with after an update.
pub(crate) const RECENT: usize = 1024;
/// An alarm ends after so many values without another change, at least.
const QUIET: u32 = 60;
/// It need not be quiet for longer, however long the change took to be found.
const MOST_PATIENCE: u32 = 16_384;
/// Share of what an alarm takes below which nothing speaks for a change any more.
const WELL: f64 = 0.5;
