//! `docs/setup.md` as a reader follows it: its commands, in their order, from an empty folder.

#![allow(clippy::panic)] // a test that fails says why

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headgate_tests::{free_address, headgate};

/// The commands of the page: what stands between ```` ```sh ```` and ```` ``` ````.
fn commands(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1).map(|b| b.split_once("```").expect("the block ends").0);
    blocks.collect()
}

/// Two free ports that follow one another, as the TPM simulator wants them.
fn pair() -> (u16, u16) {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    (0..100)
        .find_map(|_| {
            let first = free_address().port();
            let second = first.checked_add(1)?;
            bind(first).and(bind(second)).ok().map(|_| (first, second))
        })
        .expect("a pair of free ports")
}

/// Ends what the page has started, should it not get to its own end.
struct Stop<'a> {
    group: u32,
    dir: &'a Path,
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let kill = |id: i32, group: bool| {
            let Some(pid) = rustix::process::Pid::from_raw(id) else { return };
            // Most often it is gone already.
            let _ = match group {
                true => rustix::process::kill_process_group(pid, rustix::process::Signal::KILL),
                false => rustix::process::kill_process(pid, rustix::process::Signal::KILL),
            };
        };
        kill(i32::try_from(self.group).unwrap_or_default(), true);
        // swtpm removes its file when it ends; one that is there is of one that runs.
        if let Ok(text) = std::fs::read_to_string(self.dir.join("tpm/pid")) {
            kill(text.trim().parse().unwrap_or_default(), false);
        }
    }
}

#[test]
fn the_page_leads_from_an_empty_folder_to_a_first_image_in_a_controller() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/setup.md");
    let mut script = commands(&std::fs::read_to_string(page).expect("docs/setup.md"));
    for verb in
        ["site-key new", "init", "site-key sign", "approve-pcrs", "run", "stage", "release", "deliver"]
    {
        assert!(script.contains(verb), "the page does not say headgate {verb}");
    }
    // Other things run on this machine: only the ports are not those of the page.
    let (data, control) = pair();
    let (conduit, controller) = (free_address().port(), free_address().port());
    for (typed, free) in [("2321", data), ("2322", control), ("1502", conduit), ("1503", controller)] {
        assert!(script.contains(typed), "the page does not use port {typed}");
        script = script.replace(typed, &free.to_string());
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let program = headgate();
    let folder = program.parent().expect("it lies in a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let output = |name: &str| std::fs::File::create(dir.path().join(name)).expect("writable");
    let mut shell = Command::new("bash");
    shell.args(["-e", "-u", "-o", "pipefail", "-c", &script]).current_dir(dir.path()).env("PATH", path);
    shell.stdin(Stdio::null()).stdout(output("said")).stderr(output("complained")).process_group(0);
    let mut child = shell.spawn().expect("bash runs");
    let stop = Stop { group: child.id(), dir: dir.path() };
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let all = || format!("{}\n{}\n{}", read("said"), read("complained"), read("gateway.log"));
    let end = Instant::now() + Duration::from_secs(120);
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        if Instant::now() > end {
            drop(stop);
            panic!("the page does not come to its end:\n{}", all());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}:\n{}", all());
    let said = read("said");
    for line in ["gate    open", "(stage, generic-file-record, connected)", "identity read back"] {
        assert!(said.contains(line), "{line:?} was not said:\n{}", all());
    }
    let flash = std::fs::read(dir.path().join("flash.bin")).expect("the controller's flash");
    assert_eq!(flash, std::fs::read(dir.path().join("new.bin")).expect("the image"));
}
