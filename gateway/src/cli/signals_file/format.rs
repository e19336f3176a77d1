//! What a picture is written as: SVG by ourselves, PNG by the program `rsvg-convert`.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::judge::Failure;

/// How the picture is written, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Svg,
    Png,
}

impl Format {
    pub(super) fn of(out: &Path) -> Result<Format, Failure> {
        match out.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => Ok(Format::Svg),
            Some("png") => Ok(Format::Png),
            _ => Err(Failure::usage(format!(
                "{}: the output is a picture: its name must end in .svg or .png",
                out.display()
            ))),
        }
    }

    /// The bytes of the picture.
    pub(super) fn picture(self, svg: String) -> Result<Vec<u8>, Failure> {
        match self {
            Format::Svg => Ok(svg.into_bytes()),
            Format::Png => png(CONVERTER, svg.as_bytes()),
        }
    }
}

/// Has `program` draw what it reads.
pub(super) fn png(program: &str, svg: &[u8]) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| Failure::usage(format!("{program}: {what}; write .svg instead"));
    let pipes = Command::new(program)
        .args(["--format", "png", "--zoom", ZOOM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = pipes.map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            failed(format!("there is no such program; install the Debian package {PACKAGE}"))
        }
        _ => failed(e.to_string()),
    })?;
    let stdin = child.stdin.take();
    // It may write before it has read everything: feeding it must not wait for that.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut to| to.write_all(svg)));
        child.wait_with_output()
    });
    let output = output.map_err(|e| failed(e.to_string()))?;
    if !output.status.success() || !output.stdout.starts_with(SIGNATURE) {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("no picture came of it ({}): {}", output.status, said.trim())));
    }
    Ok(output.stdout)
}

const CONVERTER: &str = "rsvg-convert";
const PACKAGE: &str = "librsvg2-bin";
/// A report is printed: twice the pixels of the SVG.
const ZOOM: &str = "2";
/// PNG specification, 5.2.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
