//! Break-glass: what the site key alone allows, also when the TPM is dead and the trust store shut.
//!
//! Without the store nothing remembers used ids: whoever acts on it keeps them where he keeps cases.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, field};
use crate::identity::Slot;
use crate::trust::Role;

/// Leave to act without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// What it allows, in order, none twice.
    pub actions: Vec<Action>,
    /// Where.
    pub cause: Cause,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Finish a delivery that is past its point of no return.
    FinishDelivery,
    /// Lift the lock that an anomaly has set.
    LiftLock,
    /// Let an update pass that was not verified.
    PassUnverified,
}

/// What it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// One case of this gateway.
    Case(String),
    /// One controller.
    Controller(Slot),
}

impl Content for BreakGlass {
    const KIND: &'static str = "break-glass";
    const ROLE: Role = Role::Site;

    fn check(&self) -> Result<(), DocumentError> {
        field::list("actions", &self.actions, 3)?;
        match &self.cause {
            Cause::Case(case) => field::case(case),
            Cause::Controller(_) => Ok(()),
        }
    }
}
