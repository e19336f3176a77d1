//! What is odd about a CSV file, in words: the row, what stands there, and what was expected.

use hal::sensor::replay::{Oddity, Replay};

/// Times that fall more often than they rise are a file the wrong way round.
pub(super) fn falling(source: &Replay) -> Option<String> {
    let (back, forward) = source.order()?.steps();
    let first = back.first().filter(|_| back.len() as u64 > forward)?;
    Some(format!("its times fall ({first}); sort the rows by time, the oldest first"))
}

/// Where the clock ran back, and that the rows after it are judged in the file's own order.
pub(super) fn steps_back(source: &Replay) -> Option<String> {
    let (back, _) = source.order()?.steps();
    let more = match back.len().checked_sub(1)? {
        0 => String::new(),
        more => format!(" and {more} times more"),
    };
    Some(format!("the clock ran back at {}{more}; what follows is judged in the order of the file", back[0]))
}

/// Rows that a clock too coarse for them has given one time.
pub(super) fn standing(source: &Replay) -> Option<String> {
    let still = source.order().map_or(0, |order| order.still());
    (still > 0).then(|| {
        format!(
            "{still} rows have the time of the row before, and are not judged: give times with more digits"
        )
    })
}

/// One line for each kind of row that could not be used as it stands.
pub(super) fn notes(source: &Replay, column: &str) -> Vec<String> {
    let Some(odd) = source.oddities() else { return Vec::new() };
    let times = odd.times.as_ref().map(|o| {
        let expected = "expected seconds up to 9223372036, or a date such as 2026-03-02T06:00:00Z";
        format!("{} in the column of times; {expected}{}", seen(o), time_hint(&o.found))
    });
    let values = odd.values.as_ref().map(|o| {
        format!("{} in column {column}; expected a number such as 1.5{}", seen(o), value_hint(&o.found))
    });
    let short = odd.short.as_ref().map(|o| {
        let rows = if o.count == 1 { "row has" } else { "rows have" };
        format!(
            "{} {rows} fewer fields than the header; the first is record {}: {:?}",
            o.count, o.record, o.found
        )
    });
    let twice = odd.twice.as_ref().map(|o| {
        format!(
            "the header names {:?} {} times; taken is the one that follows the times",
            o.found,
            o.count + 1
        )
    });
    [times, values, short, twice].into_iter().flatten().collect()
}

fn seen(o: &Oddity) -> String {
    let more = match o.count - 1 {
        0 => String::new(),
        more => format!(" (and {more} more like it)"),
    };
    format!("record {} has {:?}{more}", o.record, o.found)
}

fn value_hint(found: &str) -> &'static str {
    let digits = found.trim_start_matches(['-', '+']);
    let is_part = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    match digits.split_once(',') {
        Some((whole, part)) if is_part(whole) && is_part(part) => ": with a decimal point, not a comma",
        _ if digits.contains(|c: char| c.is_ascii_digit()) => ": a number alone, without a unit",
        _ => "",
    }
}

fn time_hint(found: &str) -> &'static str {
    let is_number = !found.is_empty() && found.bytes().all(|b| b.is_ascii_digit());
    match found.split_once(',') {
        _ if is_number => ": is it milliseconds? Divide it by 1000",
        Some(_) => ": with a decimal point, not a comma",
        None => "",
    }
}
