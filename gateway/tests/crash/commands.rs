//! Power cut at every write of init, trust, stage and release, and of a verdict on the wire: files, database
//! and TPM together are before or after, and the same command, or the same download, given again, ends well.

use gateway::judge::{Answered, Judge, Request};
use hal::store::Fuse;

use super::world::{
    REFUSED, TAKEN, World, alone, altered, anchors, copy, cut_everywhere, image, released, staged, stories,
    told_of,
};

/// Whether a download ended with the controller taking the image. What is owed to a controller is always
/// there to be delivered, and a use of the release is gone for each delivery that began.
fn delivered(judge: &mut Judge) -> bool {
    let told = stories(judge);
    let Ok(Answered::Releases { releases }) = judge.ask(Request::ReleaseList { digest: None }, None) else {
        return false;
    };
    let begun = told.iter().filter(|s| s.contains("delivery begins")).count();
    let given_back = told.iter().filter(|s| s.contains("before anything was written")).count();
    let uses = usize::try_from(releases[0].uses_left).unwrap();
    assert_eq!(uses + begun - given_back, 5, "{told:?}");
    assert!(staged(judge), "the image of a delivery stays in the vault");
    told.iter().any(|s| s.contains(TAKEN))
}

fn quarantined(judge: &mut Judge) -> bool {
    let told = stories(judge).iter().any(|s| s.contains(REFUSED));
    let Ok(Answered::Vault { quarantine, .. }) = judge.ask(Request::VaultList, None) else { return false };
    let kept = quarantine.iter().any(|i| i.digest == gateway::protocol::Digest::of(&altered()).to_hex());
    assert!(kept || !told, "a refused image is kept before its case ends");
    told && kept
}

#[test]
fn every_cut_leaves_before_or_after_and_the_command_can_be_given_again() {
    let _alone = alone();
    let world = World::new();
    std::fs::create_dir(world.dir.path().join("empty")).unwrap();
    let init = cut_everywhere(
        &world,
        "empty",
        |w, judge| w.init(judge).and_then(|request| w.approve(judge, &request)),
        |judge| judge.gate_status().open,
    );
    world.prepared("ready", |_, _| Ok(()));
    let trust = cut_everywhere(
        &world,
        "ready",
        |w, j| w.trust(j),
        |j| {
            let trusted = anchors(j) == 1;
            assert!(!trusted || told_of(j, "trusted: key"), "the log tells of each change, if late");
            trusted
        },
    );

    world.rewind_tpm();
    copy(&world.dir.path().join("ready"), &world.dir.path().join("ready-trusting"));
    let mut judge = world.open("ready-trusting", &Fuse::never()).unwrap();
    judge.open_gate();
    world.trust(&mut judge).unwrap();
    drop(judge);
    world.keep_tpm();
    let stage = cut_everywhere(&world, "ready-trusting", |w, j| w.stage(j), staged);

    copy(&world.dir.path().join("ready-trusting"), &world.dir.path().join("ready-staged"));
    let mut judge = world.open("ready-staged", &Fuse::never()).unwrap();
    judge.open_gate();
    world.stage(&mut judge).unwrap();
    drop(judge);
    let release = cut_everywhere(&world, "ready-staged", |w, j| w.release(j, 1), released);

    copy(&world.dir.path().join("ready-staged"), &world.dir.path().join("ready-released"));
    let mut judge = world.open("ready-released", &Fuse::never()).unwrap();
    judge.open_gate();
    world.release(&mut judge, 5).unwrap();
    drop(judge);
    let verdict = cut_everywhere(&world, "ready-released", |w, j| w.download(j, image()), delivered);
    let refused = cut_everywhere(&world, "ready-released", |w, j| w.download(j, altered()), quarantined);
    println!(
        "crash points: init and approval {init}, trust {trust}, stage {stage}, release {release}, \
         a download that passes {verdict}, one that is refused {refused}"
    );
    assert!(init >= 34 && trust >= 7 && stage >= 11 && release >= 2, "fewer crash points than there were");
    assert!(verdict >= 6 && refused >= 8, "fewer crash points than there were");
}

/// Whether the configuration of data folder `name` is the approved one. No cut leaves a name of it behind, once the
/// gate has been open.
fn approved(world: &World, judge: &mut Judge, name: &str) -> bool {
    let effective = world.config(name).effective.clone();
    let document = String::from_utf8(effective.bytes().to_vec()).unwrap();
    let Ok(Answered::Config(row)) = judge.ask(Request::ConfigCompare { document }, None) else {
        return false;
    };
    let file = |file: &str| std::fs::read(world.dir.path().join(name).join(file)).ok();
    assert!(file("config.next").is_none(), "a cut is finished, or undone");
    let approved = row.approved.as_ref() == Some(&row.given);
    assert_eq!(file("config.approved").is_some(), approved, "the digest and the file are one");
    approved
}

#[test]
fn every_cut_of_an_approval_leaves_the_old_configuration_or_the_new_one() {
    let _alone = alone();
    let world = World::new();
    world.prepared("ready-approver", |w, judge| w.trust_approver(judge));
    let name = "ready-approver-cut";
    let cuts = cut_everywhere(
        &world,
        "ready-approver",
        |w, judge| w.approve_config(judge, name),
        |judge| approved(&world, judge, name),
    );
    println!("crash points of an approval: {cuts}");
    assert!(cuts >= 10, "fewer crash points than there were: {cuts}");
}
