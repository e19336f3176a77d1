//! What comes along with an image besides its first signature, and what is known of its product.

use hal::clock::Wall;

use crate::advisory::csaf::Score;
use crate::advisory::known::Advisories;
use crate::dsse::Envelope;
use crate::policy::Policy;
use crate::sbom::SbomFile;
use crate::signature::SignatureFile;
use crate::version::VersionScheme;

/// Most signature files for one image.
pub const MAX_SIGNATURE_FILES: usize = 4;

/// More about one image. All of it may be absent; the gauntlet checks what is there itself.
#[derive(Debug, Clone, Default)]
pub struct Papers {
    /// The name of this gateway, which documents are for.
    pub gateway: String,
    /// Further signatures of the same image, by other keys.
    pub signatures: Vec<SignatureFile>,
    /// The site's word for an image without any signature (`vouch`), countersigned.
    pub vouch: Option<Envelope>,
    /// Leave to go below the floor (`downgrade`).
    pub downgrade: Option<Envelope>,
    /// Whether the caller has spent one use of that ticket for this very release already. The proof then
    /// spends none.
    pub downgrade_spent: bool,
    /// The security version that the image's signed manifest states.
    pub security_version: Option<u64>,
    /// The version that the image's signed manifest states.
    pub version: Option<String>,
    /// How versions of this product compare.
    pub scheme: Option<VersionScheme>,
    /// The version that this controller accepted last.
    pub accepted: Option<String>,
    /// The list of its parts.
    pub sbom: Option<SbomFile>,
    /// Whether it may not go without one.
    pub sbom_required: bool,
    /// What is known of holes; without it this stage is not done.
    pub advisories: Option<SiteAdvisories>,
    /// What the site says of images; without it this stage is not done.
    pub policy: Option<SitePolicy>,
}

/// A policy, and what is done with its refusals.
#[derive(Debug, Clone)]
pub struct SitePolicy {
    /// The policy.
    pub policy: Policy,
    /// When it ends; afterwards nothing is decided.
    pub until: Option<Wall>,
    /// The zone of the controller.
    pub zone: Option<String>,
    /// What its no means there.
    pub no: PolicyNo,
}

/// An advisory database, and what the zone of the controller makes of what it tells.
#[derive(Debug, Clone)]
pub struct SiteAdvisories {
    /// The database.
    pub source: AdvisorySource,
    /// What a known hole means there.
    pub no: PolicyNo,
    /// Whether images need a database that clears them: one that is there, and not too old.
    pub required: bool,
    /// When it ends that one may go by the database.
    pub until: Option<Wall>,
    /// How many days its newest source may be old.
    pub max_age_days: Option<u16>,
    /// Holes with a lower score are told, and do not count; what is exploited always counts.
    pub min_score: Score,
}

/// Where a database may be.
#[derive(Debug, Clone)]
pub enum AdvisorySource {
    /// None was ever imported.
    Absent,
    /// It is there and cannot be read, and why.
    Unreadable(String),
    /// This one.
    Known(Advisories),
}

/// What a no means in a zone: of a policy, or of what advisories tell.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum PolicyNo {
    /// The image is rejected.
    #[default]
    Reject,
    /// The image is held: it may pass another time.
    Hold,
    /// It is told, and the image passes.
    Warn,
}
