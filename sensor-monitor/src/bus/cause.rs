//! From what moved together, on which talkers, to what most often causes that.
//!
//! | levels | edges | else | first cause |
//! |---|---|---|---|
//! | all up | later or not | | termination missing |
//! | all down | earlier: they overshoot before the echo | | termination added |
//! | not up | later, on most | | a tap or stub |
//! | all, alike | as before | | supply, common transmitter, termination |
//! | one talker | as before | | its transmitter, stub, or another device |
//! | down | | frames break | cable or connector |
//! | as before | | turnaround of one | its firmware or load |
//! | as before | | clock of one too | its firmware set the clock otherwise |
//! | one talker | | its clock too | another device answers |

use serde::{Deserialize, Serialize};

use super::quantity::{Quantity, Talker};

/// What most often explains a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A terminator is missing or open.
    TerminationMissing,
    /// One terminator too many.
    TerminationAdded,
    /// A stub, tap or further device hangs on the line.
    Tap,
    /// Cable or connector.
    Cable,
    /// Supply or bias of the line.
    Supply,
    /// Interference from outside.
    Interference,
    /// The transmitter, stub or supply of one talker.
    Transmitter(Talker),
    /// Another device answers in the place of this one.
    DeviceSwapped(Talker),
    /// Timing of this talker: other firmware, another program, or more to do.
    Timing(Talker),
    /// Program or registers of this talker, as it refuses otherwise.
    Program(Talker),
    /// This talker is failing or overloaded.
    Unwell(Talker),
    /// This talker speaks without being asked, or two talkers have its address.
    Babbling(Talker),
    /// The station polls otherwise.
    Polling,
    /// A new device or tool.
    NewDevice(Talker),
    /// A tool or program uses what was never used.
    NewUse(Talker),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::TerminationMissing => f.write_str("termination missing"),
            Cause::TerminationAdded => f.write_str("termination added"),
            Cause::Tap => f.write_str("tap or stub on the line"),
            Cause::Cable => f.write_str("cable or connector"),
            Cause::Supply => f.write_str("supply or bias of the line"),
            Cause::Interference => f.write_str("interference"),
            Cause::Transmitter(t) => write!(f, "transmitter or stub of {t}"),
            Cause::DeviceSwapped(t) => write!(f, "{t} swapped for another device"),
            Cause::Timing(t) => write!(f, "firmware timing or load of {t}"),
            Cause::Program(t) => write!(f, "program or registers of {t}"),
            Cause::Unwell(t) => write!(f, "{t} failing or overloaded"),
            Cause::Babbling(t) => write!(f, "{t} speaks unasked, or its address is there twice"),
            Cause::Polling => f.write_str("the station polls otherwise"),
            Cause::NewDevice(t) => write!(f, "new device or tool as {t}"),
            Cause::NewUse(t) => write!(f, "a tool or program uses {t} otherwise"),
        }
    }
}

/// A quantity that moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Whose.
    pub talker: Talker,
    /// Which.
    pub quantity: Quantity,
    /// From the learned median, in the quantity's own unit (logarithms for times).
    pub shift: f64,
    /// The same in standard deviations of what was learned.
    pub sigma: f64,
}

/// Causes of a change, likeliest first. `less` is what moved surely and by too little to be told by itself: who is near
/// a terminator hardly notices another one, and still goes the way of all. `watched` says of how many talkers a
/// quantity is under watch; `loudest` is who spoke most without being asked.
pub fn causes(
    moved: &[Moved],
    less: &[Moved],
    watched: impl Fn(Quantity) -> usize,
    loudest: Option<Talker>,
) -> Vec<Cause> {
    let of = |quantity| moved.iter().filter(move |m| m.quantity == quantity);
    let find = |quantity, talker| of(quantity).find(|m| m.talker == talker);
    let mut scored: Vec<(u32, Cause)> = Vec::new();
    let mut add = |score, cause| scored.push((score, cause));

    let levels = Sides::of(Quantity::Level, moved, less, watched(Quantity::Level));
    let edges = Sides::of(Quantity::Edge, moved, less, watched(Quantity::Edge));
    let breaks = of(Quantity::Broken).any(|m| m.shift > 0.0);
    if levels.all_up {
        add(if edges.up > 0 { 100 } else { 70 }, Cause::TerminationMissing);
        add(if edges.up > 0 { 40 } else { 75 }, Cause::Supply);
    }
    if levels.all_down {
        // Before its echo is back, a wave does not know of the second terminator: edges overshoot.
        add(if edges.down > 0 && !edges.most_up { 100 } else { 60 }, Cause::TerminationAdded);
        add(if edges.down > 0 || edges.most_up { 40 } else { 65 }, Cause::Supply);
    }
    if edges.most_up && !levels.all_up {
        add(95, Cause::Tap);
    } else if levels.down > 1 || edges.moved > 1 {
        add(45, Cause::Tap);
    }
    if breaks && levels.down > 0 {
        add(110, Cause::Cable);
    } else if breaks {
        add(60, Cause::Interference);
        add(50, Cause::Cable);
    }
    let is_common = (levels.all_up || levels.all_down || edges.most_up) && levels.watched > 1;
    for level in of(Quantity::Level).filter(|_| !is_common) {
        let clock = find(Quantity::Clock, level.talker).is_some();
        let timing = find(Quantity::Turnaround, level.talker).is_some();
        add(80, Cause::Transmitter(level.talker));
        add(if clock || timing { 90 } else { 55 }, Cause::DeviceSwapped(level.talker));
        add(30, Cause::Cable);
    }
    for clock in of(Quantity::Clock).filter(|m| find(Quantity::Level, m.talker).is_none()) {
        add(70, Cause::Timing(clock.talker));
        add(60, Cause::DeviceSwapped(clock.talker));
    }
    let late = of(Quantity::Turnaround).count();
    for timing in of(Quantity::Turnaround).chain(of(Quantity::Gap)) {
        if find(Quantity::Level, timing.talker).is_none() {
            add(75, Cause::Timing(timing.talker));
            add(35, Cause::DeviceSwapped(timing.talker));
        }
    }
    if late > 1 && late == watched(Quantity::Turnaround) {
        add(78, Cause::Polling);
    }
    for edge in of(Quantity::Edge).filter(|_| edges.moved == 1 && levels.moved == 0) {
        add(65, Cause::Transmitter(edge.talker));
    }
    of(Quantity::Exceptions).for_each(|m| add(68, Cause::Program(m.talker)));
    for quiet in of(Quantity::Timeouts).filter(|m| m.shift > 0.0) {
        add(66, Cause::Unwell(quiet.talker));
    }
    if of(Quantity::Unasked).any(|m| m.shift > 0.0) {
        add(105, Cause::Babbling(loudest.unwrap_or(Talker::Line)));
    }
    if of(Quantity::Polls).chain(of(Quantity::Load)).next().is_some() {
        add(if moved.iter().any(|m| !m.quantity.follows_polling()) { 25 } else { 72 }, Cause::Polling);
    }
    of(Quantity::Retries).for_each(|m| add(20, Cause::Unwell(m.talker)));

    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let mut causes: Vec<Cause> = Vec::new();
    for (_, cause) in scored {
        if !causes.contains(&cause) && causes.len() < MAX_CAUSES {
            causes.push(cause);
        }
    }
    causes
}

/// Causes that are told.
pub const MAX_CAUSES: usize = 5;

impl Quantity {
    const fn follows_polling(self) -> bool {
        matches!(self, Quantity::Polls | Quantity::Load)
    }
}

/// Which way a quantity moved, over the talkers.
struct Sides {
    watched: usize,
    moved: usize,
    up: usize,
    down: usize,
    all_up: bool,
    all_down: bool,
    most_up: bool,
}

impl Sides {
    fn of(quantity: Quantity, moved: &[Moved], less: &[Moved], watched: usize) -> Sides {
        let sides = |of: &[Moved]| {
            let shifts = of.iter().filter(|m| m.quantity == quantity).map(|m| m.shift);
            let (up, down): (Vec<f64>, Vec<f64>) = shifts.partition(|s| *s > 0.0);
            (up.len(), down.len())
        };
        let ((up, down), (less_up, less_down)) = (sides(moved), sides(less));
        // One talker that was too quiet to be counted does not make it another fault.
        let all =
            |n: usize, less: usize| watched > 1 && n >= 2 && n + less + usize::from(watched > 3) >= watched;
        let most_up = watched > 1 && 2 * up > watched;
        let (all_up, all_down) = (all(up, less_up), all(down, less_down));
        Sides { watched, moved: up + down, up, down, all_up, all_down, most_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Quantity::{Broken, Clock, Edge, Exceptions, Level, Load, Polls, Timeouts, Turnaround, Unasked};
    use Talker::{Line, Station, Unit};

    #[test]
    fn what_moved_together_names_the_cause() {
        let all = [Station, Unit(1), Unit(2), Unit(3)];
        let on_all = |quantity, shift: f64| all.map(|t| (t, quantity, shift)).to_vec();
        let both = |a: Vec<_>, b: Vec<_>| [a, b].concat();
        type Shifts = Vec<(Talker, Quantity, f64)>;
        let cases: Vec<(&str, Shifts, Cause)> = vec![
            ("one level", vec![(Unit(2), Level, -0.5)], Cause::Transmitter(Unit(2))),
            ("the station's level", vec![(Station, Level, 1.0)], Cause::Transmitter(Station)),
            (
                "level and clock of one",
                vec![(Unit(2), Level, 1.0), (Unit(2), Clock, 90.0)],
                Cause::DeviceSwapped(Unit(2)),
            ),
            ("all levels up, echo", both(on_all(Level, 1.2), on_all(Edge, 0.5)), Cause::TerminationMissing),
            (
                "all levels down, overshoot",
                both(on_all(Level, -1.2), on_all(Edge, -0.5)),
                Cause::TerminationAdded,
            ),
            ("all levels, no echo", on_all(Level, 1.0), Cause::Supply),
            ("edges of all", on_all(Edge, 0.3), Cause::Tap),
            ("edges later, levels a little down", both(on_all(Edge, 0.3), on_all(Level, -0.3)), Cause::Tap),
            ("frames break, level down", vec![(Unit(3), Broken, 0.1), (Unit(3), Level, -2.0)], Cause::Cable),
            ("frames break", vec![(Unit(3), Broken, 0.1)], Cause::Interference),
            ("timing of one", vec![(Unit(1), Turnaround, 0.2)], Cause::Timing(Unit(1))),
            ("timing of all", all[1..].iter().map(|t| (*t, Turnaround, 0.2)).collect(), Cause::Polling),
            ("exceptions", vec![(Unit(1), Exceptions, 0.2)], Cause::Program(Unit(1))),
            ("timeouts", vec![(Unit(1), Timeouts, 0.2), (Unit(1), Polls, 0.3)], Cause::Unwell(Unit(1))),
            ("unasked", vec![(Line, Unasked, 2.0), (Line, Load, 0.1)], Cause::Babbling(Unit(9))),
            ("load", vec![(Line, Load, 0.1)], Cause::Polling),
        ];
        for (what, moved, expected) in cases {
            let moved: Vec<Moved> = moved
                .into_iter()
                .map(|(talker, quantity, shift)| Moved { talker, quantity, shift, sigma: 9.0 })
                .collect();
            let watched = |quantity| if quantity == Turnaround { 3 } else { 4 };
            let found = causes(&moved, &[], watched, Some(Unit(9)));
            assert_eq!(found.first(), Some(&expected), "{what}: {found:?}");
        }
        assert_eq!(causes(&[], &[], |_| 0, None), []);
    }

    #[test]
    fn who_goes_the_way_of_all_by_less_than_is_told_is_one_of_all() {
        let of = |talker, quantity, shift| Moved { talker, quantity, shift, sigma: 9.0 };
        let edges = [Station, Unit(1), Unit(2)].map(|t| of(t, Edge, -0.2));
        let levels = [of(Unit(3), Level, -1.3), of(Unit(2), Level, -0.8)];
        let moved = [&edges[..], &levels].concat();
        let found = |moved: &[Moved], less: &[Moved]| causes(moved, less, |_| 5, None).remove(0);
        let near = [of(Unit(1), Level, -0.24), of(Station, Level, -0.1)];
        assert_eq!(found(&moved, &near), Cause::TerminationAdded);
        assert_ne!(found(&moved, &near.map(|m| Moved { shift: -m.shift, ..m })), Cause::TerminationAdded);
        assert_eq!(found(&levels[..1], &near), Cause::Transmitter(Unit(3)), "one that is told is not all");
    }
}
