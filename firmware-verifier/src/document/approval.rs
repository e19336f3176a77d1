//! Four eyes: somebody who approves, or refuses, one step for one controller.
//!
//! Approvers sign alone or together; [`Approval::tally`] counts the keys of all that came. One refusal
//! stops the step.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, Signed, Window, field};
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
    /// What the release is to be given on, where the step is held. Absent in approvals of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Conditions>,
}

/// Most stations that one release names.
pub const MAX_STATIONS: usize = 256;
/// Longest name of a station in bytes: an IPv6 address with its zone, or a name from a configuration.
const MAX_STATION: usize = 64;

/// What the release of an image permits, as it is signed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// The security version that the image was staged with; the floor rises to it.
    pub security_version: Option<u64>,
    /// Stations it may come from; empty: any.
    pub stations: Vec<String>,
    /// How often it may be used.
    pub uses: u32,
    /// When it may be used; `None`: until it ends.
    pub window: Option<Window>,
}

impl Conditions {
    fn check(&self) -> Result<(), DocumentError> {
        if self.uses == 0 {
            return Err(DocumentError::field("uses", "0"));
        }
        if self.stations.len() > MAX_STATIONS {
            return Err(DocumentError::field("stations", &format!("{} of them", self.stations.len())));
        }
        self.stations.iter().try_for_each(|station| field::text("station", station, MAX_STATION))?;
        match self.window {
            Some(Window { from, until }) if from >= until => {
                Err(DocumentError::field("window", &format!("{from} to {until}")))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Conditions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.security_version {
            Some(version) => write!(f, "security version {version}")?,
            None => f.write_str("no security version")?,
        }
        match self.stations.is_empty() {
            true => f.write_str(", any station")?,
            false => write!(f, ", from {}", self.stations.join(", "))?,
        }
        write!(f, ", {} use(s)", self.uses)?;
        self.window.map_or(Ok(()), |w| write!(f, ", window {} to {}", w.from, w.until))
    }
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
    /// Whether `said` is about the step that this approval describes. An approval must name its very conditions; who
    /// refuses a step refuses it on any.
    pub fn is_step_of(&self, said: &Approval) -> bool {
        let conditions = match said.decision {
            Decision::Approve => &self.conditions,
            Decision::Refuse => &said.conditions,
        };
        (&said.controller, &said.scope, &said.subject, &said.conditions)
            == (&self.controller, &self.scope, &self.subject, conditions)
    }

    /// Counts `documents` for the step that this approval describes; those of other steps do not count.
    /// `threshold` is that of the approvers in the trust store, or more.
    pub fn tally(&self, documents: &[Signed<Approval>], threshold: Threshold) -> Tally {
        let signers = |decision: Decision| {
            let mine = documents
                .iter()
                .filter(move |d| self.is_step_of(d.content()) && d.content().decision == decision);
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
        self.conditions.as_ref().map_or(Ok(()), Conditions::check)?;
        match &self.subject {
            Subject::Case(case) | Subject::Held { case, .. } => field::case(case),
            Subject::Image(_) => Ok(()),
        }
    }
}
