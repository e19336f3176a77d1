//! A process that reads what nobody trusts, and can do nothing else.
//!
//! ```text
//!   gateway ── bytes on stdin ──> child: rlimits, no_new_privs, no descriptors, Landlock, seccomp, and only then it reads
//!           <── "ready", answer ── stdout, so many bytes and no more; a wall clock that ends in SIGKILL
//! ```
//!
//! The child is a fresh process of the same program ([`enter`]); the parent starts it and sits beside it ([`Sandbox`]).
//! Before the child has said that it is shut in, whatever goes wrong is a fault of this machine
//! ([`SandboxError`]). From then on it is something that the bytes have done, and an [`Ended`] says what.

mod attempt;
mod child;
mod descriptors;
mod filter;
mod input;
mod parent;

use std::time::Duration;

pub use attempt::Attempt;
pub use child::{Confined, enter, shut_files};
pub use input::copy;
pub use parent::{Ended, Ran, Sandbox};

/// What a child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space beyond what the program itself takes.
    pub memory: u64,
    /// Seconds of computing.
    pub cpu: u64,
    /// From its start to its end.
    pub wall: Duration,
    /// Bytes of its answer.
    pub output: usize,
}

/// What Landlock does for a child. Seccomp is never missing: without it nothing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlock {
    /// No files, no TCP, no signals to others.
    Whole,
    /// As much of it as this kernel has.
    Partly,
    /// This kernel has none; the system calls are refused by seccomp alone.
    Missing,
}

impl Landlock {
    /// One word for records.
    pub const fn word(self) -> &'static str {
        match self {
            Landlock::Whole => "whole",
            Landlock::Partly => "partly",
            Landlock::Missing => "missing",
        }
    }

    fn of(word: &str) -> Option<Landlock> {
        [Landlock::Whole, Landlock::Partly, Landlock::Missing].into_iter().find(|l| l.word() == word)
    }
}

/// The line with which a child says that it is shut in, up to the word for [`Landlock`].
const READY: &str = "headgate-sandbox 1 landlock ";

/// The machine could not shut a child in, or not run it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// It could not be started.
    #[error("the inspecting process did not start: {0}")]
    Start(#[source] std::io::Error),
    /// A limit, or a pipe.
    #[error("{what}: {source}")]
    Call {
        /// What was attempted.
        what: &'static str,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// Landlock is there, and refuses.
    #[error("Landlock: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// The filter of system calls.
    #[error("seccomp: {0}")]
    Seccomp(String),
    /// It ended before it was shut in.
    #[error("the inspecting process ended before it had shut itself in: {0}")]
    NotReady(String),
}

impl SandboxError {
    fn call(what: &'static str) -> impl Fn(rustix::io::Errno) -> SandboxError {
        move |e| SandboxError::Call { what, source: e.into() }
    }
}
