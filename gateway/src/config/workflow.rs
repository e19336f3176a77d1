//! What a controller asks of people: before an image is released for it, and before one gets in.

use std::time::Duration;

use firmware_verifier::trust::Threshold;
use firmware_verifier::trust::threshold::MAX_THRESHOLD;

use super::check::Checked;
use super::{Input, Permissive, Plc, Signal, file};

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

/// What says yes to an update, as typed.
pub(super) fn permissive(raw: &file::Permissive) -> Checked<Permissive> {
    let (low, high) = (raw.low.unwrap_or(f64::NEG_INFINITY), raw.high.unwrap_or(f64::INFINITY));
    if raw.low.is_none() && raw.high.is_none() {
        return Err("permissive: write low or high, the values that say yes".into());
    }
    if low.is_nan() || high.is_nan() || low > high {
        return Err(format!("permissive: low {low} and high {high} hold no value"));
    }
    let age = raw.max_age_s.unwrap_or(5.0);
    if !(0.1..=3600.0).contains(&age) {
        return Err(format!("permissive: max_age_s {age}: 0.1 to 3600"));
    }
    Ok(Permissive { signal: raw.signal.clone(), range: (low, high), max_age: Duration::from_secs_f64(age) })
}

/// Whether the signal of a permissive can say yes, and is none of the controller's own words.
pub(super) fn permissive_source(plc: &Plc, signals: &[Signal]) -> Checked<()> {
    let Some(permissive) = &plc.permissive else { return Ok(()) };
    let id = &permissive.signal;
    let signal = signals.iter().find(|s| s.spec.id == *id);
    let signal = signal.ok_or_else(|| format!("there is no [[signal]] {id:?}"))?;
    match &signal.input {
        Input::File { .. } => Err(format!("signal {id:?} is a recorded file: nobody turns a key in it")),
        Input::Health { .. } => {
            Err(format!("signal {id:?} is of this gateway: it knows nothing of the plant"))
        }
        Input::Modbus { target, .. }
            if plc.routes.iter().any(|r| r.target == *target || r.listen == *target) =>
        {
            Err(format!("signal {id:?} is read from the controller itself: it must not open its own lock"))
        }
        Input::Modbus { .. }
        | Input::Gpio { .. }
        | Input::Iio { .. }
        | Input::Ads1115 { .. }
        | Input::Mcp3208 { .. } => {
            if permissive.max_age < signal.spec.interval * 2 {
                let (age, every) = (permissive.max_age.as_secs_f64(), signal.spec.interval.as_secs_f64());
                return Err(format!(
                    "max_age_s {age}: signal {id:?} is read each {every} s; at least twice that"
                ));
            }
            Ok(())
        }
    }
}
