//! Everyday logic: an image that nobody signs goes in because two approvers said so, and is never called verified.

use super::approval::{Approval, Scope, Subject, Tally};
use super::{Decision, Signed};
use crate::digest::Digest;
use crate::identity::Slot;
use crate::trust::Threshold;
use crate::verdict::Signer;

/// An image that approvers let into a controller as its program. Cannot be copied, stored or made elsewhere, like its
/// counterpart [`crate::Verified`].
#[derive(Debug)]
#[must_use = "a permission that is dropped lets nothing in"]
pub struct Recorded {
    digest: Digest,
    slot: Slot,
    approvers: Vec<Signer>,
}

impl Approval {
    /// The permission that `documents` give, once enough approvers have signed for this step: two at the least, whatever
    /// `threshold` says. `None` while they have not, or where the step is no program in a case.
    pub fn recorded(&self, documents: &[Signed<Approval>], threshold: Threshold) -> Option<Recorded> {
        let Subject::Held { image, .. } = &self.subject else { return None };
        let approved = self.tally(documents, threshold.or_more(Threshold::TWO)) == Tally::Approved;
        if !approved || self.scope != Scope::Program {
            return None;
        }
        let step = Approval { decision: Decision::Approve, ..self.clone() };
        let signers = documents.iter().filter(|d| *d.content() == step).flat_map(Signed::signers);
        let mut approvers: Vec<Signer> = Vec::new();
        for anchor in signers {
            if approvers.iter().all(|known| known.id != anchor.id()) {
                approvers.push(Signer { id: anchor.id(), name: anchor.name().to_owned() });
            }
        }
        Some(Recorded { digest: *image, slot: self.controller.clone(), approvers })
    }
}

impl Recorded {
    /// The image.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The slot it may go to.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Who let it in, in words that never call it verified.
    pub fn backing(&self) -> String {
        let names: Vec<String> = self.approvers.iter().map(ToString::to_string).collect();
        format!("program, recorded, not verified: approved by {}", names.join(" and "))
    }
}
