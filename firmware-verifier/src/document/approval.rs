//! Four eyes: somebody who approves, or refuses, one step for one controller.
//!
//! Approvers sign alone or together; [`Approval::tally`] counts the keys of all that came. One refusal
//! stops the step.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, Signed, field};
use crate::digest::Digest;
use crate::identity::Slot;
use crate::trust::threshold::TooFew;
use crate::trust::{Anchor, Role, Threshold};

/// One approver's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The controller it is about.
    pub controller: Slot,
    /// Yes or no.
    pub decision: Decision,
    /// Which step.
    pub scope: Scope,
    /// The case, or the image.
    pub subject: Subject,
}

/// Yes or no. A refusal is signed like an approval, so that it cannot be dropped without a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It may happen.
    Approve,
    /// It must not.
    Refuse,
}

/// What is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Releasing an image for a controller.
    Release,
    /// A download of everyday logic, recorded and not verified.
    Program,
    /// One update that is held.
    Update,
}

/// What an approval is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// One case of this gateway, `C-000123`.
    Case(String),
    /// One image, in one case: a step that is held.
    Held {
        /// The case, `C-000123`.
        case: String,
        /// The image.
        image: Digest,
    },
    /// One image.
    Image(Digest),
}

/// What the approvals of one step come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tally {
    /// Enough approve, nobody refuses.
    Approved,
    /// Somebody refuses: the names of those who do.
    Refused(Vec<String>),
    /// Nobody refuses, but more must approve.
    Waiting(TooFew),
}

impl Approval {
    /// Counts `documents` for the step that this approval describes; those of other steps do not count.
    /// `threshold` is that of the approvers in the trust store, or more.
    pub fn tally(&self, documents: &[Signed<Approval>], threshold: Threshold) -> Tally {
        let step = |a: &Approval| {
            (&a.controller, &a.scope, &a.subject) == (&self.controller, &self.scope, &self.subject)
        };
        let signers = |decision: Decision| {
            let mine =
                documents.iter().filter(move |d| step(d.content()) && d.content().decision == decision);
            mine.flat_map(Signed::signers)
        };
        let refused: Vec<String> = signers(Decision::Refuse).map(|signer| signer.name().to_owned()).collect();
        if !refused.is_empty() {
            return Tally::Refused(refused);
        }
        let approved: Vec<&Anchor> = signers(Decision::Approve).collect();
        threshold.check(approved).map_or_else(Tally::Waiting, |()| Tally::Approved)
    }
}

impl Content for Approval {
    const KIND: &'static str = "approval";
    const ROLE: Role = Role::Approver;

    /// One signer is enough for the document; how many are enough for the step, the tally says.
    fn needs(&self, _role: Threshold) -> Threshold {
        Threshold::ONE
    }

    fn check(&self) -> Result<(), DocumentError> {
        match &self.subject {
            Subject::Case(case) | Subject::Held { case, .. } => field::case(case),
            Subject::Image(_) => Ok(()),
        }
    }
}
