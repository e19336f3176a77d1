//! One baseline for each operating regime: a controller's bit, a band of set points. A value is judged against
//! the regime it belongs to, and not at all while the process settles after a switch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Baseline, BaselineError, Cause, Learning, Model, State};

/// Regimes of one feature, at most.
pub const MAX_REGIMES: usize = 16;

/// How regimes are treated.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How each baseline is learned.
    pub learning: Learning,
    /// Samples after a switch that are neither learned nor judged.
    pub settle: u32,
}

/// The baselines of one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Regimes {
    settings: Settings,
    baselines: BTreeMap<u16, Baseline>,
    current: Option<u16>,
    settling: u32,
    frozen: bool,
}

impl Regimes {
    /// No baseline yet; one is begun for each regime that is seen.
    pub const fn new(settings: Settings) -> Regimes {
        Regimes { settings, baselines: BTreeMap::new(), current: None, settling: 0, frozen: false }
    }

    /// Takes one good value in its regime and gives the model to judge it by: `None` while settling, while
    /// learning, or in a regime beyond [`MAX_REGIMES`]. The value that completes a baseline is not judged.
    pub fn observe(&mut self, regime: u16, x: f64) -> Option<&Model> {
        if self.current != Some(regime) {
            // The first regime after a start has not been switched to.
            self.settling = if self.current.is_some() { self.settings.settle } else { 0 };
            self.current = Some(regime);
        }
        if self.settling > 0 {
            self.settling -= 1;
            return None;
        }
        if !self.baselines.contains_key(&regime) && self.baselines.len() >= MAX_REGIMES {
            return None;
        }
        let settings = self.settings;
        let baseline = self.baselines.entry(regime).or_insert_with(|| Baseline::new(settings.learning));
        baseline.frozen = self.frozen;
        let became = baseline.learn(x);
        if became { None } else { baseline.model() }
    }

    /// Whether the next value, in this regime, comes while the process settles after a switch.
    pub fn settles(&self, regime: u16) -> bool {
        match self.current {
            Some(current) if current != regime => self.settings.settle > 0,
            Some(_) => self.settling > 0,
            None => false,
        }
    }

    /// The baseline of a regime.
    pub fn get(&self, regime: u16) -> Option<&Baseline> {
        self.baselines.get(&regime)
    }

    /// The regimes seen, and where each stands.
    pub fn states(&self) -> impl Iterator<Item = (u16, State)> {
        self.baselines.iter().map(|(&k, b)| (k, b.state()))
    }

    /// The regime of the last value, and how many samples it still settles.
    pub const fn current(&self) -> (Option<u16>, u32) {
        (self.current, self.settling)
    }

    /// An alarm began: no regime learns until [`Regimes::thaw`].
    pub fn freeze(&mut self) {
        self.frozen = true;
        self.baselines.values_mut().for_each(Baseline::freeze);
    }

    /// The alarm is over.
    pub fn thaw(&mut self) {
        self.frozen = false;
        self.baselines.values_mut().for_each(Baseline::thaw);
    }

    /// Starts a new epoch in every regime.
    pub fn relearn(&mut self, cause: Cause) {
        self.frozen = false;
        self.baselines.values_mut().for_each(|b| b.relearn(cause));
    }

    /// What to keep over a restart. Records that are not complete are not kept.
    pub fn stored(&self) -> Stored {
        let of = |(&regime, b): (&u16, &Baseline)| StoredBaseline {
            regime,
            epoch: b.epoch,
            cause: b.cause,
            model: b.model.clone(),
            previous: b.previous.clone(),
        };
        Stored {
            domain: DOMAIN.to_owned(),
            version: VERSION,
            settings: self.settings,
            frozen: self.frozen,
            baselines: self.baselines.iter().map(of).collect(),
        }
    }

    /// Takes up what was stored.
    ///
    /// # Errors
    /// Another domain or version, too many regimes, or a regime twice. Numbers that cannot be are refused
    /// before, when [`Stored`] is deserialised.
    pub fn restore(stored: Stored) -> Result<Regimes, BaselineError> {
        if stored.domain != DOMAIN || stored.version != VERSION {
            return Err(BaselineError::Form {
                found: stored.domain.chars().take(64).collect(),
                version: stored.version,
                expected: DOMAIN,
                expected_version: VERSION,
            });
        }
        if stored.baselines.len() > MAX_REGIMES {
            return Err(BaselineError::TooManyRegimes { found: stored.baselines.len() });
        }
        let mut regimes = Regimes::new(stored.settings);
        regimes.frozen = stored.frozen;
        for s in stored.baselines {
            let mut baseline = Baseline::new(stored.settings.learning);
            (baseline.epoch, baseline.cause, baseline.frozen) = (s.epoch, s.cause, stored.frozen);
            (baseline.model, baseline.previous) = (s.model, s.previous);
            if regimes.baselines.insert(s.regime, baseline).is_some() {
                return Err(BaselineError::OutOfRange {
                    what: "repeated regime",
                    found: f64::from(s.regime),
                });
            }
        }
        Ok(regimes)
    }
}

const DOMAIN: &str = "headgate.sensor.baseline";
const VERSION: u32 = 1;

/// Baselines as they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    domain: String,
    version: u32,
    settings: Settings,
    frozen: bool,
    baselines: Vec<StoredBaseline>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBaseline {
    regime: u16,
    epoch: u32,
    cause: Option<Cause>,
    model: Option<Model>,
    previous: Option<Model>,
}
