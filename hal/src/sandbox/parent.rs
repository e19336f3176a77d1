//! The parent's side: starting a child, reading no more of it than is agreed, and ending it in time.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Landlock, Limits, READY, SandboxError};
use crate::clock::{Clock, Mono};

/// Bytes that are kept of what a child says on stderr: enough for a panic's place and text.
const MAX_COMPLAINT: usize = 2048;
/// By this, Rust says on stderr that memory is used up, before it aborts (`std::alloc`).
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// How to start a child.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The program, which calls [`super::enter`] before it does anything else.
    pub program: PathBuf,
    /// Its arguments, which bring it there.
    pub arguments: Vec<String>,
    /// What it may use. Memory and computing the child limits itself, so the arguments must say the same.
    pub limits: Limits,
}

/// What became of a child that had shut itself in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What Landlock did for it.
    pub landlock: Landlock,
    /// How it ended.
    pub ended: Ended,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It answered, and ended well.
    Answered(Vec<u8>),
    /// It made a system call that it has no use for, and was killed for it.
    Forbidden,
    /// It wanted more memory.
    Memory,
    /// It computed for longer.
    Cpu,
    /// It was not done in time.
    Wall,
    /// Its answer had no end.
    Output,
    /// It panicked, or died of a signal.
    Crashed(String),
}

impl Sandbox {
    /// Runs a child on the bytes of `input`, from where it stands.
    pub fn run(&self, input: File) -> Result<Ran, SandboxError> {
        let deadline = Deadline::after(self.limits.wall);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().current_dir("/");
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut watched = Watched(command.spawn().map_err(SandboxError::Start)?);
        let max = self.limits.output.saturating_add(READY.len() + 16);
        let mut heard = Heard { out: vec![], err: vec![], max };
        let stopped = heard.listen(&mut watched.0, &deadline)?;
        let status = match stopped {
            Some(_) => watched.end(),
            None => watched.wait(&deadline)?,
        };
        heard.judge(stopped, status)
    }
}

/// A child that does not outlive the one who waits for it.
struct Watched(Child);

impl Watched {
    fn end(&mut self) -> Option<ExitStatus> {
        let _ = self.0.kill();
        self.0.wait().ok()
    }

    /// Its end, or `None` when that has to be made.
    fn wait(&mut self, deadline: &Deadline) -> Result<Option<ExitStatus>, SandboxError> {
        let pid = Pid::from_child(&self.0);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(SandboxError::call("pidfd_open"))?;
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Ok(Some(status));
            }
            if !deadline.wait_for(&mut [PollFd::new(&pidfd, PollFlags::IN)])? {
                self.end();
                return Ok(None);
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why a child was stopped.
#[derive(Clone, Copy)]
enum Stopped {
    Late,
    TooMuch,
}

/// What a child has said so far.
struct Heard {
    out: Vec<u8>,
    err: Vec<u8>,
    max: usize,
}

impl Heard {
    /// Reads both streams to their end, or until the child has to be stopped.
    fn listen(&mut self, child: &mut Child, deadline: &Deadline) -> Result<Option<Stopped>, SandboxError> {
        let mut out: Option<ChildStdout> = child.stdout.take();
        let mut err: Option<ChildStderr> = child.stderr.take();
        while out.is_some() || err.is_some() {
            let mut fds: Vec<PollFd<'_>> = out.iter().map(|s| PollFd::new(s, PollFlags::IN)).collect();
            fds.extend(err.iter().map(|s| PollFd::new(s, PollFlags::IN)));
            if !deadline.wait_for(&mut fds)? {
                return Ok(Some(Stopped::Late));
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let (from_out, from_err) = match (&out, &err) {
                (Some(_), _) => (ready.first() == Some(&true), ready.get(1) == Some(&true)),
                (None, _) => (false, ready.first() == Some(&true)),
            };
            if from_out && take(&mut out, &mut self.out, usize::MAX)? && self.out.len() > self.max {
                return Ok(Some(Stopped::TooMuch));
            }
            if from_err {
                take(&mut err, &mut self.err, MAX_COMPLAINT)?;
            }
        }
        Ok(None)
    }

    fn judge(self, stopped: Option<Stopped>, status: Option<ExitStatus>) -> Result<Ran, SandboxError> {
        let complaint = String::from_utf8_lossy(&self.err).trim().to_owned();
        let end = self.out.iter().position(|b| *b == b'\n');
        let line = end.and_then(|at| std::str::from_utf8(self.out.get(..at)?).ok());
        let landlock = line.and_then(|line| Landlock::of(line.strip_prefix(READY)?));
        let (Some(at), Some(landlock)) = (end, landlock) else {
            let how = status.map_or("it was stopped".into(), |s| s.to_string());
            return Err(SandboxError::NotReady(format!("{how} {complaint}").trim().to_owned()));
        };
        let signal = status.and_then(|s| s.signal());
        let ended = match (stopped, status) {
            (Some(Stopped::TooMuch), _) => Ended::Output,
            (Some(Stopped::Late), _) | (None, None) => Ended::Wall,
            (None, Some(status)) if status.success() => {
                Ended::Answered(self.out.get(at + 1..).unwrap_or_default().to_vec())
            }
            (None, Some(_)) if signal == Some(libc::SIGSYS) => Ended::Forbidden,
            (None, Some(_)) if signal == Some(libc::SIGXCPU) => Ended::Cpu,
            // Nobody here sent SIGKILL, so the kernel did, which was short of memory.
            (None, Some(_)) if signal == Some(libc::SIGKILL) || complaint.contains(OUT_OF_MEMORY) => {
                Ended::Memory
            }
            (None, Some(status)) => Ended::Crashed(format!("{status} {complaint}").trim().to_owned()),
        };
        Ok(Ran { landlock, ended })
    }
}

/// Takes what a stream has now, and the stream away at its end. Beyond `most` bytes it is read and not kept.
fn take<S: Read>(stream: &mut Option<S>, into: &mut Vec<u8>, most: usize) -> Result<bool, SandboxError> {
    let mut piece = [0; 16 << 10];
    let Some(open) = stream else { return Ok(false) };
    let n = match open.read(&mut piece) {
        Ok(n) => n,
        Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
        Err(source) => return Err(SandboxError::Call { what: "reading from the child", source }),
    };
    if n == 0 {
        *stream = None;
    }
    let room = most.saturating_sub(into.len()).min(n);
    into.extend_from_slice(piece.get(..room).unwrap_or_default());
    Ok(true)
}

/// When a child has to be done.
struct Deadline {
    clock: Clock,
    at: Mono,
}

impl Deadline {
    fn after(time: Duration) -> Deadline {
        let clock = Clock::system();
        Deadline { at: clock.mono() + time, clock }
    }

    /// Whether one of them is ready before it.
    fn wait_for(&self, fds: &mut [PollFd<'_>]) -> Result<bool, SandboxError> {
        loop {
            let left = self.at.since(self.clock.mono());
            if left == Duration::ZERO {
                return Ok(false);
            }
            let timeout = Timespec::try_from(left).ok();
            match poll(fds, timeout.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(e) => return Err(SandboxError::call("poll")(e)),
            }
        }
    }
}
