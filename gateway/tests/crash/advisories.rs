//! Power cut at every write of an import of advisories: the database before is gone by, or the new one, whole.

use ed25519_dalek::Signer;
use firmware_verifier::Digest;
use firmware_verifier::advisory::csaf::Csaf;
use firmware_verifier::advisory::database::Builder;
use firmware_verifier::document::{AdvisoryRelease, Moment};
use gateway::judge::{Answered, Brought, Failure, Judge, Request};
use hal::clock::Wall;
use serde_json::json;

use super::spent::paper;
use super::world::{World, alone, approver, cut_everywhere};

/// A database whose one advisory came out on that day of November 2025, and the approver's leave to go by it.
struct Signed {
    bytes: Vec<u8>,
    document: String,
}

fn database(day: u8) -> Signed {
    let released = format!("2025-11-{day:02}T00:00:00Z");
    let text = json!({
        "document": {
            "category": "csaf_security_advisory", "csaf_version": "2.0", "title": "A hole",
            "publisher": { "category": "vendor", "name": "acme", "namespace": "https://acme.example" },
            "tracking": { "id": "ACME-1", "status": "final", "version": "1", "revision_history": [],
                "initial_release_date": released, "current_release_date": released },
        },
        "product_tree": { "branches": [{ "category": "vendor", "name": "acme", "branches": [
            { "category": "product_name", "name": "m", "product": { "product_id": "p", "name": "m" } } ] }] },
        "vulnerabilities": [{ "cve": "CVE-2025-1000", "product_status": { "fixed": ["p"] } }],
    });
    let mut builder = Builder::new();
    builder.add(Csaf::parse(text.to_string().as_bytes()).unwrap());
    let bytes = builder.finish().unwrap();
    let current: Wall = released.parse().unwrap();
    let content = AdvisoryRelease { current: Moment::new(current), database: Digest::of(&bytes) };
    let mut envelope = paper(day, content);
    envelope.attach("ann", &approver().sign(&envelope.message()).to_bytes()).unwrap();
    Signed { bytes, document: envelope.to_json().unwrap() }
}

fn import(judge: &mut Judge, signed: &Signed) -> Result<(), Failure> {
    let mut intake = judge.database_intake(signed.bytes.len() as u64)?;
    // In several writes, as a socket brings it.
    for piece in signed.bytes.chunks(400) {
        intake.write(piece)?;
    }
    let request = Request::AdvisoriesImport { document: signed.document.clone(), yes: true };
    judge.ask_with(request, Brought { database: Some(intake), ..Brought::default() }).map(drop)
}

#[test]
fn every_cut_of_an_import_leaves_the_old_advisories_or_the_new_ones() {
    let _alone = alone();
    let (old, new) = (database(3), database(9));
    let digest = |signed: &Signed| Digest::of(&signed.bytes).to_hex();
    let world = World::new();
    world.prepared("ready", |world, judge| {
        world.trust_approver(judge)?;
        import(judge, &old)
    });
    let holds = |judge: &mut Judge| {
        let Ok(Answered::Advisories(row)) = judge.ask(Request::AdvisoriesShow, None) else {
            panic!("no answer")
        };
        let installed = row.installed.expect("one was installed before the cut");
        assert_eq!((row.unreadable, installed.holes), (None, Some(1)), "what is named can be asked");
        let folder = world.dir.path().join("ready-cut/advisories");
        let files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(files, [format!("{}.db", installed.digest)], "nothing else is left");
        assert!([digest(&old), digest(&new)].contains(&installed.digest));
        installed.digest == digest(&new)
    };
    let cuts = cut_everywhere(&world, "ready", |_, judge| import(judge, &new), holds);
    println!("crash points of an import of advisories: {cuts}");
    assert!(cuts >= 12, "fewer crash points than there were: {cuts}");
}
