//! Looking into an image, in a process that can do nothing else: what that process says, or what became of it.
//!
//! Whatever the image does to the process that looks is a finding about the image. Only what goes wrong before that process
//! has shut itself in is a fault of this machine. What the process says is not believed any further than its words: an
//! image that has taken it over can have it say anything, but not do anything.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use firmware_verifier::inspect::{Finding, Limits as Unpacking, Report};
use firmware_verifier::{MAX_IMAGE, reasons};
use hal::sandbox::{Confined, Ended, Landlock, Limits, Ran, Sandbox, SandboxError};

/// What the process may use. Its largest image with everything that it may unpack, twice, as vectors grow by doubling.
pub const LIMITS: Limits =
    Limits { memory: 1 << 30, cpu: 120, wall: Duration::from_secs(300), output: 16 << 20 };

/// What looking into an image has come to.
#[derive(Debug)]
pub struct Inspection {
    /// What was found, or that nothing could be.
    pub report: Report,
    /// What Landlock did for the process that looked.
    pub landlock: Landlock,
}

/// The process of this very program, with these limits.
pub fn sandbox(limits: Limits) -> Sandbox {
    let arguments =
        vec!["inspect-worker".into(), format!("--memory={}", limits.memory), format!("--cpu={}", limits.cpu)];
    Sandbox { program: PathBuf::from("/proc/self/exe"), arguments, limits }
}

/// Looks into `image`.
pub fn inspect(image: File, sandbox: &Sandbox) -> Result<Inspection, SandboxError> {
    let Ran { landlock, ended } = sandbox.run(image)?;
    let report = match ended {
        Ended::Answered(answer) => serde_json::from_slice(&answer).unwrap_or_else(|e| {
            let text = format!("the process that looked ended without a report: {e}");
            only(reasons::INSPECTION_CRASHED, text)
        }),
        Ended::Forbidden => {
            only(reasons::INSPECTION_ESCAPES, "a system call that looking never makes; it was killed".into())
        }
        Ended::Memory => {
            let text = format!("more than {} MiB of memory", sandbox.limits.memory >> 20);
            only(reasons::INSPECTION_TOO_MUCH, text)
        }
        Ended::Output => {
            let text = format!("a report of more than {} bytes", sandbox.limits.output);
            only(reasons::INSPECTION_TOO_MUCH, text)
        }
        Ended::Cpu => {
            only(reasons::INSPECTION_TOO_LONG, format!("more than {} s of computing", sandbox.limits.cpu))
        }
        Ended::Wall => {
            only(reasons::INSPECTION_TOO_LONG, format!("not done within {:?}", sandbox.limits.wall))
        }
        Ended::Crashed(how) => only(reasons::INSPECTION_CRASHED, how),
    };
    Ok(Inspection { report, landlock })
}

/// A report of nothing but this.
fn only(code: hal::reason::ReasonCode, text: String) -> Report {
    let finding = Finding { code, place: String::new(), text, leaves_out: true };
    Report { findings: vec![finding], ..Report::default() }
}

/// The process's side: reads an image from `input`, and gives its report as JSON.
pub fn work(_shut_in: &Confined, input: impl Read) -> std::io::Result<Vec<u8>> {
    let mut image = Vec::new();
    input.take(MAX_IMAGE).read_to_end(&mut image)?;
    let report = firmware_verifier::inspect::inspect(&image, &Unpacking::USUAL);
    Ok(serde_json::to_vec(&report)?)
}
