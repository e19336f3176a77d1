//! What one stage saw. One shape for receipt, `--json`, feed and page.

use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A stage of the gauntlet, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Size limits and digest.
    Intake,
    /// Whether image or signers are revoked.
    Revocation,
    /// Who vouches for the image.
    Signature,
    /// Whether the controller is the one it is meant for.
    Identity,
    /// Whether it is older than what the product may be given.
    Rollback,
    /// What it is made of, as its vendor says.
    Sbom,
    /// Whether vendors tell of a hole in it.
    Vulnerabilities,
    /// Whether the site lets it pass.
    Policy,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The rule holds.
    Passed,
    /// The rule is broken.
    Failed,
    /// The rule could not be applied.
    Undecided,
    /// There was nothing to apply it to.
    NotDone,
}

/// What one stage found, and what it wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which stage.
    pub stage: Stage,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it did not pass.
    pub code: Option<ReasonCode>,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// The image; absent when it was refused before all of it was hashed.
    pub input_digest: Option<Digest>,
    /// Age in whole seconds of what was compared with the image, where that can be told.
    pub input_age_s: Option<u64>,
}
