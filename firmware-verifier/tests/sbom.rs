//! Lists of parts that come along with an image: whose signature counts, what they must be of, and what the vectors of
//! CycloneDX say.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use ed25519_dalek::{Signer, SigningKey};
use firmware_verifier::document::{Document, DocumentId, Moment, RevokedKey, TrustBundle};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::reasons as r;
use firmware_verifier::sbom::{MAX_SBOM, Sbom, SbomError, SbomFile};
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Role, Scope, Threshold, Thresholds, TrustStore};
use firmware_verifier::verdict::{Outcome, Stage};
use firmware_verifier::{Digest, Evidence, Gauntlet, Papers, Request, Verdict};
use hal::clock::Wall;

const IMAGE: &[u8] = b"firmware of pump 3, version 2";
const NOW: Wall = Wall::trusted(1_800_000_000_000);
const HOUR: i64 = 3_600_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::new(KeyKind::Ed25519, key(seed).verifying_key().to_bytes()).unwrap()
}

/// Seeds 1 and 2 sign for acme, 4 for globex, 11 is the site.
fn store() -> TrustStore {
    let vendor = |seed, vendor| {
        let scope = Scope::new(vendor, &["*"]).unwrap();
        Anchor::new(public(seed), &format!("{vendor} {seed}"), scope, NOW).unwrap()
    };
    let site = Anchor::with_role(Role::Site, public(11), "site", NOW).unwrap();
    TrustStore::with(1, vec![vendor(1, "acme"), vendor(2, "acme"), vendor(4, "globex"), site]).unwrap()
}

/// The store after a bundle that the site has signed.
fn after(content: TrustBundle) -> TrustStore {
    let moment = |ms| Moment::new(Wall::trusted(NOW.ms + ms));
    let document = Document {
        content: TrustBundle { sequence: 1, ..content },
        expires: moment(HOUR),
        gateway: "cell-4".to_owned(),
        id: DocumentId::from_bytes([7; 16]),
        issued: moment(-HOUR),
        reason: "as agreed".to_owned(),
    };
    let mut envelope = document.to_envelope().unwrap();
    envelope.attach("", &key(11).sign(&envelope.message()).to_bytes()).unwrap();
    TrustBundle::apply(&envelope, &store(), "cell-4", NOW).unwrap().0
}

fn sign(seed: u8, bytes: &[u8]) -> SignatureFile {
    SignatureFile::parse(&key(seed).sign(bytes).to_bytes()).unwrap()
}

/// A list of two parts; its image, where one is named.
fn list(image: Option<&[u8]>) -> String {
    let hashes = image.map(|image| {
        format!(r#","hashes":[{{"alg":"SHA-256","content":"{}"}}]"#, Digest::of(image).to_hex())
    });
    let made = Wall::trusted(NOW.ms - HOUR);
    format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{{"timestamp":"{made}","component":
           {{"type":"firmware","name":"pump"{}}}}},"components":[{{"type":"library","name":"zlib","version":"1.2.11"}},
           {{"type":"library","name":"lwip","version":"2.1.2"}}]}}"#,
        hashes.unwrap_or_default()
    )
}

fn plain(json: &str, seed: Option<u8>) -> SbomFile {
    let signature = seed.map(|seed| sign(seed, json.as_bytes()));
    SbomFile::parse(json.as_bytes().to_vec(), signature).unwrap()
}

/// A statement about `image` with the list as what it says.
fn attested(kind: &str, image: &[u8], json: &str, seed: u8) -> SbomFile {
    let payload = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"i","digest":{{"sha256":"{}"}}}}],
           "predicateType":"{kind}","predicate":{json}}}"#,
        Digest::of(image).to_hex()
    );
    let mut envelope = Envelope::new("application/vnd.in-toto+json", payload.into_bytes()).unwrap();
    envelope.attach("", &key(seed).sign(&envelope.message()).to_bytes()).unwrap();
    SbomFile::parse(envelope.to_json().unwrap().into_bytes(), None).unwrap()
}

const BOM: &str = "https://cyclonedx.org/bom";

/// The verdict on the image, which acme has signed.
fn run(papers: Papers, store: &TrustStore) -> Verdict {
    let request = Request {
        slot: Slot::new("pump-3").unwrap(),
        product: Product::new("acme", "px-200").unwrap(),
        identity: None,
        signature: Some(sign(1, IMAGE)),
        policy_epoch: 1,
        state_counter: 1,
        expires: Wall::trusted(NOW.ms + HOUR),
    };
    let mut gauntlet = Gauntlet::with(request, papers, store, NOW);
    gauntlet.absorb(IMAGE);
    gauntlet.finish()
}

fn with(sbom: SbomFile) -> Papers {
    Papers { sbom: Some(sbom), ..Papers::default() }
}

fn stage(verdict: &Verdict) -> &Evidence {
    verdict.evidence().iter().find(|e| e.stage == Stage::Sbom).unwrap()
}

#[test]
fn a_list_that_does_not_count_holds_the_image_back() {
    let (this, other) = (list(Some(IMAGE)), list(Some(b"another image")));
    let unnamed = list(None);
    let not_json = attested(BOM, IMAGE, "[]", 1);
    let rows = [
        ("an unsigned list", plain(&this, None), r::SBOM_NOT_SIGNED),
        ("one signed by another vendor", plain(&this, Some(4)), r::SBOM_NOT_SIGNED),
        ("one signed by nobody known", plain(&this, Some(9)), r::SBOM_NOT_SIGNED),
        (
            "one whose signature is of another file",
            { SbomFile::parse(this.clone().into_bytes(), Some(sign(1, other.as_bytes()))).unwrap() },
            r::SBOM_NOT_SIGNED,
        ),
        ("one signed for another image", plain(&other, Some(1)), r::SBOM_ELSEWHERE),
        ("one that names no image", plain(&unnamed, Some(1)), r::SBOM_ELSEWHERE),
        ("a statement by nobody known", attested(BOM, IMAGE, &unnamed, 9), r::SBOM_NOT_SIGNED),
        ("a statement about another image", attested(BOM, b"another", &unnamed, 1), r::SBOM_NOT_SIGNED),
        (
            "a statement of another kind",
            attested("https://slsa.dev/provenance/v1", IMAGE, &this, 1),
            r::SBOM_NOT_SIGNED,
        ),
        ("a statement whose list is of another image", attested(BOM, IMAGE, &other, 1), r::SBOM_ELSEWHERE),
        ("a statement without a list", not_json, r::SBOM_UNREADABLE),
    ];
    for (what, sbom, code) in rows {
        let verdict = run(with(sbom), &store());
        assert_eq!(verdict.code(), Some(code), "{what}: {verdict:?}");
        assert_eq!((stage(&verdict).outcome, stage(&verdict).code), (Outcome::Failed, Some(code)), "{what}");
    }
}

#[test]
fn none_is_refused_only_where_one_is_demanded() {
    let verdict = run(Papers::default(), &store());
    assert_eq!((verdict.code(), stage(&verdict).outcome), (None, Outcome::NotDone));
    let verdict = run(Papers { sbom_required: true, ..Papers::default() }, &store());
    assert_eq!(verdict.code(), Some(r::SBOM_MISSING));
}

#[test]
fn a_list_of_this_image_by_who_may_sign_it_counts_and_is_named() {
    let (this, unnamed) = (list(Some(IMAGE)), list(None));
    let rows = [
        ("beside the list", plain(&this, Some(1))),
        ("by another key of the vendor", plain(&this, Some(2))),
        ("a statement with a list that names it", attested(BOM, IMAGE, &this, 1)),
        ("a statement with a list that names nothing", attested(BOM, IMAGE, &unnamed, 2)),
        ("a statement of a version", attested("https://cyclonedx.org/bom/v1.5", IMAGE, &unnamed, 1)),
    ];
    for (what, sbom) in rows {
        let verdict = run(with(sbom), &store());
        assert_eq!(verdict.code(), None, "{what}: {verdict:?}");
        let stage = stage(&verdict);
        assert!(
            stage.found.starts_with("CycloneDX 1.5 of 2 components, signed by \"acme"),
            "{what}: {stage:?}"
        );
        assert_eq!((stage.outcome, stage.input_age_s), (Outcome::Passed, Some(3600)), "{what}");
    }
}

#[test]
fn it_takes_as_many_signers_as_the_image_does_and_no_revoked_one() {
    let thresholds = Some(Thresholds::default().vendor("acme", Threshold::TWO));
    let two = after(TrustBundle { thresholds, ..TrustBundle::default() });
    let key = RevokedKey { key: public(2).id(), reason: "stolen".into() };
    let revoked = after(TrustBundle { revoke_keys: vec![key], ..TrustBundle::default() });
    for (store, seed, because) in [(&two, 1, r::SIGNERS_TOO_FEW), (&revoked, 2, r::SIGNER_REVOKED)] {
        let verdict = run(with(plain(&list(Some(IMAGE)), Some(seed))), store);
        let stage = stage(&verdict);
        assert_eq!(stage.code, Some(r::SBOM_NOT_SIGNED), "{because}");
        assert!(stage.found.contains(&because.to_string()), "{because}: {}", stage.found);
    }
    assert_eq!(run(with(plain(&list(Some(IMAGE)), Some(1))), &revoked).code(), None);
}

#[test]
fn a_signed_list_is_no_image_of_its_own() {
    for image in [list(Some(IMAGE)), format!("\u{feff} {}", list(None)), "{}".to_owned(), "{".to_owned()] {
        let request = Request {
            slot: Slot::new("pump-3").unwrap(),
            product: Product::new("acme", "px-200").unwrap(),
            identity: None,
            signature: Some(sign(1, image.as_bytes())),
            policy_epoch: 1,
            state_counter: 1,
            expires: Wall::trusted(NOW.ms + HOUR),
        };
        let mut gauntlet = Gauntlet::new(request, &store(), NOW);
        image.as_bytes().chunks(7).for_each(|chunk| gauntlet.absorb(chunk));
        let code = gauntlet.finish().code();
        assert_eq!(code, if image == "{}" { None } else { Some(r::IMAGE_IS_A_DOCUMENT) }, "{image}");
    }
}

#[test]
fn the_file_is_told_apart_by_its_form() {
    let parse = |text: &str, signature| SbomFile::parse(text.as_bytes().to_vec(), signature);
    let both = r#"{"bomFormat":"CycloneDX","spdxVersion":"SPDX-2.3"}"#;
    assert_eq!(parse(both, None), Err(SbomError::Ambiguous));
    assert_eq!(parse(r#"{"spdxVersion":"SPDX-2.3"}"#, None), Err(SbomError::Spdx));
    assert!(matches!(parse("{}", None), Err(SbomError::Unknown { .. })));
    assert!(matches!(parse("<bom/>", None), Err(SbomError::Unknown { .. })));
    assert!(matches!(parse(&"[".repeat(100_000), None), Err(SbomError::Unknown { .. })));
    assert!(matches!(parse(&" ".repeat(MAX_SBOM + 1), None), Err(SbomError::TooLarge { .. })));
    let SbomFile::Attested(envelope) = attested(BOM, IMAGE, &list(None), 1) else { panic!() };
    assert_eq!(parse(&envelope.to_json().unwrap(), Some(sign(1, b"x"))), Err(SbomError::TwoSignatures));
}

/// Files of the specification's own tests that break rules about parts this reader does not look at.
const NOT_LOOKED_AT: [&str; 7] = [
    "issue-type",
    "license-choice",
    "license-encoding",
    "license-id",
    "metadata-license",
    "patch-type",
    "service-data",
];

#[test]
fn the_specifications_own_examples_are_read_or_refused_as_they_are_meant() {
    let Some(folder) = support::vectors("cyclonedx-1.4-1.5-json") else { return };
    let (mut read, mut refused, mut loose) = (0, 0, vec![]);
    for version in ["1.4", "1.5"] {
        for entry in std::fs::read_dir(folder.join(version)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let parsed = Sbom::parse(&std::fs::read(&path).unwrap());
            match (name.starts_with("valid-"), parsed) {
                (true, Ok(_)) => read += 1,
                (true, Err(e)) => panic!("{name}: {e}"),
                (false, Err(_)) => refused += 1,
                (false, Ok(_)) => loose.push(name),
            }
        }
    }
    println!("{read} valid read, {refused} invalid refused, {} not looked at: {loose:?}", loose.len());
    let expected = |name: &String| NOT_LOOKED_AT.iter().any(|part| name.contains(part));
    assert!(loose.iter().all(expected), "{loose:?}");
    assert_eq!((read, refused, loose.len()), (65, 30, 14));
}
