//! Few entries for many refusals: what a peer repeats becomes one entry a minute, with a count.
//!
//! Pure. The first of its kind is written at once. What repeats it within the minute is counted, and becomes one
//! entry when the minute is over. What has too many faces to be told apart is counted together, so that nobody
//! fills the disk by varying what is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use hal::clock::Mono;
use hal::reason::ReasonCode;

use super::entry::{Event, Kind};

/// How long repeats are counted.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How many subjects and codes are told apart at a time; at most one entry more a minute.
pub const MAX_TOLD_APART: usize = 32;

/// Counts repeats. Give it what the wire can cause; what a person does is written as it is.
#[derive(Debug, Default)]
pub struct Coalesce {
    rows: BTreeMap<Key, Row>,
}

/// `None` for what is counted together.
type Key = Option<(String, Option<ReasonCode>)>;

#[derive(Debug)]
struct Row {
    until: Mono,
    /// The latest of the repeats, with their number.
    repeats: Option<Event>,
}

impl Coalesce {
    /// Takes an event: gives it back when it is to be written now, and counts it otherwise.
    #[must_use]
    pub fn offer(&mut self, event: Event, now: Mono) -> Option<Event> {
        let key = Some((event.subject.clone(), event.code));
        let is_full = self.rows.keys().filter(|k| k.is_some()).count() >= MAX_TOLD_APART;
        let key = if is_full && !self.rows.contains_key(&key) { None } else { key };
        let Some(row) = self.rows.get_mut(&key) else {
            let repeats = None;
            self.rows.insert(key, Row { until: now + WINDOW, repeats });
            return Some(event);
        };
        let counted = row.repeats.take().map_or(0, |e| e.count);
        row.repeats = Some(Event { count: counted.saturating_add(event.count), ..event });
        None
    }

    /// Appends to `out` what has to be written now that a minute is over. Calling it early does nothing.
    pub fn expire(&mut self, now: Mono, out: &mut Vec<Event>) {
        self.rows.retain(|key, row| {
            if row.until > now {
                return true;
            }
            let Some(event) = row.repeats.take() else { return false };
            out.push(if key.is_none() { together(event) } else { event });
            // A flood goes on: its next minute begins without an entry of its own.
            row.until = now + WINDOW;
            true
        });
    }

    /// Appends everything that was counted, before a stop.
    pub fn drain(&mut self, out: &mut Vec<Event>) {
        for (key, row) in std::mem::take(&mut self.rows) {
            out.extend(row.repeats.map(|event| if key.is_none() { together(event) } else { event }));
        }
    }

    /// When to call [`Coalesce::expire`] next.
    pub fn deadline(&self) -> Option<Mono> {
        self.rows.values().map(|row| row.until).min()
    }
}

/// What is said of events that were not told apart; the text is of the latest.
fn together(event: Event) -> Event {
    Event {
        kind: Kind::Verdict,
        actor: "several".into(),
        subject: "several".into(),
        text: format!("more subjects than are told apart; the latest: {}: {}", event.subject, event.text),
        code: None,
        digest: None,
        ..event
    }
}

#[cfg(test)]
mod tests {
    use hal::clock::Wall;
    use proptest::prelude::*;

    use super::*;

    fn event(subject: &str, code: u16) -> Event {
        let at = Wall::trusted(1_795_342_500_250);
        Event {
            code: Some(ReasonCode(code)),
            ..Event::new(at, Kind::Verdict, "10.0.0.9", subject, "refused")
        }
    }

    fn second(s: u64) -> Mono {
        Mono(s * 1_000_000_000)
    }

    fn expire(coalesce: &mut Coalesce, now: Mono) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        coalesce.expire(now, &mut out);
        out.into_iter().map(|e| (e.subject, e.count)).collect()
    }

    #[test]
    fn the_first_is_written_at_once_and_its_repeats_once_a_minute() {
        let mut coalesce = Coalesce::default();
        assert!(coalesce.offer(event("a", 4001), second(0)).is_some());
        assert!(coalesce.offer(event("a", 4002), second(1)).is_some(), "another code");
        assert!(coalesce.offer(event("b", 4001), second(1)).is_some(), "another subject");
        for s in 1..50 {
            assert!(coalesce.offer(event("a", 4001), second(s)).is_none());
        }
        assert_eq!(coalesce.deadline(), Some(second(60)));
        assert_eq!(expire(&mut coalesce, second(59)), []);
        assert_eq!(expire(&mut coalesce, second(61)), [("a".into(), 49)]);
        assert!(coalesce.offer(event("a", 4001), second(62)).is_none(), "the flood goes on");
        assert!(coalesce.offer(event("b", 4001), second(62)).is_some(), "that was over");
        assert_eq!(expire(&mut coalesce, second(121)), [("a".into(), 1)]);
        assert_eq!(expire(&mut coalesce, second(200)), []);
        assert_eq!(coalesce.deadline(), None);
        assert!(coalesce.offer(event("a", 4001), second(201)).is_some());
    }

    #[test]
    fn what_has_too_many_faces_is_counted_together() {
        let mut coalesce = Coalesce::default();
        let written = (0..1000).filter(|i| coalesce.offer(event(&i.to_string(), 4001), second(0)).is_some());
        assert_eq!(written.count(), MAX_TOLD_APART + 1);
        let mut out = Vec::new();
        coalesce.drain(&mut out);
        assert_eq!(out.iter().map(|e| (e.subject.as_str(), e.count)).collect::<Vec<_>>(), [("several", 967)]);
        assert!(out[0].text.ends_with("the latest: 999: refused"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_little_is_written(
            offers in prop::collection::vec((0u64..100_000, 0u8..60, 4001u16..4003), 0..300),
        ) {
            let mut coalesce = Coalesce::default();
            let (mut offers, mut out, mut now) = (offers, Vec::new(), 0);
            offers.sort();
            for (ms, subject, code) in &offers {
                now = *ms;
                let at = Mono(ms * 1_000_000);
                coalesce.expire(at, &mut out);
                out.extend(coalesce.offer(event(&subject.to_string(), *code), at));
            }
            coalesce.drain(&mut out);
            prop_assert_eq!(out.iter().map(|e| e.count).sum::<u64>(), offers.len() as u64);
            prop_assert!(out.len() as u64 <= (MAX_TOLD_APART as u64 + 1) * (2 + 2 * now / 60_000));
        }
    }
}
