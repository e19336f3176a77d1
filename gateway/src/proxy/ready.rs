//! Which of a pump's sockets woke it: a bit for each slot, set by that socket's own waker.
//!
//! A pump is one task over many sockets. With one waker for all it would have to try every socket at
//! every wake; here a wake costs one bit and the pump tries only the sockets that have news.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};

use atomic_waker::AtomicWaker;

/// The set of slots with news.
#[derive(Debug)]
pub(super) struct Ready {
    bits: Vec<AtomicU64>,
    task: AtomicWaker,
}

impl Ready {
    /// Room for slots `0..slots`.
    pub(super) fn new(slots: usize) -> Arc<Ready> {
        let bits = (0..slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Ready { bits, task: AtomicWaker::new() })
    }

    /// Remembers which task to wake. Call before looking at the bits.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }

    /// A waker that marks `slot`.
    pub(super) fn waker(self: &Arc<Ready>, slot: usize) -> Waker {
        Waker::from(Arc::new(Slot { set: self.clone(), slot }))
    }

    /// Marks `slot` by hand.
    pub(super) fn mark(&self, slot: usize) {
        if let Some(word) = self.bits.get(slot / 64) {
            word.fetch_or(1 << (slot % 64), Ordering::AcqRel);
        }
    }

    /// Takes every marked slot, ascending.
    pub(super) fn take(&self, out: &mut Vec<usize>) {
        for (i, word) in self.bits.iter().enumerate() {
            if word.load(Ordering::Acquire) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::AcqRel);
            while bits != 0 {
                out.push(i * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

#[derive(Debug)]
struct Slot {
    set: Arc<Ready>,
    slot: usize,
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set.mark(self.slot);
        self.set.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_marks_its_own_slot_once() {
        let ready = Ready::new(130);
        for slot in [129, 3, 64, 3] {
            ready.waker(slot).wake();
        }
        let mut news = Vec::new();
        ready.take(&mut news);
        assert_eq!(news, [3, 64, 129]);
        ready.take(&mut news);
        assert_eq!(news.len(), 3, "taken once");
    }
}
