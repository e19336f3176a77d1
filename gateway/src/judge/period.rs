//! What is on record about a period, for reports: transfers, changes that none explains, and the state of the log.

use hal::clock::Wall;

use super::Judge;
use super::failure::Failure;
use super::held::RELEASE;
use super::message::Answered;
use super::rows::{AuditRow, PeriodRow, TransferRow};
use super::thread::case_row;
use crate::reasons::CHANGED_OUTSIDE;
use crate::state::{case, receipt};

impl Judge {
    /// Gathers what is on record from `from` to `to`.
    ///
    /// # Errors
    /// A period that is none, or with more transfers than one answer holds; an audit log that is not whole.
    pub(super) fn period(&mut self, from: Wall, to: Wall) -> Result<Answered, Failure> {
        if from.ms >= to.ms {
            return Err(Failure::usage(format!("the period {from} to {to} has no moment in it")));
        }
        let Answered::AuditReport(log) = self.audit_verify(None)? else {
            return Err(Failure::internal("another answer than asked for"));
        };
        let rows = self.db.rows();
        let cases = case::between(&rows, from, to, MOST_CASES + 1)?;
        if cases.len() > MOST_CASES as usize {
            return Err(Failure::usage(format!("more than {MOST_CASES} transfers in this period"))
                .next("ask for shorter periods, one after the other"));
        }
        let mut transfers = Vec::new();
        // A release that approvers agreed to changes nothing yet: its delivery has a case of its own.
        for one in cases.iter().filter(|case| case.way != RELEASE) {
            let landed = receipt::get(&rows, one.number)?.and_then(|gathered| gathered.ended);
            transfers.push(TransferRow { case: case_row(one), landed });
        }
        let forgotten = case::forgotten_before(&rows)?.filter(|at| at.ms > from.ms).map(|at| {
            format!("of the time before {at} transfers without a receipt, such as refused ones, are no longer kept")
        });
        let period = PeriodRow {
            transfers,
            outside: self.changes_outside(from, to)?,
            plcs: self.plc_rows()?,
            log,
            predecessors: self.predecessor_keys().iter().map(|key| key.as_bytes().to_vec()).collect(),
            forgotten,
            now: self.now(),
            gateway: self.config.name.clone(),
        };
        Ok(Answered::Period(Box::new(period)))
    }
}

/// Whether an entry of the audit log says that a controller changed and no transfer explains it.
pub(super) fn is_outside(row: &AuditRow, from: Wall, to: Wall) -> bool {
    row.code == Some(CHANGED_OUTSIDE) && row.kind == "identity" && row.at.ms >= from.ms && row.at.ms < to.ms
}

/// Transfers in one answer.
const MOST_CASES: u32 = 5000;
