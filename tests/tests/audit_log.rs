//! An exported audit log in the hands of an auditor who has Python, OpenSSL and nothing of ours.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use gateway::audit::checkpoint::LogKey;
use gateway::audit::{Event, Kind, Log, export};
use hal::clock::Wall;
use hal::store::{Fuse, SimDisk, Store};
use headgate_tests::peers::{python, run};
use headgate_tests::signer::Signer;

/// There is a checkpoint of each of these sizes.
const SEALED: [u64; 5] = [1, 6, 7, 16, 21];
const ENTRIES: u64 = 23;

struct Auditor {
    dir: tempfile::TempDir,
    log: Log,
}

fn log(signer: &Signer, text: &str) -> Log {
    let store = Store::open(SimDisk::new(), Log::DIRS, Fuse::never()).unwrap();
    let (mut log, _) = Log::open(store, signer.key(), None).unwrap();
    let at = Wall::trusted(1_795_342_500_250);
    for n in 0..ENTRIES {
        let text = format!("{text} {n}: \"\u{fc}\u{1}\u{7f}\"\n");
        let mut event = Event::new(at, Kind::Verdict, "10.0.0.9", "line-1", &text);
        event.digest = (n % 2 == 0).then_some([n as u8; 32]);
        event.count = 1 + n % 3;
        log.append(&event).unwrap();
        if SEALED.contains(&(n + 1)) {
            signer.seal(&mut log, at);
        }
    }
    log
}

/// Takes an export to a folder.
fn sink(folder: &Path) -> impl FnMut(&str, &[u8]) -> std::io::Result<()> {
    let (folder, mut begun) = (folder.to_owned(), BTreeSet::new());
    move |name, bytes| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap())?;
        let is_new = begun.insert(name.to_owned());
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).append(!is_new).truncate(is_new);
        options.open(path)?.write_all(bytes)
    }
}

impl Auditor {
    fn new() -> Auditor {
        Auditor::of(log(&Signer::generate(), "image"))
    }

    fn of(log: Log) -> Auditor {
        let dir = tempfile::tempdir().unwrap();
        export::bundle(&log, &mut sink(dir.path())).unwrap();
        Auditor { dir, log }
    }

    /// Runs the program with `args` behind its verb and the folder.
    fn says(&self, verb: &str, args: &[&str]) -> (i32, String) {
        let mut all = vec![verb, self.dir.path().to_str().unwrap()];
        all.extend(args);
        let said = python("audit.py", &all);
        (said.code, said.text)
    }

    fn accepts(&self, verb: &str, args: &[&str], line: &str) {
        let (code, text) = self.says(verb, args);
        assert!(code == 0 && text.starts_with(line), "{verb} {args:?}: {code} {text}");
    }

    fn refuses(&self, verb: &str, args: &[&str], line: &str) {
        let (code, text) = self.says(verb, args);
        assert!(
            code == 1 && text.starts_with("bad: ") && text.contains(line),
            "{verb} {args:?}: {code} {text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<String>)) {
        let path = self.dir.path().join(name);
        let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(String::from).collect();
        change(&mut lines);
        fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }

    fn checkpoint(&self, size: u64) -> std::path::PathBuf {
        self.dir.path().join(export::checkpoint_name(size))
    }
}

#[test]
fn the_auditor_accepts_what_the_gateway_wrote() {
    let auditor = Auditor::new();
    let line = "ok: 23 entries, 5 checkpoints signed by ";
    auditor.accepts("verify", &[], line);
    assert!(auditor.says("verify", &[]).1.ends_with("no checkpoint covers the entries 21 to 22\n"));
    let (key, seen) = (auditor.dir.path().join("key.pem"), auditor.checkpoint(16));
    auditor.accepts("verify", &["--key", key.to_str().unwrap(), "--seen", seen.to_str().unwrap()], line);
}

#[test]
fn every_proof_holds_and_stands_alone() {
    let auditor = Auditor::new();
    for index in 0..21 {
        let alone = tempfile::tempdir().unwrap();
        export::inclusion(&auditor.log, index, &mut sink(alone.path())).unwrap();
        let said = python("audit.py", &["inclusion", alone.path().to_str().unwrap(), &index.to_string()]);
        assert!(
            said.code == 0 && said.text.starts_with(&format!("ok: entry {index} is one of the 21")),
            "{said:?}"
        );
    }
    assert!(export::inclusion(&auditor.log, 21, &mut |_, _| Ok(())).is_err(), "no checkpoint covers it");
    for (i, old) in SEALED.iter().enumerate() {
        for new in &SEALED[i..] {
            let alone = tempfile::tempdir().unwrap();
            export::consistency(&auditor.log, *old, *new, &mut sink(alone.path())).unwrap();
            let folder = alone.path().to_str().unwrap();
            let said = python("audit.py", &["consistency", folder, &old.to_string(), &new.to_string()]);
            assert!(
                said.code == 0
                    && said.text == format!("ok: the log of {new} entries continues that of {old}\n"),
                "{said:?}"
            );
        }
    }
    assert!(export::consistency(&auditor.log, 2, 7, &mut |_, _| Ok(())).is_err(), "no checkpoint of 2");
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let auditor = Auditor::new();
    export::inclusion(&auditor.log, 4, &mut sink(auditor.dir.path())).unwrap();
    export::consistency(&auditor.log, 6, 21, &mut sink(auditor.dir.path())).unwrap();
    auditor.refuses("inclusion", &["5"], "inclusion-5.tlog-proof: No such file");
    auditor.refuses("consistency", &["6", "16"], "consistency-6-16.txt: No such file");
    auditor.edit("proofs/entry-4.json", |lines| lines[0] = lines[0].replace("image 4", "image 5"));
    auditor.refuses("inclusion", &["4"], "proofs/entry-4.json is not the entry 4 that was signed");
    fs::remove_file(auditor.dir.path().join("proofs/entry-4.json")).unwrap();
    fs::remove_file(auditor.dir.path().join("key.pem")).unwrap();
    auditor.refuses("inclusion", &["4"], "key.pem: No such file");
    fs::write(auditor.dir.path().join("key.pem"), auditor.log.key().to_pem()).unwrap();
    auditor.accepts("inclusion", &["4"], "ok: entry 4"); // from entries.jsonl
    auditor.edit("proofs/inclusion-4.tlog-proof", |lines| drop(lines.remove(2)));
    auditor.refuses("inclusion", &["4"], "too few hashes");
    auditor.edit("proofs/consistency-6-21.txt", |lines| lines.swap(3, 4));
    auditor.refuses("consistency", &["6", "21"], "of the older checkpoint, expected");
}

#[test]
fn what_was_done_to_the_log_is_refused_and_told_where() {
    let auditor = Auditor::new();
    auditor.edit("entries.jsonl", |lines| lines.truncate(18));
    auditor.refuses(
        "verify",
        &[],
        "it ends after 18 entries, and checkpoints/00000000000000000021.txt covers 21",
    );

    let auditor = Auditor::new();
    auditor.edit("entries.jsonl", |lines| lines.truncate(22));
    auditor.refuses("verify", &[], "entries.jsonl has 22 entries, leaves.txt 23");

    let auditor = Auditor::new();
    let path = auditor.dir.path().join("entries.jsonl");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    auditor.refuses("verify", &[], "entry 22 (line 23, byte ");

    let auditor = Auditor::new();
    auditor.edit("entries.jsonl", |lines| lines[9] = lines[9].replace("image 9", "image 8"));
    auditor.refuses("verify", &[], "entry 9 (line 10, byte ");
    // Whoever changes both files is told by the checkpoint, as near as the checkpoints are.
    fs::remove_file(auditor.dir.path().join("leaves.txt")).unwrap();
    auditor.refuses(
        "verify",
        &[],
        "one of the entries 7 to 15 is not the one that checkpoints/00000000000000000016.txt covers",
    );

    let auditor = Auditor::new();
    auditor.edit("entries.jsonl", |lines| lines.swap(3, 4));
    auditor.refuses("verify", &[], "calls itself entry 4: entries were reordered");

    let auditor = Auditor::new();
    fs::copy(auditor.checkpoint(7), auditor.checkpoint(16)).unwrap();
    auditor.refuses(
        "verify",
        &[],
        "checkpoints/00000000000000000016.txt covers 7 entries, which is not what its name says",
    );

    let auditor = Auditor::new();
    let other = Auditor::of(log(&Signer::generate(), "forged"));
    fs::copy(other.checkpoint(16), auditor.checkpoint(16)).unwrap();
    auditor.refuses(
        "verify",
        &[],
        "checkpoints/00000000000000000016.txt: signed by plant.example/headgate-1+",
    );

    let auditor = Auditor::new();
    let text = fs::read_to_string(auditor.checkpoint(16)).unwrap().replacen("\n16\n", "\n17\n", 1);
    fs::write(auditor.checkpoint(17), text).unwrap();
    auditor.refuses(
        "verify",
        &[],
        "checkpoints/00000000000000000017.txt: the signature of plant.example/headgate-1+",
    );
}

#[test]
fn a_log_rolled_back_or_written_anew_does_not_continue_a_kept_checkpoint() {
    let signer = Signer::generate();
    let auditor = Auditor::of(log(&signer, "image"));
    let kept = auditor.dir.path().join("kept.txt");
    fs::copy(auditor.checkpoint(21), &kept).unwrap();
    for size in [16, 21] {
        fs::remove_file(auditor.checkpoint(size)).unwrap();
    }
    for name in ["entries.jsonl", "leaves.txt"] {
        auditor.edit(name, |lines| lines.truncate(9));
    }
    auditor.accepts("verify", &[], "ok: 9 entries, 3 checkpoints");
    let seen = ["--seen", kept.to_str().unwrap()];
    auditor.refuses(
        "verify",
        &seen,
        "the log was rolled back: it has 9 entries, and the checkpoint seen earlier covers 21",
    );

    let anew = Auditor::of(log(&signer, "another history"));
    anew.refuses("verify", &seen, "the log was written anew: its first 21 entries have the root");
    let stranger = Auditor::new();
    stranger.refuses("verify", &seen, "kept.txt: signed by plant.example/headgate-1+");
    let key = auditor.dir.path().join("key.pem");
    stranger.refuses("verify", &["--key", key.to_str().unwrap()], "signed by plant.example/headgate-1+");
}

#[test]
fn the_commands_of_the_readme_check_a_signature_with_openssl_alone() {
    let auditor = Auditor::new();
    let readme = fs::read_to_string(auditor.dir.path().join("README.txt")).unwrap();
    let commands: String =
        readme.lines().filter_map(|l| l.strip_prefix("    ")).skip(1).map(|l| format!("{l}\n")).collect();
    let name = export::checkpoint_name(16);
    let script = commands.replace("checkpoints/SIZE.txt", &name);
    assert!(script.contains(&name), "{readme}");
    let said = run(auditor.dir.path(), "sh", &["-e", "-c", &script]);
    assert_eq!((said.code, said.text.as_str()), (0, "Verified OK\n"));
}

/// The seeds of the fuzz target `audit_log`: written without this code, signed with OpenSSL.
#[test]
fn a_log_that_somebody_else_wrote_is_read_as_it_should_be() {
    let half = |hex: &str| gateway::vault::from_hex(hex).unwrap();
    // RFC 6979 §A.2.5.
    let x = half("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
    let y = half("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    let key = LogKey::from_coordinates("plant.example/headgate-1", &x, &y).unwrap();
    let cases = [
        ("empty", "0 entries, 0 beyond 0, torn []"),
        ("no-checkpoint", "6 entries, 6 beyond 0, torn []"),
        ("whole", "6 entries, 2 beyond 4, torn []"),
        ("torn-entry", "5 entries, 1 beyond 4, torn [entry 5]"),
        ("torn-checkpoint", "6 entries, 4 beyond 2, torn [checkpoint 1]"),
        ("edited", "entry 1 (byte 222 of audit/entries-00000000000000000000.log) was edited"),
        ("forged", "one of the entries 2 to 3 is not the one that checkpoint 1 covers"),
        ("reordered", "entry 1 (byte 222 of audit/entries-00000000000000000000.log) calls itself entry 2"),
        ("cut-short", "the log was cut short: it ends after 3 entries, and checkpoint 1 covers 4"),
        ("checkpoints-reordered", "checkpoint 1 (byte "),
        ("checkpoint-of-another-root", "one of the entries 2 to 3 is not the one that checkpoint 1 covers"),
    ];
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/audit_log");
    for (name, expected) in cases {
        let data = fs::read(seeds.join(name)).unwrap();
        let parts = data.windows(3).position(|w| w == b"%%\n").map(|at| (&data[..at], &data[at + 3..]));
        let store = Store::open(SimDisk::new(), Log::DIRS, Fuse::never()).unwrap();
        let (entries, checkpoints) = parts.unwrap_or((&data, b""));
        store.write_atomic("audit/entries-00000000000000000000.log", entries).unwrap();
        store.write_atomic("audit/checkpoints.log", checkpoints).unwrap();
        let found = match Log::verify(&store, &key, None) {
            Ok(report) => {
                let torn = report.torn.iter().map(|t| format!("{} {}", t.at.what, t.at.index));
                let torn: Vec<String> = torn.collect();
                let beyond = report.beyond.end - report.beyond.start;
                format!(
                    "{} entries, {beyond} beyond {}, torn [{}]",
                    report.entries,
                    report.beyond.start,
                    torn.join(" ")
                )
            }
            Err(e) => e.to_string(),
        };
        assert!(found.starts_with(expected), "{name}: {found}");
    }
}
