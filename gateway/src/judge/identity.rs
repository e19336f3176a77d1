//! What controllers say they are: read back after an update, compared with the last reading otherwise.

use firmware_verifier::identity::{ControllerIdentity, Observed};

use super::conduit::number;
use super::{Judge, OURSELVES, receipt, stated};
use crate::audit::{Event, Kind as Audit};
use crate::protocol::modbus::conduit::ControllerSays;
use crate::reasons as why;
use crate::state::alarm::Kind as Told;
use crate::state::case::{self, CaseState};
use crate::state::delivery::{self, Phase};
use crate::state::identity::{self, Identity, Seen};
use crate::transfer::event::CaseId;

impl Judge {
    pub(super) fn identity(&mut self, plc: &str, case: Option<CaseId>, says: ControllerSays) {
        let Some(reading) = reading(&says) else {
            if let Some(case) = case {
                self.not_read_back(plc, case);
            }
            return;
        };
        // A case that was read back explains nothing any more: what changes after it changed outside the gate,
        // although the conduit may still be waiting for a reading that differs.
        let case = case.filter(|case| self.awaits_identity(*case));
        let known = identity::get(&self.db.rows(), plc).ok().flatten();
        let changed = known.is_some_and(|k| !k.identity.agrees(&reading));
        // The regular poll may be the first to see what an update has made of the controller.
        let case = case.or_else(|| self.not_read_back_yet(plc).filter(|_| changed));
        let observed = self.observed_lately(plc).filter(|_| changed && case.is_none());
        self.remember_identity(plc, &says);
        let now = self.now();
        let by_case = case.or(observed).map(number);
        let seen = self
            .db
            .write("record a controller's identity", |tx| identity::observe(tx, plc, &reading, by_case, now));
        match seen {
            Ok(Seen::ChangedOutside { before }) => {
                let text = format!("was {}, is {}, and no case explains it", words(&before), words(&reading));
                let event = Event::new(now, Audit::Identity, OURSELVES, plc, &text);
                self.note_of_peer(Event { code: Some(why::CHANGED_OUTSIDE), ..event });
                self.raise(Some(plc), why::CHANGED_OUTSIDE, Told::Event, &text);
            }
            Ok(_) => {}
            Err(e) => tracing::error!(error = %e, plc, "the controller's identity could not be recorded"),
        }
        if let Some(case) = observed {
            self.tell_case(case, &format!("the controller is now {}", words(&reading)));
        }
        if let Some(case) = case {
            let text = format!("identity read back: {} (identity-only)", words(&reading));
            self.read_back(plc, case, changed, Some(&reading), &text);
        }
    }

    /// The observed case that a changed identity may come of.
    fn observed_lately(&self, plc: &str) -> Option<CaseId> {
        let (case, ended) = self.observed.get(plc).copied()?;
        (self.clock.mono().since(ended) <= self.boot_time(self.config.plc(plc)?)).then_some(case)
    }

    fn awaits_identity(&self, case: CaseId) -> bool {
        matches!(case::state_of(&self.db.rows(), number(case)), Ok(CaseState::Delivering))
    }

    /// The case whose image the controller of `plc` has taken, or may have, and that waits for its identity.
    fn not_read_back_yet(&self, plc: &str) -> Option<CaseId> {
        let open = delivery::open_deliveries(&self.db.rows()).unwrap_or_default();
        let taken = open.into_iter().find(|d| d.plc == plc && d.phase == Phase::Delivered);
        taken.map(|d| CaseId(d.case.as_u64())).or_else(|| self.unsure.get(plc).copied())
    }

    /// Ends the case that was read back. Where nobody knows whether the commit had arrived, the same
    /// identity as before proves nothing.
    fn read_back(&mut self, plc: &str, case: CaseId, changed: bool, after: Option<&Identity>, text: &str) {
        let unsure = self.unsure.get(plc) == Some(&case);
        if unsure {
            self.unsure.remove(plc);
        }
        match unsure {
            true if changed => {
                self.open_soak(plc, case);
                self.confirm(plc, case, after, text);
            }
            true => {
                let text = format!("{text}, as before: whether the controller took the image is not known");
                self.end_case(plc, case, CaseState::Aborted, None, &text);
            }
            false => self.confirm(plc, case, after, text),
        }
    }

    /// The identity the gauntlet compares with, where the controller tells vendor and product.
    fn remember_identity(&mut self, plc: &str, says: &ControllerSays) {
        let ControllerSays::Identification { vendor, product, revision } = says else { return };
        if let Ok(value) = ControllerIdentity::new(vendor, product, revision) {
            self.identities.insert(plc.to_string(), Observed { at: self.now(), value });
        }
    }

    fn confirm(&mut self, plc: &str, case: CaseId, after: Option<&Identity>, text: &str) {
        let (now, row) = (self.now(), number(case));
        let open = delivery::get(&self.db.rows(), row).ok().flatten().is_some();
        let version = self.verified_version(row);
        let accepted = version.zip(self.config.plc(plc).map(|plc| plc.product.clone()));
        let written = self.db.write("confirm a delivery", |tx| {
            if open {
                delivery::advance(tx, row, Phase::Confirmed, now)?;
            }
            // Together: whatever is cut off now, a receipt is owed.
            case::settle(tx, row, CaseState::Done, None)?;
            if let Some((version, product)) = &accepted {
                stated::accepted(tx, plc, product, version)?;
            }
            super::rollback::owe_floor(tx, case)?;
            receipt::landed(tx, row, after, now)
        });
        self.log(written.map(drop));
        if open {
            self.clear_alarm(Some(plc), why::DELIVERY_UNCONFIRMED);
        }
        self.receipts_are_due();
        let digest = case::get(&self.db.rows(), row).ok().flatten().and_then(|c| c.digest);
        if let Some(digest) = &digest {
            self.raise_floor(plc, case, digest);
        }
        self.end_case(plc, case, CaseState::Done, None, text);
        self.tell_affected(plc);
        if let Some(digest) = digest {
            self.close_ready(plc, &digest, CaseState::Done, &format!("delivered by {case}"));
        }
    }

    fn not_read_back(&mut self, plc: &str, case: CaseId) {
        self.raise(
            Some(plc),
            why::READ_BACK,
            Told::Event,
            &format!("{case}: the controller did not tell its identity in time"),
        );
        self.read_back(
            plc,
            case,
            false,
            None,
            "the controller did not tell its identity in time (read-back: none)",
        );
    }
}

fn reading(says: &ControllerSays) -> Option<Identity> {
    match says {
        ControllerSays::Identification { vendor, product, revision } => Some(Identity {
            vendor: vendor.clone(),
            product: product.clone(),
            revision: revision.clone(),
            checksum: None,
        }),
        ControllerSays::Registers(words) => Some(Identity {
            vendor: String::new(),
            product: String::new(),
            revision: words.iter().map(|w| format!("{w:04x}")).collect::<Vec<_>>().join(" "),
            checksum: None,
        }),
        ControllerSays::Nothing => None,
    }
}

/// An identity on one line.
pub(super) fn words(identity: &Identity) -> String {
    let parts = [&identity.vendor, &identity.product, &identity.revision];
    parts.into_iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}
