//! The sandbox around whatever parses untrusted images, with the shipped program as its child: everything that a child
//! which was taken over might try ends as a finding, and the parent goes on.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hal::sandbox::{Ended, Landlock, Limits, Sandbox, SandboxError};
use headgate_tests::headgate;

const LIMITS: Limits = Limits { memory: 64 << 20, cpu: 1, wall: Duration::from_secs(30), output: 64 << 10 };

fn child(attempt: &str, limits: Limits) -> Sandbox {
    let words = [
        "inspect-worker".into(),
        format!("--memory={}", limits.memory),
        format!("--cpu={}", limits.cpu),
        format!("--attempt={attempt}"),
    ];
    Sandbox { program: headgate(), arguments: words.to_vec(), limits }
}

/// A file with these bytes, read from its start.
fn input(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("writable");
    file
}

fn run(attempt: &str, limits: Limits) -> Ended {
    let ran = child(attempt, limits).run(input(b"image")).unwrap_or_else(|e| panic!("{attempt}: {e}"));
    ran.ended
}

#[test]
fn what_a_child_must_not_do_kills_it() {
    for attempt in ["open", "socket", "exec", "thread"] {
        assert_eq!(run(attempt, LIMITS), Ended::Forbidden, "{attempt}");
    }
}

#[test]
fn a_child_that_takes_too_much_of_anything_is_ended_and_the_parent_says_of_what() {
    assert_eq!(run("memory", LIMITS), Ended::Memory);
    assert_eq!(run("cpu", LIMITS), Ended::Cpu);
    assert_eq!(run("output", LIMITS), Ended::Output);
    let start = Instant::now();
    assert_eq!(run("wait", Limits { wall: Duration::from_millis(800), ..LIMITS }), Ended::Wall);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_panic_is_told_with_its_place() {
    match run("panic", LIMITS) {
        Ended::Crashed(how) => {
            assert!(how.contains("exit status: 101") && how.contains("tried to panic"), "{how}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_ends_before_it_is_shut_in_is_no_finding() {
    let cases: [(PathBuf, &str); 4] = [
        ("/nonexistent".into(), "did not start"),
        ("/bin/true".into(), "ended before it had shut itself in"),
        ("/bin/echo".into(), "ended before it had shut itself in"),
        ("/usr/bin/yes".into(), "ended before it had shut itself in"),
    ];
    for (program, expected) in cases {
        let error = Sandbox { program, ..child("open", LIMITS) }.run(input(b"")).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // No room even for its own limits.
    let error = Sandbox { arguments: vec!["inspect-worker".into()], ..child("open", LIMITS) }
        .run(input(b""))
        .unwrap_err();
    assert!(matches!(&error, SandboxError::NotReady(how) if how.contains("--memory")), "{error}");
}

#[test]
fn a_child_keeps_no_descriptor_that_it_inherited() {
    use std::process::{Command, Stdio};
    // A pipe whose writing end every child inherits: it reads as ended only when nobody has that end open.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).expect("inheritable");
    let words = child("wait", LIMITS).arguments;
    let spawn = |words: &[String]| {
        let mut command = Command::new(headgate());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("headgate runs")
    };
    let mut waits = spawn(&words);
    drop(writer);
    let mut ready = [0; 20];
    waits.stdout.as_mut().unwrap().read_exact(&mut ready).expect("it says that it is shut in");
    assert!(ready.starts_with(b"headgate-sandbox 1"));
    assert_eq!(reader.read(&mut [0]).expect("readable"), 0, "the child has closed its end, and still runs");
    assert!(waits.try_wait().unwrap().is_none());
    waits.kill().and_then(|()| waits.wait()).expect("ended");
}

#[test]
fn landlock_shuts_files_alone_where_the_kernel_has_it() {
    // In a thread of its own: Landlock holds a thread for as long as it lives.
    let (landlock, opened) = std::thread::spawn(|| {
        let landlock = hal::sandbox::shut_files().expect("Landlock, or none");
        (landlock, File::open("/etc/passwd").map_err(|e| e.kind()))
    })
    .join()
    .unwrap();
    match landlock {
        Landlock::Missing => assert!(opened.is_ok(), "seccomp alone refuses on this kernel"),
        _ => assert_eq!(opened.unwrap_err(), std::io::ErrorKind::PermissionDenied),
    }
    let ran = child("cpu", LIMITS).run(input(b"")).unwrap();
    assert_eq!(ran.landlock, landlock, "and a child says which it was");
}
