//! The system calls that are left: reading stdin, writing stdout and stderr, memory, and ending. Any other kills.
//!
//! A list of what is allowed, for x86-64 and arm64. It is checked against a real child in `tests/tests/sandbox.rs`.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::SandboxError;

/// Allowed whatever their arguments: none of them names another process, a file or an address.
const ALWAYS: &[libc::c_long] = &[
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom, // seeds of hash maps
    libc::SYS_clock_gettime,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The filter of a process with this id.
pub(super) fn program(pid: u32) -> Result<BpfProgram, SandboxError> {
    let equals = |argument, value| only(argument, SeccompCmpOp::Eq, value);
    let without = |argument, bits: libc::c_int| only(argument, SeccompCmpOp::MaskedEq(bits as u64), 0);
    let with = |argument, bits: libc::c_int| only(argument, SeccompCmpOp::MaskedEq(bits as u64), bits as u64);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALWAYS.iter().map(|call| (*call, vec![])).collect();
    let mut allow = |call: libc::c_long, ways: Vec<Vec<SeccompCondition>>| -> Result<(), SandboxError> {
        let ways = ways.into_iter().map(SeccompRule::new).collect::<Result<_, _>>().map_err(text)?;
        rules.insert(call, ways);
        Ok(())
    };
    for call in [libc::SYS_read, libc::SYS_readv] {
        allow(call, vec![vec![equals(0, 0)?]])?;
    }
    for call in [libc::SYS_write, libc::SYS_writev] {
        allow(call, vec![vec![equals(0, 1)?], vec![equals(0, 2)?]])?;
    }
    // Memory of its own, and never any that runs.
    allow(libc::SYS_mmap, vec![vec![without(2, libc::PROT_EXEC)?, with(3, libc::MAP_ANONYMOUS)?]])?;
    allow(libc::SYS_mprotect, vec![vec![without(2, libc::PROT_EXEC)?]])?;
    // abort(3), by which Rust ends when memory is used up: a signal to itself.
    allow(libc::SYS_tgkill, vec![vec![equals(0, u64::from(pid))?, equals(2, libc::SIGABRT as u64)?]])?;
    let arch = std::env::consts::ARCH.try_into().map_err(text)?;
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch);
    filter.and_then(BpfProgram::try_from).map_err(text)
}

fn only(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, SandboxError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(text)
}

fn text(e: impl std::fmt::Display) -> SandboxError {
    SandboxError::Seccomp(e.to_string())
}
