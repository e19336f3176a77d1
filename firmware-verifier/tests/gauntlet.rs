//! The gauntlet's rules, one row each, with signatures made here.

#![allow(clippy::unwrap_used, clippy::panic)]

use ed25519_dalek::{Signer, SigningKey};
use firmware_verifier::identity::{ControllerIdentity, Observed, Product, Slot};
use firmware_verifier::reasons as r;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Scope, TrustStore};
use firmware_verifier::verdict::{Outcome, Stage};
use firmware_verifier::{Digest, Gauntlet, MAX_CANDIDATES, MAX_IMAGE, Request, Verdict};
use hal::clock::Wall;
use hal::reason::ReasonCode;
use proptest::prelude::*;

const IMAGE: &[u8] = b"firmware of pump 3, version 2";
const NOW: Wall = Wall::trusted(1_800_000_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn anchor(seed: u8, vendor: &str, models: &[&str]) -> Anchor {
    let public = PublicKey::new(KeyKind::Ed25519, key(seed).verifying_key().to_bytes()).unwrap();
    Anchor::new(public, &format!("key of {vendor}"), Scope::new(vendor, models).unwrap(), NOW).unwrap()
}

fn store(anchors: Vec<Anchor>) -> TrustStore {
    TrustStore::with(1, anchors).unwrap()
}

fn signed(seed: u8, image: &[u8]) -> Option<SignatureFile> {
    Some(SignatureFile::parse(&key(seed).sign(image).to_bytes()).unwrap())
}

fn read(vendor: &str, model: &str) -> Option<Observed<ControllerIdentity>> {
    let value = ControllerIdentity::new(vendor, model, "1.0").unwrap();
    Some(Observed { at: Wall::trusted(NOW.ms - 42_000), value })
}

fn request(signature: Option<SignatureFile>) -> Request {
    Request {
        slot: Slot::new("pump-3").unwrap(),
        product: Product::new("acme", "px-200").unwrap(),
        identity: None,
        signature,
        policy_epoch: 4,
        state_counter: 9,
        expires: Wall::trusted(NOW.ms + 1000),
    }
}

fn run(request: Request, store: &TrustStore, now: Wall, image: &[u8]) -> Verdict {
    let mut gauntlet = Gauntlet::new(request, store, now);
    gauntlet.absorb(image);
    gauntlet.finish()
}

#[test]
fn a_good_image_passes_and_the_proof_is_bound_to_everything() {
    let request = Request { identity: read("ACME ", "PX-200"), ..request(signed(1, IMAGE)) };
    let anchors = store(vec![anchor(1, "acme", &["px-200"]), anchor(2, "other", &["*"])]);
    let Verdict::Verified(proof, evidence) = run(request, &anchors, NOW, IMAGE) else { panic!() };
    assert_eq!((proof.digest(), proof.len()), (Digest::of(IMAGE), IMAGE.len() as u64));
    assert_eq!((proof.slot().as_str(), proof.signer().name.as_str()), ("pump-3", "key of acme"));
    let stages: Vec<_> = evidence.iter().map(|e| (e.stage, e.outcome, e.input_age_s)).collect();
    assert_eq!(
        stages,
        [
            (Stage::Intake, Outcome::Passed, None),
            (Stage::Revocation, Outcome::Passed, None),
            (Stage::Signature, Outcome::Passed, None),
            (Stage::Identity, Outcome::Passed, Some(42)),
            (Stage::Rollback, Outcome::NotDone, None),
            (Stage::Sbom, Outcome::NotDone, None),
            (Stage::Vulnerabilities, Outcome::NotDone, None),
            (Stage::Policy, Outcome::NotDone, None),
        ]
    );
    assert!(evidence.iter().all(|e| e.input_digest == Some(Digest::of(IMAGE))));
    let not_done: Vec<_> = evidence.iter().skip(5).map(|e| e.found.as_str()).collect();
    assert_eq!(
        not_done,
        [
            "no SBOM came along, and the zone of the controller demands none",
            "no advisory database is configured",
            "no policy is configured",
        ],
        "what is not there, or not configured"
    );

    let late = Wall::trusted(NOW.ms + 1000);
    let unset = Wall { trusted: false, ..NOW };
    assert_eq!(proof.is_current(4, 9, NOW), Ok(()));
    let code = |epoch, state, now| proof.is_current(epoch, state, now).unwrap_err().code;
    assert_eq!(code(5, 9, NOW), r::VERDICT_OUTDATED);
    assert_eq!(code(4, 8, NOW), r::VERDICT_OUTDATED);
    assert_eq!(code(4, 9, late), r::VERDICT_EXPIRED);
    assert_eq!(code(4, 9, unset), r::CLOCK_UNTRUSTED);
}

#[test]
fn each_rule_refuses_with_its_own_code() {
    let acme = || anchor(1, "acme", &["px-200"]);
    let until = |ms| acme().valid(None, Some(Wall::trusted(ms))).unwrap();
    let from = |ms| acme().valid(Some(Wall::trusted(ms)), None).unwrap();
    let good = || request(signed(1, IMAGE));
    let elsewhere = |vendor, model| Request { identity: read(vendor, model), ..good() };
    let mut malleable = key(1).sign(IMAGE).to_bytes();
    malleable[63] |= 0xe0;
    let malleable = SignatureFile::parse(&malleable).ok();
    let crowd: Vec<Anchor> = (0..=16).map(|seed| anchor(seed + 10, "acme", &["*"])).collect();
    assert_eq!(crowd.len(), MAX_CANDIDATES + 1);
    type Row = (&'static str, Request, Vec<Anchor>, &'static [u8], ReasonCode);
    let rows: Vec<Row> = vec![
        ("no signature", request(None), vec![acme()], IMAGE, r::NO_SIGNATURE),
        ("empty image", good(), vec![acme()], b"", r::IMAGE_EMPTY),
        ("changed image", good(), vec![acme()], b"Firmware", r::SIGNATURE_MISMATCH),
        ("other key", request(signed(2, IMAGE)), vec![acme()], IMAGE, r::SIGNATURE_MISMATCH),
        ("S above the order", request(malleable), vec![acme()], IMAGE, r::SIGNATURE_NOT_STRICT),
        ("no anchors", good(), vec![], IMAGE, r::SIGNER_UNKNOWN),
        ("other vendor's key", good(), vec![anchor(1, "other", &["*"])], IMAGE, r::SIGNER_NOT_ALLOWED),
        ("other model's key", good(), vec![anchor(1, "acme", &["px-1"])], IMAGE, r::SIGNER_NOT_ALLOWED),
        ("expired now", good(), vec![until(NOW.ms)], IMAGE, r::SIGNER_EXPIRED),
        ("valid from later", good(), vec![from(NOW.ms + 1)], IMAGE, r::SIGNER_NOT_YET_VALID),
        ("other vendor's device", elsewhere("evil", "px-200"), vec![acme()], IMAGE, r::WRONG_VENDOR),
        ("other model", elsewhere("acme", "px-100"), vec![acme()], IMAGE, r::WRONG_MODEL),
        ("mute device", elsewhere("", ""), vec![acme()], IMAGE, r::WRONG_VENDOR),
    ];
    for (what, request, anchors, image, code) in rows {
        let verdict = run(request, &store(anchors), NOW, image);
        assert!(matches!(verdict, Verdict::Rejected(..)), "{what}: {verdict:?}");
        assert_eq!(verdict.code(), Some(code), "{what}");
        assert_eq!(verdict.evidence().len(), 8, "{what}: later stages still report");
        assert!(r::reason(code).is_some(), "{what}");
    }
    let verdict = run(good(), &store(crowd), NOW, IMAGE);
    assert!(matches!(verdict, Verdict::Undecided(..)));
    assert_eq!(verdict.code(), Some(r::TOO_MANY_CANDIDATES));
}

#[test]
fn a_span_is_judged_only_by_a_trusted_clock() {
    let unset = Wall { trusted: false, ..NOW };
    let span = |from, until| anchor(1, "acme", &["*"]).valid(from, until).unwrap();
    let (before, after) = (Some(Wall::trusted(NOW.ms)), Some(Wall::trusted(NOW.ms + 1)));
    let verdict = |anchor, now| run(request(signed(1, IMAGE)), &store(vec![anchor]), now, IMAGE);
    assert!(matches!(verdict(span(before, after), NOW), Verdict::Verified(..)));
    assert!(matches!(verdict(span(None, None), unset), Verdict::Verified(..)));
    for anchor in [span(before, None), span(None, after)] {
        let verdict = verdict(anchor, unset);
        assert!(matches!(verdict, Verdict::Undecided(..)));
        assert_eq!(verdict.code(), Some(r::CLOCK_UNTRUSTED));
    }
}

#[test]
fn a_refusal_for_scope_says_whose_key_it_was() {
    let anchors = store(vec![anchor(1, "globex", &["*"]), anchor(2, "acme", &["*"])]);
    let Verdict::Rejected(rejection, _) = run(request(signed(1, IMAGE)), &anchors, NOW, IMAGE) else {
        panic!()
    };
    let text = rejection.to_string();
    for part in ["HG-1021", "key of globex", "acme px-200", "next:"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[test]
fn too_many_bytes_are_refused_and_not_hashed() {
    let anchors = store(vec![anchor(1, "acme", &["*"])]);
    let mut gauntlet = Gauntlet::new(request(signed(1, IMAGE)), &anchors, NOW);
    let block = vec![0; 1 << 20];
    (0..MAX_IMAGE >> 20).for_each(|_| gauntlet.absorb(&block));
    gauntlet.absorb(&[0]);
    let verdict = gauntlet.finish();
    assert_eq!(verdict.code(), Some(r::IMAGE_TOO_LARGE));
    assert!(verdict.evidence().iter().all(|e| e.input_digest.is_none()));
    assert!(verdict.evidence()[1..4].iter().all(|e| e.outcome == Outcome::NotDone));
}

#[test]
fn evidence_reads_back_from_json() {
    let verdict = run(request(None), &store(vec![]), NOW, IMAGE);
    let json = serde_json::to_string(verdict.evidence()).unwrap();
    assert!(json.contains(r#""stage":"signature","outcome":"failed","code":"HG-1001""#), "{json}");
    let back: Vec<firmware_verifier::Evidence> = serde_json::from_str(&json).unwrap();
    assert_eq!(back, verdict.evidence());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_size_of_pieces_does_not_change_the_verdict(
        image in proptest::collection::vec(any::<u8>(), 0..3000),
        cuts in proptest::collection::vec(0usize..3000, 0..8),
        right: bool,
    ) {
        let anchors = store(vec![anchor(1, "acme", &["*"]), anchor(2, "other", &["*"])]);
        let ask = || request(signed(if right { 1 } else { 2 }, &image));
        let whole = run(ask(), &anchors, NOW, &image);
        let mut gauntlet = Gauntlet::new(ask(), &anchors, NOW);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(image.len())).collect();
        cuts.extend([0, image.len()]);
        cuts.sort_unstable();
        cuts.windows(2).for_each(|pair| gauntlet.absorb(&image[pair[0]..pair[1]]));
        let pieces = gauntlet.finish();
        prop_assert_eq!(whole.evidence(), pieces.evidence());
        prop_assert_eq!(whole.code(), pieces.code());
        prop_assert_eq!(whole.code().is_none(), right && !image.is_empty());
    }

    #[test]
    fn how_the_lanes_are_run_does_not_change_the_verdict(
        image in proptest::collection::vec(any::<u8>(), 1..3000),
        ways in proptest::collection::vec(0u8..6, 1..8),
        keys in 1u8..5,
        right: bool,
    ) {
        let anchors = store((1..=keys).map(|n| anchor(n, "acme", &["*"])).collect());
        let ask = || request(signed(if right { keys } else { keys + 1 }, &image));
        let mut gauntlet = Gauntlet::new(ask(), &anchors, NOW);
        for (piece, way) in image.chunks(image.len().div_ceil(ways.len())).zip(&ways) {
            gauntlet.absorb_with(piece, |signature, digest| match way {
                0 => {}
                1 => signature.run(),
                2 => digest.run(),
                3 => {
                    digest.run();
                    signature.run();
                }
                4 => (0..2).for_each(|_| signature.run()),
                _ => std::thread::scope(|s| {
                    s.spawn(|| signature.run());
                    digest.run();
                }),
            });
        }
        let (whole, lanes) = (run(ask(), &anchors, NOW, &image), gauntlet.finish());
        prop_assert_eq!(whole.evidence(), lanes.evidence());
        prop_assert_eq!((whole.code(), whole.code().is_none()), (lanes.code(), right));
    }

    #[test]
    fn any_flipped_bit_of_image_or_signature_is_refused(bit in 0usize..(IMAGE.len() + 64) * 8) {
        let mut all = [IMAGE, &key(1).sign(IMAGE).to_bytes()].concat();
        all[bit / 8] ^= 1 << (bit % 8);
        let (image, signature) = all.split_at(IMAGE.len());
        let anchors = store(vec![anchor(1, "acme", &["*"])]);
        let signature = SignatureFile::parse(signature).unwrap();
        let verdict = run(request(Some(signature)), &anchors, NOW, image);
        prop_assert!(matches!(verdict, Verdict::Rejected(..)), "{:?}", verdict);
    }
}
