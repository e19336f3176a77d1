//! Power cuts at every step of every kind of change, by table and at random.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DIRS: &[&str] = &["vault", "held"];
const CUTS: [PowerCut; 4] = [
    PowerCut::CLEAN,
    PowerCut::NAMES_ONLY,
    PowerCut { names: usize::MAX, bytes: usize::MAX },
    PowerCut { names: 1, bytes: 2 },
];

#[derive(Debug, Clone)]
enum Op {
    Write(&'static str, Vec<u8>),
    Stream(&'static str, Vec<Vec<u8>>),
    Abandon(Vec<u8>),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    Append(&'static str, Vec<Vec<u8>>),
}

type Files = BTreeMap<String, Vec<u8>>;

/// The files after `op`, without the disk.
fn expected(before: &Files, op: &Op) -> Files {
    let mut files = before.clone();
    match op {
        Op::Write(name, bytes) => drop(files.insert((*name).into(), bytes.clone())),
        Op::Stream(name, chunks) => drop(files.insert((*name).into(), chunks.concat())),
        Op::Abandon(_) => {}
        Op::Rename(from, to) => {
            if let Some(bytes) = files.remove(*from) {
                files.insert((*to).into(), bytes);
            }
        }
        Op::Remove(name) => drop(files.remove(*name)),
        Op::Append(name, chunks) => files.entry((*name).into()).or_default().extend(chunks.concat()),
    }
    files
}

/// Whether a cut during `op` may leave `found`: all of the change, none of it, or of what was being appended
/// a part from its beginning on.
fn may_leave(found: &Files, before: &Files, after: &Files, op: &Op) -> bool {
    if let Op::Append(name, _) = op
        && let (Some(have), Some(all)) = (found.get(*name), after.get(*name))
    {
        let old = before.get(*name).map_or(0, Vec::len);
        let mut others = found.clone();
        others.insert((*name).into(), all.clone());
        return others == *after && have.len() >= old && all.starts_with(have);
    }
    found == before || found == after
}

fn run(store: &Store, op: &Op) -> Result<(), StoreError> {
    match op {
        Op::Write(name, bytes) => store.write_atomic(name, bytes),
        Op::Stream(name, chunks) => {
            let mut intake = store.intake("vault")?;
            chunks.iter().try_for_each(|chunk| intake.write(chunk))?;
            intake.commit(name)
        }
        Op::Abandon(bytes) => store.intake("held")?.write(bytes),
        Op::Rename(from, to) => match store.rename(from, to) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        },
        Op::Remove(name) => store.remove(name).map(drop),
        Op::Append(name, chunks) => {
            let mut tail = store.append(name)?;
            chunks.iter().try_for_each(|chunk| tail.write(chunk))?;
            tail.sync()
        }
    }
}

/// Everything the store shows, temporary files included so that none may be left.
fn files(disk: &SimDisk) -> Files {
    let store = Store::open(disk.clone(), DIRS, Fuse::never()).unwrap();
    let mut files = Files::new();
    for dir in ["", "vault", "held"] {
        for entry in disk.list(dir).unwrap() {
            let name = if dir.is_empty() { entry.file } else { format!("{dir}/{}", entry.file) };
            files.insert(name.clone(), store.read(&name, 1 << 20).unwrap().unwrap());
        }
    }
    files
}

#[test]
fn a_cut_before_any_step_leaves_old_or_new_whole() {
    let ops = [
        Op::Write("a", b"new content".to_vec()),
        Op::Write("vault/b", b"fresh".to_vec()),
        Op::Stream("held/c", vec![b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]),
        Op::Abandon(b"never named".to_vec()),
        Op::Rename("a", "vault/a"),
        Op::Remove("a"),
        Op::Append("a", vec![b" and".to_vec(), b" more".to_vec()]),
        Op::Append("vault/log", vec![b"first".to_vec()]),
    ];
    for op in &ops {
        let mut steps = 0;
        loop {
            let disk = SimDisk::new();
            run(&Store::open(disk.clone(), DIRS, Fuse::never()).unwrap(), &Op::Write("a", b"old".to_vec()))
                .unwrap();
            let before = files(&disk);
            let after = expected(&before, op);
            let store = Store { disk: Arc::new(disk.clone()), fuse: Fuse::at(steps) };
            let outcome = run(&store, op);
            for cut in CUTS {
                let found = files(&disk.power_cut(cut));
                let done = outcome.is_ok();
                assert!(
                    found == after || (!done && may_leave(&found, &before, &after, op)),
                    "{op:?} cut at {steps}, {cut:?}: {found:?}"
                );
            }
            if !store.fuse().blown() {
                assert!(outcome.is_ok());
                break;
            }
            steps += 1;
        }
        assert!(steps >= 2, "{op:?} passes only {steps} crash points");
    }
}

#[test]
fn a_full_disk_is_said_and_the_old_content_stays() {
    let disk = SimDisk::new();
    disk.set_capacity(100);
    let store = Store::open(disk.clone(), DIRS, Fuse::never()).unwrap();
    store.write_atomic("a", &[1; 60]).unwrap();
    let error = store.write_atomic("a", &[2; 60]).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(store.read("a", 100).unwrap(), Some(vec![1; 60]));
    assert_eq!(store.free().unwrap(), 40, "the temporary file is gone");
    assert!(matches!(store.read("a", 59), Err(StoreError::TooLarge { found: 60, limit: 59, .. })));
    assert!(store.set_aside("reserve", 50).unwrap_err().is_full());
}

#[test]
fn a_tail_whose_write_failed_takes_nothing_more() {
    let disk = SimDisk::new();
    disk.set_capacity(10);
    let store = Store::open(disk.clone(), DIRS, Fuse::never()).unwrap();
    let mut tail = store.append("log").unwrap();
    tail.write(b"12345678").unwrap();
    assert!(tail.write(b"9abc").unwrap_err().is_full());
    disk.set_capacity(100);
    assert!(tail.write(b"more").is_err() && tail.sync().is_err());
    assert_eq!((tail.size(), store.read("log", 100).unwrap()), (8, Some(b"123456789a".to_vec())));
}

fn op() -> impl Strategy<Value = Op> {
    let name = || prop::sample::select(vec!["a", "b", "vault/a", "vault/b", "held/a"]);
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (name(), bytes()).prop_map(|(n, b)| Op::Write(n, b)),
        (name(), prop::collection::vec(bytes(), 0..4)).prop_map(|(n, c)| Op::Stream(n, c)),
        bytes().prop_map(Op::Abandon),
        (name(), name()).prop_map(|(a, b)| Op::Rename(a, b)),
        name().prop_map(Op::Remove),
        (name(), prop::collection::vec(bytes(), 0..4)).prop_map(|(n, c)| Op::Append(n, c)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_sequence_cut_anywhere_reads_as_before_or_after_the_operation_in_flight(
        ops in prop::collection::vec(op(), 1..12),
        cut_at in 0u64..90,
        names in prop::option::of(0usize..4),
        bytes in prop::option::of(0usize..50),
    ) {
        let disk = SimDisk::new();
        drop(Store::open(disk.clone(), DIRS, Fuse::never()).unwrap());
        let store = Store { disk: Arc::new(disk.clone()), fuse: Fuse::at(cut_at) };
        let (mut before, mut after) = (Files::new(), Files::new());
        let mut last = &ops[0];
        for op in &ops {
            last = op;
            before = after.clone();
            after = expected(&before, op);
            if run(&store, op).is_ok() && !store.fuse().blown() {
                before = after.clone();
            } else {
                break;
            }
        }
        let cut = PowerCut { names: names.unwrap_or(usize::MAX), bytes: bytes.unwrap_or(usize::MAX) };
        let found = files(&disk.power_cut(cut));
        prop_assert!(may_leave(&found, &before, &after, last), "{found:?}\nneither {before:?}\nnor {after:?}");
    }
}
