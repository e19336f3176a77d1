//! `headgate conduit learn`: an allow-list, proposed from what stations did.

use std::ops::Range;

use clap::Subcommand;

use super::{Context, Said};
use crate::judge::rows::HabitRow;
use crate::judge::{Answered, Failure, Request};
use crate::protocol::modbus::pdu;
use crate::protocol::modbus::profile::{Data, Profile, RegisterTable};
use crate::shield::learn::join;

#[derive(Debug, Subcommand)]
pub(super) enum ConduitVerb {
    /// Propose an allow-list from what stations did while the controller was in `observe`.
    Learn {
        /// Controller id.
        plc: String,
    },
}

pub(super) fn conduit(context: &Context, verb: &ConduitVerb) -> Result<Said, Failure> {
    let ConduitVerb::Learn { plc } = verb;
    let Answered::Learned { habits } = context.answer(&Request::Learned { plc: plc.clone() })? else {
        return Err(Failure::internal("another answer than asked for"));
    };
    let config = context.load()?;
    let profile = config.plc(plc).and_then(|p| p.routes.iter().find_map(|r| r.update.as_ref()));
    let words = proposal(plc, &habits, profile.map(|(_, profile)| profile.as_ref()));
    let json = serde_json::json!({ "schema": 1, "plc": plc, "habits": habits, "proposal": words });
    Ok(Said::Words(words, json))
}

/// `[[plc.allow]]` tables to paste into the configuration: one for each unit, function and station. What
/// belongs to the update itself, and what no list lets pass, is left out and named.
fn proposal(plc: &str, habits: &[HabitRow], profile: Option<&Profile>) -> String {
    let (may, never): (Vec<&HabitRow>, Vec<&HabitRow>) =
        habits.iter().partition(|h| pdu::Request::may_pass(h.function));
    let of_update = |h: &&HabitRow| profile.is_some_and(|p| is_of_update(h, p));
    let (update, process): (Vec<&HabitRow>, Vec<&HabitRow>) = may.into_iter().partition(of_update);
    let mut words = format!("# learned for {plc} in observe; read it before you accept it\n");
    for (unit, function, station, mine) in by_key(&process) {
        let seen: u64 = mine.iter().map(|h| h.seen).sum();
        words += &format!("[[plc.allow]]   # seen {seen} times\nunit = {unit}\nfunctions = [{function}]\n");
        let addresses = addresses(&mine);
        if !addresses.is_empty() {
            words += &format!("addresses = [{addresses}]\n");
        }
        words += &format!("stations = [\"{station}\"]\n");
    }
    for (unit, function, station, _) in by_key(&never) {
        words += &format!(
            "# left out, as no allow-list lets it pass: unit {unit}, function {function}, {station}\n"
        );
    }
    let Some(profile) = profile.filter(|_| !update.is_empty()) else { return words };
    words += &format!(
        "# left out, as it belongs to updates by profile {:?} (writes pass as steps of a released one only):\n",
        profile.id
    );
    for (unit, function, station, mine) in by_key(&update) {
        words +=
            &format!("#   unit {unit}, function {function}, addresses [{}], {station}\n", addresses(&mine));
    }
    words + "# a tool that reads its status there while it updates needs a rule for those reads\n"
}

type Key<'a> = (u8, u8, &'a str, Vec<&'a HabitRow>);

fn by_key<'a>(habits: &[&'a HabitRow]) -> Vec<Key<'a>> {
    let key = |h: &&'a HabitRow| (h.unit, h.function, h.station.as_str());
    let mut keys: Vec<_> = habits.iter().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mine = |k| habits.iter().filter(|h| key(h) == k).copied().collect();
    keys.into_iter().map(|k| (k.0, k.1, k.2, mine(k))).collect()
}

fn addresses(habits: &[&HabitRow]) -> String {
    let spans = habits.iter().filter(|h| h.count > 0).map(|h| span(h)).collect();
    let shown = |s: &Range<u32>| match s.end - s.start {
        1 => format!("\"{}\"", s.start),
        _ => format!("\"{}-{}\"", s.start, s.end - 1),
    };
    join(spans).iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn span(h: &HabitRow) -> Range<u32> {
    h.start..h.start + h.count
}

/// Whether a habit is an update's: a write that touches what only an update may write, or a read of nothing
/// but the registers of the profile.
fn is_of_update(h: &HabitRow, profile: &Profile) -> bool {
    let guarded = join(profile.guarded());
    let span = span(h);
    match h.function {
        6 | 16 | 22 | 23 => guarded.iter().any(|g| span.start < g.end && g.start < span.end),
        21 => matches!(profile.data, Data::FileRecord { .. }),
        3 => within(&span, guarded.into_iter().chain(looked_at(profile, RegisterTable::Holding))),
        4 => within(&span, looked_at(profile, RegisterTable::Input)),
        _ => false,
    }
}

fn within(span: &Range<u32>, all: impl Iterator<Item = Range<u32>>) -> bool {
    join(all.collect()).iter().any(|r| r.start <= span.start && span.end <= r.end)
}

/// What a tool reads while it updates.
fn looked_at(profile: &Profile, table: RegisterTable) -> impl Iterator<Item = Range<u32>> {
    let range = |register: u16, count: usize| u32::from(register)..u32::from(register) + count as u32;
    let status = profile.status.iter().filter(move |s| s.table == table).map(move |s| range(s.register, 1));
    let reads = profile.staged_reads.iter().filter(move |r| r.table == table);
    status.chain(reads.map(move |r| range(r.register, r.values.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn habit(function: u8, start: u32, count: u32) -> HabitRow {
        HabitRow { unit: 1, function, start, count, station: "192.0.2.9".into(), seen: 2 }
    }

    #[test]
    fn a_proposal_leaves_out_what_belongs_to_updates_and_says_so() {
        let profile = crate::config::profiles::find("generic-file-record", &[]).unwrap();
        let status = profile.status.clone().unwrap();
        let status = habit(status.table.function(), status.register.into(), 1);
        let step = profile.guarded()[0].clone();
        let cases: &[(&str, HabitRow, &str, bool)] = &[
            ("one address", habit(6, 4, 1), "addresses = [\"4\"]", false),
            ("several", habit(3, 0, 10), "addresses = [\"0-9\"]", false),
            ("no address", habit(17, 0, 0), "functions = [17]\nstations", false),
            ("a write of a step", habit(16, step.start, 1), "function 16", true),
            ("a write across its edge", habit(16, step.start - 1, 2), "function 16", true),
            ("image bytes", habit(21, 0, 0), "function 21", true),
            ("the status register", status.clone(), "a tool that reads its status", true),
            ("a block that holds it", habit(status.function, status.start - 5, 10), "addresses = [", false),
        ];
        for (what, habit, expected, left_out) in cases {
            let words = proposal("pump-3", std::slice::from_ref(habit), Some(&profile));
            assert!(words.contains(expected), "{what}: {words}");
            assert_eq!(!words.contains("[[plc.allow]]"), *left_out, "{what}: {words}");
            assert_eq!(words.contains("left out"), *left_out, "{what}: {words}");
            assert!(
                proposal("pump-3", std::slice::from_ref(habit), None).contains("[[plc.allow]]"),
                "{what}"
            );
        }
    }
}
