//! What comes along with an image: more signatures, the site's word, a ticket to go back; and what the
//! trust store says against it.

#![allow(clippy::unwrap_used, clippy::panic)]

use ed25519_dalek::{Signer, SigningKey};
use firmware_verifier::document::{
    Content, Document, DocumentId, Downgrade, Moment, TrustBundle, Vouch, Window,
};
use firmware_verifier::document::{RevokedDigest, RevokedKey};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::reasons as r;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{
    Anchor, Floor, KeyKind, PublicKey, Role, Scope, Threshold, Thresholds, TrustStore,
};
use firmware_verifier::verdict::{Outcome, Stage};
use firmware_verifier::version::VersionScheme;
use firmware_verifier::{Basis, Digest, Gauntlet, MAX_SIGNATURE_FILES, Papers, Request, Verdict};
use hal::clock::Wall;
use hal::reason::ReasonCode;

const IMAGE: &[u8] = b"firmware of pump 3, version 2";
const NOW: Wall = Wall::trusted(1_800_000_000_000);
const GATEWAY: &str = "cell-4";
const DAY: i64 = 86_400_000;

/// Seeds: 1 to 3 sign for acme, 4 for globex, 11 and 12 are the site, 21 and 22 approve, 31 is this gateway's own.
const SITE: u8 = 11;
const APPROVER: u8 = 21;
const SECOND: u8 = 22;
const OWN: u8 = 31;
/// All whose signatures an image without one needs.
const WORD: &[u8] = &[APPROVER, SECOND, OWN];

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::new(KeyKind::Ed25519, key(seed).verifying_key().to_bytes()).unwrap()
}

fn store() -> TrustStore {
    let vendor = |seed, vendor| {
        Anchor::new(public(seed), &format!("{vendor} {seed}"), Scope::new(vendor, &["*"]).unwrap(), NOW)
            .unwrap()
    };
    let other = |seed, role| Anchor::with_role(role, public(seed), &format!("{role} {seed}"), NOW).unwrap();
    let anchors = vec![
        vendor(1, "acme"),
        vendor(2, "acme"),
        vendor(3, "acme"),
        vendor(4, "globex"),
        other(SITE, Role::Site),
        other(12, Role::Site),
        other(APPROVER, Role::Approver),
        other(SECOND, Role::Approver),
        other(OWN, Role::Gateway),
    ];
    TrustStore::with(1, anchors).unwrap()
}

fn document<C: Content>(content: C, seeds: &[u8]) -> Envelope {
    let moment = |ms| Moment::new(Wall::trusted(NOW.ms + ms));
    let document = Document {
        content,
        expires: moment(DAY),
        gateway: GATEWAY.to_owned(),
        id: DocumentId::from_bytes([7; 16]),
        issued: moment(-DAY),
        reason: "as agreed".to_owned(),
    };
    let mut envelope = document.to_envelope().unwrap();
    for seed in seeds {
        let signature = key(*seed).sign(&envelope.message()).to_bytes();
        envelope.attach("", &signature).unwrap();
    }
    envelope
}

/// The store after a bundle that the site has signed.
fn bundle(store: &TrustStore, bundle: TrustBundle) -> TrustStore {
    let bundle = TrustBundle { sequence: store.bundle() + 1, ..bundle };
    TrustBundle::apply(&document(bundle, &[SITE]), store, GATEWAY, NOW).unwrap().0
}

fn signed(seed: u8) -> SignatureFile {
    SignatureFile::parse(&key(seed).sign(IMAGE).to_bytes()).unwrap()
}

fn pump() -> Slot {
    Slot::new("pump-3").unwrap()
}

fn request() -> Request {
    Request {
        slot: pump(),
        product: Product::new("acme", "px-200").unwrap(),
        identity: None,
        signature: None,
        policy_epoch: 4,
        state_counter: 9,
        expires: Wall::trusted(NOW.ms + 2 * DAY),
    }
}

fn run(seeds: &[u8], papers: Papers, store: &TrustStore) -> Verdict {
    let signatures = seeds.iter().map(|seed| signed(*seed)).collect();
    let papers = Papers { gateway: GATEWAY.to_owned(), signatures, ..papers };
    let mut gauntlet = Gauntlet::with(request(), papers, store, NOW);
    gauntlet.absorb(IMAGE);
    gauntlet.finish()
}

fn code(verdict: &Verdict) -> Option<ReasonCode> {
    verdict.code()
}

fn of(verdict: &Verdict, stage: Stage) -> (Outcome, Option<ReasonCode>, String) {
    let evidence = verdict.evidence().iter().find(|e| e.stage == stage).unwrap();
    (evidence.outcome, evidence.code, evidence.found.clone())
}

#[test]
fn as_many_distinct_vendor_keys_must_sign_as_the_store_says() {
    let two = TrustBundle {
        thresholds: Some(Thresholds::default().vendor("ACME", Threshold::TWO)),
        ..TrustBundle::default()
    };
    let store = bundle(&store(), two);
    for (what, seeds, expected) in [
        ("nobody", &[][..], Some(r::NO_SIGNATURE)),
        ("one", &[1], Some(r::SIGNERS_TOO_FEW)),
        ("one, twice", &[1, 1], Some(r::SIGNERS_TOO_FEW)),
        ("one, and another vendor's", &[1, 4], Some(r::SIGNERS_TOO_FEW)),
        ("one, and the site", &[1, SITE], Some(r::SIGNERS_TOO_FEW)),
        ("one, and an approver", &[1, APPROVER], Some(r::SIGNERS_TOO_FEW)),
        ("two", &[1, 2], None),
        ("two in the other order", &[2, 1], None),
        ("two, and one who is nobody", &[99, 3, 2], None),
        ("more files than are checked", &[1, 2, 3, 1, 2], Some(r::TOO_MANY_CANDIDATES)),
    ] {
        let verdict = run(seeds, Papers::default(), &store);
        assert_eq!(code(&verdict), expected, "{what}: {verdict:?}");
    }
    assert_eq!(MAX_SIGNATURE_FILES, 4);
}

#[test]
fn only_vendors_sign_images() {
    for seed in [SITE, APPROVER] {
        let verdict = run(&[seed], Papers::default(), &store());
        assert_eq!(code(&verdict), Some(r::SIGNER_NOT_ALLOWED), "{seed}");
        // Named as the scope of such keys is written.
        let product = Product::new("*", "*").unwrap();
        let request = Request { product, signature: Some(signed(seed)), ..request() };
        let mut gauntlet = Gauntlet::new(request, &store(), NOW);
        gauntlet.absorb(IMAGE);
        assert_eq!(code(&gauntlet.finish()), Some(r::SIGNER_NOT_ALLOWED), "{seed} for a product *");
    }
}

#[test]
fn what_is_revoked_is_refused_before_anything_else() {
    let image = RevokedDigest { image: Digest::of(IMAGE), reason: "a known hole".into() };
    let no_image = bundle(&store(), TrustBundle { revoke_digests: vec![image], ..TrustBundle::default() });
    let key = RevokedKey { key: public(1).id(), reason: "stolen".into() };
    let no_key = bundle(&store(), TrustBundle { revoke_keys: vec![key], ..TrustBundle::default() });
    for (what, store, seeds, expected) in [
        ("a revoked image", &no_image, &[1][..], r::IMAGE_REVOKED),
        ("a revoked image without a signature", &no_image, &[], r::IMAGE_REVOKED),
        ("a revoked key", &no_key, &[1], r::SIGNER_REVOKED),
        ("a revoked key beside a good one", &no_key, &[1, 2], r::SIGNER_REVOKED),
    ] {
        let verdict = run(seeds, Papers::default(), store);
        assert!(matches!(verdict, Verdict::Rejected(..)), "{what}");
        assert_eq!(code(&verdict), Some(expected), "{what}");
        assert_eq!(r::reason(expected).map(|r| r.exit), Some(14));
        assert_eq!(of(&verdict, Stage::Revocation).0, Outcome::Failed, "{what}");
        assert_eq!(verdict.evidence().len(), 8, "{what}: later stages still report");
    }
    assert_eq!(code(&run(&[2], Papers::default(), &no_key)), None);
}

#[test]
fn the_site_vouches_only_for_an_unsigned_image_on_controllers_it_names() {
    let vouch = |image: &[u8], slot: &str, seeds: &[u8]| {
        let controllers = vec![Slot::new(slot).unwrap()];
        let content = Vouch { controllers, image: Digest::of(image) };
        Papers { vouch: Some(document(content, seeds)), ..Papers::default() }
    };
    for (what, papers, expected) in [
        ("another image", vouch(b"x", "pump-3", WORD), Some(r::VOUCH_ELSEWHERE)),
        ("another controller", vouch(IMAGE, "pump-4", WORD), Some(r::VOUCH_ELSEWHERE)),
        ("signed by a vendor", vouch(IMAGE, "pump-3", &[1, OWN]), Some(r::DOCUMENT_NOT_SIGNED)),
        ("signed by the site", vouch(IMAGE, "pump-3", &[SITE, 12, OWN]), Some(r::DOCUMENT_NOT_SIGNED)),
        ("by the gateway alone", vouch(IMAGE, "pump-3", &[OWN]), Some(r::DOCUMENT_NOT_SIGNED)),
        ("by one approver", vouch(IMAGE, "pump-3", &[APPROVER, OWN]), Some(r::SIGNERS_TOO_FEW)),
        ("by one, twice", vouch(IMAGE, "pump-3", &[APPROVER, APPROVER, OWN]), Some(r::SIGNERS_TOO_FEW)),
        ("not countersigned", vouch(IMAGE, "pump-3", &[APPROVER, SECOND]), Some(r::DOCUMENT_NOT_SIGNED)),
        ("this image here", vouch(IMAGE, "pump-3", WORD), None),
    ] {
        let verdict = run(&[], papers, &store());
        assert_eq!(code(&verdict), expected, "{what}");
    }
    let verdict = run(&[], vouch(IMAGE, "pump-3", WORD), &store());
    let (_, _, found) = of(&verdict, Stage::Signature);
    assert!(found.starts_with("site-vouched") && !found.contains("good signature"), "{found}");
    let Verdict::Verified(proof, _) = verdict else { panic!() };
    assert_eq!(proof.basis(), Basis::SiteVouched);
    let words = proof.backing();
    let both = words.contains("approver 21 (key ") && words.contains("approver 22 (key ");
    assert!(words.starts_with("site-vouched, not signed: by ") && both, "{words}");
    assert_eq!(proof.expires().ms, NOW.ms + DAY, "the verdict ends with the site's word");

    let verdict = run(&[99], vouch(IMAGE, "pump-3", WORD), &store());
    assert_eq!(code(&verdict), Some(r::SIGNATURE_MISMATCH), "a bad signature is not covered up");
    let Verdict::Verified(proof, _) = run(&[1], vouch(IMAGE, "pump-3", WORD), &store()) else { panic!() };
    assert_eq!(proof.basis(), Basis::VendorSigned);
}

/// Papers of an image that states this security version and this version.
fn states(security_version: Option<u64>, version: Option<&str>) -> Papers {
    let scheme = Some(VersionScheme::Dotted);
    let (version, accepted) = (version.map(String::from), Some("2.10".to_owned()));
    Papers { security_version, version, scheme, accepted, ..Papers::default() }
}

fn with_floor(value: u64) -> TrustStore {
    let mut store = store();
    store.raise_floor(Floor::new("acme", "px-200", value, NOW, "C-000009").unwrap()).unwrap();
    store
}

#[test]
fn an_older_image_is_refused_and_one_that_cannot_be_compared_is_held() {
    use Outcome::{Failed, NotDone, Passed, Undecided};
    let (none, floor) = (store(), with_floor(5));
    let old = Some(r::ROLLBACK);
    let unknown = Some(r::CANNOT_COMPARE);
    let unset = |version: Option<&str>| Papers { version: version.map(String::from), ..Papers::default() };
    for (what, store, papers, outcome, code) in [
        ("below the floor", &floor, states(Some(4), Some("9.0")), Failed, old),
        ("at the floor", &floor, states(Some(5), Some("1.0")), Passed, None),
        ("above the floor", &floor, states(Some(6), None), Passed, None),
        ("a floor, and nothing stated", &floor, states(None, Some("9.0")), Undecided, unknown),
        ("no floor", &none, states(Some(0), None), Passed, None),
        ("an older version", &none, states(None, Some("2.9")), Failed, old),
        ("the same version", &none, states(None, Some("2.10.0")), Passed, None),
        ("a newer version", &none, states(None, Some("2.11")), Passed, None),
        ("no version", &none, states(None, None), Undecided, unknown),
        ("a version of no scheme", &none, states(None, Some("2.11b")), Undecided, unknown),
        ("nothing known at all", &none, unset(Some("2.9")), NotDone, unknown),
    ] {
        let verdict = run(&[1], papers, store);
        let (found, found_code, _) = of(&verdict, Stage::Rollback);
        assert_eq!((found, found_code), (outcome, code), "{what}");
        let decided = match verdict {
            Verdict::Verified(..) => Passed,
            Verdict::Rejected(..) => Failed,
            Verdict::Undecided(..) => Undecided,
        };
        assert_eq!(decided, if outcome == NotDone { Passed } else { outcome }, "{what}");
    }
    assert_eq!(r::reason(r::ROLLBACK).map(|r| r.exit), Some(50));
}

#[test]
fn a_downgrade_ticket_helps_this_image_on_this_controller_as_often_as_it_says() {
    let ticket = |content: Downgrade, seeds: &[u8]| Papers {
        downgrade: Some(document(content, seeds)),
        ..states(Some(4), None)
    };
    let good = || Downgrade { uses: 2, ..Downgrade::new(pump(), Digest::of(IMAGE)) };
    let window = |from: i64, until: i64| {
        let moment = |ms| Moment::new(Wall::trusted(NOW.ms + ms));
        Downgrade { window: Some(Window { from: moment(from), until: moment(until) }), ..good() }
    };
    let elsewhere = Downgrade { controller: Slot::new("pump-4").unwrap(), ..good() };
    let other = Downgrade { image: Digest::of(b"other"), ..good() };
    let mut store = with_floor(5);
    for (what, papers, expected) in [
        ("no ticket", states(Some(4), None), Some(r::ROLLBACK)),
        ("another controller", ticket(elsewhere, &[APPROVER]), Some(r::ROLLBACK)),
        ("another image", ticket(other, &[APPROVER]), Some(r::ROLLBACK)),
        ("signed by a vendor", ticket(good(), &[1]), Some(r::ROLLBACK)),
        ("before its window", ticket(window(1, 2), &[APPROVER]), Some(r::ROLLBACK)),
        ("after its window", ticket(window(-2, 0), &[APPROVER]), Some(r::ROLLBACK)),
        ("in its window", ticket(window(0, 1), &[APPROVER]), None),
        ("at any time", ticket(good(), &[APPROVER]), None),
    ] {
        assert_eq!(code(&run(&[1], papers, &store)), expected, "{what}");
    }
    let Verdict::Verified(proof, _) = run(&[1], ticket(window(0, 9), &[APPROVER]), &store) else { panic!() };
    assert_eq!(proof.expires().ms, NOW.ms + 9, "the verdict ends with the window");
    for _ in 0..2 {
        let Verdict::Verified(proof, _) = run(&[1], ticket(good(), &[APPROVER]), &store) else { panic!() };
        let spend = proof.spends().unwrap();
        store.spend(spend.id, spend.uses, spend.expires, NOW).unwrap();
    }
    let verdict = run(&[1], ticket(good(), &[APPROVER]), &store);
    assert_eq!(code(&verdict), Some(r::ROLLBACK), "used up");
    assert!(of(&verdict, Stage::Rollback).2.contains("may be used 2 time(s)"));
    let spent = |papers| Papers { downgrade_spent: true, ..papers };
    let Verdict::Verified(proof, _) = run(&[1], spent(ticket(window(0, 9), &[APPROVER])), &store) else {
        panic!("a use of it was spent for this release")
    };
    assert_eq!((proof.spends(), proof.expires().ms), (None, NOW.ms + 9), "no second use, and the same end");
    let never = run(&[1], spent(ticket(good(), &[APPROVER])), &with_floor(5));
    assert_eq!(code(&never), Some(r::ROLLBACK), "said to be spent, and was not");
    let newer = Papers { security_version: Some(5), ..ticket(good(), &[APPROVER]) };
    let Verdict::Verified(proof, _) = run(&[1], newer, &store) else { panic!() };
    assert!(proof.spends().is_none(), "a ticket that is not needed is not used");
}
