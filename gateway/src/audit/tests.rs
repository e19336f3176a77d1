//! A log and everything that may happen to it on a disk.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use hal::clock::{Mono, Wall};
use hal::store::{Fuse, PowerCut, SimDisk, Store};
use proptest::prelude::*;

use super::checkpoint::{Checkpoint, LogKey};
use super::tree::{verify_consistency, verify_inclusion};
use super::*;

const FIRST: &str = "audit/entries-00000000000000000000.log";
const CHECKPOINTS: &str = "audit/checkpoints.log";

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn key(&self) -> LogKey {
        let point = self.0.public_key().as_ref();
        let (x, y) = (point[1..33].try_into().unwrap(), point[33..].try_into().unwrap());
        LogKey::from_coordinates("plant.example/headgate-1", &x, &y).unwrap()
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
    }

    fn seal(&self, log: &mut Log) -> Result<(), AuditError> {
        log.want_receipt();
        let text = log.pending(Mono(0))?.expect("entries that no checkpoint covers");
        log.sealed(&self.sign(&text), at(0)).map(drop)
    }
}

fn at(n: u64) -> Wall {
    Wall::trusted(1_795_342_500_250 + n as i64)
}

fn event(n: u64) -> Event {
    Event::new(at(n), Kind::Verdict, "10.0.0.9", "line-1", &format!("number {n}"))
}

fn open_store(disk: &SimDisk) -> Store {
    Store::open(disk.clone(), Log::DIRS, Fuse::never()).unwrap()
}

fn open(disk: &SimDisk, signer: &Signer) -> Result<(Log, Vec<Torn>), AuditError> {
    Log::open(open_store(disk), signer.key(), None)
}

/// 12 entries: checkpoints of 5 and 10, two entries beyond.
fn sample(signer: &Signer) -> (SimDisk, Log) {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk, signer).unwrap();
    for n in 0..12 {
        if n == 5 || n == 10 {
            signer.seal(&mut log).unwrap();
        }
        assert_eq!(log.append(&event(n)).unwrap(), n);
    }
    log.sync().unwrap();
    (disk, log)
}

fn lines(disk: &SimDisk, name: &str) -> Vec<String> {
    let bytes = open_store(disk).read(name, 1 << 30).unwrap().unwrap();
    String::from_utf8(bytes).unwrap().lines().map(String::from).collect()
}

fn rewrite(disk: &SimDisk, name: &str, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    open_store(disk).write_atomic(name, text.as_bytes()).unwrap();
}

/// A record whose hash fits, as somebody who knows the format would forge it.
fn forged(line: &str, from: &str, to: &str) -> String {
    assert!(line.contains(from), "{line}");
    record::line(&line[65..].replace(from, to)).1.trim_end().to_owned()
}

#[test]
fn every_damage_is_told_with_its_place() {
    let signer = Signer::new();
    let stranger = Signer::new();
    type Damage = fn(&mut Vec<String>, &mut Vec<String>);
    let cases: [(&str, Damage, &str); 17] = [
        (
            "an edited entry",
            |e, _| e[3] = e[3].replace("number 3", "number 4"),
            "entry 3 (byte 639 of audit/entries-00000000000000000000.log) was edited",
        ),
        (
            "an entry forged with its hash",
            |e, _| e[7] = forged(&e[7], "number 7", "number 8"),
            "one of the entries 5 to 9 is not the one that checkpoint 1 covers",
        ),
        (
            "a forged entry before the first checkpoint",
            |e, _| e[0] = forged(&e[0], "number 0", "nothing"),
            "one of the entries 0 to 4 is not the one that checkpoint 0 covers",
        ),
        (
            "an edited entry beyond the checkpoint",
            |e, _| e[10] = e[10].replace("number", "Number"),
            "entry 10 (byte",
        ),
        (
            "two entries in the other order",
            |e, _| e.swap(6, 7),
            "entry 6 (byte 1278 of audit/entries-00000000000000000000.log) calls itself entry 7",
        ),
        ("the last two in the other order", |e, _| e.swap(10, 11), "entry 10 (byte"),
        (
            "an entry left out",
            |e, _| drop(e.remove(4)),
            "entry 4 (byte 852 of audit/entries-00000000000000000000.log) calls itself entry 5",
        ),
        ("an entry twice", |e, _| e.insert(2, e[2].clone()), "calls itself entry 2"),
        (
            "a line that is no record",
            |e, _| e[1] = "# checked, all fine".into(),
            "entry 1 (byte 213 of audit/entries-00000000000000000000.log): found \"# checked",
        ),
        (
            "whole but no entry",
            |e, _| e[1] = record::line("{}").1.trim_end().into(),
            "no audit entry: missing field",
        ),
        ("the end cut off", |e, _| e.truncate(8), "it ends after 8 entries, and checkpoint 1 covers 10"),
        ("everything gone", |e, _| e.clear(), "it ends after 0 entries, and checkpoint 0 covers 10"),
        (
            "a checkpoint of another root",
            |_, c| c[0] = forged(&c[0], "\\n5\\n", "\\n6\\n"),
            "checkpoint 0 covers: their root is",
        ),
        ("checkpoints in the other order", |_, c| c.swap(0, 1), "checkpoint 1 (byte"),
        (
            "a checkpoint twice",
            |_, c| c.push(c[1].clone()),
            "covers 10 entries, and the one before covered 10",
        ),
        (
            "an edited checkpoint",
            |_, c| c[0] = c[0].replace("plant", "Plant"),
            "checkpoint 0 (byte 0 of audit/checkpoints.log) was edited",
        ),
        (
            "a checkpoint that is none",
            |_, c| c[1] = forged(&c[1], "\\n10\\n", "\\n010\\n"),
            "line 2 of the checkpoint: found \"010\"",
        ),
    ];
    for (what, damage, says) in cases {
        let (disk, _) = sample(&signer);
        let (mut entries, mut checkpoints) = (lines(&disk, FIRST), lines(&disk, CHECKPOINTS));
        damage(&mut entries, &mut checkpoints);
        rewrite(&disk, FIRST, &entries);
        rewrite(&disk, CHECKPOINTS, &checkpoints);
        let error = open(&disk, &signer).unwrap_err().to_string();
        assert!(error.contains(says), "{what}: {error}");
        let error = Log::verify(&open_store(&disk), &signer.key(), None).unwrap_err().to_string();
        assert!(error.contains(says) || what == "a checkpoint of another root", "{what}: {error}");
        assert_eq!(lines(&disk, FIRST), entries, "{what}: the disk was changed");
    }
    let (disk, _) = sample(&signer);
    let error = open(&disk, &stranger).unwrap_err();
    assert!(matches!(error, AuditError::Signature { .. }), "another key: {error}");
}

#[test]
fn a_signature_that_is_not_the_logs_is_refused_wherever_it_stands() {
    let signer = Signer::new();
    let (disk, _) = sample(&signer);
    let mut checkpoints = lines(&disk, CHECKPOINTS);
    // The text of the first with the signature of the second.
    let sealed = |line: &String| Sealed::parse(&line.as_bytes()[65..]).unwrap();
    let (mut first, second) = (sealed(&checkpoints[0]), sealed(&checkpoints[1]));
    first.note.signatures = second.note.signatures;
    checkpoints[0] = record::line(&first.to_json()).1.trim_end().into();
    rewrite(&disk, CHECKPOINTS, &checkpoints);
    let error = Log::verify(&open_store(&disk), &signer.key(), None).unwrap_err().to_string();
    assert!(error.contains("checkpoint 0 (byte 0 of audit/checkpoints.log): the signature of"), "{error}");
    checkpoints.pop();
    rewrite(&disk, CHECKPOINTS, &checkpoints);
    assert!(matches!(open(&disk, &signer), Err(AuditError::Signature { .. })));
}

#[test]
fn a_log_that_was_rolled_back_whole_is_told_by_whoever_kept_a_checkpoint() {
    let signer = Signer::new();
    let (disk, log) = sample(&signer);
    let seen = log.newest().unwrap().checkpoint().clone();
    let open_seen = |seen: &Checkpoint| Log::open(open_store(&disk), signer.key(), Some(seen)).map(drop);
    open_seen(&seen).unwrap();
    rewrite(&disk, FIRST, &lines(&disk, FIRST)[..7]);
    rewrite(&disk, CHECKPOINTS, &lines(&disk, CHECKPOINTS)[..1]);
    open(&disk, &signer).unwrap();
    assert!(matches!(open_seen(&seen), Err(AuditError::RolledBack { entries: 7, size: 10 })));
    let (mut log, _) = open(&disk, &signer).unwrap();
    (7..12).for_each(|n| assert_eq!(log.append(&event(n + 100)).unwrap(), n));
    assert!(matches!(open_seen(&seen), Err(AuditError::Forked { size: 10, .. })));
}

#[test]
fn a_torn_end_is_dropped_and_told_and_the_log_goes_on() {
    let signer = Signer::new();
    let (disk, log) = sample(&signer);
    let whole = lines(&disk, FIRST);
    let start = whole[..11].iter().map(|l| l.len() + 1).sum::<usize>();
    for len in start + 1..start + whole[11].len() + 1 {
        let torn = disk.power_cut(PowerCut::CLEAN);
        torn.truncate(FIRST, len);
        let report = Log::verify(&open_store(&torn), &signer.key(), None).unwrap();
        let (mut log, dropped) = open(&torn, &signer).unwrap();
        assert_eq!(report.torn, dropped);
        let at = Place { what: "entry", index: 11, offset: start as u64, file: FIRST.into() };
        assert_eq!(dropped, [Torn { at, bytes: (len - start) as u64 }]);
        assert_eq!(log.append(&event(11)).unwrap(), 11);
        assert_eq!(lines(&torn, FIRST), whole);
    }
    // The last checkpoint is torn: the one before covers less.
    let torn = disk.power_cut(PowerCut::CLEAN);
    torn.truncate(CHECKPOINTS, lines(&disk, CHECKPOINTS)[0].len() + 20);
    let (log_after, dropped) = open(&torn, &signer).unwrap();
    assert_eq!((dropped[0].at.what, dropped[0].at.index, dropped.len()), ("checkpoint", 1, 1));
    assert_eq!(log_after.newest().unwrap().checkpoint().size, 5);
    assert_eq!(log_after.root(), log.root());
    // An entry that a checkpoint covers is no torn end, nor is garbage with something whole behind it.
    disk.truncate(FIRST, start - 250);
    assert!(matches!(open(&disk, &signer), Err(AuditError::Shorter { entries: 9, size: 10, checkpoint: 1 })));
}

#[test]
fn what_no_clock_and_no_table_has_does_not_make_a_log_that_cannot_be_read() {
    let signer = Signer::new();
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk, &signer).unwrap();
    for ms in [i64::MIN, -1, i64::MAX] {
        let mut event =
            Event::new(Wall::trusted(ms), Kind::Other("No Kind".into()), "\u{0}", "\n", "\u{2028}");
        event.code = Some(hal::reason::ReasonCode(7));
        log.append(&event).unwrap();
        log.want_receipt();
        let text = log.pending(Mono(0)).unwrap().unwrap();
        log.sealed(&signer.sign(&text), Wall { ms, trusted: false }).unwrap();
    }
    let (again, _) = open(&disk, &signer).unwrap();
    assert_eq!((again.size(), again.root()), (3, log.root()));
    assert_eq!(again.entries(0..1).next().unwrap().unwrap().event.kind, Kind::Other("other".into()));
}

#[test]
fn verify_says_what_no_checkpoint_covers() {
    let signer = Signer::new();
    let (disk, mut log) = sample(&signer);
    let verify = || Log::verify(&open_store(&disk), &signer.key(), None).unwrap();
    let report = verify();
    assert_eq!((report.entries, report.checkpoints, report.beyond.clone()), (12, 2, 10..12));
    assert_eq!((report.root, report.newest.as_ref()), (log.root(), log.newest()));
    signer.seal(&mut log).unwrap();
    assert!(verify().beyond.is_empty());
}

#[test]
fn a_checkpoint_is_due_once_a_minute_or_for_a_receipt() {
    let signer = Signer::new();
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk, &signer).unwrap();
    let second = |s: u64| Mono(s * 1_000_000_000);
    log.want_receipt();
    assert_eq!(log.pending(second(0)).unwrap(), None, "nothing to sign");
    log.append(&event(0)).unwrap();
    let text = log.pending(second(1)).unwrap().unwrap();
    assert!(text.starts_with("plant.example/headgate-1\n1\n"));
    log.append(&event(1)).unwrap();
    assert_eq!(log.deadline(), Some(second(61)));
    assert_eq!(log.pending(second(60)).unwrap(), None, "too early");
    let bad = log.sealed(&signer.sign("something else"), at(0));
    assert!(matches!(bad, Err(AuditError::Unsigned { size: 1, .. })));
    assert!(matches!(log.sealed(&signer.sign(&text), at(0)), Err(AuditError::NothingPending)));
    log.want_receipt();
    let text = log.pending(second(2)).unwrap().unwrap();
    assert_eq!(log.sealed(&signer.sign(&text), at(0)).unwrap().checkpoint().size, 2);
    log.append(&event(2)).unwrap();
    assert_eq!(log.pending(second(61)).unwrap(), None);
    assert!(log.pending(second(62)).unwrap().is_some());
}

#[test]
fn entries_and_proofs_are_found_across_files() {
    let signer = Signer::new();
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk, &signer).unwrap();
    let long = "x".repeat(6000);
    let mut roots = Vec::new();
    for n in 0..1500 {
        log.append(&Event::new(at(n), Kind::Other("long".into()), "a", "b", &long)).unwrap();
        roots.push(log.root());
        if n % 499 == 0 {
            signer.seal(&mut log).unwrap();
        }
    }
    let store = open_store(&disk);
    assert_eq!(store.list("audit").unwrap().len(), 4, "three files and the checkpoints");
    let (again, torn) = open(&disk, &signer).unwrap();
    assert_eq!((again.root(), torn), (log.root(), vec![]));
    for which in [0..1500, 0..1, 600..1400, 1499..9999, 7..7, 2000..3000] {
        let read: Vec<u64> = log.entries(which.clone()).map(|e| e.unwrap().n).collect();
        let expected: Vec<u64> = which.filter(|n| *n < 1500).collect();
        assert_eq!(read, expected);
    }
    assert_eq!(log.last(2).map(|e| e.unwrap().n).collect::<Vec<_>>(), [1498, 1499]);
    let newest = log.newest().unwrap().checkpoint().clone();
    for index in [0, 1, 680, 681, 682, 1000, newest.size - 1] {
        let proof = log.inclusion(index, &newest).unwrap();
        let line = log.entries(index..index + 1).next().unwrap().unwrap().to_json();
        let leaf = tree::Hash::of_leaf(line.as_bytes());
        assert_eq!(verify_inclusion(&leaf, index, newest.size, &proof, &newest.root), Ok(()));
    }
    for (old, new) in [(1, 500), (500, 999), (999, 1498), (1, 1498), (700, 1500)] {
        let proof = log.consistency(old, new).unwrap();
        let root = |size: u64| &roots[size as usize - 1];
        assert_eq!(verify_consistency((old, root(old)), (new, root(new)), &proof), Ok(()));
    }
    assert!(matches!(log.inclusion(newest.size, &newest), Err(AuditError::NoSuch(_))));
    assert!(matches!(log.consistency(1, 1501), Err(AuditError::NoSuch(_))));
    assert!(matches!(log.checkpoint(2), Err(AuditError::NoCheckpoint { size: 2 })));

    let second = store.list("audit").unwrap()[2].file.clone();
    store.remove(&format!("audit/{second}")).unwrap();
    assert!(matches!(open(&disk, &signer), Err(AuditError::Segment { .. })));
    let read = log.entries(0..1500).last().unwrap();
    assert!(read.is_err(), "a file that is gone is told while reading");
}

#[test]
fn a_full_disk_is_said_and_the_log_goes_on_when_there_is_room() {
    let signer = Signer::new();
    let (disk, mut log) = sample(&signer);
    let used: u64 = open_store(&disk).list("audit").unwrap().iter().map(|e| e.size).sum();
    disk.set_capacity(used + 50);
    for _ in 0..2 {
        let error = log.append(&event(12)).unwrap_err();
        assert!(matches!(&error, AuditError::Store(e) if e.is_full()), "{error}");
    }
    // A start on a full disk reads what is there, and takes nothing.
    let (mut log, torn) = open(&disk, &signer).unwrap();
    assert_eq!((log.size(), log.last(9).count(), torn.len()), (12, 9, 1));
    assert!(matches!(log.append(&event(12)), Err(AuditError::Store(e)) if e.is_full()));
    disk.set_capacity(1 << 20);
    assert_eq!(log.append(&event(12)).unwrap(), 12);
    log.sync().unwrap();
    let (again, torn) = open(&disk, &signer).unwrap();
    assert_eq!((again.size(), torn), (13, vec![]));
}

/// Does what a gateway does until the power goes; gives how many entries were synced, and the newest checkpoint that
/// was handed out.
fn live(store: Store, signer: &Signer) -> (u64, Option<Checkpoint>) {
    let (mut synced, mut sealed) = (0, None);
    let run = || -> Result<(), AuditError> {
        let (mut log, _) = Log::open(store, signer.key(), None)?;
        for n in 0..6 {
            log.append(&event(n))?;
            if n % 2 == 1 {
                log.sync()?;
                synced = n + 1;
            }
            if n % 3 == 2 {
                log.want_receipt();
                if let Some(text) = log.pending(Mono(0))? {
                    sealed = Some(log.sealed(&signer.sign(&text), at(n))?.checkpoint().clone());
                    synced = n + 1;
                }
            }
        }
        Ok(())
    };
    let _ = run(); // the cut
    (synced, sealed)
}

#[test]
fn a_cut_of_the_power_at_any_write_loses_nothing_that_was_promised() {
    let signer = Signer::new();
    let mut steps = 0;
    loop {
        let disk = SimDisk::new();
        drop(open_store(&disk));
        let Ok(store) = Store::open(disk.clone(), Log::DIRS, Fuse::at(steps)) else {
            steps += 1;
            continue;
        };
        let (synced, sealed) = live(store.clone(), &signer);
        for names in [0, 1, usize::MAX] {
            for bytes in [0, 1, 40, 70, 198, 199, 250, 500, usize::MAX] {
                let after = disk.power_cut(PowerCut { names, bytes });
                let opened = Log::open(open_store(&after), signer.key(), sealed.as_ref());
                let (mut log, _) = opened.unwrap_or_else(|e| panic!("cut at {steps}, {names} {bytes}: {e}"));
                assert!(log.size() >= synced, "cut at {steps}: {} of {synced}", log.size());
                let n = log.size();
                assert_eq!(log.append(&event(n)).unwrap(), n);
                signer.seal(&mut log).unwrap();
                let report = Log::verify(&open_store(&after), &signer.key(), sealed.as_ref()).unwrap();
                assert_eq!((report.entries, report.torn), (n + 1, vec![]));
            }
        }
        if !store.fuse().blown() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 15, "only {steps} crash points");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_bit_changed_anywhere_is_told_or_was_a_torn_end(at in any::<prop::sample::Index>(), which in any::<bool>()) {
        let signer = Signer::new();
        let (disk, log) = sample(&signer);
        let name = if which { FIRST } else { CHECKPOINTS };
        let len = open_store(&disk).read(name, 1 << 20).unwrap().unwrap().len();
        prop_assert!(disk.flip(name, at.index(len)));
        if let Ok((again, torn)) = open(&disk, &signer) {
            // Only what lies at the very end, and is covered by nothing, may pass for torn.
            prop_assert_eq!(torn.len(), 1);
            prop_assert!(again.size() >= 10 && log.size() == 12);
        }
    }
}
