//! What a controller asks of people before an image is released for it.

use firmware_verifier::trust::Threshold;
use firmware_verifier::trust::threshold::MAX_THRESHOLD;

use super::check::Checked;
use super::file;

/// How many approvers must sign a release; `None`: it takes effect at once. A zone says what its controllers
/// ask for at the least: a controller that asks for less is a mistake, whichever of the two was meant.
pub(super) fn approvals(plc: &file::Plc, zone: Option<&file::Zone>) -> Checked<Option<Threshold>> {
    let (own, least) = (plc.approvals, zone.map_or(0, |zone| zone.approvals));
    let wanted = own.unwrap_or(least);
    if wanted < least {
        let zone = zone.map_or("", |zone| &zone.id);
        return Err(format!("approvals = {wanted}, but its zone {zone:?} asks for {least}"));
    }
    match wanted {
        0 => Ok(None),
        n => Threshold::new(n)
            .map(Some)
            .ok_or_else(|| format!("approvals = {n}: write 0 (none) to {MAX_THRESHOLD}; 2 are four eyes")),
    }
}
