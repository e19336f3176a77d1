//! Cases: opened with a transfer, told as it goes, closed with its verdict.

use hal::reason::ReasonCode;
use serde_json::json;

use super::conduit::number;
use super::{Judge, OURSELVES};
use crate::audit::{Event, Kind as Audit};
use crate::state::StateError;
use crate::state::alarm::Kind as Told;
use crate::state::case::{self, CaseState, NewCase};
use crate::state::outbox::Kind;
use crate::state::receipt;
use crate::transfer::engine::Way;
use crate::transfer::event::{CaseId, Refusal, Station};
use crate::vault::{Refused, Sidecar};

impl Judge {
    pub(super) fn open_case(
        &mut self,
        plc: &str,
        station: Station,
        declared: Option<u64>,
    ) -> Result<CaseId, StateError> {
        let now = self.now();
        let way = match self.way_of(plc) {
            Way::Match => "match",
            Way::Stage => "stage",
        };
        let new = NewCase {
            plc: plc.into(),
            station: station.to_string(),
            way: way.into(),
            class: if self.loads_programs(plc) { "program" } else { "firmware" }.into(),
            digest: None,
        };
        let before = self.before(plc);
        let text =
            declared.map_or("transfer opened".to_string(), |n| format!("transfer of {n} bytes opened"));
        let number = self.db.write("open a case", |tx| {
            let number = case::open(tx, &new, now)?;
            if number.as_u64() % PRUNE_EVERY == 0 {
                case::prune(tx, KEEP_CASES)?;
            }
            case::tell(tx, number, now, &text)?;
            receipt::open(tx, number, before.as_deref())?;
            Ok(number)
        })?;
        Ok(CaseId(number.as_u64()))
    }

    /// In `observe`: the image has passed, whatever is thought of it. What the controller says it is from now on
    /// may come of it.
    pub(super) fn observed(&mut self, plc: &str, case: CaseId, refusal: Option<Refusal>) {
        let would = refusal
            .as_ref()
            .map_or_else(|| "would have passed".into(), |r| format!("would have been refused: {r}"));
        if let Some(r) = &refusal {
            self.raise(Some(plc), r.code, Told::Event, &format!("{case}: observed only: {would}"));
        }
        self.end_case(
            plc,
            case,
            CaseState::Done,
            refusal.map(|r| r.code),
            &format!("observed only: {would}"),
        );
        self.observed.insert(plc.to_owned(), (case, self.clock.mono()));
    }

    /// Images that wait to be delivered by command wait no longer.
    pub(super) fn close_ready(&mut self, plc: &str, digest: &[u8; 32], state: CaseState, text: &str) {
        let open = case::unsettled(&self.db.rows()).unwrap_or_default();
        let waits = |c: &&case::Case| {
            c.plc == plc && c.state == CaseState::Ready && c.digest.as_ref() == Some(digest)
        };
        for one in open.iter().filter(waits) {
            self.end_case(plc, CaseId(one.number.as_u64()), state, None, text);
        }
    }

    pub(super) fn keep_refused(&mut self, case: CaseId, code: ReasonCode, image: &[u8]) {
        if image.is_empty() {
            return;
        }
        let sidecar = Sidecar { name: case.to_string(), ..Sidecar::default() };
        let refused = Refused { code, case: case.to_string(), at: self.now() };
        let kept = self.vault.intake(image.len() as u64).and_then(|mut intake| {
            intake.write(image)?;
            intake.refuse(&sidecar, refused)
        });
        if let Err(e) = kept {
            tracing::warn!(error = %e, %case, "a refused image could not be kept");
        }
    }

    /// Ends a case and publishes its verdict.
    pub(super) fn end_case(
        &mut self,
        plc: &str,
        case: CaseId,
        state: CaseState,
        code: Option<ReasonCode>,
        text: &str,
    ) {
        self.settle(case, state, code, text);
        let row = case::get(&self.db.rows(), number(case)).ok().flatten();
        let station = row.as_ref().map_or(OURSELVES, |row| row.station.as_str());
        // A controller's name is in it, and goes to pages and terminals.
        let text_alone = text.replace(char::is_control, " ");
        let word = format!("{case}: {}: {text_alone}", format!("{state:?}").to_lowercase());
        let event = Event::new(self.now(), Audit::Verdict, station, plc, &word);
        let event = Event { code, digest: row.as_ref().and_then(|row| row.digest), ..event };
        match state {
            // Each has used up a release that a person gave, so their number is a person's, too.
            CaseState::Done => {
                if let Some(entry) = self.write_down(event) {
                    let named = self
                        .db
                        .write("name an audit entry", |tx| receipt::set_entry(tx, number(case), entry));
                    self.log(named);
                }
            }
            _ => self.note_of_peer(event),
        }
        let body = json!({
            "schema": 1, "gateway": self.config.name, "case": case.to_string(), "plc": plc,
            "outcome": format!("{state:?}").to_lowercase(), "code": code.map(|c| c.to_string()), "text": text,
            "station": row.as_ref().map(|r| r.station.clone()),
            "digest": row.and_then(|r| r.digest).map(|d| crate::vault::hex(&d)), "at": self.now().to_string(),
        });
        self.publish(Kind::Verdict, &format!("verdict/{plc}"), body);
    }

    pub(super) fn settle(&mut self, case: CaseId, state: CaseState, code: Option<ReasonCode>, text: &str) {
        let (now, number) = (self.now(), number(case));
        let settled = self.db.write("move a case on", |tx| {
            case::settle(tx, number, state, code)?;
            case::tell(tx, number, now, text)
        });
        self.log(settled);
    }

    pub(super) fn tell_case(&mut self, case: CaseId, text: &str) {
        let now = self.now();
        let told = self.db.write("add to a case", |tx| case::tell(tx, number(case), now, text));
        self.log(told);
    }
}

/// Ended cases kept.
const KEEP_CASES: u32 = 5000;
/// Cases between two times that old ones are forgotten.
const PRUNE_EVERY: u64 = 64;
