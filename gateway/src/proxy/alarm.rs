//! A pump's timer, as one more descriptor.
//!
//! A timer of the runtime gives every wait a time limit, which the kernel arms and disarms each time: on a
//! busy conduit that is a noticeable part of a request. This one costs only when it is set and when it rings.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer that wakes one waker.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    waker: Waker,
}

impl Alarm {
    /// A timer that is not set and wakes `waker`. Needs the runtime.
    #[expect(deprecated, reason = "sound for an OwnedFd; its successor cannot be called from safe code")]
    pub(super) fn new(waker: Waker) -> io::Result<Alarm> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Alarm { timer: AsyncFd::with_interest(timer, Interest::READABLE)?, waker })
    }

    /// Rings once, after `wait`; an earlier setting is forgotten.
    pub(super) fn set(&self, wait: Duration) {
        let mut cx = Context::from_waker(&self.waker);
        // What rang before is over; the last poll arms the waker.
        while let Poll::Ready(Ok(mut rung)) = self.timer.poll_read_ready(&mut cx) {
            rung.clear_ready();
        }
        let wait = wait.max(Duration::from_nanos(1)); // zero would stop it
        let timer = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            },
        };
        if let Err(e) = timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &timer) {
            tracing::error!(error = %e, "timer"); // cannot fail with values in range
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::ready::Ready;

    #[tokio::test]
    async fn it_rings_once_for_each_setting() {
        let ready = Ready::new(1);
        let alarm = Alarm::new(ready.waker(0)).expect("a descriptor");
        for _ in 0..3 {
            alarm.set(Duration::from_secs(3600));
            alarm.set(Duration::from_millis(2));
            for (wait, rings) in [(50, 1), (20, 0)] {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                let mut marked = Vec::new();
                ready.take(&mut marked);
                assert_eq!(marked.len(), rings);
            }
        }
    }
}
