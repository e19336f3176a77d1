//! A ticket for going back: one image below the security-version floor, for one controller.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, Moment};
use crate::digest::Digest;
use crate::identity::Slot;
use crate::trust::Role;

/// Most uses of one ticket: an update that is repeated after a failure, not a new normal.
pub const MAX_USES: u8 = 5;

/// Leave to install an older image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Downgrade {
    /// The controller.
    pub controller: Slot,
    /// The image.
    pub image: Digest,
    /// How often, 1 to [`MAX_USES`].
    pub uses: u8,
    /// When it may be used; `None` as long as the document counts.
    pub window: Option<Window>,
}

/// A span of time: from its start on, and before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its first moment.
    pub from: Moment,
    /// The first moment after it.
    pub until: Moment,
}

impl Downgrade {
    /// One use, at any time.
    pub fn new(controller: Slot, image: Digest) -> Downgrade {
        Downgrade { controller, image, uses: 1, window: None }
    }
}

impl Content for Downgrade {
    const KIND: &'static str = "downgrade";
    const ROLE: Role = Role::Approver;

    fn uses(&self) -> Option<u8> {
        Some(self.uses)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if !(1..=MAX_USES).contains(&self.uses) {
            return Err(DocumentError::field("uses", &self.uses.to_string()));
        }
        match self.window {
            Some(Window { from, until }) if from >= until => {
                Err(DocumentError::field("window", &format!("{from} to {until}")))
            }
            _ => Ok(()),
        }
    }
}
