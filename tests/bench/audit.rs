//! The audit log on a real disk, whose writes go to the page cache: that an append costs the same however long the
//! log is, and how long it takes to check a log of 100 000 entries with a checkpoint for every thousand.

use std::path::Path;
use std::time::Instant;

use gateway::audit::{Event, Kind, Log};
use hal::clock::Wall;
use hal::store::{Fuse, RealDisk, Store};
use headgate_tests::signer::Signer;

use crate::ROUNDS;
use crate::figure::{Bound, figure, median, ratios};

const ENTRIES: usize = 100_000;
/// How many at the beginning are compared with as many at the end.
const PART: usize = 10_000;

/// Median time of an append late in the log against early in it.
pub(crate) fn append() {
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let times = write(dir.path(), &Signer::generate(), false);
        early.push(median(&times[..PART]));
        late.push(median(&times[ENTRIES - PART..]));
    }
    println!("audit-append: {ROUNDS} logs of {ENTRIES} entries, not synced");
    println!("  the first {PART:<12}{:>8.0} ns", median(&early));
    println!("  the last {PART:<13}{:>8.0} ns", median(&late));
    figure("audit-append", "ratio", &ratios(&late, &early), Bound::AtMost(1.25));
}

/// Seconds for [`Log::verify`].
pub(crate) fn verify() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let signer = Signer::generate();
    write(dir.path(), &signer, true);
    let store = open(dir.path());
    let bytes: u64 = store.list("audit").expect("a folder").iter().map(|entry| entry.size).sum();
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let report = Log::verify(&store, &signer.key(), None).expect("a whole log");
        seconds.push(start.elapsed().as_secs_f64());
        assert_eq!((report.entries, report.checkpoints), (ENTRIES as u64, 100));
    }
    println!("audit-verify-100k: {ROUNDS} rounds, {bytes} bytes, 100 checkpoints");
    figure("audit-verify-100k", "s", &seconds, Bound::AtMost(2.0));
}

fn open(dir: &Path) -> Store {
    Store::open(RealDisk::open(dir).expect("a folder"), Log::DIRS, Fuse::never()).expect("a store")
}

/// Writes a log; gives the nanoseconds of each append.
fn write(dir: &Path, signer: &Signer, is_sealed: bool) -> Vec<f64> {
    let (mut log, _) = Log::open(open(dir), signer.key(), None).expect("a new log");
    let at = Wall::trusted(1_795_342_500_250);
    let mut event =
        Event::new(at, Kind::Verdict, "10.0.0.9", "line-1", "refused: no release names this image");
    event.digest = Some([0xab; 32]);
    let append = |n: usize| {
        let start = Instant::now();
        log.append(&event).expect("room");
        let ns = start.elapsed().as_nanos() as f64;
        if is_sealed && (n + 1).is_multiple_of(1000) {
            signer.seal(&mut log, at);
        }
        ns
    };
    (0..ENTRIES).map(append).collect()
}
