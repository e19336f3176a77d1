//! What a bus says, in words for an alarm list. It says which behaviour changed, never who meant it.

use std::collections::BTreeMap;

use sensor_monitor::bus::{Changed, EpochChange, Novelty, Quantity, Talker};

/// Controllers by their address.
pub(super) type Plcs = BTreeMap<u8, String>;

/// A change and all that moved with it.
pub(super) fn changed(bus: &str, changed: &Changed, plcs: &Plcs) -> String {
    let unit = changed.anomaly.signal.rsplit('.').next().and_then(quantity_unit).unwrap_or_default();
    let others = changed.moved.iter().map(|m| (m.talker, m.quantity));
    let others = others.filter(|(t, q)| changed.anomaly.signal != format!("{bus}.{t}.{}", q.name()));
    let others: Vec<String> = others.take(MOST_NAMED).map(|(t, q)| format!("{t} {}", q.name())).collect();
    let also = if others.is_empty() { String::new() } else { format!("; moved too: {}", others.join(", ")) };
    let who = changed.moved.iter().find_map(|m| match m.talker {
        Talker::Unit(unit) => plcs.get(&unit).map(|plc| format!("; unit-{unit} is {plc}")),
        _ => None,
    });
    format!("behaviour changed: {}{also}{}", changed.anomaly.text(unit), who.unwrap_or_default())
}

/// Whose alarm a change is: the unit's where it is of one, else the bus's. `quantity` is the id of what moved.
pub(super) fn source(quantity: &str, bus: &str) -> String {
    match quantity.rsplit_once('.') {
        Some((talker, _)) if talker.starts_with(&format!("{bus}.unit-")) => talker.into(),
        _ => bus.into(),
    }
}

/// Something that was never heard while the bus was learned.
pub(super) fn new(bus: &str, novelty: Novelty, causes: &[String], plcs: &Plcs) -> String {
    let what = novelty_words(novelty, plcs);
    format!("{bus}: {what}; never heard while the bus was learned; likely: {}", causes.join(", "))
}

/// The same in a list.
pub(super) fn novelty_words(novelty: Novelty, plcs: &Plcs) -> String {
    let unit = named(novelty.unit(), plcs);
    match novelty {
        Novelty::Talker(_) => format!("{unit} talks"),
        Novelty::Asked(_) => format!("{unit} is asked"),
        Novelty::Function(_, function) => format!("function {function} is used with {unit}"),
        Novelty::Exception(_, function, code) => {
            format!("{unit} refuses function {function} with exception {code}")
        }
    }
}

/// The fingerprint after a verified update against the one before: information.
pub(super) fn epoch(bus: &str, change: &EpochChange, plcs: &Plcs) -> String {
    let unit = named(change.unit, plcs);
    let ratio = |what: &str, difference: &Option<sensor_monitor::estimate::timing::compare::Difference>| {
        let difference = difference.as_ref()?;
        Some(format!("{what} {:+.1} %", 100.0 * (difference.median_ratio - 1.0)))
    };
    let mut parts: Vec<String> =
        [ratio("turnaround", &change.turnaround), ratio("gap", &change.gap)].into_iter().flatten().collect();
    if !change.functions.is_empty() {
        let functions: Vec<String> = change.functions.iter().map(ToString::to_string).collect();
        parts.push(format!("newly asked functions {}", functions.join(", ")));
    }
    let what = if parts.is_empty() { "too few answers to compare".into() } else { parts.join(", ") };
    format!("{bus}: {unit} is learned anew after the update: {what}")
}

fn named(unit: u8, plcs: &Plcs) -> String {
    plcs.get(&unit).map_or(format!("unit-{unit}"), |plc| format!("unit-{unit} ({plc})"))
}

/// The unit in which a quantity of this name is shown.
fn quantity_unit(name: &str) -> Option<&'static str> {
    ALL.iter().find(|q| q.name() == name).map(|q| q.unit())
}

const ALL: &[Quantity] = &[
    Quantity::Turnaround,
    Quantity::Gap,
    Quantity::Clock,
    Quantity::Level,
    Quantity::Edge,
    Quantity::Exceptions,
    Quantity::Broken,
    Quantity::Timeouts,
    Quantity::Retries,
    Quantity::Polls,
    Quantity::Load,
    Quantity::Unasked,
];
/// Quantities that are named besides the one that moved furthest.
const MOST_NAMED: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_names_unit_and_controller_and_blames_nobody() {
        let plcs = Plcs::from([(7, "pump-3".to_string())]);
        let causes = ["new device or tool as unit-9".to_string()];
        let cases = [
            (
                Novelty::Talker(9),
                "line-2: unit-9 talks; never heard while the bus was learned; likely: new device or tool as unit-9",
            ),
            (Novelty::Asked(7), "line-2: unit-7 (pump-3) is asked; "),
            (Novelty::Function(7, 16), "line-2: function 16 is used with unit-7 (pump-3); "),
            (Novelty::Exception(9, 3, 2), "line-2: unit-9 refuses function 3 with exception 2; "),
        ];
        for (novelty, expected) in cases {
            let text = new("line-2", novelty, &causes, &plcs);
            assert!(text.starts_with(expected), "{text}");
            assert!(!text.contains("compromised"), "{text}");
        }
    }
}
