//! What is good for once, cut between being used up and doing its work: it is never good twice, and never lost.

use ed25519_dalek::Signer;
use firmware_verifier::Digest;
use firmware_verifier::document::{
    Action, BreakGlass, Cause, Content, Document, DocumentId, Downgrade, Moment, NewFloor, TrustBundle,
    Window,
};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::identity::Slot;
use firmware_verifier::trust::Role;
use gateway::judge::rows::Terms;
use gateway::judge::{Answered, Failure, Judge, Request};
use hal::clock::{Clock, Wall};

use super::world::{World, alone, approver, copy, cut_everywhere, digest, image, released};

/// A document of this site for a day.
pub(crate) fn paper<C: Content>(id: u8, content: C) -> Envelope {
    let now = Clock::system().wall();
    let document = Document {
        content,
        expires: Moment::new(Wall { ms: now.ms + 86_400_000, ..now }),
        gateway: "crash".into(),
        id: DocumentId::from_bytes([id; DocumentId::LEN]),
        issued: Moment::new(now),
        reason: "a test".into(),
    };
    document.to_envelope().unwrap()
}

fn signed(mut envelope: Envelope, key: &ed25519_dalek::SigningKey) -> String {
    envelope.attach("a key", &key.sign(&envelope.message()).to_bytes()).unwrap();
    envelope.to_json().unwrap()
}

fn slot() -> Slot {
    Slot::new("p").unwrap()
}

/// Leave for the image, once.
fn ticket() -> String {
    signed(paper(3, Downgrade::new(slot(), image_digest())), &approver())
}

fn image_digest() -> Digest {
    Digest::of(&image())
}

fn site() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[9; 32])
}

/// Trusts a key whose trust bundles count.
pub(crate) fn trust_site(judge: &mut Judge) -> Result<(), Failure> {
    let key = site().verifying_key().to_bytes().to_vec();
    let (name, vendor, models) = ("site".into(), "*".into(), vec!["*".into()]);
    let (role, from, until) = (Role::Site, None, None);
    judge
        .ask(Request::TrustAdd { key, signer: None, name, role, vendor, models, from, until }, None)
        .map(drop)
}

/// Imports a floor that the image, of security version 4, is below.
pub(crate) fn import_floor(judge: &mut Judge) -> Result<(), Failure> {
    let floors = vec![NewFloor { model: "m".into(), value: 5, vendor: "acme".into() }];
    let bundle = signed(paper(2, TrustBundle { sequence: 1, floors, ..TrustBundle::default() }), &site());
    judge.ask(Request::TrustImport { bundle, yes: true }, None).map(drop)
}

fn ask_release(judge: &mut Judge) -> Result<(), Failure> {
    let terms = Terms { stations: vec![], ticket: None, window: None, uses: 1, expires: None };
    let downgrade = Some(ticket());
    judge.ask(Request::Release { digest: digest(), plc: "p".into(), terms, downgrade }, None).map(drop)
}

/// The old image in the vault, below the floor, and an approver.
fn below_the_floor(world: &World, judge: &mut Judge) -> Result<(), Failure> {
    world.trust(judge)?;
    world.trust_approver(judge)?;
    world.stage_as(judge, Some(4))?;
    trust_site(judge)?;
    import_floor(judge)
}

/// Whether it is released, for one use; then the same document opens nothing a second time.
fn once(judge: &mut Judge, again: impl Fn(&mut Judge) -> Result<(), Failure>) -> bool {
    let is_released = released(judge);
    if is_released {
        let refused = again(judge).expect_err("it was used");
        assert!(refused.code.is_some() || refused.text.contains("not held"), "{refused}");
        assert!(released(judge), "and takes nothing away: {refused}");
    }
    is_released
}

#[test]
fn a_downgrade_ticket_cut_off_between_its_use_and_its_release_is_good_for_that_release_and_no_more() {
    let _alone = alone();
    let world = World::new();
    world.prepared("ready", below_the_floor);
    let cuts =
        cut_everywhere(&world, "ready", |_, judge| ask_release(judge), |judge| once(judge, ask_release));
    println!("crash points of a downgrade: {cuts}");
    assert!(cuts >= 9, "fewer crash points than there were: {cuts}");

    // What is taken back by a person stays taken back, and its ticket used.
    world.rewind_tpm();
    copy(&world.dir.path().join("ready"), &world.dir.path().join("ready-withdrawn"));
    let mut judge = world.started("ready-withdrawn");
    ask_release(&mut judge).unwrap();
    judge.ask(Request::Withdraw { digest: digest(), plc: "p".into() }, None).unwrap();
    let refused = ask_release(&mut judge).unwrap_err();
    assert!(refused.text.contains("may be used 1 time(s), and was"), "{refused}");
}

/// The approval of the release that waits in the first case, signed.
fn approve(judge: &mut Judge) -> Result<(), Failure> {
    let case = || "C-000001".to_owned();
    let Answered::Document { document } = judge.ask(Request::HeldDraft { case: case() }, None)? else {
        panic!("another answer");
    };
    let approval = signed(Envelope::parse(document.as_bytes()).unwrap(), &approver());
    judge.ask(Request::HeldApprove { case: case(), approval }, None).map(drop)
}

#[test]
fn the_last_approval_of_a_held_downgrade_cut_off_anywhere_releases_it_once() {
    let _alone = alone();
    let mut world = World::new();
    world.plc = "approvals = 1\n";
    world.prepared("ready", |world, judge| {
        below_the_floor(world, judge)?;
        let held = ask_release(judge).unwrap_err();
        assert_eq!(held.code.map(|code| code.to_string()).as_deref(), Some("HG-4010"), "{held}");
        Ok(())
    });
    let cuts = cut_everywhere(&world, "ready", |_, judge| approve(judge), |judge| once(judge, approve));
    println!("crash points of a held downgrade: {cuts}");
    assert!(cuts >= 12, "fewer crash points than there were: {cuts}");
}

fn glass(world: &World) -> String {
    let now = Clock::system().wall();
    let until = Moment::new(Wall { ms: now.ms + 3_600_000, ..now });
    let window = Window { from: Moment::new(Wall { ms: now.ms - 60_000, ..now }), until };
    let content =
        BreakGlass { actions: vec![Action::PassUnverified], cause: Cause::Controller(slot()), window };
    world.signed_by_site(paper(5, content))
}

/// How many documents are in force.
fn in_force(judge: &mut Judge) -> usize {
    let Ok(Answered::Tickets { tickets }) = judge.ask(Request::TicketList, None) else { panic!("a list") };
    tickets.iter().filter(|ticket| ticket.state == "in-force").count()
}

#[test]
fn a_break_glass_document_cut_off_while_it_is_accepted_is_in_force_once_or_still_good() {
    let _alone = alone();
    let world = World::new();
    world.prepared("ready", |_, _| Ok(()));
    let document = glass(&world);
    let bring =
        |judge: &mut Judge| judge.ask(Request::BreakGlass { document: document.clone() }, None).map(drop);
    let holds = |judge: &mut Judge| {
        let found = in_force(judge);
        if found == 1 {
            let refused = bring(judge).expect_err("it was used");
            assert!(refused.text.contains("was used before"), "{refused}");
        }
        found == 1
    };
    let cuts = cut_everywhere(&world, "ready", |_, judge| bring(judge), holds);
    println!("crash points of a break-glass document: {cuts}");
    assert!(cuts >= 9, "fewer crash points than there were: {cuts}");
}

#[test]
fn an_image_let_in_on_a_break_glass_document_has_one_use_wherever_it_is_cut() {
    let _alone = alone();
    let world = World::new();
    world.prepared("ready", |world, judge| {
        judge.ask(Request::BreakGlass { document: glass(world) }, None).map(drop)
    });
    let stage = |_: &World, judge: &mut Judge| {
        let mut intake = judge.intake(image().len() as u64)?;
        intake.write(&image())?;
        let request = Request::StageUnverified { plc: "p".into(), name: "i".into(), version: None };
        judge.ask(request, Some(intake)).map(drop)
    };
    let cuts = cut_everywhere(&world, "ready", stage, released);
    println!("crash points of an unverified image: {cuts}");
    assert!(cuts >= 10, "fewer crash points than there were: {cuts}");
}
