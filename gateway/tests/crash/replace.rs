//! A spare that takes the place of another box, cut at every file, commit and write of the TPM: nothing of the other box
//! counts, or all of it, and done again it comes to the same end.

use std::path::{Path, PathBuf};

use firmware_verifier::dsse::Envelope;
use gateway::judge::{Answered, Failure, Judge, Request};
use hal::tpm::SiteKey;

use super::world::{TAKEN, World, alone, anchors, copy, cut_everywhere, image, releases, staged, stories};

/// A box that is gone, with the backup that it left: it trusts two keys, and a controller has taken an image of it whose
/// identity was not read back.
fn gone(is_approved: bool) -> (World, PathBuf) {
    let old = World::new();
    let backup = old.dir.path().join("old.backup");
    old.prepared("old", |old, judge| {
        old.trust_approver(judge)?;
        old.trust(judge)?;
        old.stage(judge)?;
        old.release(judge, 5)?;
        if is_approved {
            old.approve_config(judge, "old")?;
        }
        old.download(judge, image())?;
        judge.ask(Request::Backup { to: backup.clone(), images: true }, None).map(drop)
    });
    (old, backup)
}

/// A provisioned spare of the same site, and what the site has signed for it and the backup.
fn spare(old: &World, backup: &Path) -> (World, String) {
    let spare = World::of(SiteKey::from_pem(&old.site.to_pem().unwrap()).unwrap());
    spare.prepared("ready", |_, _| Ok(()));
    let drafted = spare.started("ready").draft_replacement(backup, "struck by lightning").unwrap();
    let Answered::Document { document } = drafted else { panic!("another answer") };
    let leave = spare.signed_by_site(Envelope::parse(document.as_bytes()).unwrap());
    (spare, leave)
}

fn take_over(judge: &mut Judge, backup: &Path, leave: &str) -> Result<(), Failure> {
    judge.replace(backup, leave, |_| Ok(())).map(drop)
}

/// Whether it has taken over, looked at from every side: where one thing of the other box counts, everything does.
fn taken(spare: &World, judge: &mut Judge, backup: &Path, leave: &str, config: Option<&str>) -> bool {
    assert!(releases(judge).is_empty(), "releases do not go over");
    let trusted = anchors(judge);
    if trusted == 0 {
        let refused = spare.release(judge, 1).expect_err("nobody is trusted");
        assert!(refused.code.is_some() || refused.text.contains("no image"), "{refused}");
        assert!(!spare.dir.path().join("ready-cut/config.approved").exists(), "nor is a configuration");
        return false;
    }
    assert_eq!(trusted, 2, "both keys");
    let again = take_over(judge, backup, leave).expect_err("the leave was used");
    assert_eq!(again.code.map(|code| code.to_string()).as_deref(), Some("HG-1094"), "{again}");
    let told = stories(judge).join("\n");
    assert!(told.contains(TAKEN) && told.contains("the gateway was replaced while"), "{told}");
    assert!(staged(judge), "the vault");
    let Ok(Answered::Audit { entries, .. }) = judge.ask(Request::AuditList { last: 50 }, None) else {
        panic!("no log")
    };
    assert!(
        entries.iter().any(|e| e.text.contains("takes the place of the box")),
        "the log says whose place"
    );
    judge.ask(Request::AuditVerify { against: None }, None).unwrap();
    let Ok(Answered::Alarms { alarms }) = judge.ask(Request::Alarms { all: false }, None) else {
        panic!("no alarms")
    };
    assert!(alarms.iter().any(|alarm| alarm.code.to_string() == "HG-6018"), "a person must look");
    let folder = spare.dir.path().join("ready-cut");
    for left in ["incoming.db", "incoming.db-wal", "incoming.db-shm", "config.next"] {
        assert!(!folder.join(left).exists(), "{left} is left over");
    }
    assert!(std::fs::read_dir(folder.join("predecessors")).unwrap().count() > 0, "the log of the other box");
    if config.is_some() {
        assert_eq!(configuration(spare, judge).0.as_deref(), config, "its configuration is approved");
    }
    true
}

/// Which configuration is approved, and which runs.
fn configuration(spare: &World, judge: &mut Judge) -> (Option<String>, String) {
    let document = std::fs::read_to_string(spare.dir.path().join("ready-cut/config.approved")).unwrap();
    let Ok(Answered::Config(row)) = judge.ask(Request::ConfigCompare { document }, None) else {
        panic!("no configuration")
    };
    (row.approved, row.runs)
}

#[test]
fn a_spare_cut_off_anywhere_while_it_takes_over_has_taken_nothing_or_everything() {
    let _alone = alone();
    for is_approved in [false, true] {
        let (old, backup) = gone(is_approved);
        let config = is_approved.then(|| old.config("old").effective.digest().to_string());
        let (spare, leave) = spare(&old, &backup);
        let cuts = cut_everywhere(
            &spare,
            "ready",
            |_, judge| take_over(judge, &backup, &leave),
            |judge| taken(&spare, judge, &backup, &leave, config.as_deref()),
        );
        if config.is_some() {
            let mut judge = spare.started("ready-cut");
            assert_eq!(Some(configuration(&spare, &mut judge).1), config, "from the next start on it runs");
        }
        println!("crash points of a replacement, configuration approved: {is_approved}: {cuts}");
        assert!(cuts >= 40, "fewer crash points than there were: {cuts}");
    }
}

#[test]
fn what_a_take_over_that_was_cut_off_left_is_not_mixed_with_another_backup() {
    let _alone = alone();
    let (old, backup) = gone(false);
    let (spare, leave) = spare(&old, &backup);
    let folder = spare.dir.path().join("ready-cut");
    copy(&spare.dir.path().join("ready"), &folder);
    // The log file of a database that was being brought to today's version.
    let other = spare.dir.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE cases (number INTEGER); PRAGMA user_version = 1;",
        )
        .unwrap();
    std::fs::copy(spare.dir.path().join("other.db-wal"), folder.join("incoming.db-wal")).unwrap();
    std::fs::write(folder.join("incoming.db"), b"half of one").unwrap();
    let mut judge = spare.started("ready-cut");
    take_over(&mut judge, &backup, &leave).unwrap();
    assert!(taken(&spare, &mut judge, &backup, &leave, None));
}
