//! Vault and database together, cut at every step; a process killed while it commits; a database file cut
//! short or altered.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use hal::clock::Wall;
use hal::reason::ReasonCode;
use hal::store::{Fuse, PowerCut, SimDisk, Store};

use super::alarm::{self, Source};
use super::case::{self, CaseState};
use super::outbox::{self, Kind, NewMessage, OutboxQuota};
use super::release::{self, tests::terms};
use super::testing::{Dir, at, open_case};
use super::{Db, StateError, delivery, meta};
use crate::vault::{Area, ImageDigest, Limits, Sidecar, Vault, VaultError, hex};

/// A gateway's durable state: database on a real directory, images on a simulated disk, one fuse for both.
struct Gateway {
    db: Db,
    vault: Vault,
}

#[derive(Debug)]
enum Failed {
    #[allow(dead_code)] // shown by `Debug` only
    State(StateError),
    #[allow(dead_code)]
    Vault(VaultError),
}

impl From<StateError> for Failed {
    fn from(e: StateError) -> Failed {
        Failed::State(e)
    }
}

impl From<VaultError> for Failed {
    fn from(e: VaultError) -> Failed {
        Failed::Vault(e)
    }
}

const NOW: Wall = Wall::trusted(500);
const OLD: &[u8] = b"the image that was there before";
const NEW: &[u8] = &[0x5a; 9000];

fn start(dir: &Dir, disk: &SimDisk, fuse: Fuse) -> Result<Gateway, Failed> {
    let db = dir.open_with(fuse.clone())?;
    let store = Store::open(disk.clone(), Vault::DIRS, fuse).map_err(VaultError::from)?;
    Ok(Gateway { db, vault: Vault::open(store, Limits::default())? })
}

fn stage(vault: &Vault, image: &[u8]) -> Result<crate::vault::StagedImage, VaultError> {
    let mut intake = vault.intake(1 << 20)?;
    image.chunks(4000).try_for_each(|chunk| intake.write(chunk))?;
    intake.finish(&Sidecar { name: "fw".into(), ..Sidecar::default() })
}

/// One image in the vault, released twice over, and one open case.
fn prepared() -> (Dir, SimDisk) {
    let (dir, disk) = (Dir::new(), SimDisk::new());
    let mut gateway = start(&dir, &disk, Fuse::never()).unwrap();
    let image = stage(&gateway.vault, OLD).unwrap();
    gateway.db.write("test", |tx| release::add(tx, &image, "p", &terms(2), at(1))).unwrap();
    open_case(&mut gateway.db, "p", None);
    (dir, disk)
}

fn digest_of(gateway: &Gateway) -> ImageDigest {
    gateway.vault.list(Area::Vault)[0].digest
}

/// Everything an operator could see, as text, after checking what must hold between the parts.
fn see(gateway: &Gateway) -> String {
    let rows = gateway.db.rows();
    let mut seen = String::new();
    for stored in gateway.vault.list(Area::Vault) {
        gateway.vault.prove(&stored.digest).expect("every image is whole");
        seen += &format!("image {} {}\n", hex(&stored.digest), stored.sidecar.expect("described").name);
    }
    for release in release::list(&rows).unwrap() {
        gateway.vault.prove(&release.digest).expect("a released image is whole in the vault");
        seen += &format!("{release:?}\n");
    }
    for delivery in delivery::open_deliveries(&rows).unwrap() {
        gateway.vault.prove(&delivery.digest).expect("an image under delivery is whole in the vault");
        let case = case::get(&rows, delivery.case).unwrap().expect("a delivery has its case");
        assert_eq!(case.state, CaseState::Delivering);
        seen += &format!("{delivery:?}\n");
    }
    for case in case::list(&rows, None, 99).unwrap() {
        seen += &format!("{:?}\n", case::get(&rows, case.number).unwrap());
    }
    seen +=
        &format!("{:?}\n{:?}\n", alarm::list(&rows).unwrap(), outbox::next_batch(&rows, 0, 99, NOW).unwrap());
    seen
}

#[test]
fn a_power_cut_at_any_step_leaves_vault_and_database_before_or_after() {
    type Act = fn(&mut Gateway) -> Result<(), Failed>;
    // (operation, its acts: each is one promise of "before or after")
    let operations: &[(&str, &[Act])] = &[
        ("stage", &[|g| Ok(stage(&g.vault, NEW).map(drop)?)]),
        (
            "stage and release",
            &[
                |g| Ok(stage(&g.vault, NEW).map(drop)?),
                |g| {
                    let newest =
                        g.vault.list(Area::Vault).into_iter().map(|s| s.digest).find(|d| *d != old());
                    let proof = g.vault.prove(&newest.expect("staged"))?;
                    Ok(g.db.write("release", |tx| release::add(tx, &proof, "q", &terms(1), at(2)))?)
                },
            ],
        ),
        (
            "withdraw and remove",
            &[
                |g| Ok(g.db.write("withdraw", |tx| release::withdraw(tx, &old(), "p")).map(drop)?),
                |g| Ok(g.vault.remove(Area::Vault, &old())?),
            ],
        ),
        (
            "consume a use and begin delivery",
            &[|g| {
                let digest = digest_of(g);
                let case = case::list(&g.db.rows(), None, 1)?[0].number;
                Ok(g.db.write("consume", |tx| {
                    release::consume_use(tx, &digest, "p", case)?;
                    case::settle(tx, case, CaseState::Delivering, None)?;
                    delivery::begin(tx, case, "p", &digest, at(3))
                })?)
            }],
        ),
        (
            "verdict of a case",
            &[|g| {
                let case = case::list(&g.db.rows(), None, 1)?[0].number;
                Ok(g.db.write("verdict", |tx| {
                    case::tell(tx, case, at(3), "signature does not match")?;
                    case::settle(tx, case, CaseState::Refused, Some(ReasonCode(1012)))
                })?)
            }],
        ),
        (
            "alarm and its message",
            &[|g| {
                let message = NewMessage {
                    topic: "alarm".into(),
                    payload: b"{}".to_vec(),
                    kind: Kind::Alarm,
                    expires: None,
                };
                Ok(g.db.write_with_reserve("alarm", |tx| {
                    alarm::raise(
                        tx,
                        &Source::Gateway,
                        ReasonCode(7001),
                        alarm::Kind::Latched,
                        "TPM gone",
                        at(3),
                    )?;
                    outbox::push(tx, &message, OutboxQuota::default(), at(3)).map(drop)
                })?)
            }],
        ),
    ];
    let mut cuts = 0;
    for (what, acts) in operations {
        let (dir, disk) = prepared();
        let mut gateway = start(&dir, &disk, Fuse::never()).unwrap();
        let mut states = vec![see(&gateway)];
        for act in *acts {
            act(&mut gateway).unwrap();
            states.push(see(&gateway));
        }
        for step in 0.. {
            let (dir, disk) = prepared();
            let fuse = Fuse::at(step);
            let mut done = 0;
            if let Ok(mut gateway) = start(&dir, &disk, fuse.clone()) {
                done = acts.iter().take_while(|act| act(&mut gateway).is_ok()).count();
            }
            for cut in [PowerCut::CLEAN, PowerCut::NAMES_ONLY, PowerCut { names: 1, bytes: 100 }] {
                let after = start(&dir, &disk.power_cut(cut), Fuse::never()).unwrap();
                let found = see(&after);
                // What was said to be done is done; of the act in flight, all or nothing.
                let allowed = &states[done..=(done + 1).min(acts.len())];
                assert!(allowed.contains(&found), "{what} cut at {step}, {cut:?}, {done} done:\n{found}");
            }
            if !fuse.blown() {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts > 40, "only {cuts} cuts");
}

fn old() -> ImageDigest {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, OLD).as_ref());
    digest
}

#[test]
fn a_first_start_cut_anywhere_is_still_a_first_start() {
    for step in 0.. {
        let dir = Dir::new();
        let fuse = Fuse::at(step);
        let outcome = dir.open_with(fuse.clone()).map(drop);
        assert_eq!(outcome.is_err(), fuse.blown(), "{step}: {outcome:?}");
        let mut db = dir.open();
        open_case(&mut db, "p", None);
        drop(db);
        assert_eq!(case::list(&dir.open().rows(), None, 9).unwrap().len(), 1);
        if !fuse.blown() {
            assert!(step > 15, "only {step} crash points");
            break;
        }
    }
}

#[test]
fn a_database_that_is_gone_is_not_replaced() {
    let dir = Dir::new();
    drop(dir.open());
    std::fs::remove_file(dir.path("state.db")).unwrap();
    let error = dir.open_with(Fuse::never()).unwrap_err();
    assert!(matches!(error, StateError::Gone { .. }), "{error}");
    assert!(error.to_string().contains("state.db is gone"), "{error}");
    assert!(!dir.path("state.db").exists());

    let tableless = rusqlite::Connection::open(dir.path("state.db")).unwrap();
    tableless.execute_batch("PRAGMA journal_mode = WAL; VACUUM").unwrap();
    drop(tableless);
    let error = dir.open_with(Fuse::never()).unwrap_err();
    assert!(matches!(error, StateError::Damaged { .. }), "{error}");
}

#[test]
fn the_database_files_are_private_and_opened_once() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let mut db = dir.open();
    open_case(&mut db, "p", None);
    for file in ["state.db", "state.db-wal", "state.db-shm", "state.lock", "state.created", "reserve"] {
        let mode = dir.path(file).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    assert!(matches!(dir.open_with(Fuse::never()), Err(StateError::InUse { pid: Some(_), .. })));
    let pragma =
        |name: &str| -> i64 { db.connection().pragma_query_value(None, name, |r| r.get(0)).unwrap() };
    assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
}

#[test]
fn a_full_database_spends_the_reserve_for_an_alarm_only() {
    let dir = Dir::new();
    let mut db = dir.open();
    let pages: i64 = db.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |db: &Db, pages: i64| {
        db.connection().query_row(&format!("PRAGMA max_page_count({pages})"), [], |_| Ok(())).unwrap();
    };
    limit(&db, pages);
    let error = db.write("keep a blob", |tx| meta::put(tx, "big", &[1; 100_000])).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert!(dir.path("reserve").exists(), "an ordinary write leaves the reserve alone");
    // The page limit stands for the disk, so spending the reserve does not help here.
    let error = db.write_with_reserve("keep a blob", |tx| meta::put(tx, "big", &[1; 100_000])).unwrap_err();
    assert!(error.is_full() && !dir.path("reserve").exists(), "{error}");
    limit(&db, pages + 1000);
    db.write_with_reserve("keep a blob", |tx| meta::put(tx, "big", &[1; 100_000])).unwrap();
    assert!(db.restore_reserve().unwrap() && dir.path("reserve").exists());
}

/// A closed database of several pages, so that one file holds everything.
fn sample() -> Vec<u8> {
    let dir = Dir::new();
    let mut db = dir.open();
    for i in 0..20 {
        let n = open_case(&mut db, "p", None);
        db.write("test", |tx| case::tell(tx, n, at(i), "a line of the story")).unwrap();
    }
    drop(db);
    assert!(!dir.path("state.db-wal").exists());
    std::fs::read(dir.path("state.db")).unwrap()
}

/// Opens `bytes` as the database of a gateway that has been started before, and reads everything.
fn open_bytes(bytes: &[u8]) -> Result<usize, StateError> {
    let dir = Dir::new();
    std::fs::write(dir.path("state.db"), bytes).unwrap();
    std::fs::write(dir.path("state.created"), b"x").unwrap();
    let outcome = dir.open_with(Fuse::never()).and_then(|db| {
        let rows = db.rows();
        let cases = case::list(&rows, None, 999)?;
        cases.iter().try_for_each(|c| case::get(&rows, c.number).map(drop))?;
        release::list(&rows)?;
        alarm::list(&rows)?;
        outbox::total(&rows)?;
        meta::state_counter(&rows)?;
        Ok(cases.len())
    });
    let file = std::fs::read(dir.path("state.db")).unwrap();
    assert!(
        outcome.is_ok() || file.len() <= bytes.len(),
        "{} grew to {}: {outcome:?}",
        bytes.len(),
        file.len()
    );
    outcome
}

#[test]
fn a_database_cut_short_anywhere_is_an_error_that_says_so() {
    let whole = sample();
    assert_eq!(open_bytes(&whole).unwrap(), 20);
    let step = whole.len() / 97;
    let edges =
        [1, 15, 16, 17, 99, 100, 101, 511, 512, 4095, 4096, 4097, whole.len() - 4096, whole.len() - 1];
    for len in (0..whole.len()).step_by(step).chain(edges) {
        let error = open_bytes(&whole[..len]).expect_err("cut short");
        assert!(matches!(error, StateError::Damaged { .. }), "cut at {len}: {error:?}");
    }
}

#[test]
fn an_altered_database_never_panics_and_is_never_taken_for_a_new_one() {
    let whole = sample();
    let (mut opened, mut refused) = (0, 0);
    for at in (0..whole.len()).step_by(whole.len() / 131).chain(0..100) {
        for byte in [0xff, whole[at] ^ 0x80] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            match open_bytes(&bytes) {
                // The byte was unused space, or text that reads as another text.
                Ok(cases) => opened += usize::from(cases > 0),
                Err(error) => refused += usize::from(!error.to_string().is_empty()),
            }
        }
    }
    assert!(opened > 0 && refused > 50, "{opened} opened, {refused} refused");
}

#[test]
fn a_process_killed_while_committing_keeps_every_commit_it_spoke_of() {
    if let Ok(dir) = std::env::var(CHILD) {
        commit_forever(std::path::Path::new(&dir));
        return;
    }
    let dir = Dir::new();
    let mut spoken = 0;
    for round in 0..5 {
        let this_test = "state::torture::a_process_killed_while_committing_keeps_every_commit_it_spoke_of";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this_test, "--nocapture"])
            .env(CHILD, dir.path(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers =
            lines.map_while(Result::ok).filter_map(|l| l.strip_prefix("committed ")?.parse::<u64>().ok());
        let mut last = spoken;
        for n in numbers.take(20 + round * 17) {
            last = n;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        assert!(last > spoken);
        let db = dir.open();
        spoken = meta::state_counter(&db.rows()).unwrap();
        assert!(spoken >= last, "{spoken} kept, {last} spoken of");
        let queued = outbox::total(&db.rows()).unwrap().rows;
        assert_eq!(queued, spoken, "both rows of a commit or none");
    }
}

fn commit_forever(dir: &std::path::Path) {
    let lock = super::Lock::take(dir).unwrap();
    let store = Store::open(hal::store::RealDisk::open(dir).unwrap(), &[], Fuse::never()).unwrap();
    let mut db = Db::open(lock, &store).unwrap();
    let message = NewMessage { topic: "t".into(), payload: vec![1; 200], kind: Kind::Status, expires: None };
    loop {
        let n = db
            .write("count", |tx| {
                outbox::push(tx, &message, OutboxQuota::default(), at(1))?;
                meta::advance_counter(tx)
            })
            .unwrap();
        println!("committed {n}");
    }
}

const CHILD: &str = "HEADGATE_TEST_COMMITTING_CHILD";

/// Figures, by `cargo test --release -p gateway --lib -- --ignored --nocapture figures`.
#[test]
#[ignore = "prints figures, proves nothing"]
fn figures_of_commits_and_of_opening() {
    let dir = Dir::new();
    let mut db = dir.open();
    let message = NewMessage { topic: "t".into(), payload: vec![1; 400], kind: Kind::Status, expires: None };
    let quota = OutboxQuota::default();
    let start = std::time::Instant::now();
    for _ in 0..500 {
        db.write("test", |tx| outbox::push(tx, &message, quota, at(1))).unwrap();
    }
    let single = start.elapsed() / 500;
    let start = std::time::Instant::now();
    db.write("test", |tx| (0..99_500).try_for_each(|_| outbox::push(tx, &message, quota, at(1)).map(drop)))
        .unwrap();
    let batched = start.elapsed() / 99_500;
    let start = std::time::Instant::now();
    db.write("test", |tx| (0..1000).try_for_each(|_| outbox::push(tx, &message, quota, at(1)).map(drop)))
        .unwrap();
    let dropping = start.elapsed() / 1000;
    drop(db);
    let start = std::time::Instant::now();
    drop(dir.open());
    let opened = start.elapsed();
    println!(
        "push and commit {single:?}, push in a batch {batched:?}, at the quota {dropping:?}, opening with 100,000 rows {opened:?}"
    );
}
