//! After a restart: what was under way is aborted, resumed or confirmed, by what the database says.

use super::Judge;
use super::conduit::number;
use crate::proxy::pump::Command;
use crate::reasons as why;
use crate::state::alarm::Kind as Told;
use crate::state::case::{self, CaseState};
use crate::state::delivery::{self, Delivery, Phase};
use crate::transfer::event::CaseId;

impl Judge {
    /// Ends the cases whose transfer died with the last run and had not taken effect. Where the commit of a
    /// matched image had passed, only the controller knows: it is asked.
    pub fn settle_after_restart(&mut self) {
        let unsettled = case::unsettled(&self.db.rows()).unwrap_or_default();
        let deliveries = delivery::open_deliveries(&self.db.rows()).unwrap_or_default();
        for row in unsettled {
            let id = CaseId(row.number.as_u64());
            match (deliveries.iter().find(|d| d.case == row.number).map(|d| d.phase), row.state) {
                (Some(Phase::PastNoReturn | Phase::Delivered), _)
                | (None, CaseState::Ready | CaseState::Held) => {}
                (None, CaseState::Delivering) => {
                    self.tell_case(
                        id,
                        "the gateway restarted around the commit; the controller is asked what it runs",
                    );
                    self.unsure.insert(row.plc, id);
                }
                (Some(Phase::BeforeNoReturn), _) => {
                    let gone = self.db.write("abandon a delivery", |tx| delivery::abandon(tx, number(id)));
                    self.log(gone);
                    self.end_case(
                        &row.plc,
                        id,
                        CaseState::Aborted,
                        None,
                        "the gateway restarted before anything was written",
                    );
                }
                _ => self.end_case(
                    &row.plc,
                    id,
                    CaseState::Aborted,
                    None,
                    "the gateway restarted during the transfer",
                ),
            }
        }
    }

    /// Goes on with what a controller is owed, once it is connected.
    pub(super) fn resume(&mut self, conduit: usize, plc: &str) {
        if let Some(case) = self.unsure.get(plc) {
            self.command(conduit, Command::Identify(Some(*case)));
        }
        let open = delivery::open_deliveries(&self.db.rows()).unwrap_or_default();
        let Some(one) = open.into_iter().find(|d| d.plc == plc) else { return };
        match one.phase {
            Phase::PastNoReturn => self.resume_delivery(conduit, plc, &one),
            Phase::Delivered => {
                self.command(conduit, Command::Identify(Some(CaseId(one.case.as_u64()))));
            }
            Phase::BeforeNoReturn | Phase::Confirmed => {}
        }
    }

    /// Every controller again, after the gate opened.
    pub(super) fn resume_all(&mut self) {
        let up: Vec<(usize, usize)> = self
            .conduits
            .iter()
            .enumerate()
            .filter(|(_, c)| c.presence.is_up())
            .map(|(n, c)| (n, c.plc))
            .collect();
        for (conduit, plc) in up {
            let plc = self.config.plcs[plc].slot.as_str().to_string();
            self.resume(conduit, &plc);
        }
    }

    fn resume_delivery(&mut self, conduit: usize, plc: &str, one: &Delivery) {
        let case = CaseId(one.case.as_u64());
        if self.progress.contains_key(plc) {
            return; // it runs
        }
        let minted = self.mint_to_resume(plc, &one.digest);
        match minted.or_else(|refusal| self.finish_unverified(plc, one, refusal)) {
            Ok(released) => {
                self.tell_case(
                    case,
                    &format!("delivery goes on from the vault: {}", released.warrant.backing()),
                );
                self.raise(
                    Some(plc),
                    why::DELIVERY_UNCONFIRMED,
                    Told::Latched,
                    &format!("{case}: delivery goes on after an interruption"),
                );
                self.progress.insert(plc.to_string(), (case, 0, 0));
                self.command(conduit, Command::Deliver { case, released, past: true });
            }
            Err(r) => {
                let text = format!("{case}: this delivery had begun and is owed to the controller, but {r}");
                self.raise(Some(plc), why::DELIVERY_UNCONFIRMED, Told::Latched, &text);
            }
        }
    }
}
