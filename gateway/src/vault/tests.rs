//! The vault on a simulated disk: what it serves, what it refuses, and what a power cut leaves.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use hal::clock::Wall;
use hal::reason::ReasonCode;
use hal::store::{Fuse, PowerCut, SimDisk};

use super::digest::sha256;
use super::*;

fn vault(disk: &SimDisk, limits: Limits) -> Vault {
    Vault::open(Store::open(disk.clone(), Vault::DIRS, Fuse::never()).unwrap(), limits).unwrap()
}

/// Bytes no two blocks of which are alike.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 % 251) as u8 ^ (i / BLOCK) as u8).collect()
}

fn sidecar(name: &str) -> Sidecar {
    let attached = BTreeMap::from([("signature".to_owned(), Attached(vec![0, 255, 7]))]);
    Sidecar { name: name.to_owned(), version: Some("2.1".to_owned()), attached, ..Sidecar::default() }
}

fn refused(at: i64) -> Refused {
    Refused { code: ReasonCode(1012), case: "C-000007".to_owned(), at: Wall::trusted(at) }
}

fn stage(vault: &Vault, image: &[u8], sidecar: &Sidecar) -> Result<StagedImage, VaultError> {
    let mut intake = vault.intake(IMAGE_LIMIT)?;
    image.chunks(1000).try_for_each(|chunk| intake.write(chunk))?;
    intake.finish(sidecar)
}

fn refuse(vault: &Vault, image: &[u8], at: i64) -> Result<ImageDigest, VaultError> {
    let mut intake = vault.intake(IMAGE_LIMIT)?;
    intake.write_from(&mut &image[..])?;
    intake.refuse(&sidecar("bad"), refused(at))
}

fn digests(vault: &Vault, area: Area) -> Vec<ImageDigest> {
    vault.list(area).iter().map(|stored| stored.digest).collect()
}

#[test]
fn what_goes_in_comes_out_in_pieces_of_any_size_also_after_a_restart() {
    let disk = SimDisk::new();
    for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17] {
        let image = bytes(len);
        let staged = stage(&vault(&disk, Limits::default()), &image, &sidecar("fw")).unwrap();
        assert_eq!((staged.digest(), staged.size()), (&sha256(&image), len as u64));

        let vault = vault(&disk, Limits::default());
        let mut open = vault.image(staged.digest()).unwrap();
        for piece in [1, 240, BLOCK, 3 * BLOCK + 5] {
            let (mut out, mut buf) = (Vec::new(), vec![0; piece]);
            while let n @ 1.. = open.read_at(out.len() as u64, &mut buf).unwrap() {
                out.extend_from_slice(&buf[..n]);
            }
            assert!(out == image, "{len} bytes in pieces of {piece}");
        }
        assert_eq!(open.read_at(u64::MAX, &mut [0; 4]).unwrap(), 0);
        let mut out = Vec::new();
        vault.export(Area::Vault, staged.digest(), &mut out).unwrap();
        assert!(out == image);
        assert_eq!(vault.sidecar(Area::Vault, staged.digest()).unwrap(), sidecar("fw"));
    }
}

#[test]
fn a_byte_altered_after_opening_is_noticed_in_its_block() {
    let disk = SimDisk::new();
    let vault = vault(&disk, Limits::default());
    let image = bytes(3 * BLOCK + 10);
    let digest = *stage(&vault, &image, &sidecar("fw")).unwrap().digest();
    let name = Area::Vault.image(&digest);

    for at in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 5, 3 * BLOCK + 9] {
        let mut open = vault.image(&digest).unwrap();
        assert!(disk.flip(&name, at));
        let mut buf = [0; 240];
        let block = at / BLOCK;
        for other in (0..4).filter(|b| *b != block) {
            open.read_at((other * BLOCK) as u64, &mut buf[..8]).unwrap();
        }
        let error = open.read_at(at as u64, &mut buf).unwrap_err();
        assert!(matches!(error, VaultError::Altered { block: b, .. } if b == block), "{error}");
        assert!(matches!(open.export(&mut Vec::new()), Err(VaultError::Altered { .. })));
        assert!(matches!(vault.image(&digest), Err(VaultError::NotWhole { .. })));
        assert!(matches!(vault.prove(&digest), Err(VaultError::NotWhole { .. })));
        disk.flip(&name, at);
    }

    let mut open = vault.image(&digest).unwrap();
    disk.truncate(&name, 2 * BLOCK);
    assert!(matches!(open.read_at(0, &mut vec![0; 4 * BLOCK]), Err(VaultError::Altered { block: 2, .. })));

    // Staging it again mends it and keeps the first description.
    let staged = stage(&vault, &image, &sidecar("other name")).unwrap();
    assert!(staged.already_there());
    assert_eq!(vault.prove(&digest).unwrap(), staged);
    assert_eq!(vault.sidecar(Area::Vault, &digest).unwrap().name, "fw");
    vault.replace_sidecar(&digest, &sidecar("other name")).unwrap();
    assert_eq!(vault.sidecar(Area::Vault, &digest).unwrap().name, "other name");
}

#[test]
fn a_sequential_reader_hashes_each_block_once() {
    let disk = SimDisk::new();
    let vault = vault(&disk, Limits::default());
    let image = bytes(2 * BLOCK);
    let digest = *stage(&vault, &image, &sidecar("fw")).unwrap().digest();
    let mut open = vault.image(&digest).unwrap();
    open.read_at(0, &mut [0; 240]).unwrap();
    // The block in hand was found good and is served from memory, so this alteration does no harm.
    disk.flip(&Area::Vault.image(&digest), 300);
    let mut buf = [0; 240];
    open.read_at(240, &mut buf).unwrap();
    assert_eq!(buf[..], image[240..480]);
}

#[test]
fn limits_hold_for_one_image_for_all_and_for_those_on_their_way() {
    let disk = SimDisk::new();
    let limits = Limits {
        vault: Quota { bytes: 1000, images: 2 },
        quarantine: Quota { bytes: 500, images: 2 },
        keep_free: 0,
    };
    let vault = vault(&disk, limits);
    let mut small = vault.intake(10).unwrap();
    assert!(matches!(small.write(&[0; 11]), Err(VaultError::TooLarge { found: 11, limit: 10, .. })));
    drop(small);

    let first = *stage(&vault, &bytes(600), &sidecar("a")).unwrap().digest();
    let mut on_its_way = vault.intake(IMAGE_LIMIT).unwrap();
    on_its_way.write(&[1; 300]).unwrap();
    assert!(matches!(stage(&vault, &[2; 200], &sidecar("b")), Err(VaultError::Quota { what: "bytes", .. })));
    drop(on_its_way);
    stage(&vault, &[2; 200], &sidecar("b")).unwrap();
    assert!(matches!(stage(&vault, &[3; 9], &sidecar("c")), Err(VaultError::Quota { what: "images", .. })));
    assert_eq!(vault.usage(Area::Vault), Quota { bytes: 800, images: 2 });

    vault.remove(Area::Vault, &first).unwrap();
    assert!(matches!(vault.image(&first), Err(VaultError::Missing { .. })));
    assert!(matches!(vault.remove(Area::Vault, &first), Err(VaultError::Missing { .. })));
    stage(&vault, &[3; 9], &sidecar("c")).unwrap();
    let huge = Sidecar { name: "x".repeat(9 << 20), ..Sidecar::default() };
    assert!(matches!(stage(&vault, &[3; 9], &huge), Err(VaultError::TooLarge { .. })));
    assert_eq!(disk.power_cut(PowerCut::CLEAN).count_files(), 4);
}

#[test]
fn quarantine_drops_the_oldest_refused_image_first() {
    let disk = SimDisk::new();
    let quarantine = Quota { bytes: 500, images: 3 };
    let limits = Limits { quarantine, keep_free: 0, ..Limits::default() };
    let (old, middle, new) = {
        let vault = vault(&disk, limits);
        let middle = refuse(&vault, &[1; 200], 20).unwrap();
        let old = refuse(&vault, &[2; 200], 10).unwrap();
        (old, middle, refuse(&vault, &[3; 100], 30).unwrap())
    };
    let vault = vault(&disk, limits); // the order is known after a restart too
    let staged = *stage(&vault, &[4; 150], &sidecar("late")).unwrap().digest();
    vault.quarantine(&staged, refused(40)).unwrap();
    assert!(!digests(&vault, Area::Quarantine).contains(&old));
    assert!(digests(&vault, Area::Vault).is_empty());
    refuse(&vault, &[5; 300], 50).unwrap();
    let left = digests(&vault, Area::Quarantine);
    assert!(!left.contains(&middle) && !left.contains(&new) && left.contains(&staged), "{left:?}");
    assert!(matches!(refuse(&vault, &[6; 501], 60), Err(VaultError::Quota { .. })));
    assert_eq!(digests(&vault, Area::Quarantine), left, "nothing is dropped for what cannot fit");
    let why = vault.sidecar(Area::Quarantine, &staged).unwrap().refused;
    assert_eq!(why, Some(refused(40)));
    assert!(
        matches!(vault.image(&staged), Err(VaultError::Missing { .. })),
        "a refused image is not delivered"
    );
}

#[test]
fn an_intake_leaves_the_room_that_is_kept_free() {
    let disk = SimDisk::new();
    disk.set_capacity(10 << 20);
    let vault = vault(&disk, Limits { keep_free: 6 << 20, ..Limits::default() });
    let error = stage(&vault, &bytes(5 << 20), &sidecar("fw")).unwrap_err();
    assert!(matches!(error, VaultError::DiskFull { keep_free: 6_291_456, .. }), "{error}");
    assert_eq!(vault.store().free().unwrap(), 10 << 20, "nothing is left behind");
    stage(&vault, &bytes(2 << 20), &sidecar("fw")).unwrap();
}

#[test]
fn a_power_cut_at_any_step_leaves_each_image_whole_in_one_place_or_absent() {
    type Act = fn(&Vault, &ImageDigest) -> Result<(), VaultError>;
    let acts: [(&str, Act); 5] = [
        ("stage", |v, _| stage(v, &bytes(9000), &sidecar("new")).map(drop)),
        ("stage again", |v, _| stage(v, &bytes(5000), &sidecar("again")).map(drop)),
        ("refuse", |v, _| refuse(v, &bytes(9000), 5).map(drop)),
        ("quarantine", |v, old| v.quarantine(old, refused(5))),
        ("remove", |v, old| v.remove(Area::Vault, old)),
    ];
    for (what, act) in acts {
        let see = |disk: &SimDisk| {
            let vault = vault(disk, Limits::default());
            let mut seen = Vec::new();
            for area in [Area::Vault, Area::Quarantine] {
                for stored in vault.list(area) {
                    vault.export(area, &stored.digest, &mut Vec::new()).expect("whole");
                    seen.push((area, stored.digest, stored.sidecar.expect("readable").name));
                }
            }
            assert_eq!(disk.count_files(), 2 * seen.len(), "{what}: no litter");
            seen
        };
        let fresh = || {
            let disk = SimDisk::new();
            let old = stage(&vault(&disk, Limits::default()), &bytes(5000), &sidecar("old")).unwrap();
            (disk, *old.digest())
        };
        let (disk, old) = fresh();
        let before = see(&disk);
        act(&vault(&disk, Limits::default()), &old).unwrap();
        let after = see(&disk);
        let mut cuts = 0;
        for step in 0.. {
            let (disk, old) = fresh();
            let fuse = Fuse::at(step);
            let outcome = Store::open(disk.clone(), Vault::DIRS, fuse.clone())
                .map_err(VaultError::from)
                .and_then(|store| Vault::open(store, Limits::default()))
                .and_then(|vault| act(&vault, &old));
            let done = outcome.is_ok();
            for cut in [PowerCut::CLEAN, PowerCut::NAMES_ONLY, PowerCut { names: 1, bytes: 100 }] {
                let found = see(&disk.power_cut(cut));
                assert!(
                    found == after || (!done && found == before),
                    "{what} cut at {step} {cut:?}: {found:?}"
                );
            }
            if !fuse.blown() {
                break;
            }
            cuts += 1;
        }
        assert!(cuts >= 4, "{what} has only {cuts} crash points");
    }
}

trait CountFiles {
    /// Files on the disk, temporary ones included.
    fn count_files(&self) -> usize;
}

impl CountFiles for SimDisk {
    fn count_files(&self) -> usize {
        Vault::DIRS.iter().map(|dir| hal::store::Disk::list(self, dir).unwrap().len()).sum()
    }
}

/// Figures, by `cargo test --release -p gateway --lib -- --ignored --nocapture figures`.
#[test]
#[ignore = "prints figures, proves nothing"]
fn figures_of_a_64_mib_image_on_the_real_disk() {
    use std::time::Instant;
    let dir = tempfile::tempdir().unwrap();
    let disk = hal::store::RealDisk::open(dir.path()).unwrap();
    let vault =
        Vault::open(Store::open(disk, Vault::DIRS, Fuse::never()).unwrap(), Limits::default()).unwrap();
    let image = bytes(IMAGE_LIMIT as usize);
    let start = Instant::now();
    let mut intake = vault.intake(IMAGE_LIMIT).unwrap();
    image.chunks(64 << 10).try_for_each(|chunk| intake.write(chunk)).unwrap();
    let taken = start.elapsed();
    let digest = *intake.finish(&sidecar("fw")).unwrap().digest();
    let durable = start.elapsed();
    let start = Instant::now();
    let mut open = vault.image(&digest).unwrap();
    let opened = start.elapsed();
    let (start, mut buf, mut at) = (Instant::now(), [0; 240], 0);
    while let n @ 1.. = open.read_at(at, &mut buf).unwrap() {
        at += n as u64;
    }
    let served = start.elapsed();
    let start = Instant::now();
    sha256(&image);
    let hashed = start.elapsed();
    println!(
        "taken {taken:?}, durable {durable:?}, opened {opened:?}, served by 240 bytes {served:?}, SHA-256 {hashed:?}"
    );
}
