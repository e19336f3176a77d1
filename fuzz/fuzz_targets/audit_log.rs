//! The files of an audit log as they lie on the disk: opening tells a torn end from damage, never both; a log that
//! opened reads to its end and takes entries. `%%` and a line feed part entries from checkpoints. The seeds are made by
//! hand and signed with OpenSSL; each is named for what was done to it.
#![no_main]

use gateway::audit::checkpoint::LogKey;
use gateway::audit::{Event, Kind, Log};
use hal::clock::Wall;
use hal::store::{Fuse, SimDisk, Store};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (entries, checkpoints) = match data.windows(3).position(|w| w == b"%%\n") {
        Some(at) => (&data[..at], &data[at + 3..]),
        None => (data, &b""[..]),
    };
    let key = key();
    let store = Store::open(SimDisk::new(), Log::DIRS, Fuse::never()).expect("a simulated disk");
    store.write_atomic("audit/entries-00000000000000000000.log", entries).expect("room");
    if !checkpoints.is_empty() {
        store.write_atomic("audit/checkpoints.log", checkpoints).expect("room");
    }
    let report = Log::verify(&store, &key, None);
    let opened = Log::open(store.clone(), key.clone(), None);
    assert_eq!(report.is_ok(), opened.is_ok());
    let (Ok(report), Ok((mut log, torn))) = (report, opened) else { return };
    assert_eq!((report.entries, report.root, &report.torn), (log.size(), log.root(), &torn));
    let read = log.entries(0..log.size()).filter(|entry| entry.is_ok()).count();
    assert_eq!(read as u64, log.size());
    log.append(&Event::new(Wall::trusted(0), Kind::Start, "gateway", "", "")).expect("room");
    let again = Log::verify(&store, &key, None).expect("what was torn is gone");
    assert_eq!((again.entries, again.torn.len()), (report.entries + 1, 0));
});

/// The key of RFC 6979 §A.2.5, whose private half the RFC prints: it signed the seeds.
fn key() -> LogKey {
    let half = |hex: &str| gateway::vault::from_hex(hex).expect("64 digits");
    let x = half("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
    let y = half("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    LogKey::from_coordinates("plant.example/headgate-1", &x, &y).expect("a name")
}
