//! The judge: gathers the evidence, runs the gauntlet, writes every verdict down, owns every case.
//!
//! One thread owns the state database, the vault and the unsealed keys. Conduits and the command line send
//! it messages and wait; nothing on the packet path does. The same methods serve the daemon and a command
//! that runs while no daemon does.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use hal::clock::{Clock, Wall};
use hal::reason::ReasonCode;
use hal::store::{Fuse, RealDisk, Store, StoreError};
use hal::tpm::{Steps, Tcti, Tpm};

use crate::config::{Config, Plc};
pub(crate) use crate::reasons as why;
use crate::state::{Db, Lock, StateError};
use crate::transfer::event::{CaseId, Refusal};
use crate::vault::{Limits, Vault};

mod advisories;
pub mod alarm;
mod attest;
mod backup;
mod book;
mod boot;
mod break_glass;
mod cases;
mod conduit;
mod configuration;
mod countersign;
mod deliverable;
mod devid;
pub mod doctor;
pub(crate) mod failure;
mod four_eyes;
mod gate;
mod guard;
mod heard;
mod held;
mod identity;
mod import;
mod let_through;
pub mod message;
mod mint;
mod missing;
mod period;
mod predecessor;
mod program;
mod provision;
mod receipt;
mod release;
mod replace;
mod restart;
mod rollback;
pub mod rows;
mod signals;
mod silence;
mod soak;
mod stage;
mod stated;
mod stored;
mod thread;
mod trust;
mod unverified;
mod walk;
mod witness;

pub(crate) use advisories::words as affected_words;
pub(crate) use book::CHECKPOINT_TOPIC;
pub use break_glass::TicketRow;
pub(crate) use configuration::settle_change;
pub use devid::{CertificateRow, DeviceKey};
pub use failure::Failure;
pub use gate::GateStatus;
pub use held::{ApproverRow, HeldRow};
pub(crate) use import::threshold_words;
pub use message::{Answered, Asked, Brought, Inbox, Message, Named, Request, SbomGiven};
pub(crate) use mint::{rejected, sbom_of, verdict_failure};
pub use replace::TakenOver;
pub use thread::run;
pub(crate) use trust::credential;
pub(crate) use walk::walk;

/// Who acts when nobody has asked.
pub(crate) const OURSELVES: &str = "gateway";
/// Directories of the data folder.
const DIRS: &[&str] = &[
    "vault",
    "quarantine",
    "approvals",
    crate::audit::DIR,
    book::ASIDE,
    receipt::DIR,
    crate::advisories::DIR,
    crate::signals::DIR,
    crate::signals::bus::DIR,
];

/// Everything the gateway knows and may do with it.
pub struct Judge {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) db: Db,
    pub(crate) tpm: Option<Tpm>,
    gate: gate::Gate,
    book: book::Book,
    receipts: receipt::Due,
    /// When the TPM's clock was noted last.
    heard: Option<hal::clock::Mono>,
    /// Who asks: a person's user id, or the gateway itself.
    pub(crate) caller: String,
    conduits: Vec<Conduit>,
    identities: HashMap<
        String,
        firmware_verifier::identity::Observed<firmware_verifier::identity::ControllerIdentity>,
    >,
    progress: HashMap<String, (CaseId, u64, u64)>,
    /// Cases by controller whose commit had passed when the gateway restarted: did it take effect?
    unsure: HashMap<String, CaseId>,
    /// The last case of each controller that was only observed, and when it ended.
    observed: HashMap<String, (CaseId, hal::clock::Mono)>,
    /// The advisory database that is gone by.
    advisories: advisories::Standing,
    /// Whether the configuration that runs was found to be the approved one since the start.
    config_proven: bool,
    feed: Option<Arc<tokio::sync::Notify>>,
    signals: Option<crate::signals::Mailbox>,
    /// What the permissive of each controller said last.
    permissives: BTreeMap<String, crate::signals::permissive::Permitted>,
    /// Alarms that stood when the gateway ended and that may be found again: they do not count twice.
    resumed: std::collections::BTreeSet<(String, hal::reason::ReasonCode)>,
}

/// One conduit, as the judge sees it.
struct Conduit {
    plc: usize,
    presence: silence::Presence,
    commands: tokio::sync::mpsc::Sender<crate::proxy::pump::Command>,
}

impl Judge {
    /// Opens the data folder of `config` alone: fails when another process has it open.
    pub fn open(config: Arc<Config>, clock: Clock) -> Result<Judge, Failure> {
        Judge::open_with(config, clock, Fuse::never(), None)
    }

    /// As [`Judge::open`], with a fuse before every write and a hook around every write of the TPM.
    pub fn open_with(
        config: Arc<Config>,
        clock: Clock,
        fuse: Fuse,
        steps: Option<Steps>,
    ) -> Result<Judge, Failure> {
        let damaged = |e: &dyn std::fmt::Display| Failure::new(why::STATE_DAMAGED, e.to_string());
        let lock = Lock::take(&config.data).map_err(|e| match e {
            StateError::InUse { .. } => Failure::usage(e.to_string()),
            _ => damaged(&e),
        })?;
        let disk = RealDisk::open(&config.data).map_err(|e| damaged(&e))?;
        let store = Store::open(disk, DIRS, fuse).map_err(|e| damaged(&e))?;
        replace::forget_incoming(&store).map_err(|e| damaged(&e))?;
        let has_run = has_run(&store).map_err(|e| damaged(&e))?;
        let db = Db::open_where(has_run, lock, &store).map_err(|e| damaged(&e))?;
        let vault = Vault::open(store.clone(), Limits::default()).map_err(|e| damaged(&e))?;
        let tcti: Option<Tcti> = config.tpm.tcti.parse().ok();
        let tpm = match (&tcti, steps) {
            (Some(tcti), None) => Tpm::open(tcti).ok(),
            (Some(tcti), Some(steps)) => Tpm::open_with_steps(tcti, steps).ok(),
            (None, _) => None,
        };
        Ok(Judge {
            config,
            clock,
            store,
            vault,
            db,
            tpm,
            gate: gate::Gate::not_ready(),
            book: book::Book::Closed,
            receipts: receipt::Due::default(),
            heard: None,
            caller: OURSELVES.into(),
            conduits: Vec::new(),
            identities: HashMap::new(),
            progress: HashMap::new(),
            unsure: HashMap::new(),
            observed: HashMap::new(),
            advisories: advisories::Standing::default(),
            config_proven: false,
            feed: None,
            signals: None,
            permissives: BTreeMap::new(),
            resumed: Default::default(),
        })
    }

    /// Begins to take an image of `len` bytes into the vault; [`Judge::ask`] decides what becomes of it.
    pub fn intake(&self, len: u64) -> Result<crate::vault::ImageIntake, Failure> {
        Ok(self.vault.intake(len)?)
    }

    /// Begins to take an advisory database of `len` bytes; [`Judge::ask_with`] decides what becomes of it.
    pub fn database_intake(&self, len: u64) -> Result<crate::advisories::DatabaseIntake, Failure> {
        Ok(crate::advisories::DatabaseIntake::new(&self.store, len)?)
    }

    /// Names the conduits of a running gateway, in the order their news are numbered.
    pub fn attach(&mut self, conduits: Vec<(usize, tokio::sync::mpsc::Sender<crate::proxy::pump::Command>)>) {
        let presence = silence::Presence::new(self.clock.mono());
        let conduit = |(plc, commands)| Conduit { plc, presence, commands };
        self.conduits = conduits.into_iter().map(conduit).collect();
    }

    /// Rings when there is something for the broker.
    pub fn attach_feed(&mut self, bell: Arc<tokio::sync::Notify>) {
        self.feed = Some(bell);
    }

    pub(crate) fn now(&self) -> Wall {
        self.clock.wall()
    }

    fn plc(&self, id: &str) -> Result<&Plc, Failure> {
        self.config.plc(id).ok_or_else(|| {
            let known: Vec<&str> = self.config.plcs.iter().map(|p| p.slot.as_str()).collect();
            Failure::not_found(format!("no controller {id:?}; the configuration has {}", known.join(", ")))
        })
    }
}

/// Whether this folder is of a gateway that was provisioned or has written anything down. The database is made before
/// any of that, so one that is not there then was taken away, whatever `state.created` says.
fn has_run(store: &Store) -> Result<bool, StoreError> {
    for name in [gate::PROVISIONED, trust::TRUST] {
        if store.open_file(name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(!store.list(crate::audit::DIR)?.is_empty() || !store.list(receipt::DIR)?.is_empty())
}

fn refusal(
    code: ReasonCode,
    case: Option<CaseId>,
    found: impl Into<String>,
    expected: impl Into<String>,
) -> Refusal {
    Refusal { code, case, found: found.into(), expected: expected.into() }
}
