//! Every kind of document: written, read back, and refused.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use hal::clock::Wall;
use hal::tpm::SiteKeyPublic;
use proptest::prelude::*;

use super::*;
use crate::digest::Digest;
use crate::dsse::tests::{key, sign};
use crate::reasons as r;
use crate::trust::{Anchor, LogHead, Scope as KeyScope, Thresholds, TrustStore};

pub(crate) const NOW: Wall = Wall::trusted(1_800_000_000_000);
pub(crate) const GATEWAY: &str = "cell-4";

/// A document of `content` for this gateway, a day old, good for another.
pub(crate) fn document<C: Content>(content: C) -> Document<C> {
    let moment = |ms| Moment::new(Wall::trusted(NOW.ms + ms));
    Document {
        content,
        expires: moment(86_400_000),
        gateway: GATEWAY.to_owned(),
        id: DocumentId::from_bytes([7; 16]),
        issued: moment(-86_400_000),
        reason: "the pump must run again".to_owned(),
    }
}

/// The envelope of `document`, signed by the keys of `seeds`.
pub(crate) fn envelope<C: Content>(document: &Document<C>, seeds: &[u8]) -> Envelope {
    let mut envelope = document.to_envelope().unwrap();
    seeds.iter().for_each(|seed| sign(&mut envelope, *seed));
    envelope
}

/// Vendor key 1; site keys 11 and 12; approvers 21 and 22.
pub(crate) fn store() -> TrustStore {
    let role = |role, seed| Anchor::with_role(role, key(seed), &format!("{role} {seed}"), NOW).unwrap();
    let vendor = Anchor::new(key(1), "vendor 1", KeyScope::new("acme", &["*"]).unwrap(), NOW).unwrap();
    let mut anchors = vec![vendor, role(Role::Site, 11), role(Role::Site, 12)];
    anchors.extend([role(Role::Approver, 21), role(Role::Approver, 22)]);
    TrustStore::with(1, anchors).unwrap()
}

fn pump() -> Slot {
    Slot::new("pump-3").unwrap()
}

fn image() -> Digest {
    Digest::of(b"image")
}

fn conditions() -> Conditions {
    Conditions { security_version: Some(4), stations: vec!["192.0.2.20".into()], uses: 2, window: None }
}

fn approval() -> Approval {
    let (decision, scope) = (Decision::Approve, Scope::Release);
    Approval { controller: pump(), decision, scope, subject: Subject::Image(image()), conditions: None }
}

fn break_glass() -> BreakGlass {
    let moment = |ms| Moment::new(Wall::trusted(NOW.ms + ms));
    let window = Window { from: moment(-3_600_000), until: moment(3_600_000) };
    let actions = vec![Action::FinishDelivery, Action::LiftLock];
    BreakGlass { actions, cause: Cause::Controller(pump()), window }
}

fn bundle() -> TrustBundle {
    TrustBundle {
        add: vec![NewKey {
            key: crate::hex::encode(key(3).as_bytes()),
            key_number: None,
            kind: "ed25519".into(),
            models: vec!["px".into()],
            name: "new".into(),
            role: Role::Vendor,
            issuer: None,
            signer: None,
            valid_from: None,
            valid_until: Some(Moment::new(NOW)),
            vendor: "acme".into(),
        }],
        floors: vec![NewFloor { model: "*".into(), value: 4, vendor: "acme".into() }],
        remove: vec![key(1).id()],
        revoke_digests: vec![RevokedDigest { image: image(), reason: "a hole".into() }],
        revoke_keys: vec![RevokedKey { key: key(2).id(), reason: "stolen".into() }],
        sequence: 1,
        thresholds: Some(Thresholds::default()),
    }
}

fn same<C: Content>(content: C) -> Result<(), TestCaseError> {
    let written = document(content);
    let envelope = written.to_envelope().unwrap();
    prop_assert_eq!(&Document::<C>::parse(envelope.payload()).unwrap(), &written);
    let again = round_trip(envelope.payload_type(), envelope.payload());
    prop_assert_eq!(again.as_deref(), Some(envelope.payload()));
    Ok(())
}

#[test]
fn the_written_form_is_frozen() {
    let envelope = document(approval()).to_envelope().unwrap();
    assert_eq!(envelope.payload_type(), "application/vnd.headgate.approval.v1+json");
    let expected = format!(
        r#"{{"content":{{"controller":"pump-3","decision":"approve","scope":"release","subject":{{"image":"{}"}}}},"expires":"2027-01-16T08:00:00.000Z","gateway":"cell-4","id":"07070707070707070707070707070707","issued":"2027-01-14T08:00:00.000Z","reason":"the pump must run again"}}"#,
        image()
    );
    assert_eq!(
        String::from_utf8_lossy(envelope.payload()),
        expected,
        "as it was before there were conditions"
    );
    let envelope = document(Approval { conditions: Some(conditions()), ..approval() }).to_envelope().unwrap();
    let conditions =
        r#"{"conditions":{"security_version":4,"stations":["192.0.2.20"],"uses":2,"window":null},"#;
    let expected = expected.replacen(r#"{"controller""#, &format!("{conditions}\"controller\""), 1);
    assert_eq!(String::from_utf8_lossy(envelope.payload()), expected);
}

#[test]
fn every_kind_is_read_back_as_it_was_written() {
    same(AdvisoryRelease { current: Moment::new(NOW), database: image() }).unwrap();
    same(approval()).unwrap();
    same(Approval { subject: Subject::Case("C-000123".into()), ..approval() }).unwrap();
    let held = Subject::Held { case: "C-000123".into(), image: image() };
    same(Approval { subject: held, ..approval() }).unwrap();
    same(Approval { conditions: Some(conditions()), ..approval() }).unwrap();
    same(Downgrade::new(pump(), image())).unwrap();
    same(break_glass()).unwrap();
    same(ConfigApproval { config: image(), weakens: true }).unwrap();
    same(Vouch { controllers: vec![pump()], image: image() }).unwrap();
    same(bundle()).unwrap();
}

#[test]
fn who_signed_decides_before_anything_is_read() {
    let open = |seeds: &[u8]| {
        Signed::<Approval>::open(&envelope(&document(approval()), seeds), &store(), GATEWAY, NOW)
    };
    for (what, seeds, code) in [
        ("nobody", &[][..], r::DOCUMENT_NOT_SIGNED),
        ("a stranger", &[99], r::DOCUMENT_NOT_SIGNED),
        ("a vendor", &[1], r::DOCUMENT_NOT_SIGNED),
        ("a site key", &[11], r::DOCUMENT_NOT_SIGNED),
    ] {
        assert_eq!(open(seeds).unwrap_err().code(), code, "{what}");
    }
    let signed = open(&[21, 99]).unwrap();
    assert_eq!(signed.signers().iter().map(Anchor::name).collect::<Vec<_>>(), ["approver 21"]);
    let mut junk = Envelope::new(&Document::<Approval>::payload_type(), b"{".to_vec()).unwrap();
    let opened = |junk: &Envelope| Signed::<Approval>::open(junk, &store(), GATEWAY, NOW).unwrap_err().code();
    assert_eq!(opened(&junk), r::DOCUMENT_NOT_SIGNED, "unsigned bytes are not parsed");
    sign(&mut junk, 21);
    assert_eq!(opened(&junk), r::DOCUMENT_UNREADABLE);
    let other = envelope(&document(Downgrade::new(pump(), image())), &[21]);
    assert_eq!(opened(&other), r::DOCUMENT_UNREADABLE, "another kind");
}

#[test]
fn two_must_sign_what_weakens_enforcement_or_what_the_store_says() {
    let open = |weakens, seeds: &[u8], store: &TrustStore| {
        let config = document(ConfigApproval { config: image(), weakens });
        Signed::<ConfigApproval>::open(&envelope(&config, seeds), store, GATEWAY, NOW).map_err(|e| e.code())
    };
    assert!(open(false, &[21], &store()).is_ok());
    assert_eq!(open(true, &[21], &store()), Err(r::SIGNERS_TOO_FEW));
    assert_eq!(open(true, &[21, 21], &store()), Err(r::SIGNERS_TOO_FEW), "one key twice");
    assert!(open(true, &[21, 22], &store()).is_ok());
}

#[test]
fn approvals_are_counted_by_key_and_one_refusal_stops_the_step() {
    let about = Approval { conditions: Some(conditions()), ..approval() };
    let yes = |seeds: &[u8]| (about.clone(), seeds.to_vec());
    let no = |seeds: &[u8]| (Approval { decision: Decision::Refuse, ..about.clone() }, seeds.to_vec());
    let elsewhere = |seeds: &[u8]| (Approval { scope: Scope::Program, ..about.clone() }, seeds.to_vec());
    let otherwise = |c: Option<Conditions>| (Approval { conditions: c, ..about.clone() }, vec![22]);
    let strict = store();
    let two = Thresholds::default().role(Role::Approver, Threshold::TWO);
    let bundle = TrustBundle { sequence: 1, thresholds: Some(two), ..TrustBundle::default() };
    let (strict, _) = TrustBundle::apply(&envelope(&document(bundle), &[11]), &strict, GATEWAY, NOW).unwrap();
    let waiting = |have| Tally::Waiting(crate::trust::threshold::TooFew { have, need: Threshold::TWO });
    for (what, given, expected) in [
        ("none", vec![], waiting(0)),
        ("one", vec![yes(&[21])], waiting(1)),
        ("one, twice", vec![yes(&[21]), yes(&[21])], waiting(1)),
        ("one, and one for another step", vec![yes(&[21]), elsewhere(&[22])], waiting(1)),
        ("one, and one of before", vec![yes(&[21]), otherwise(None)], waiting(1)),
        (
            "one, and one for another security version",
            vec![yes(&[21]), otherwise(Some(Conditions { security_version: Some(5), ..conditions() }))],
            waiting(1),
        ),
        (
            "one, and one for more uses",
            vec![yes(&[21]), otherwise(Some(Conditions { uses: 3, ..conditions() }))],
            waiting(1),
        ),
        (
            "two, and one refuses on no conditions",
            vec![yes(&[21, 22]), (Approval { decision: Decision::Refuse, ..approval() }, vec![22])],
            Tally::Refused(vec!["approver 22".into()]),
        ),
        ("two, each alone", vec![yes(&[21]), yes(&[22])], Tally::Approved),
        ("two together", vec![yes(&[21, 22])], Tally::Approved),
        ("two, and one refuses", vec![yes(&[21, 22]), no(&[22])], Tally::Refused(vec!["approver 22".into()])),
    ] {
        let open = |(content, seeds): (Approval, Vec<u8>)| {
            Signed::open(&envelope(&document(content), &seeds), &strict, GATEWAY, NOW).unwrap()
        };
        let documents: Vec<Signed<Approval>> = given.into_iter().map(open).collect();
        let threshold = strict.thresholds().of(Role::Approver);
        assert_eq!(about.tally(&documents, threshold), expected, "{what}");
    }
}

#[test]
fn gateway_time_and_uses_limit_a_document() {
    let plain = || document(Downgrade { uses: 2, ..Downgrade::new(pump(), image()) });
    let at = |ms| Wall::trusted(NOW.ms + ms);
    let day = 86_400_000;
    let open = |document: &Document<Downgrade>, store: &TrustStore, gateway: &str, now| {
        Signed::<Downgrade>::open(&envelope(document, &[21]), store, gateway, now)
            .map(drop)
            .map_err(|e| e.code())
    };
    let mut used = store();
    let spend = |store: &mut TrustStore| store.spend(plain().id, 2, at(day), NOW).unwrap();
    spend(&mut used);
    assert_eq!(open(&plain(), &used, GATEWAY, NOW), Ok(()), "one of two uses");
    spend(&mut used);
    let mut any = plain();
    any.gateway = "*".to_owned();
    assert!(any.to_envelope().is_err(), "a ticket is for one gateway");
    let unset = Wall { trusted: false, ..NOW };
    for (what, store, gateway, now, expected) in [
        ("here and now", store(), GATEWAY, NOW, Ok(())),
        ("a slow clock here", store(), GATEWAY, at(-day - 300_000), Ok(())),
        ("issued in the future", store(), GATEWAY, at(-day - 300_001), Err(r::DOCUMENT_EXPIRED)),
        ("the last moment", store(), GATEWAY, at(day - 1), Ok(())),
        ("expired", store(), GATEWAY, at(day), Err(r::DOCUMENT_EXPIRED)),
        ("another gateway", store(), "cell-5", NOW, Err(r::DOCUMENT_ELSEWHERE)),
        ("no clock", store(), GATEWAY, unset, Err(r::CLOCK_UNTRUSTED)),
        ("used up", used, GATEWAY, NOW, Err(r::DOCUMENT_USED)),
    ] {
        assert_eq!(open(&plain(), &store, gateway, now), expected, "{what}");
    }
    let mut vouch = document(Vouch { controllers: vec![pump()], image: image() });
    vouch.gateway = "*".to_owned();
    let open = |seeds: &[u8]| Signed::<Vouch>::open(&envelope(&vouch, seeds), &store(), "cell-9", NOW);
    assert!(open(&[21, 22]).is_ok());
    for (what, seeds) in
        [("one approver", &[21][..]), ("one, twice", &[21, 21]), ("one and a site key", &[21, 11])]
    {
        assert_eq!(open(seeds).unwrap_err().code(), r::SIGNERS_TOO_FEW, "{what}");
    }
    assert_eq!(open(&[11, 12]).unwrap_err().code(), r::DOCUMENT_NOT_SIGNED, "site keys vouch for nothing");
}

#[test]
fn a_program_is_recorded_when_two_approvers_say_so_and_on_nothing_less() {
    let held = Subject::Held { case: "C-000012".into(), image: image() };
    let step = Approval { scope: Scope::Program, subject: held, ..approval() };
    let open = |content: &Approval, seeds: &[u8]| {
        Signed::open(&envelope(&document(content.clone()), seeds), &store(), GATEWAY, NOW).unwrap()
    };
    let release = Approval { scope: Scope::Release, ..step.clone() };
    let no = Approval { decision: Decision::Refuse, ..step.clone() };
    for (what, step, documents, expected) in [
        ("two", &step, vec![open(&step, &[21]), open(&step, &[22])], Some(2)),
        ("two together", &step, vec![open(&step, &[21, 22])], Some(2)),
        ("one, where one is asked for", &step, vec![open(&step, &[21])], None),
        ("one, twice", &step, vec![open(&step, &[21]), open(&step, &[21])], None),
        ("two, and one refuses", &step, vec![open(&step, &[21, 22]), open(&no, &[22])], None),
        ("a release of firmware", &release, vec![open(&release, &[21, 22])], None),
        ("approvals of another step", &step, vec![open(&release, &[21, 22])], None),
    ] {
        let recorded = step.recorded(&documents, Threshold::ONE);
        let names = recorded.as_ref().map(|r| r.backing().matches("approver 2").count());
        assert_eq!(names, expected, "{what}");
        assert!(recorded.is_none_or(|r| r.digest() == image() && r.backing().contains("not verified")));
    }
}

#[test]
fn break_glass_needs_the_provisioned_site_key_and_no_store() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let site = SiteKeyPublic::new(pair.public_key().as_ref()).unwrap();
    let mut envelope = envelope(&document(break_glass()), &[11]);
    let at = |ms| Wall::trusted(NOW.ms + ms);
    let open = |envelope: &Envelope, gateway: &str, now| Signed::open_with(envelope, &site, gateway, now);
    assert_eq!(open(&envelope, GATEWAY, NOW).unwrap_err().code(), r::DOCUMENT_NOT_SIGNED);
    let signature = pair.sign(&SystemRandom::new(), &envelope.message()).unwrap();
    envelope.attach("", signature.as_ref()).unwrap();
    let hour = 3_600_000;
    for (what, gateway, now, code) in [
        ("another gateway", "cell-5", NOW, r::DOCUMENT_ELSEWHERE),
        ("before its window", GATEWAY, at(-hour - 1), r::DOCUMENT_EXPIRED),
        ("after its window", GATEWAY, at(hour), r::DOCUMENT_EXPIRED),
        ("no clock", GATEWAY, Wall { ms: NOW.ms, trusted: false }, r::CLOCK_UNTRUSTED),
    ] {
        assert_eq!(open(&envelope, gateway, now).unwrap_err().code(), code, "{what}");
    }
    for now in [at(-hour), at(hour - 1)] {
        assert_eq!(open(&envelope, GATEWAY, now).unwrap().content(), &break_glass());
    }
}

#[test]
fn break_glass_lets_in_what_it_names_and_nothing_else() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let site = SiteKeyPublic::new(pair.public_key().as_ref()).unwrap();
    let signed = |content: BreakGlass| {
        let mut envelope = document(content).to_envelope().unwrap();
        let signature = pair.sign(&SystemRandom::new(), &envelope.message()).unwrap();
        envelope.attach("", signature.as_ref()).unwrap();
        Signed::open_with(&envelope, &site, GATEWAY, NOW).unwrap()
    };
    let (other, image) = (Slot::new("pump-4").unwrap(), (image(), 5));
    let by_plc = signed(break_glass());
    let by_case = signed(BreakGlass { cause: Cause::Case("C-000012".into()), ..break_glass() });
    let finish = Action::FinishDelivery;
    let (pump, case) = (pump(), Some("C-000012"));
    for (what, by, action, place, lets_in) in [
        ("its controller", &by_plc, finish, (&pump, None), true),
        ("another controller", &by_plc, finish, (&other, case), false),
        ("an action it does not name", &by_plc, Action::PassUnverified, (&pump, None), false),
        ("a lock is no image", &by_plc, Action::LiftLock, (&pump, None), false),
        ("its case", &by_case, finish, (&pump, case), true),
        ("another case", &by_case, finish, (&pump, Some("C-000013")), false),
        ("no case", &by_case, finish, (&pump, None), false),
    ] {
        assert_eq!(by.lets_in(action, place, image).is_some(), lets_in, "{what}");
    }
    let unverified = by_plc.lets_in(finish, (&pump, None), image).unwrap();
    assert_eq!((unverified.digest(), unverified.len()), image);
    assert!(unverified.backing().starts_with("NOT VERIFIED"), "{}", unverified.backing());
}

#[test]
fn what_no_document_says_is_neither_written_nor_read() {
    let refused = |document: Result<Envelope, DocumentError>, what: &str| {
        assert_eq!(document.unwrap_err().code(), r::DOCUMENT_UNREADABLE, "{what}");
    };
    let ticket = |uses| document(Downgrade { uses, ..Downgrade::new(pump(), image()) });
    refused(ticket(0).to_envelope(), "no use");
    refused(ticket(6).to_envelope(), "six uses");
    let window = downgrade::Window { from: Moment::new(NOW), until: Moment::new(NOW) };
    refused(document(Downgrade { window: Some(window), ..ticket(1).content }).to_envelope(), "no window");
    refused(document(BreakGlass { actions: vec![], ..break_glass() }).to_envelope(), "no action");
    let twice = vec![Action::LiftLock, Action::LiftLock];
    refused(document(BreakGlass { actions: twice, ..break_glass() }).to_envelope(), "one action twice");
    for until in [NOW.ms - 3_600_000, NOW.ms - 3_600_000 + 72 * 3_600_000 + 1] {
        let window = Window { until: Moment::new(Wall::trusted(until)), ..break_glass().window };
        refused(document(BreakGlass { window, ..break_glass() }).to_envelope(), "no window, and 72 h");
    }
    let case = Cause::Case("123".into());
    refused(document(BreakGlass { cause: case, ..break_glass() }).to_envelope(), "no case number");
    refused(document(Vouch { controllers: vec![], image: image() }).to_envelope(), "no controller");
    let held = Subject::Held { case: "C-1".into(), image: image() };
    refused(document(Approval { subject: held, ..approval() }).to_envelope(), "no case to hold");
    for (what, wrong) in [
        ("no use", Conditions { uses: 0, ..conditions() }),
        ("no window", Conditions { window: Some(window), ..conditions() }),
        ("a station without a name", Conditions { stations: vec![String::new()], ..conditions() }),
        ("too many stations", Conditions { stations: vec!["a".into(); MAX_STATIONS + 1], ..conditions() }),
    ] {
        refused(document(Approval { conditions: Some(wrong), ..approval() }).to_envelope(), what);
    }
    let mut long = ticket(1);
    long.expires = Moment::new(Wall::trusted(long.issued.wall().ms + 367 * 86_400_000));
    refused(long.to_envelope(), "more than a year");
    let mut dumb = ticket(1);
    dumb.reason = " ".to_owned();
    refused(dumb.to_envelope(), "no reason");

    let good = String::from_utf8(ticket(1).to_envelope().unwrap().payload().to_vec()).unwrap();
    for (what, from, to) in [
        ("an unknown field", "\"content\":{", "\"content\":{\"all\":true,"),
        ("a field twice", "\"uses\":1", "\"uses\":1,\"uses\":1"),
        ("a blank", ":1,", ": 1,"),
        ("another form of a number", "\"uses\":1", "\"uses\":1.0"),
        ("another form of a time", ".000Z\",\"gateway\"", "Z\",\"gateway\""),
        ("a day of no calendar", "16T08:00:00.000Z", "9223372036854775807T08:00:00.000Z"),
        ("upper case", "0707070707070707", "0A0A0A0A0A0A0A0A"),
        ("an escape", "pump-3", "pump\\u002d3"),
        ("bytes after it", "again\"}", "again\"}\n"),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{what}");
        let error = Document::<Downgrade>::parse(changed.as_bytes()).unwrap_err();
        assert_eq!(error.code(), r::DOCUMENT_UNREADABLE, "{what}");
    }
}

prop_compose! {
    fn slot()(id in "[a-z0-9][a-z0-9.-]{0,20}") -> Slot { Slot::new(&id).unwrap() }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        controller in slot(), bytes: [u8; 32], uses in 1u8..=5, weakens: bool, sequence: u64,
        reason in "[ -~é]{1,60}", span in proptest::option::of((0i64..4_000_000_000_000, 1i64..1_000_000)),
        case in 0u32..1_000_000, mut slots in proptest::collection::btree_set("[a-z]{1,9}", 1..9),
    ) {
        let image = Digest::from_bytes(bytes);
        let window = span.map(|(from, len)| downgrade::Window {
            from: Moment::new(Wall::trusted(from)), until: Moment::new(Wall::trusted(from + len)),
        });
        same(Downgrade { controller: controller.clone(), image, uses, window })?;
        same(ConfigApproval { config: image, weakens })?;
        let subject = Subject::Case(format!("C-{case:06}"));
        same(Approval { controller: controller.clone(), decision: Decision::Refuse, scope: Scope::Update, subject, conditions: None })?;
        let subject = Subject::Held { case: format!("C-{case:06}"), image };
        let conditions = Some(Conditions {
            security_version: weakens.then_some(sequence), stations: slots.iter().cloned().collect(),
            uses: uses.into(), window,
        });
        same(Approval {
            controller: controller.clone(), decision: Decision::Approve, scope: Scope::Release, subject, conditions,
        })?;
        slots.insert(controller.to_string());
        let controllers = slots.iter().map(|id| Slot::new(id).unwrap()).collect();
        same(Vouch { controllers, image })?;
        let reason = reason.trim().to_owned();
        let revoke_digests = vec![RevokedDigest { image, reason: format!("x{reason}") }];
        same(TrustBundle { sequence, revoke_digests, ..bundle() })?;
    }

    #[test]
    fn any_changed_byte_of_a_payload_fails(at in 0usize..400, with in 1u8..=255) {
        let good = envelope(&document(Downgrade::new(pump(), image())), &[21]);
        let mut payload = good.payload().to_vec();
        let at = at % payload.len();
        payload[at] ^= with;
        let json = good.to_json().unwrap();
        let (old, new) = (base64(good.payload()), base64(&payload));
        let changed = Envelope::parse(json.replacen(&old, &new, 1).as_bytes()).unwrap();
        prop_assert_ne!(changed.payload(), good.payload());
        let opened = Signed::<Downgrade>::open(&changed, &store(), GATEWAY, NOW);
        prop_assert_eq!(opened.unwrap_err().code(), r::DOCUMENT_NOT_SIGNED);
    }

    #[test]
    fn arbitrary_payloads_are_refused_without_a_panic(payload: Vec<u8>) {
        prop_assert!(round_trip(&Document::<Approval>::payload_type(), &payload).is_none());
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn an_approval_of_a_configuration_counts_once_so_that_an_older_one_cannot_come_back() {
    let mut store = store();
    let approve = |store: &mut TrustStore, config: &[u8], id: u8, seeds: &[u8], weakens: bool| {
        let content = ConfigApproval { config: Digest::of(config), weakens };
        let document = Document { id: DocumentId::from_bytes([id; 16]), ..document(content) };
        let signed = Signed::open(&envelope(&document, seeds), store, GATEWAY, NOW)?;
        store.approve_config(&signed, NOW).unwrap();
        Ok::<_, DocumentError>(store.generation())
    };
    let before = store.generation();
    assert_eq!(approve(&mut store, b"one", 1, &[21], false).unwrap(), before + 1, "one change");
    assert_eq!(store.config(), Some(Digest::of(b"one")));
    approve(&mut store, b"two", 2, &[22], false).unwrap();
    let replayed = approve(&mut store, b"one", 1, &[21], false).unwrap_err();
    assert_eq!((replayed.code(), store.config()), (r::DOCUMENT_USED, Some(Digest::of(b"two"))));
    let alone = approve(&mut store, b"three", 3, &[21], true).unwrap_err();
    assert_eq!((alone.code(), store.config()), (r::SIGNERS_TOO_FEW, Some(Digest::of(b"two"))));
    approve(&mut store, b"three", 3, &[21, 22], true).unwrap();
    let read = TrustStore::from_cbor(&store.to_cbor().unwrap()).unwrap();
    assert_eq!(read.config(), Some(Digest::of(b"three")));
}

fn replacement() -> Replacement {
    Replacement {
        backup: Digest::of(b"backup"),
        made: Moment::new(NOW),
        retires: Digest::of(b"old key"),
        takes_over: format!("000b{}", "5a".repeat(32)),
    }
}

#[test]
fn one_box_takes_the_place_of_another_with_the_site_keys_of_both_and_once() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let site = SiteKeyPublic::new(pair.public_key().as_ref()).unwrap();
    let mut old = store();
    let spent = DocumentId::from_bytes([9; 16]);
    old.spend(spent, 1, Wall::trusted(NOW.ms + 1), NOW).unwrap();
    let mut signed = envelope(&document(replacement()), &[12]);
    let open = |signed: &Envelope| Signed::open_with_site(signed, &site, GATEWAY, NOW);
    assert_eq!(open(&signed).unwrap_err().code(), r::DOCUMENT_NOT_SIGNED, "by another site's key");
    let signature = pair.sign(&SystemRandom::new(), &signed.message()).unwrap();
    signed.attach("", signature.as_ref()).unwrap();
    let leave = open(&signed).unwrap();
    Signed::<Replacement>::satisfies(&signed, &old, GATEWAY, NOW).unwrap();
    let two = Thresholds::default().role(Role::Site, Threshold::TWO);
    let step = TrustBundle { sequence: 1, thresholds: Some(two), ..TrustBundle::default() };
    let (strict, _) = TrustBundle::apply(&envelope(&document(step), &[11, 12]), &old, GATEWAY, NOW).unwrap();
    let few = Signed::<Replacement>::satisfies(&signed, &strict, GATEWAY, NOW).unwrap_err();
    assert_eq!(few.code(), r::SIGNERS_TOO_FEW, "the old store asks for two");
    Signed::<Replacement>::satisfies(&signed, &TrustStore::new(), GATEWAY, NOW).unwrap();

    let mut new = TrustStore::with(41, vec![]).unwrap();
    let head = |entries| LogHead { entries, root: Digest::of(b"root"), aside: 0 };
    old.remember_log(head(500));
    new.remember_log(head(3));
    new.take_over(&old, &leave, NOW).unwrap();
    assert_eq!((new.generation(), new.anchors(), new.since()), (42, old.anchors(), Some(NOW)));
    assert_eq!((new.used(&spent), new.used(&leave.document().id)), (1, 1));
    assert_eq!(new.log(), Some(head(3)), "the log is this box's own");
    assert!(new.take_over(&old, &leave, NOW).is_err(), "once");
    assert_eq!(TrustStore::from_cbor(&new.to_cbor().unwrap()).unwrap(), new);

    // A ticket of before may have been used by the other box; what came in order of its own number was not.
    let ticket = |days: i64| {
        let mut ticket = document(Downgrade::new(pump(), image()));
        ticket.id = DocumentId::from_bytes([8; 16]);
        ticket.issued = Moment::new(Wall::trusted(NOW.ms + days * 3_600_000));
        let opened = Signed::<Downgrade>::open(
            &envelope(&ticket, &[21]),
            &new,
            GATEWAY,
            Wall::trusted(NOW.ms + 7_200_000),
        );
        opened.map(drop).map_err(|e| e.code())
    };
    assert_eq!((ticket(-1), ticket(1)), (Err(r::DOCUMENT_USED), Ok(())));
    assert!(Signed::<TrustBundle>::open(&envelope(&document(bundle()), &[11]), &new, GATEWAY, NOW).is_ok());
}

#[test]
fn a_replacement_names_a_key_of_a_tpm() {
    for takes_over in ["", "000b", &"5a".repeat(34), &format!("000b{}", "5A".repeat(32))] {
        let document = document(Replacement { takes_over: takes_over.into(), ..replacement() });
        assert_eq!(document.to_envelope().unwrap_err().code(), r::DOCUMENT_UNREADABLE, "{takes_over}");
    }
    let good = document(replacement()).to_envelope().unwrap();
    let kind = Document::<Replacement>::payload_type();
    assert_eq!(round_trip(&kind, good.payload()).as_deref(), Some(good.payload()));
}
