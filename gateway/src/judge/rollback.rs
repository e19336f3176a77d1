//! No way back: floors rise with what controllers have taken, and a ticket goes below one once.
//!
//! A ticket is spent in the trust store before its release is written, and before that the database notes for which
//! image and controller: after a cut between the two the use is still that release's, given again, and no other's. The
//! release then carries the ticket, and each later run checks it again as one that was spent.

use firmware_verifier::document::{Document, DocumentId, Downgrade};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::Floor;
use firmware_verifier::verdict::Spend;

use super::Judge;
use super::failure::Failure;
use crate::audit::Kind;
use crate::state::{Rows, StateError, Tx, case, meta};
use crate::transfer::event::CaseId;
use crate::vault::{self, ImageDigest};

/// A downgrade ticket, and whether one use of it was spent for this release.
#[derive(Clone)]
pub(super) struct Leave {
    pub(super) ticket: Envelope,
    pub(super) spent: bool,
}

impl Leave {
    /// A ticket as it is given with a release. One use of a ticket is one use of the release.
    pub(super) fn given(ticket: &str, uses: u32) -> Result<Leave, Failure> {
        if uses > 1 {
            let text = format!("--uses {uses} with a ticket: each use of the ticket is one release");
            return Err(Failure::usage(text));
        }
        let unreadable = firmware_verifier::reasons::DOCUMENT_UNREADABLE;
        let ticket =
            Envelope::parse(ticket.as_bytes()).map_err(|e| Failure::new(unreadable, e.to_string()))?;
        Ok(Leave { ticket, spent: false })
    }
}

impl Judge {
    /// The ticket that is given with the release of an image; one whose use was spent for this very release before a
    /// cut is not spent again.
    pub(super) fn leave_given(
        &self,
        (plc, digest): (&str, &ImageDigest),
        ticket: &str,
        uses: u32,
    ) -> Result<Leave, Failure> {
        let leave = Leave::given(ticket, uses)?;
        let spent = self.spent_before_a_cut(plc, digest, &leave.ticket).is_some();
        Ok(Leave { spent, ..leave })
    }

    /// The number of the ticket, where its last use was spent for this release and the release was not written.
    pub(super) fn spent_before_a_cut(
        &self,
        plc: &str,
        digest: &ImageDigest,
        ticket: &Envelope,
    ) -> Option<DocumentId> {
        let id = Document::<Downgrade>::parse(ticket.payload()).ok()?.id;
        let begun = meta::get(&self.db.rows(), &begun_at(plc, digest)).ok().flatten()?;
        let used = self.trust().ok()?.used(&id);
        (begun == spending(id, used)).then_some(id)
    }

    /// Uses a ticket once more, for good.
    pub(super) fn spend_ticket(
        &mut self,
        plc: &str,
        digest: &ImageDigest,
        spend: Spend,
    ) -> Result<(), Failure> {
        let Spend { id, uses, expires, .. } = spend;
        let mut store = self.trust_copy()?;
        store.spend(id, uses, expires, self.now()).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        let used = store.used(&id);
        let begun = spending(id, used);
        self.db.write("begin to spend a ticket", |tx| meta::put(tx, &begun_at(plc, digest), &begun))?;
        self.write_trust(store)?;
        self.note(Kind::Trust, plc, &format!("downgrade ticket {id} spent, use {used} of {uses}"));
        Ok(())
    }

    /// The ticket that the release of an image rests on.
    pub(super) fn ticket_of(&self, plc: &str, digest: &ImageDigest) -> Option<Leave> {
        let kept = meta::get(&self.db.rows(), &place(plc, digest)).ok().flatten()?;
        Envelope::parse(&kept).ok().map(|ticket| Leave { ticket, spent: true })
    }

    /// The id of that ticket, for whoever asks on what an image went in.
    pub(super) fn downgrade_of(&self, plc: &str, digest: &ImageDigest) -> Option<DocumentId> {
        let leave = self.ticket_of(plc, digest)?;
        Document::<Downgrade>::parse(leave.ticket.payload()).ok().map(|ticket| ticket.id)
    }

    /// Raises the floor of a controller's product to the security version of the image that it has taken. Where that
    /// cannot be done now the case says so, and nothing else fails: what was delivered stays delivered.
    pub(super) fn raise_floor(&mut self, plc: &str, case: CaseId, digest: &ImageDigest) {
        if self.is_unverified(super::conduit::number(case)) {
            return self.floor_is_settled(case); // what its bringer said of it is nobody's word
        }
        // As it was when the release was used; whoever stages the image anew raises nothing by that.
        let stated = self.stated_in(super::conduit::number(case)).or_else(|| self.stated(digest));
        let Some(value) = stated.and_then(|stated| stated.security_version) else {
            return self.floor_is_settled(case);
        };
        match self.raise_floor_to(plc, case, value) {
            Ok(None) => self.floor_is_settled(case),
            Ok(Some(text)) => {
                self.floor_is_settled(case);
                self.tell_case(case, &text);
                self.note_with(Kind::Trust, plc, &format!("{text} by {case}"), None, Some(*digest));
            }
            Err(e) => {
                tracing::warn!(error = %e, plc, value, "the security-version floor is not raised");
                let text = format!("the floor was not raised to security version {value}: {e}");
                self.tell_case(case, &format!("{text}; it is tried again when the gate opens"));
            }
        }
    }

    /// Makes up for floors that a cut, or a TPM that did not answer, kept from being raised.
    pub(super) fn raise_owed_floors(&mut self) {
        for case in owed(&self.db.rows()).unwrap_or_default() {
            let row = case::get(&self.db.rows(), super::conduit::number(CaseId(case))).ok().flatten();
            match row.and_then(|row| Some((row.plc, row.digest?))) {
                Some((plc, digest)) if self.config.plc(&plc).is_some() => {
                    self.raise_floor(&plc, CaseId(case), &digest);
                }
                // Of a controller that is gone no product is known; it is owed until there is one again.
                Some(_) => {}
                None => self.floor_is_settled(CaseId(case)),
            }
        }
    }

    fn floor_is_settled(&mut self, case: CaseId) {
        let settled = self.db.write("settle a floor", |tx| {
            let mut cases = owed(tx)?;
            let before = cases.len();
            cases.retain(|one| *one != case.0);
            if cases.len() == before { Ok(()) } else { keep_owed(tx, &cases) }
        });
        self.log(settled);
    }

    fn raise_floor_to(&mut self, plc: &str, case: CaseId, value: u64) -> Result<Option<String>, Failure> {
        let product = self.plc(plc)?.product.clone();
        let mut store = self.trust_copy()?;
        let before = store.floor(&product).map(Floor::value);
        if before.is_some_and(|floor| floor >= value) {
            return Ok(None);
        }
        let floor = Floor::new(product.vendor(), product.model(), value, self.now(), &case.to_string());
        let floor = floor.map_err(|e| Failure::internal(e.to_string()))?;
        store.raise_floor(floor).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        self.write_trust(store)?;
        let before = before.map_or("none".to_owned(), |floor| floor.to_string());
        Ok(Some(format!("floor of {product} raised to security version {value}, was {before}")))
    }
}

/// Notes, together with the end of a case, that its floor is to be raised: no cut in between forgets it.
pub(super) fn owe_floor(tx: &Tx<'_>, case: CaseId) -> Result<(), StateError> {
    let mut cases = owed(tx)?;
    if !cases.contains(&case.0) {
        cases.push(case.0);
    }
    keep_owed(tx, &cases)
}

fn owed(rows: &Rows<'_>) -> Result<Vec<u64>, StateError> {
    let kept = meta::get(rows, OWED)?;
    Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

fn keep_owed(tx: &Tx<'_>, cases: &[u64]) -> Result<(), StateError> {
    meta::put(tx, OWED, format!("{cases:?}").as_bytes())
}

/// Cases whose floor is still to be raised, as a list of numbers in JSON.
const OWED: &str = "floors-owed";

/// Keeps the ticket of a release, whose use is no longer between the two writes; an empty one takes the place of an
/// earlier release's.
pub(super) fn keep_ticket(
    tx: &Tx<'_>,
    plc: &str,
    digest: &ImageDigest,
    ticket: &str,
) -> Result<(), StateError> {
    let (place, begun) = (place(plc, digest), begun_at(plc, digest));
    if meta::get(tx, &begun)?.is_some() {
        meta::put(tx, &begun, b"")?;
    }
    if ticket.is_empty() && meta::get(tx, &place)?.is_none() {
        return Ok(());
    }
    meta::put(tx, &place, ticket.as_bytes())
}

fn place(plc: &str, digest: &ImageDigest) -> String {
    format!("downgrade/{plc}/{}", vault::hex(digest))
}

/// Where the database notes the use that is being spent for a release.
fn begun_at(plc: &str, digest: &ImageDigest) -> String {
    format!("downgrade-begun/{plc}/{}", vault::hex(digest))
}

/// Use number `used` of a ticket.
fn spending(id: DocumentId, used: u8) -> Vec<u8> {
    format!("{id}/{used}").into_bytes()
}
