//! Ids of signals and buses: each is the source of its alarms, so no two things may share one.

use super::Plc;

/// The names that are taken.
pub(super) struct Taken<'a> {
    pub(super) gateway: &'a str,
    pub(super) plcs: &'a [Plc],
    /// Ids of signals.
    pub(super) signals: Vec<&'a str>,
}

/// An id that names a file, a topic and the source of alarms.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn check(id: &str, taken: &Taken<'_>) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if id.is_empty() || id.len() > MAX_ID || !id.chars().all(plain) || id.starts_with('.') {
        return Err("an id is 1 to 64 letters, digits, '.', '-' or '_' (it names a file and a topic)".into());
    }
    let others = [
        ("a controller", taken.plcs.iter().any(|p| p.slot.as_str() == id)),
        ("a signal", taken.signals.contains(&id)),
        ("the gateway", taken.gateway == id),
    ];
    match others.iter().find(|(_, is_taken)| *is_taken) {
        Some((whose, _)) => Err(format!("{whose} has this id; its alarms could not be told apart")),
        None => Ok(()),
    }
}

const MAX_ID: usize = 64;
