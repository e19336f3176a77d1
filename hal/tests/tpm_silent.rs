//! libtss2 prints on stderr unless `silence_library` was called first. It needs a process with one thread,
//! which the test harness is not, so this is a program of its own that runs itself twice.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::time::Duration;

use hal::tpm::{Tcti, Tpm, silence_library};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("silent") => ask_a_dead_tpm(true),
        Some("loud") => ask_a_dead_tpm(false),
        _ => {
            assert_eq!(stderr_of("silent"), "");
            assert_ne!(stderr_of("loud"), "", "libtss2 has nothing to silence any more");
        }
    }
}

fn ask_a_dead_tpm(silent: bool) {
    assert!(!silent || silence_library());
    let nowhere: Tcti = "swtpm:host=127.0.0.1,port=1".parse().unwrap();
    // Held to the end: its thread must still be there when silence is asked for too late.
    let tpm = Tpm::open(&nowhere).unwrap();
    let error = tpm.epoch(Duration::from_secs(10)).unwrap_err();
    assert!(error.is_undecided(), "{error}");
    assert!(silence_library() == silent, "with a second thread it is too late");
    drop(tpm);
}

fn stderr_of(mode: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg(mode).env_remove("TSS2_LOG").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{mode}: {text}");
    text
}
