//! The child's side: shutting itself in, in an order that works (each step would be refused after a later one).

use std::io::{self, Write};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal,
    setrlimit,
};

use super::{Landlock, READY, SandboxError, descriptors, filter};

/// Newest Landlock that is asked for; of an older kernel as much as it has (landlock(7)).
const NEWEST: ABI = ABI::V6;

/// A process that is shut in. Only [`enter`] makes one: what reads untrusted bytes asks for it.
#[derive(Debug)]
pub struct Confined {
    landlock: Landlock,
}

impl Confined {
    /// What Landlock does for it.
    pub fn landlock(&self) -> Landlock {
        self.landlock
    }
}

/// Shuts this process in for good, and says so on stdout. It must be freshly started, have one thread and own nothing that
/// is open. Afterwards stdin can be read, stdout and stderr written, and `memory` bytes and `cpu` seconds used.
pub fn enter(memory: u64, cpu: u64) -> Result<Confined, SandboxError> {
    descriptors::close_inherited()
        .map_err(|source| SandboxError::Call { what: "closing descriptors", source })?;
    let own = own_size().map_err(|source| SandboxError::Call { what: "/proc/self/statm", source })?;
    limit(Resource::As, own.saturating_add(memory))?;
    // The soft limit sends SIGXCPU, which tells it from other ends.
    let seconds = Rlimit { current: Some(cpu), maximum: Some(cpu.saturating_add(1)) };
    setrlimit(Resource::Cpu, seconds).map_err(SandboxError::call("the limit of computing"))?;
    for none in [Resource::Core, Resource::Fsize, Resource::Nproc] {
        limit(none, 0)?;
    }
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SandboxError::call("PR_SET_PDEATHSIG"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(SandboxError::call("PR_SET_DUMPABLE"))?;
    rustix::thread::set_no_new_privs(true).map_err(SandboxError::call("PR_SET_NO_NEW_PRIVS"))?;
    let landlock = shut_files()?;
    // After Landlock, which opens one descriptor for a moment.
    limit(Resource::Nofile, 3)?;
    let program = filter::program(std::process::id())?;
    seccompiler::apply_filter(&program).map_err(|e| SandboxError::Seccomp(e.to_string()))?;
    let confined = Confined { landlock };
    say_ready(&confined).map_err(|source| SandboxError::Call { what: "stdout", source })?;
    Ok(confined)
}

/// The Landlock part alone: from now on this thread opens no file and connects to nobody.
pub fn shut_files() -> Result<Landlock, SandboxError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    Ok(match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Whole,
        RulesetStatus::PartiallyEnforced => Landlock::Partly,
        RulesetStatus::NotEnforced => Landlock::Missing,
    })
}

fn say_ready(confined: &Confined) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{READY}{}", confined.landlock.word())?;
    out.flush()
}

fn limit(resource: Resource, most: u64) -> Result<(), SandboxError> {
    let rlimit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, rlimit).map_err(SandboxError::call("a limit of the process"))
}

/// Bytes of address space that the program has before it has done anything (proc(5), statm: the first field, in pages).
fn own_size() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: Option<u64> = text.split_whitespace().next().and_then(|field| field.parse().ok());
    let pages = pages.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}
