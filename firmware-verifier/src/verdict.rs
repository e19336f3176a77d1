//! What the gauntlet says: verified, rejected by a rule, or could not decide. Never a bare yes or no.

use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::Serialize;

pub use crate::gauntlet::evidence::{Evidence, Outcome, Stage};
pub use crate::gauntlet::verified::{Basis, Signer, Spend, Verified};
use crate::reasons::{self, reason};

/// The end of one run of the gauntlet, and everything that was seen on the way.
#[derive(Debug)]
pub enum Verdict {
    /// Every stage passed.
    Verified(Verified, Vec<Evidence>),
    /// A rule was broken: the image is not to be used.
    Rejected(Rejection, Vec<Evidence>),
    /// A rule could not be applied: the image is held, and may pass another time.
    Undecided(VerifierError, Vec<Evidence>),
}

impl Verdict {
    /// What each stage saw, in order.
    pub fn evidence(&self) -> &[Evidence] {
        match self {
            Verdict::Verified(_, evidence)
            | Verdict::Rejected(_, evidence)
            | Verdict::Undecided(_, evidence) => evidence,
        }
    }

    /// Why not, when it is not verified.
    pub fn code(&self) -> Option<ReasonCode> {
        match self {
            Verdict::Verified(..) => None,
            Verdict::Rejected(rejection, _) => Some(rejection.code),
            Verdict::Undecided(error, _) => Some(error.code()),
        }
    }
}

/// A rule that an image, or a verdict about it, has broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Which rule.
    pub code: ReasonCode,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do next.
    pub next: &'static str,
}

impl Rejection {
    /// A rejection with the next step that the table of reasons gives for `code`.
    pub fn new(code: ReasonCode, found: String, expected: String) -> Rejection {
        let next = reason(code).map_or("look up the code with `headgate explain`", |r| r.next);
        Rejection { code, found, expected, next }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Rejection { code, found, expected, next } = self;
        let title = reason(*code).map_or("refused", |r| r.title);
        write!(f, "{code} {title}: found {found}; expected {expected}; next: {next}")
    }
}

impl std::error::Error for Rejection {}

/// Why no verdict could be given. Says nothing about the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The signer's key has limits in time, and the time is not known.
    #[error("{anchor} is trusted for a limited time, and the clock ({now}) is not trusted; set the clock")]
    ClockUntrusted {
        /// The signer.
        anchor: String,
        /// What the clock says.
        now: Wall,
    },
    /// The list that would say whether the signer's certificate was revoked is too old.
    #[error(
        "the revocation list of the authority of {anchor} is past its time at {now}; import the current one"
    )]
    ListExpired {
        /// The signer.
        anchor: String,
        /// What the clock says.
        now: Wall,
    },
    /// More keys than are tried for one image.
    #[error(
        "{found} keys may sign for this product, more than {max}; remove unused anchors or narrow their scopes"
    )]
    TooManyCandidates {
        /// How many.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// More signature files than are checked for one image.
    #[error("{found} signature files came along, more than {max}; give those that are needed")]
    TooManySignatures {
        /// How many.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The site's policy holds the image.
    #[error("the policy of the site holds it: {reasons}")]
    PolicyHolds {
        /// Why.
        reasons: String,
    },
    /// The site's policy did not decide.
    #[error("the policy of the site did not decide: {found}")]
    PolicyUndecided {
        /// What it did.
        found: String,
    },
    /// The site's policy is past its time.
    #[error("the policy of the site ended at {until}, and the time is {now}")]
    PolicyEnded {
        /// When it ended.
        until: Wall,
        /// What the clock says.
        now: Wall,
    },
    /// A known hole is in it, and the zone of the controller holds such images.
    #[error("{found}; the zone of the controller holds such images")]
    Affected {
        /// Whether one of the holes is known to be exploited.
        is_exploited: bool,
        /// Which holes.
        found: String,
    },
    /// A known hole may be in it.
    #[error("{found}: whether this image has it, nobody can tell")]
    CannotTellAffected {
        /// Which holes.
        found: String,
    },
    /// The zone of the controller demands advisories, and there are none.
    #[error("no advisory database was imported, and the zone of the controller demands one")]
    AdvisoriesMissing,
    /// The advisories are too old to clear anything.
    #[error("{found}: what came out since is not known")]
    AdvisoriesStale {
        /// How old.
        found: String,
    },
    /// The advisories cannot be asked.
    #[error("{found}; whether a hole is known nobody can tell")]
    AdvisoriesUnreadable {
        /// Why not.
        found: String,
    },
    /// Older or not: nobody can tell.
    #[error(
        "{found}: whether the image is older cannot be told; have its security version stated or a ticket signed"
    )]
    CannotCompare {
        /// What there is.
        found: String,
    },
}

impl VerifierError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            VerifierError::ClockUntrusted { .. } => reasons::CLOCK_UNTRUSTED,
            VerifierError::ListExpired { .. } => reasons::LIST_EXPIRED,
            VerifierError::TooManyCandidates { .. } | VerifierError::TooManySignatures { .. } => {
                reasons::TOO_MANY_CANDIDATES
            }
            VerifierError::CannotCompare { .. } => reasons::CANNOT_COMPARE,
            VerifierError::Affected { is_exploited: true, .. } => reasons::KNOWN_EXPLOITED,
            VerifierError::Affected { is_exploited: false, .. } => reasons::AFFECTED,
            VerifierError::CannotTellAffected { .. } => reasons::CANNOT_TELL_AFFECTED,
            VerifierError::AdvisoriesMissing => reasons::ADVISORIES_MISSING,
            VerifierError::AdvisoriesStale { .. } => reasons::ADVISORIES_STALE,
            VerifierError::AdvisoriesUnreadable { .. } => reasons::ADVISORY_DATABASE_UNREADABLE,
            VerifierError::PolicyHolds { .. } => reasons::POLICY_HOLDS,
            VerifierError::PolicyUndecided { .. } => reasons::POLICY_UNDECIDED,
            VerifierError::PolicyEnded { .. } => reasons::POLICY_ENDED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_names_code_found_expected_and_next() {
        let text = Rejection::new(reasons::WRONG_MODEL, "PX-100".to_owned(), "PX-200".to_owned()).to_string();
        assert_eq!(
            text,
            "HG-2002 controller of another model: found PX-100; expected PX-200; next: check the model on \
             the nameplate, then the image and the configuration"
        );
    }
}
