//! Break-glass: what the site key alone allows, also when the TPM is dead and the trust store shut.
//!
//! Without the store nothing remembers used ids: whoever acts on it keeps them where he keeps cases. An image
//! that goes in on its word is an [`Unverified`], and only a document that counts at that moment makes one.

use hal::clock::Wall;
use hal::tpm::SiteKeyPublic;
use serde::{Deserialize, Serialize};

use super::{Content, Document, DocumentError, DocumentId, Signed, Window, field};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::identity::Slot;
use crate::trust::Role;

/// Longest window: an emergency, not a way of working.
pub const MAX_WINDOW_HOURS: i64 = 72;

/// Leave to act without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// What it allows, in order, none twice.
    pub actions: Vec<Action>,
    /// Where.
    pub cause: Cause,
    /// When; it also ends when the document expires.
    pub window: Window,
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

/// An image that goes into a controller on the site key's word: nobody vouches that it is the right one.
/// Cannot be copied, stored or made elsewhere, like its counterpart [`crate::Verified`].
#[derive(Debug)]
#[must_use = "a permission that is dropped lets nothing in"]
pub struct Unverified {
    digest: Digest,
    len: u64,
    slot: Slot,
    action: Action,
    id: DocumentId,
    reason: String,
}

impl Action {
    /// Its name in a document.
    pub fn name(self) -> &'static str {
        match self {
            Action::FinishDelivery => "finish-delivery",
            Action::LiftLock => "lift-lock",
            Action::PassUnverified => "pass-unverified",
        }
    }
}

impl std::str::FromStr for Action {
    type Err = DocumentError;
    fn from_str(text: &str) -> Result<Action, DocumentError> {
        let all = [Action::FinishDelivery, Action::LiftLock, Action::PassUnverified];
        all.into_iter().find(|a| a.name() == text).ok_or_else(|| DocumentError::field("action", text))
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Case(case) => f.write_str(case),
            Cause::Controller(slot) => f.write_str(slot.as_str()),
        }
    }
}

impl Content for BreakGlass {
    const KIND: &'static str = "break-glass";
    const ROLE: Role = Role::Site;

    fn check(&self) -> Result<(), DocumentError> {
        field::list("actions", &self.actions, 3)?;
        let Window { from, until } = self.window;
        let ms = until.wall().ms.saturating_sub(from.wall().ms);
        if ms <= 0 || ms > MAX_WINDOW_HOURS * 3_600_000 {
            let found = format!("{from} to {until}, expected 1 ms to {MAX_WINDOW_HOURS} h");
            return Err(DocumentError::field("window", &found));
        }
        match &self.cause {
            Cause::Case(case) => field::case(case),
            Cause::Controller(_) => Ok(()),
        }
    }
}

impl Document<BreakGlass> {
    /// The first moment that it is no longer in force.
    pub fn ends(&self) -> Wall {
        self.content.window.until.min(self.expires).wall()
    }
}

impl Signed<BreakGlass> {
    /// Checks an envelope against the site key that the gateway was provisioned with, without a trust store:
    /// it counts when it is in force now. The caller keeps the ids it has acted on.
    pub fn open_with(
        envelope: &Envelope,
        site_key: &SiteKeyPublic,
        gateway: &str,
        now: Wall,
    ) -> Result<Signed<BreakGlass>, DocumentError> {
        let signed: Signed<BreakGlass> = Signed::open_by(envelope, site_key, gateway, now)?;
        let Window { from, until } = signed.content().window;
        if now.ms < from.wall().ms || now.ms >= until.wall().ms {
            return Err(DocumentError::Window { from, until, now });
        }
        Ok(signed)
    }

    /// Whether it allows this.
    pub fn allows(&self, action: Action) -> bool {
        self.content().actions.contains(&action)
    }

    /// Lets an image into the controller `slot`: one that a delivery was begun with, or any. `case` is the case that the
    /// image is known from. `None` where the document is not about this.
    pub fn lets_in(
        &self,
        action: Action,
        (slot, case): (&Slot, Option<&str>),
        (digest, len): (Digest, u64),
    ) -> Option<Unverified> {
        let is_there = match &self.content().cause {
            Cause::Case(named) => case == Some(named.as_str()),
            Cause::Controller(named) => named == slot,
        };
        let lets_in = is_there && action != Action::LiftLock && self.allows(action);
        let (id, reason) = (self.document().id, self.document().reason.clone());
        lets_in.then(|| Unverified { digest, len, slot: slot.clone(), action, id, reason })
    }
}

impl Unverified {
    /// The image.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its size in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The slot it may go to.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// What was allowed.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The document that allows it.
    pub fn document(&self) -> DocumentId {
        self.id
    }

    /// Why, in the words of whoever signed.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What lets it in, in words that never call it verified.
    pub fn backing(&self) -> String {
        let (id, reason) = (self.id, &self.reason);
        match self.action {
            // It was when the delivery began.
            Action::FinishDelivery => format!("NOT VERIFIED again: break-glass {id} finishes it: {reason}"),
            Action::PassUnverified | Action::LiftLock => format!("NOT VERIFIED: break-glass {id}: {reason}"),
        }
    }
}
