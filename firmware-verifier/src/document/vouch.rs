//! The site vouches for an image that its vendor did not sign. Such an image shows as site-vouched, never
//! as signed.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, MAX_LIST, field};
use crate::digest::Digest;
use crate::identity::Slot;
use crate::trust::Role;

/// The site's word for one image; it ends with the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouch {
    /// The controllers it may go to, in order, none twice.
    pub controllers: Vec<Slot>,
    /// The image.
    pub image: Digest,
}

impl Content for Vouch {
    const KIND: &'static str = "vouch";
    const ROLE: Role = Role::Site;
    const FOR_ANY_GATEWAY: bool = true;

    fn uses(&self) -> Option<u8> {
        None
    }

    fn check(&self) -> Result<(), DocumentError> {
        field::list("controllers", &self.controllers, MAX_LIST)
    }
}
