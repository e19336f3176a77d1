//! Four eyes: somebody who approves, or refuses, one step for one controller.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, field};
use crate::digest::Digest;
use crate::identity::Slot;
use crate::trust::Role;

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
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One case of this gateway, `C-000123`.
    Case(String),
    /// One image.
    Image(Digest),
}

impl Content for Approval {
    const KIND: &'static str = "approval";
    const ROLE: Role = Role::Approver;

    fn check(&self) -> Result<(), DocumentError> {
        match &self.subject {
            Subject::Case(case) => field::case(case),
            Subject::Image(_) => Ok(()),
        }
    }
}
