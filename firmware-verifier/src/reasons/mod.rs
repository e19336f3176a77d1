//! The reason codes of this crate: 1xxx signature and trust, 2xxx manifest and identity, 3xxx parts and weaknesses, 41xx
//! policy, 5xxx rollback. One file for each block.
//!
//! A code is never reused and never changes its meaning; a new one takes a free number. `headgate
//! explain`, the alarms and the docs are made from [`all`].

use hal::reason::{Reason, ReasonCode};

mod identity;
mod inspection;
mod parts;
mod policy;
mod rollback;
mod signature;
mod trust;

pub use identity::*;
pub use inspection::*;
pub use parts::*;
pub use policy::*;
pub use rollback::*;
pub use signature::*;
pub use trust::*;

/// The row of `code`, when it is one of this crate.
pub fn reason(code: ReasonCode) -> Option<&'static Reason> {
    all().find(|reason| reason.code == code)
}

/// Every code of this crate, in order.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    REASONS.iter().copied().flatten()
}

/// The blocks, in order. It also keeps the tables of the blocks, which have the same name, out of this one.
pub const REASONS: [&[Reason]; 7] = [
    signature::REASONS,
    trust::REASONS,
    identity::REASONS,
    parts::REASONS,
    inspection::REASONS,
    policy::REASONS,
    rollback::REASONS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_in_range_and_complete() {
        let rows: Vec<&Reason> = all().collect();
        assert!(rows.windows(2).all(|pair| pair[0].code < pair[1].code));
        for row in rows {
            assert!(matches!(row.code.0, 1000..=3999 | 4100..=4199 | 5000..=5999), "{}", row.code);
            let texts = [row.title, row.meaning, row.cause, row.next];
            assert!(texts.iter().all(|text| text.trim() == *text && text.len() > 5), "{}", row.code);
            assert!(row.exit != 0 && row.exit != 1, "{}", row.code);
            assert_eq!(reason(row.code).map(|r| r.title), Some(row.title));
        }
    }
}
