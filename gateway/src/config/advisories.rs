//! What a zone makes of known holes.

use firmware_verifier::PolicyNo;
use firmware_verifier::advisory::csaf::Score;

use super::check::Checked;
use super::file;

/// What follows for a controller from what advisories tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advisories {
    /// What a known hole means.
    pub no: PolicyNo,
    /// Whether images need an advisory database that clears them.
    pub required: bool,
    /// How many days its newest source may be old; `None`: as long as its document says.
    pub max_age_days: Option<u16>,
    /// Holes with a lower score do not count, unless they are exploited.
    pub min_score: Score,
}

/// A zone that says what a known hole means there demands a database. Without a word about it images with one are held
/// where a database is installed, and no database is demanded.
pub(super) fn check(zone: Option<&file::Zone>) -> Checked<Advisories> {
    let default =
        Advisories { no: PolicyNo::Hold, required: false, max_age_days: None, min_score: Score::NONE };
    let Some(zone) = zone else { return Ok(default) };
    let more = zone.vulnerabilities_min_score.is_some() || zone.advisories_max_age_days.is_some();
    let Some(means) = zone.vulnerabilities else {
        return match more {
            true => Err(format!(
                "zone {:?}: write vulnerabilities, too: \"reject\", \"hold\" or \"warn\"",
                zone.id
            )),
            false => Ok(default),
        };
    };
    let score = zone.vulnerabilities_min_score.unwrap_or(0.0);
    let min_score = Score::new(score)
        .ok_or_else(|| format!("zone {:?}: vulnerabilities_min_score {score}: 0.0 to 10.0", zone.id))?;
    if let Some(days) = zone.advisories_max_age_days.filter(|days| !(1..=MAX_AGE_DAYS).contains(days)) {
        return Err(format!("zone {:?}: advisories_max_age_days {days}: 1 to {MAX_AGE_DAYS}", zone.id));
    }
    let max_age_days = zone.advisories_max_age_days;
    Ok(Advisories { no: no(means), required: true, max_age_days, min_score })
}

/// As the verifier calls it.
pub(super) fn no(typed: file::PolicyNo) -> PolicyNo {
    match typed {
        file::PolicyNo::Reject => PolicyNo::Reject,
        file::PolicyNo::Hold => PolicyNo::Hold,
        file::PolicyNo::Warn => PolicyNo::Warn,
    }
}

/// No document that gives a database out counts for longer.
const MAX_AGE_DAYS: u16 = 366;
