//! What vendors tell of holes, held against an image: what each zone makes of it, and that no doubt looks like an all-clear.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use ed25519_dalek::{Signer, SigningKey};
use firmware_verifier::advisory::csaf::{Csaf, Score};
use firmware_verifier::advisory::database::{Builder, DatabaseError, ReadAt};
use firmware_verifier::advisory::kev::Kev;
use firmware_verifier::advisory::known::{Advisories, MAX_FINDINGS};
use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::reasons as r;
use firmware_verifier::sbom::SbomFile;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Scope, TrustStore};
use firmware_verifier::verdict::{Outcome, Stage};
use firmware_verifier::version::VersionScheme;
use firmware_verifier::{
    AdvisorySource, Digest, Evidence, Gauntlet, Papers, PolicyNo, Request, SiteAdvisories, Verdict,
};
use hal::clock::Wall;
use serde_json::{Value, json};

const IMAGE: &[u8] = b"firmware of pump 3, version 2";
/// Three weeks after the newest advisory.
const NOW: Wall = Wall::trusted(1_771_804_800_000 + 21 * DAY);
const DAY: i64 = 86_400_000;

/// One advisory about a version range of a product, or of a part.
fn advisory(id: &str, (vendor, product): (&str, &str), range: &str, score: Option<f64>) -> Csaf {
    let scores = score.map(|s| json!([{ "products": ["p"], "cvss_v3": { "version": "3.1", "vectorString": "", "baseScore": s } }]));
    let text = json!({
        "document": {
            "category": "csaf_security_advisory", "csaf_version": "2.0", "title": id,
            "publisher": { "category": "vendor", "name": vendor, "namespace": "https://psirt.example" },
            "tracking": { "id": format!("{vendor}-{id}"), "status": "final", "version": "1", "revision_history": [],
                "initial_release_date": "2026-02-23T00:00:00Z", "current_release_date": "2026-02-23T00:00:00Z" },
        },
        "product_tree": { "branches": [{ "category": "vendor", "name": vendor, "branches": [
            { "category": "product_name", "name": product, "branches": [
                { "category": "product_version_range", "name": range, "product": { "product_id": "p", "name": product } } ] } ] }] },
        "vulnerabilities": [{ "cve": id, "product_status": { "known_affected": ["p"] }, "scores": scores.unwrap_or(json!([])) }],
    });
    Csaf::parse(text.to_string().as_bytes()).unwrap()
}

/// PX-200 has an exploited hole of score 5 below 2.0 and another of 7.5 below 3.0; zlib one of 9.8 below 1.2.12; nobody
/// has scored that of lwip.
fn database() -> Vec<u8> {
    let mut builder = Builder::new();
    for csaf in [
        advisory("CVE-2026-0001", ("Acme", "PX-200"), "<2.0", Some(5.0)),
        advisory("CVE-2026-0002", ("Acme", "PX-200"), "<3.0", Some(7.5)),
        advisory("CVE-2026-0003", ("zlib", "zlib"), "<1.2.12", Some(9.8)),
        advisory("CVE-2026-0004", ("lwip", "lwip"), "<2.2", None),
    ] {
        builder.add(csaf);
    }
    let kev = r#"{"dateReleased": "2026-02-01", "vulnerabilities": [{"cveID": "CVE-2026-0001"}]}"#;
    builder.known_exploited(Kev::parse(kev.as_bytes()).unwrap());
    builder.finish().unwrap()
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), DatabaseError> {
        self.0.as_slice().read_at(at, into)
    }
}

fn known(bytes: Vec<u8>) -> AdvisorySource {
    let digest = Digest::of(&bytes);
    AdvisorySource::Known(Advisories::open(Box::new(Bytes(bytes)), digest).unwrap())
}

fn site(no: PolicyNo) -> SiteAdvisories {
    SiteAdvisories {
        source: known(database()),
        no,
        required: true,
        until: None,
        max_age_days: None,
        min_score: Score::NONE,
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// A list of these parts that the vendor has signed.
fn sbom(image_version: Option<&str>, parts: &[(&str, &str)]) -> SbomFile {
    let part =
        |(name, version): &(&str, &str)| json!({ "type": "library", "name": name, "version": version });
    let parts: Vec<Value> = parts.iter().map(part).collect();
    let hashes = json!([{ "alg": "SHA-256", "content": Digest::of(IMAGE).to_hex() }]);
    let mut image = json!({ "type": "firmware", "name": "px", "hashes": hashes });
    if let Some(version) = image_version {
        image["version"] = json!(version);
    }
    let text = json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": { "component": image }, "components": parts });
    let text = text.to_string().into_bytes();
    let signature = SignatureFile::parse(&key().sign(&text).to_bytes()).unwrap();
    SbomFile::parse(text, Some(signature)).unwrap()
}

fn run(site: SiteAdvisories, version: Option<&str>, sbom: Option<SbomFile>, now: Wall) -> Verdict {
    let public = PublicKey::new(KeyKind::Ed25519, key().verifying_key().to_bytes()).unwrap();
    let anchor = Anchor::new(public, "acme", Scope::new("acme", &["*"]).unwrap(), now).unwrap();
    let store = TrustStore::with(1, vec![anchor]).unwrap();
    let request = Request {
        slot: Slot::new("pump-3").unwrap(),
        product: Product::new("acme", "px-200").unwrap(),
        identity: None,
        signature: Some(SignatureFile::parse(&key().sign(IMAGE).to_bytes()).unwrap()),
        policy_epoch: 1,
        state_counter: 1,
        expires: Wall { ms: now.ms + 1, ..now },
    };
    let papers = Papers {
        version: version.map(str::to_owned),
        scheme: Some(VersionScheme::Dotted),
        sbom,
        advisories: Some(site),
        ..Papers::default()
    };
    let mut gauntlet = Gauntlet::with(request, papers, &store, now);
    gauntlet.absorb(IMAGE);
    gauntlet.finish()
}

fn seen(verdict: &Verdict) -> &Evidence {
    verdict.evidence().iter().find(|e| e.stage == Stage::Vulnerabilities).unwrap()
}

#[test]
fn what_is_known_decides_and_the_zone_says_what_becomes_of_it() {
    use PolicyNo::{Hold, Reject, Warn};
    for (no, version, code, is_rejected) in [
        (Reject, Some("1.5"), Some(r::KNOWN_EXPLOITED), true),
        (Hold, Some("1.5"), Some(r::KNOWN_EXPLOITED), false),
        (Warn, Some("1.5"), None, false),
        (Reject, Some("2.5"), Some(r::AFFECTED), true),
        (Hold, Some("2.5"), Some(r::AFFECTED), false),
        (Reject, Some("two"), Some(r::CANNOT_TELL_AFFECTED), false),
        (Reject, None, Some(r::CANNOT_TELL_AFFECTED), false),
        (Reject, Some("3.0"), None, false),
    ] {
        let verdict = run(site(no), version, None, NOW);
        assert_eq!(verdict.code(), code, "{no:?} {version:?}: {verdict:?}");
        assert_eq!(matches!(verdict, Verdict::Rejected(..)), is_rejected, "{no:?} {version:?}");
        assert_eq!(seen(&verdict).input_age_s, Some(21 * 86_400), "the age of the database");
    }
    let verdict = run(site(Warn), Some("1.5"), None, NOW);
    let found = &seen(&verdict).found;
    assert!(
        found.starts_with("told only: HG-3020: CVE-2026-0001: affected (CVSS 5.0, KNOWN EXPLOITED"),
        "{found}"
    );
    assert!(seen(&verdict).expected.contains(&Digest::of(&database()).to_string()), "which database");
}

#[test]
fn a_score_below_the_threshold_is_told_and_does_not_count_unless_it_is_exploited() {
    let from =
        |tenths| SiteAdvisories { min_score: Score::from_tenths(tenths).unwrap(), ..site(PolicyNo::Reject) };
    assert_eq!(run(from(75), Some("2.5"), None, NOW).code(), Some(r::AFFECTED));
    let verdict = run(from(76), Some("2.5"), None, NOW);
    assert_eq!(verdict.code(), None);
    assert!(
        seen(&verdict).found.contains("1 findings that do not count, 1 holes in other versions"),
        "{verdict:?}"
    );
    assert_eq!(run(from(100), Some("1.5"), None, NOW).code(), Some(r::KNOWN_EXPLOITED));
    // Nobody has said how bad it is.
    let verdict = run(from(100), Some("3.0"), Some(sbom(None, &[("lwip", "2.1")])), NOW);
    assert_eq!(verdict.code(), Some(r::AFFECTED), "{verdict:?}");
}

#[test]
fn the_parts_are_asked_for_and_the_version_that_the_signed_list_states() {
    let with = |version, image, parts: &[(&str, &str)]| {
        run(site(PolicyNo::Reject), version, Some(sbom(image, parts)), NOW)
    };
    let verdict = with(Some("3.0"), None, &[("lwip", "2.2"), ("zlib", "1.2.11")]);
    assert_eq!(verdict.code(), Some(r::AFFECTED));
    assert!(
        seen(&verdict).found.starts_with("CVE-2026-0003 in zlib 1.2.11: affected (CVSS 9.8"),
        "{verdict:?}"
    );
    let verdict = with(Some("3.0"), None, &[("zlib", "1.2.12"), ("musl", "1")]);
    assert_eq!(verdict.code(), None);
    assert!(seen(&verdict).found.contains("nor of its 2 parts, of which 1 are known"), "{verdict:?}");
    // Who stages an image cannot talk a hole away by stating another version than its vendor.
    assert_eq!(with(Some("3.0"), Some("1.5"), &[]).code(), Some(r::KNOWN_EXPLOITED));
    assert_eq!(with(None, Some("3.0"), &[]).code(), None);
}

#[test]
fn what_nobody_knows_is_no_all_clear() {
    let unknown = |source| SiteAdvisories { source, ..site(PolicyNo::Reject) };
    let mut builder = Builder::new();
    builder.add(advisory("CVE-2026-0009", ("Other", "thing"), "<9", None));
    let verdict = run(unknown(known(builder.finish().unwrap())), Some("3.0"), None, NOW);
    let Evidence { outcome, code, found, .. } = seen(&verdict);
    assert_eq!((verdict.code(), *outcome, *code), (None, Outcome::NotDone, Some(r::PRODUCT_NOT_KNOWN)));
    assert!(found.contains("no advisory names the vendor of acme px-200: nothing is known of it"), "{found}");

    let unreadable = |no| SiteAdvisories { no, ..unknown(AdvisorySource::Unreadable("gone".into())) };
    for no in [PolicyNo::Reject, PolicyNo::Hold, PolicyNo::Warn] {
        let verdict = run(unreadable(no), Some("3.0"), None, NOW);
        assert_eq!(verdict.code(), Some(r::ADVISORY_DATABASE_UNREADABLE), "{no:?}");
        assert!(matches!(verdict, Verdict::Undecided(..)), "{no:?}");
    }
    // Damaged behind its header: found when it is asked, not when it is opened.
    let mut bytes = database();
    let middle = bytes.len() - 400;
    bytes[120..middle].fill(0xff);
    let verdict = run(unknown(known(bytes)), Some("1.5"), None, NOW);
    assert_eq!(verdict.code(), Some(r::ADVISORY_DATABASE_UNREADABLE), "{verdict:?}");
}

#[test]
fn a_zone_that_demands_advisories_lets_nothing_through_without_them() {
    let absent = |no, required| SiteAdvisories { source: AdvisorySource::Absent, required, ..site(no) };
    for (no, required, code, told) in [
        (PolicyNo::Reject, true, Some(r::ADVISORIES_MISSING), Some(r::ADVISORIES_MISSING)),
        (PolicyNo::Hold, true, Some(r::ADVISORIES_MISSING), Some(r::ADVISORIES_MISSING)),
        (PolicyNo::Warn, true, None, Some(r::ADVISORIES_MISSING)),
        (PolicyNo::Hold, false, None, None),
    ] {
        let verdict = run(absent(no, required), Some("3.0"), None, NOW);
        assert_eq!((verdict.code(), seen(&verdict).code), (code, told), "{no:?} {required}");
        assert_ne!(seen(&verdict).outcome, Outcome::Passed, "{no:?} {required}");
    }
}

#[test]
fn old_advisories_still_speak_against_an_image_and_never_for_one() {
    let of = |no, required| SiteAdvisories { max_age_days: Some(20), required, ..site(no) };
    let until = SiteAdvisories { until: Some(NOW), ..site(PolicyNo::Reject) };
    let doubtful = Wall { trusted: false, ..NOW };
    for (what, site, version, now, code) in [
        ("old", of(PolicyNo::Reject, true), "3.0", NOW, Some(r::ADVISORIES_STALE)),
        ("old, and held", of(PolicyNo::Hold, true), "3.0", NOW, Some(r::ADVISORIES_STALE)),
        ("old, and told", of(PolicyNo::Warn, true), "3.0", NOW, None),
        ("old, and not demanded", of(PolicyNo::Hold, false), "3.0", NOW, None),
        ("old, and known", of(PolicyNo::Reject, true), "2.5", NOW, Some(r::AFFECTED)),
        ("just young enough", of(PolicyNo::Reject, true), "3.0", Wall::trusted(NOW.ms - 1), None),
        ("past its document", until.clone(), "3.0", NOW, Some(r::ADVISORIES_STALE)),
        ("before its document ends", until, "3.0", Wall::trusted(NOW.ms - 1), None),
        ("a clock without trust", of(PolicyNo::Reject, true), "3.0", doubtful, Some(r::ADVISORIES_STALE)),
    ] {
        let verdict = run(site, Some(version), None, now);
        assert_eq!(verdict.code(), code, "{what}: {verdict:?}");
    }
    let verdict = run(of(PolicyNo::Warn, true), Some("3.0"), None, NOW);
    assert_eq!((seen(&verdict).outcome, seen(&verdict).code), (Outcome::NotDone, Some(r::ADVISORIES_STALE)));
}

#[test]
fn the_worst_findings_are_kept_and_the_others_counted() {
    let mut builder = Builder::new();
    for n in 0..MAX_FINDINGS + 5 {
        let score = if n == 3 { Some(9.9) } else { Some(4.0) };
        builder.add(advisory(&format!("CVE-2026-1{n:03}"), ("Acme", "PX-200"), "<2", score));
    }
    let site = SiteAdvisories { source: known(builder.finish().unwrap()), ..site(PolicyNo::Reject) };
    let verdict = run(site, Some("1"), None, NOW);
    let found = &seen(&verdict).found;
    assert!(found.starts_with("CVE-2026-1003: affected (CVSS 9.9"), "{found}");
    assert!(found.ends_with("and 253 more"), "{found}");
}
