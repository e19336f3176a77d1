//! The engine's rules, one row each: what a station does, what the controller and the judge say.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::transfer::event::Answer;
use crate::transfer::image::{Image, ImageError, Warrant};
use ed25519_dalek::{Signer, SigningKey};
use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Scope, TrustStore};
use firmware_verifier::{Gauntlet, Request, Verdict};
use hal::clock::Wall;
use hal::reason::ReasonCode;

struct Bytes(&'static [u8]);

impl Image for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        buf.copy_from_slice(&self.0[offset as usize..offset as usize + buf.len()]);
        Ok(())
    }
}

/// A real proof for `image`, from a key of this test.
pub(crate) fn released(image: &'static [u8]) -> Released {
    let key = SigningKey::from_bytes(&[3; 32]);
    let now = Wall::trusted(1_800_000_000_000);
    let public = PublicKey::new(KeyKind::Ed25519, key.verifying_key().to_bytes()).unwrap();
    let anchor = Anchor::new(public, "test", Scope::new("acme", &["*"]).unwrap(), now).unwrap();
    let request = Request {
        slot: Slot::new("pump").unwrap(),
        product: Product::new("acme", "px").unwrap(),
        identity: None,
        signature: Some(SignatureFile::parse(&key.sign(image).to_bytes()).unwrap()),
        policy_epoch: 0,
        state_counter: 0,
        expires: Wall::trusted(now.ms + 1),
    };
    let mut gauntlet = Gauntlet::new(request, &TrustStore::with(1, vec![anchor]).unwrap(), now);
    gauntlet.absorb(image);
    let Verdict::Verified(verified, evidence) = gauntlet.finish() else { panic!("signed above") };
    Released { warrant: Warrant::Verified(verified), evidence, image: Box::new(Bytes(image)) }
}

const MATCH: Settings = Settings {
    way: Way::Match,
    enforce: true,
    max_image: 100,
    padding: Padding { byte: 0xFF, granule: 4 },
    implicit_commit: false,
    commit_polls: false,
    idle: Duration::from_secs(10),
    longest: Duration::from_secs(30),
    patience: Duration::from_secs(2),
};
const STAGE: Settings = Settings { way: Way::Stage, ..MATCH };
const WATCH: Settings = Settings { enforce: false, ..STAGE };
const BY_ITSELF: Settings = Settings { implicit_commit: true, ..STAGE };

fn say_refusal(r: &Refusal) -> String {
    r.code.to_string().replace("HG-", "")
}

fn say_decision(d: Decision) -> String {
    match d {
        Decision::Pass => "pass".into(),
        Decision::Acknowledge => "ack".into(),
        Decision::Hold => "hold".into(),
        Decision::Refuse(r) => say_refusal(&r),
    }
}

fn say_event(event: &Event) -> Option<String> {
    Some(match event {
        Event::Ask(_, Question::Open { declared, .. }) => format!("?open({})", declared.unwrap_or(0)),
        Event::Ask(_, Question::Commit { .. }) => "?commit".into(),
        Event::Ask(_, Question::Judge { image, .. }) => format!("?{}", String::from_utf8_lossy(image)),
        Event::Ask(_, Question::Start { .. }) => "?start".into(),
        Event::Ask(_, Question::PastNoReturn { .. }) => "?past".into(),
        Event::Ask(_, Question::End { outcome, .. }) => match outcome {
            Outcome::Delivered => "end:delivered".into(),
            Outcome::Ready(_) => "end:ready".into(),
            Outcome::Refused(r) => format!("end:{}", say_refusal(r)),
            Outcome::Aborted(why) => format!("end:{why:?}"),
        },
        Event::Deliver(..) => "deliver".into(),
        Event::GoOn => "go-on".into(),
        Event::AbortController => "abort".into(),
        Event::GiveUp(r) => format!("give-up:{}", say_refusal(r)),
        Event::Refused(..) => return None, // told by the decision
    })
}

/// Plays one line of words to an engine and writes down what it decides and wants. `B:` is said by
/// another station; `+` words are the judge's answers; `ok`, `no` and `lost` the controller's.
fn play(settings: Settings, words: &str) -> String {
    let stations = [1, 2].map(|n| Station([127, 0, 0, n].into()));
    let (mut engine, mut said, mut now) = (Engine::new(settings), Vec::new(), Mono(0));
    let mut landing = None;
    for word in words.split_whitespace() {
        let (from, word) = word.strip_prefix("B:").map_or((stations[0], word), |w| (stations[1], w));
        let (word, arg) = word.split_once('=').unwrap_or((word, ""));
        let id = engine.asked;
        let refusal = Refusal { code: ReasonCode(4004), case: None, found: "".into(), expected: "".into() };
        let mut decided = |d: Decision| said.push(say_decision(d));
        match word {
            "open" => decided(engine.open(from, true, arg.parse().ok(), false, now)),
            "again" => decided(engine.open(from, true, arg.parse().ok(), true, now)),
            "unlock" => decided(engine.open(from, false, arg.parse().ok(), false, now)),
            "select" => decided(engine.control(from, now)),
            "commit" => decided(engine.commit(from, now)),
            "finish" => decided(engine.finish(from, now)),
            "quit" => decided(engine.abort(from, now)),
            "ok" => match landing.take() {
                Some((at, len)) => engine.chunk_landed(at..at + len),
                None => engine.open_answered(true),
            },
            "no" => engine.open_answered(false),
            "committed" => engine.commit_answered(None),
            "lost" => engine.commit_lost(),
            "+opened" => engine.answer(
                id,
                Answer::Opened { case: CaseId(1), released: vec![released(b"abcdefgh")] },
                now,
            ),
            "+late" => engine.answer(id + 9, Answer::Opened { case: CaseId(2), released: vec![] }, now),
            "+two" => {
                let both = vec![released(b"abcdefgh"), released(b"abcdWXYZ12")];
                engine.answer(id, Answer::Opened { case: CaseId(1), released: both }, now);
            }
            "+none" => engine.answer(id, Answer::Opened { case: CaseId(1), released: vec![] }, now),
            "+commit" => engine.answer(id, Answer::Commit, now),
            "+deliver" => engine.answer(id, Answer::Deliver(released(b"abcdefgh")), now),
            "+recorded" => engine.answer(id, Answer::Recorded, now),
            "+no" => engine.answer(id, Answer::Refused(refusal), now),
            "by-hand" => engine.deliver(CaseId(7), released(b"abcdefgh")).unwrap(),
            "at-edge" => engine.at_no_return(now),
            "delivered" => engine.delivery_ended(Outcome::Delivered),
            "gone" => engine.station_gone(from),
            "controller-gone" => engine.controller_gone(),
            "shut" => engine.gate(Some(refusal)),
            "wait" => {
                now = now + Duration::from_secs(arg.parse().unwrap());
                engine.expire(now);
            }
            at => {
                let at: u64 = at.parse().expect("a word of this language");
                decided(engine.chunk(from, at, arg.as_bytes(), now));
                landing = Some((at, arg.len() as u64));
            }
        }
        said.extend(engine.take_events().iter().filter_map(say_event));
    }
    said.join(" ")
}

#[test]
fn each_step_is_decided_by_what_came_before() {
    let cases: &[(&str, Settings, &str, &str)] = &[
        // What is refused.
        ("a chunk before the opening step", MATCH, "0=abcd", "6004"),
        ("a commit before the opening step", STAGE, "commit", "6004"),
        ("an image of no bytes", MATCH, "open=0", "6010"),
        ("an image over the limit", STAGE, "open=101", "6010"),
        ("an open with the gate shut", MATCH, "shut open=8", "4004"),
        ("nothing is released", MATCH, "open=8 +none again=8 0=abcd", "hold ?open(8) end:4001 4001 4001"),
        (
            "one byte differs",
            MATCH,
            "open=8 +opened open=8 ok 0=abXd",
            "hold ?open(8) pass 6006 abort end:6006",
        ),
        (
            "bytes past the image",
            MATCH,
            "open +opened open ok 8=zz",
            "hold ?open(0) pass 6007 abort end:6007",
        ),
        (
            "bytes past the announced length",
            MATCH,
            "open=4 +opened open=4 ok 4=efgh",
            "hold ?open(4) pass 6010 abort end:6010",
        ),
        (
            "a commit with a gap",
            MATCH,
            "open=8 +opened open=8 ok 0=abcd ok commit",
            "hold ?open(8) pass pass 6009 abort end:6009",
        ),
        (
            "a commit whose last chunk the controller did not take",
            MATCH,
            "open=8 +opened open=8 ok 0=abcdefgh commit",
            "hold ?open(8) pass pass 6009 abort end:6009",
        ),
        (
            "half of one build, half of another",
            MATCH,
            "open +two open ok 0=abcdWX 6=gh",
            "hold ?open(0) pass pass 6006 abort end:6006",
        ),
        (
            "different bytes for one place",
            STAGE,
            "open=8 +opened open=8 0=abcd 2=cX",
            "hold ?open(8) ack ack 6008 end:6008",
        ),
        (
            "a commit of a staged image with a gap",
            STAGE,
            "open=8 +opened open=8 0=abcd commit",
            "hold ?open(8) ack ack 6009 end:6009",
        ),
        (
            "whatever follows a refusal",
            STAGE,
            "open=8 +opened open=8 0=abcd 2=cX 4=efgh commit",
            "hold ?open(8) ack ack 6008 end:6008 6008 6008",
        ),
        (
            "another station's steps",
            MATCH,
            "open=8 +opened open=8 ok B:0=abcd B:open=8 B:commit B:quit",
            "hold ?open(8) pass 6005 6005 6005 6005",
        ),
        ("a chunk while the gateway delivers", STAGE, "by-hand 0=abcd open=8", "deliver 6005 6005"),
        (
            "the judge refuses the commit",
            MATCH,
            "open=8 +opened open=8 ok 0=abcdefgh ok commit +no commit",
            "hold ?open(8) pass pass hold ?commit abort end:4004 4004",
        ),
        (
            "the judge refuses the image",
            STAGE,
            "open=8 +opened open=8 0=abcdefgX commit +no commit",
            "hold ?open(8) ack ack hold ?abcdefgX end:4004 4004",
        ),
        // What a held step gets.
        (
            "an opening step refused while held is not asked again",
            MATCH,
            "open=8 +no again=8",
            "hold ?open(8) 4004",
        ),
        ("a new opening step after a refusal is", MATCH, "open=8 +no open=8", "hold ?open(8) hold ?open(8)"),
        ("a judge that says nothing", MATCH, "open=8 wait=5 again=8", "hold ?open(8) 7008"),
        ("and answers late", MATCH, "open=8 wait=5 +late", "hold ?open(8) end:StationSilent"),
        (
            "a gate that shuts over a held step",
            MATCH,
            "open=8 shut again=8 +opened",
            "hold ?open(8) 4004 end:StationSilent",
        ),
        // Match.
        (
            "equal bytes pass, and the commit once the judge agrees",
            MATCH,
            "open=8 +opened open=8 ok 0=abcd ok 4=efgh ok commit +commit commit committed finish",
            "hold ?open(8) pass pass pass hold ?commit pass end:delivered pass",
        ),
        (
            "padding of a last block passes",
            MATCH,
            "open +opened open ok 0=abcdefgh ok commit +commit commit",
            "hold ?open(0) pass pass hold ?commit pass",
        ),
        (
            "equal bytes again pass",
            MATCH,
            "open=8 +opened open=8 ok 0=abcd ok 2=cdef ok 0=abcd",
            "hold ?open(8) pass pass pass pass",
        ),
        (
            "a chunk before the controller took the opening step",
            MATCH,
            "open=8 +opened open=8 no 0=abcd",
            "hold ?open(8) pass 6004",
        ),
        (
            "a second opening step makes every byte due again",
            MATCH,
            "open=8 +opened open=8 ok 0=abcdefgh ok unlock ok commit",
            "hold ?open(8) pass pass pass 6009 abort end:6009",
        ),
        (
            "the first opening step after bytes begins another transfer",
            MATCH,
            "open=8 +opened open=8 ok 0=abcd ok open=8",
            "hold ?open(8) pass pass hold end:Replaced ?open(8)",
        ),
        (
            "a connection that breaks under a transfer",
            MATCH,
            "open=8 +opened open=8 ok 0=abcd controller-gone 4=efgh",
            "hold ?open(8) pass pass end:ControllerSilent 6012",
        ),
        (
            "a connection that breaks under the question",
            MATCH,
            "open=8 +opened open=8 ok 0=abcdefgh ok commit controller-gone +commit commit",
            "hold ?open(8) pass pass hold ?commit end:ControllerSilent 6012",
        ),
        (
            "a commit without an answer",
            MATCH,
            "open=8 +opened open=8 ok 0=abcdefgh ok commit +commit commit lost commit",
            "hold ?open(8) pass pass hold ?commit pass end:6018 6018",
        ),
        (
            "a silent station",
            MATCH,
            "open=8 +opened open=8 wait=10",
            "hold ?open(8) pass abort end:StationSilent",
        ),
        (
            "a silent station whose opening step never passed",
            MATCH,
            "open=8 +opened gone wait=10",
            "hold ?open(8) end:StationSilent",
        ),
        (
            "a gate that shuts over one",
            MATCH,
            "open=8 +opened shut open=8",
            "hold ?open(8) end:GateShut 4004",
        ),
        (
            "a gate that shuts under a transfer",
            MATCH,
            "open=8 +opened open=8 ok 0=abcd ok shut 4=efgh",
            "hold ?open(8) pass pass abort end:GateShut 4004",
        ),
        (
            "a gate that shuts over a held commit",
            MATCH,
            "open=8 +opened open=8 ok 0=abcdefgh ok commit shut commit",
            "hold ?open(8) pass pass hold ?commit abort end:GateShut 4004",
        ),
        // A transfer that never ends.
        (
            "a byte now and then does not keep a controller",
            MATCH,
            "open=8 +opened open=8 ok wait=9 0=a ok wait=9 0=a ok wait=9 0=a ok wait=3 0=a",
            "hold ?open(8) pass pass pass pass abort end:6021 6021",
        ),
        (
            "nor does a staged one",
            STAGE,
            "open=8 +opened open=8 wait=9 0=a wait=9 0=a wait=9 0=a wait=3 0=a",
            "hold ?open(8) ack ack ack ack end:6021 6021",
        ),
        (
            "nor do opening steps",
            STAGE,
            "open=8 +opened open=8 wait=9 unlock wait=9 unlock wait=9 unlock wait=3",
            "hold ?open(8) ack ack ack ack end:6021",
        ),
        (
            "nor does beginning anew",
            MATCH,
            "open=8 +opened open=8 ok 0=abcd ok wait=9 open=8 +opened open=8 ok wait=9 0=a ok wait=9 0=a ok wait=3",
            "hold ?open(8) pass pass hold end:Replaced ?open(8) pass pass pass abort end:6021",
        ),
        (
            "another station has its turn",
            STAGE,
            "open=8 +opened open=8 wait=9 0=a wait=9 0=a wait=9 0=a wait=3 open=8 B:open=8",
            "hold ?open(8) ack ack ack ack end:6021 6021 hold ?open(8)",
        ),
        (
            "and the first again once it has been silent, with all its time",
            STAGE,
            "open=8 +opened open=8 wait=9 0=a wait=9 0=a wait=9 0=a wait=3 wait=10 open=8 +opened open=8 wait=9 0=a",
            "hold ?open(8) ack ack ack ack end:6021 hold ?open(8) ack ack",
        ),
        (
            "a commit on its way is not given up for it",
            MATCH,
            "open=8 +opened open=8 ok wait=9 0=a ok wait=9 0=a ok wait=9 0=abcdefgh ok commit +commit wait=5 committed",
            "hold ?open(8) pass pass pass pass hold ?commit end:delivered",
        ),
        (
            "nor is a delivery",
            STAGE,
            "by-hand at-edge +recorded wait=100 wait=100 delivered",
            "deliver ?past go-on end:delivered",
        ),
        (
            "a station that aborts",
            MATCH,
            "open=8 +opened open=8 ok quit 0=abcd",
            "hold ?open(8) pass pass end:Station 6004",
        ),
        // Stage.
        (
            "the image is judged, recorded, delivered, acknowledged",
            STAGE,
            "open=8 +opened open=8 0=abcd 4=efgh commit +deliver +recorded at-edge +recorded delivered commit finish",
            "hold ?open(8) ack ack ack hold ?abcdefgh ?start deliver ?past go-on end:delivered ack ack",
        ),
        (
            "the fill of a last block is cut off",
            STAGE,
            "open=7 +opened open=7 0=abcdefgh commit",
            "hold ?open(7) ack ack hold ?abcdefg",
        ),
        (
            "a second opening step starts the gathering over",
            STAGE,
            "open=8 +opened open=8 0=XXXX unlock 0=abcd",
            "hold ?open(8) ack ack ack ack",
        ),
        (
            "a decision after the tool's patience",
            STAGE,
            "open=8 +opened open=8 0=abcdefgh commit wait=3 +deliver",
            "hold ?open(8) ack ack hold ?abcdefgh end:ready",
        ),
        (
            "a station that leaves before delivery",
            STAGE,
            "open=8 +opened open=8 0=abcdefgh commit gone +deliver",
            "hold ?open(8) ack ack hold ?abcdefgh end:ready",
        ),
        (
            "a station that leaves before the verdict on what it sent",
            STAGE,
            "open=8 +opened open=8 0=abcdefgX commit gone +no",
            "hold ?open(8) ack ack hold ?abcdefgX end:4004",
        ),
        (
            "a station that leaves while gathering",
            STAGE,
            "open=8 +opened open=8 0=abcd gone 4=efgh",
            "hold ?open(8) ack ack ack",
        ),
        (
            "a gate that shuts leaves a delivery alone",
            STAGE,
            "by-hand shut delivered",
            "deliver end:delivered",
        ),
        (
            "a point of no return that cannot be recorded",
            STAGE,
            "by-hand at-edge +no",
            "deliver ?past give-up:4004",
        ),
        (
            "or that nobody answers for",
            STAGE,
            "by-hand at-edge wait=5 +recorded",
            "deliver ?past give-up:7008",
        ),
        (
            "a controller that commits by itself is judged on its last byte",
            BY_ITSELF,
            "open +opened open 0=abcd 4=efgh 4=efgh",
            "hold ?open(0) ack ack hold ?abcdefgh hold",
        ),
        // Only watching.
        (
            "nothing passes into a delivery of our own",
            WATCH,
            "by-hand open=8 0=abcd commit quit",
            "deliver 6005 6005 6005 6005",
        ),
        (
            "nothing waits, and all is gathered",
            WATCH,
            "open=8 0=abcd 4=efgh commit +opened",
            "pass ?open(8) pass pass pass ?abcdefgh",
        ),
        (
            "what would be refused passes",
            WATCH,
            "open=8 +opened 0=abcd 2=cX commit",
            "pass ?open(8) pass pass end:6008 pass",
        ),
    ];
    for (what, settings, words, expected) in cases {
        assert_eq!(play(*settings, words), *expected, "{what}: {words}");
    }
}

#[test]
fn another_station_keeps_no_transfer_open() {
    let said = play(STAGE, "open=8 +opened open=8 wait=6 B:finish wait=6");
    assert_eq!(said, "hold ?open(8) ack 6004 end:StationSilent");
}
