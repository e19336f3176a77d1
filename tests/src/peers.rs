//! Peers that nobody here wrote: pymodbus, mbpoll, minisign, OpenSSL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// How a peer ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Standard output and error together.
    pub text: String,
}

/// Runs one of the Python programs beside `requirements.txt`.
pub fn python(program: &str, args: &[&str]) -> Said {
    said(&mut python_command(program, args))
}

/// Starts one of the Python programs and leaves it running.
pub fn start_python(program: &str, args: &[&str]) -> Child {
    let mut command = python_command(program, args);
    command.stdin(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{program}: {e}"))
}

fn python_command(program: &str, args: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../.venv/bin/python");
    let python = std::env::var_os("HEADGATE_PYTHON").map_or(python, PathBuf::from);
    assert!(python.exists(), "{}: run deploy/setup.sh --test", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("peers").join(program)).args(args);
    command
}

/// mbpoll: `args` after the address of the conduit.
pub fn mbpoll(conduit: SocketAddr, args: &[&str]) -> Said {
    let port = conduit.port().to_string();
    said(Command::new("mbpoll").args(["-m", "tcp", "-p", &port, "-a", "1", "-1", "-t", "4"]).args(args))
}

/// Any program of the machine, in `dir`.
pub fn run(dir: &Path, program: &str, args: &[&str]) -> Said {
    said(Command::new(program).args(args).current_dir(dir))
}

fn said(command: &mut Command) -> Said {
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{:?}: {e}: deploy/setup.sh --test installs it", command.get_program()));
    let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    Said { code: output.status.code().unwrap_or(-1), text }
}
