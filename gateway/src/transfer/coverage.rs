//! Which bytes of an image have arrived: sorted, disjoint, half-open ranges.

use std::ops::Range;

/// The ranges seen so far. Bounded: a sender that leaves more than [`Coverage::MAX_RANGES`] islands is
/// not updating a controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    ranges: Vec<Range<u64>>,
}

/// The transfer has more islands than anybody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooScattered;

impl Coverage {
    /// Most islands kept: far above any tool's reordering, and 16 KiB of memory.
    pub const MAX_RANGES: usize = 1024;

    /// Adds `range`, joining what it touches. On error nothing has changed.
    pub fn add(&mut self, range: Range<u64>) -> Result<(), TooScattered> {
        if range.is_empty() {
            return Ok(());
        }
        // The usual case: it goes on where the last one ended.
        if let Some(last) = self.ranges.last_mut()
            && (last.start..=last.end).contains(&range.start)
        {
            last.end = last.end.max(range.end);
            return Ok(());
        }
        let from = self.ranges.partition_point(|r| r.end < range.start);
        let to = self.ranges.partition_point(|r| r.start <= range.end);
        if from == to && self.ranges.len() >= Self::MAX_RANGES {
            return Err(TooScattered);
        }
        let start = self.ranges[from..to].first().map_or(range.start, |r| r.start.min(range.start));
        let end = self.ranges[from..to].last().map_or(range.end, |r| r.end.max(range.end));
        self.ranges.splice(from..to, [start..end]);
        Ok(())
    }

    /// Whether every byte of `0..len` has arrived. An empty image is never whole.
    pub fn is_whole(&self, len: u64) -> bool {
        len > 0 && self.ranges.first().is_some_and(|r| r.start == 0 && r.end >= len)
    }

    /// The first byte not yet seen.
    pub fn first_gap(&self) -> u64 {
        self.ranges.first().filter(|r| r.start == 0).map_or(0, |r| r.end)
    }

    /// One past the last byte seen.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.end)
    }

    /// The parts of `range` that have been seen before.
    pub fn seen(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let from = self.ranges.partition_point(|r| r.end <= range.start);
        self.ranges[from..]
            .iter()
            .take_while(move |r| r.start < range.end)
            .map(move |r| r.start.max(range.start)..r.end.min(range.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_keeps_an_image_from_being_whole() {
        let mut seen = Coverage::default();
        assert!(!seen.is_whole(0), "an empty image is never whole");
        seen.add(0..10).expect("room");
        seen.add(11..20).expect("room");
        assert!(!seen.is_whole(20));
        assert_eq!(seen.first_gap(), 10);
        seen.add(10..11).expect("room");
        assert!(seen.is_whole(20) && !seen.is_whole(21));
    }

    #[test]
    fn islands_are_bounded() {
        let mut seen = Coverage::default();
        let islands = Coverage::MAX_RANGES as u64;
        for n in 0..islands {
            seen.add(n * 4..n * 4 + 1).expect("room");
        }
        assert_eq!(seen.add(islands * 4..islands * 4 + 1), Err(TooScattered));
        seen.add(0..islands * 4).expect("joining needs no room");
    }

    proptest! {
        #[test]
        fn agrees_with_a_byte_map(adds in prop::collection::vec((0u64..200, 0u64..40), 0..60)) {
            let mut seen = Coverage::default();
            let mut map = [false; 256];
            for (start, len) in adds {
                let range = start..start + len;
                let expected = range.clone().filter(|i| map[*i as usize]).count() as u64;
                prop_assert_eq!(seen.seen(range.clone()).map(|r| r.end - r.start).sum::<u64>(), expected);
                seen.add(range.clone()).expect("few islands");
                range.for_each(|i| map[i as usize] = true);
            }
            let gap = map.iter().position(|b| !b).unwrap_or(256) as u64;
            prop_assert_eq!(seen.first_gap(), gap);
            prop_assert_eq!(seen.end(), map.iter().rposition(|b| *b).map_or(0, |i| i as u64 + 1));
            prop_assert!(seen.ranges.windows(2).all(|w| w[0].end < w[1].start));
        }
    }
}
