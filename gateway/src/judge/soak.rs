//! After an update: the soak, the lock of a controller that changed, and the way
//! back. The gateway prepares it; a person starts it.

use hal::clock::Wall;
use sensor_monitor::reasons::CHANGED_AFTER_UPDATE;

use super::conduit::number;
use super::failure::Failure;
use super::message::Answered;
use super::{Judge, refusal};
use crate::audit::Kind as Audit;
use crate::signals::Mail;
use crate::signals::bus::{self, Update};
use crate::state::alarm::Kind as Told;
use crate::state::case;
use crate::state::soak::{self, SoakState};
use crate::transfer::event::{CaseId, Refusal};
use crate::vault::{ImageDigest, hex};

impl Judge {
    /// Soaks that were open when the gateway ended go on; those whose time is over end.
    pub(super) fn resume_soaks(&mut self) {
        let now = self.now();
        for open in soak::all_open(&self.db.rows()).unwrap_or_default() {
            let case = CaseId(open.case.as_u64());
            if open.ends.ms <= now.ms {
                self.end_soak(case, SoakState::Ended, "its time passed while the gateway was not running");
            } else {
                self.tell_signals(Mail::Accepted(case.0, open.plc));
            }
        }
        self.remind_buses();
    }

    /// What each controller on a bus took last: the bus may have missed it when the gateway ended.
    fn remind_buses(&self) {
        let on_a_bus = |id: &str| self.config.buses.iter().any(|b| b.units.values().any(|plc| plc == id));
        for plc in self.config.plcs.iter().map(|p| p.slot.as_str()).filter(|id| on_a_bus(id)) {
            let Ok(newest) = soak::newest(&self.db.rows(), plc) else { continue };
            let (case, digest) =
                newest.map_or((bus::NONE_YET, [0; 32]), |soak| (soak.case.as_u64(), soak.digest));
            self.tell_signals(Mail::Updated(Update { case, plc: plc.into(), digest, again: true }));
        }
    }

    /// A controller took the image of `case`.
    pub(super) fn open_soak(&mut self, plc: &str, case: CaseId) {
        let row = case::get(&self.db.rows(), number(case)).ok().flatten();
        let Some(digest) = row.and_then(|row| row.digest) else { return };
        let lasts = i64::try_from(self.config.soak.lasts.as_millis()).unwrap_or(i64::MAX);
        let now = self.now();
        let ends = Wall { ms: now.ms.saturating_add(lasts), ..now };
        let opened = self.db.write("open a soak", |tx| soak::open(tx, number(case), plc, &digest, ends, now));
        if !matches!(opened, Ok(false)) && !self.config.buses.is_empty() {
            self.tell_signals(Mail::Updated(Update { case: case.0, plc: plc.into(), digest, again: false }));
        }
        match opened {
            Ok(true) if self.watches(plc) => {
                self.tell_case(case, &format!("its signals are watched until {ends}"));
                self.tell_signals(Mail::Accepted(case.0, plc.to_string()));
            }
            Ok(true) => self.end_soak(case, SoakState::Ended, "no signal of this controller is configured"),
            Ok(false) => {}
            Err(e) => self.log(Err(e)),
        }
    }

    fn watches(&self, plc: &str) -> bool {
        self.config.signals.iter().any(|s| s.spec.plc.as_deref() == Some(plc))
    }

    pub(super) fn end_soak(&mut self, case: CaseId, state: SoakState, text: &str) {
        let now = self.now();
        let ended = self.db.write("end a soak", |tx| {
            if soak::end(tx, number(case), state, text, now)? && state == SoakState::Quiet {
                case::tell(tx, number(case), now, &format!("watched to the end: {text}"))?;
            }
            Ok(())
        });
        self.log(ended);
        self.sign_receipt_again(number(case));
    }

    pub(super) fn lock(&mut self, case: CaseId, plc: &str, signal: &str, text: &str) {
        let now = self.now();
        let locked = self.db.write_with_reserve("lock a controller", |tx| {
            if !soak::changed(tx, number(case), signal, text, now)? {
                return Ok(None);
            }
            case::tell(tx, number(case), now, &format!("changed after this update: {text}"))?;
            soak::lock_of(tx, plc)
        });
        match locked {
            Ok(Some(lock)) => {
                self.sign_receipt_again(number(case));
                let way = way_back(plc, lock.back_to.as_ref());
                tracing::error!(plc, %case, signal, "changed after an update: locked");
                self.raise(Some(plc), CHANGED_AFTER_UPDATE, Told::Latched, &format!("{case}: {text}; {way}"));
            }
            Ok(None) => {}
            Err(e) => self.log(Err(e)),
        }
    }

    /// Why no update may pass to this controller; the image to go back to may.
    pub(super) fn unlocked(&self, plc: &str, image: Option<&ImageDigest>) -> Result<(), Refusal> {
        let lock = soak::lock_of(&self.db.rows(), plc)
            .map_err(|e| refusal(super::why::STATE_DAMAGED, None, e.to_string(), "a readable state"))?;
        let Some(lock) = lock else { return Ok(()) };
        if image.is_some() && image == lock.back_to.as_ref() {
            return Ok(());
        }
        let case = CaseId(lock.case.as_u64());
        let found = format!("{plc} behaves differently since {case} ({})", lock.signal.unwrap_or_default());
        Err(refusal(CHANGED_AFTER_UPDATE, Some(case), found, way_back(plc, lock.back_to.as_ref())))
    }

    /// A person lifts the lock of a controller. What its signals do from then on is usual: who wants the old behaviour back
    /// goes back to the old image first.
    pub(super) fn unlock(&mut self, plc: &str, reason: &str) -> Result<Answered, Failure> {
        self.plc(plc)?;
        if reason.trim().is_empty() {
            return Err(Failure::usage("--reason says why, for the case: it cannot be empty"));
        }
        let now = self.now();
        let lifted = self.db.write("lift a lock", |tx| {
            let Some(lock) = soak::lock_of(tx, plc)? else { return Ok(None) };
            soak::lift(tx, plc, reason, now)?;
            case::tell(tx, lock.case, now, &format!("the lock is lifted by a person: {reason}; {LEARNT}"))?;
            Ok(Some(lock.case))
        })?;
        let Some(case) = lifted else {
            return Ok(Answered::Done { text: format!("{plc} was not locked") });
        };
        self.acknowledge(plc, CHANGED_AFTER_UPDATE)?;
        self.clear_alarm(Some(plc), CHANGED_AFTER_UPDATE);
        self.tell_signals(Mail::Settled(plc.to_string()));
        let case = CaseId(case.as_u64());
        self.sign_receipt_again(number(case));
        self.note(Audit::Case, plc, &format!("{case}: the lock is lifted: {reason}; {LEARNT}"));
        Ok(Answered::Done { text: format!("unlocked: {plc}; {LEARNT}; {case} says who was told what") })
    }

    /// The lock of a controller on one line.
    pub(super) fn lock_words(&self, plc: &str) -> Option<String> {
        let lock = soak::lock_of(&self.db.rows(), plc).ok().flatten()?;
        let case = CaseId(lock.case.as_u64());
        let text = lock.text.unwrap_or_default();
        Some(format!("{case}: {text}; {}", way_back(plc, lock.back_to.as_ref())))
    }
}

/// What a person does to go back.
fn way_back(plc: &str, image: Option<&ImageDigest>) -> String {
    match image {
        Some(digest) => {
            let short = &hex(digest)[..12];
            format!("to go back: headgate release {short} --plc {plc}, headgate deliver {short} --plc {plc}")
        }
        None => format!(
            "this gateway has not delivered an earlier image; headgate plc unlock {plc} --reason TEXT"
        ),
    }
}

/// What lifting a lock means for what is usual.
const LEARNT: &str = "what its signals in alarm do now is learned as usual";
