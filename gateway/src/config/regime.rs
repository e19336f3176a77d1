//! `[plc.regime]`: the register that says how a controller runs just now.

use std::time::Duration;

use sensor_monitor::regime::{Rule, Selector};

use super::file;
use super::signal::{self, Checked, Register};

/// A register, how to read a regime from it, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Regime {
    /// Where it is; the scale is 1.
    pub register: Register,
    /// The regime of its last value.
    pub selector: Selector,
    /// Time between two reads.
    pub every: Duration,
}

pub(super) fn check(raw: &file::Regime) -> Checked<Regime> {
    let rule = match (raw.bit, &raw.bands) {
        (Some(bit), None) if raw.hysteresis.is_none() => Rule::Bit(bit),
        (None, Some(limits)) => {
            Rule::Bands { limits: limits.clone(), hysteresis: raw.hysteresis.unwrap_or(0) }
        }
        (Some(_), None) => return Err("regime: hysteresis belongs to bands, not to a bit".into()),
        _ => return Err("regime: write bit = 0 to 15, or bands = [LIMIT, ...]".into()),
    };
    Ok(Regime {
        register: signal::register(raw.register, None).map_err(|e| format!("regime: {e}"))?,
        selector: Selector::new(rule).map_err(|e| format!("regime: {e}"))?,
        every: signal::poll(raw.poll_ms).map_err(|e| format!("regime: {e}"))?,
    })
}
