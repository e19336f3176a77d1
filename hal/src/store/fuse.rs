//! Numbered crash points: where a test kills the process, and where production passes at no cost.
//!
//! [`Fuse::step`] stands before every write, fsync, rename and directory fsync of the store, and callers
//! put it before every database commit and TPM write. Once blown a fuse stays blown, so code that
//! carries on after the "death" (a retry, a `Drop`) cannot touch the disk either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A row of crash points. Clones share their count.
#[derive(Debug, Clone, Default)]
pub struct Fuse {
    line: Option<Arc<Line>>,
}

/// The crash point at which a test ended this run. Never seen in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cut before step {step}: {what}")]
pub struct Blown {
    /// Number of the step that was not carried out, from 0.
    pub step: u64,
    /// What it would have done.
    pub what: &'static str,
}

#[derive(Debug)]
struct Line {
    next: AtomicU64,
    blow_at: u64,
}

impl Fuse {
    /// The production fuse: every step passes.
    pub fn never() -> Fuse {
        Fuse::default()
    }

    /// Lets `n` steps pass, then blows at each one.
    pub fn at(n: u64) -> Fuse {
        Fuse { line: Some(Arc::new(Line { next: AtomicU64::new(0), blow_at: n })) }
    }

    /// Passes the next crash point; the caller does `what` only on `Ok`.
    pub fn step(&self, what: &'static str) -> Result<(), Blown> {
        let Some(line) = &self.line else { return Ok(()) };
        let step = line.next.fetch_add(1, Ordering::SeqCst);
        if step < line.blow_at { Ok(()) } else { Err(Blown { step, what }) }
    }

    /// Whether a step has been refused.
    pub fn blown(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.next.load(Ordering::SeqCst) > line.blow_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blown_fuse_stays_blown_in_every_clone() {
        let fuse = Fuse::at(1);
        let twin = fuse.clone();
        assert_eq!(fuse.step("write"), Ok(()));
        assert!(!fuse.blown());
        assert_eq!(twin.step("fsync"), Err(Blown { step: 1, what: "fsync" }));
        assert_eq!(fuse.step("rename"), Err(Blown { step: 2, what: "rename" }));
        assert!(fuse.blown() && !Fuse::never().blown());
    }
}
