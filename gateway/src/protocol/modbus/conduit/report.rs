//! Refusals, counted instead of listed: a flood costs one report.

use hal::reason::ReasonCode;

use crate::transfer::event::Station;

/// What was refused to one station for one reason since the last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who.
    pub station: Station,
    /// Why.
    pub code: ReasonCode,
    /// How often.
    pub count: u64,
    /// What was found, the first time.
    pub found: String,
    /// What would have passed.
    pub expected: String,
}

/// Reports not yet taken.
#[derive(Debug, Default)]
pub(super) struct Reports {
    rows: Vec<Report>,
}

impl Reports {
    /// Most rows between two takes; a flood from more stations is counted on the last row.
    const MAX: usize = 64;

    pub(super) fn refused(
        &mut self,
        station: Station,
        code: ReasonCode,
        say: impl FnOnce() -> (String, String),
    ) {
        if let Some(row) = self.rows.iter_mut().find(|r| r.code == code && r.station == station) {
            row.count += 1;
        } else if self.rows.len() < Self::MAX {
            let (found, expected) = say();
            self.rows.push(Report { station, code, count: 1, found, expected });
        } else if let Some(last) = self.rows.last_mut() {
            last.count += 1;
        }
    }

    pub(super) fn take(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.rows)
    }
}
