//! The site's policy as the last stage: what its answers come to, and when it is asked.

#![allow(clippy::unwrap_used, clippy::panic)]

use ed25519_dalek::{Signer, SigningKey};
use firmware_verifier::identity::{ControllerIdentity, Observed, Product, Slot};
use firmware_verifier::policy::{
    Controller, Image, Input, Module, Part, Parts, Policy, Vulnerabilities, Weakness,
};
use firmware_verifier::reasons as r;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Scope, TrustStore};
use firmware_verifier::verdict::{Outcome, Stage};
use firmware_verifier::{Gauntlet, Papers, PolicyNo, Request, SitePolicy, Verdict};
use hal::clock::Wall;
use serde_json::Value;

const IMAGE: &[u8] = b"firmware of pump 3, version 2";
const NOW: Wall = Wall::trusted(1_800_000_000_000);
const HOUR: i64 = 3_600_000;

/// Everything that a policy may name, once.
const RULES: &str = r#"package headgate
default allow := false
allow if {
    input.schema == 1
    input.image.version != "words"
    input.gateway == "cell-4"
    input.controller == {"id": "pump-3", "zone": "wet-well", "vendor": "acme", "model": "px-200", "firmware": null}
    input.image.basis == "vendor-signed"
    input.image.size == 29
    input.image.signers[0].name == "acme"
    input.sbom == null
    some stage in input.stages
    stage.stage == "signature"
    stage.outcome == "passed"
}
deny contains "too new" if input.image.version == "9"
allow := "yes" if input.image.version in {"words", "conflict"}
"#;

fn run(signed: bool, version: Option<&str>, no: PolicyNo, time: (Option<Wall>, Wall)) -> Verdict {
    run_on(None, signed, version, no, time)
}

fn run_on(
    identity: Option<Observed<ControllerIdentity>>,
    signed: bool,
    version: Option<&str>,
    no: PolicyNo,
    (until, now): (Option<Wall>, Wall),
) -> Verdict {
    let key = SigningKey::from_bytes(&[1; 32]);
    let public = PublicKey::new(KeyKind::Ed25519, key.verifying_key().to_bytes()).unwrap();
    let anchor = Anchor::new(public, "acme", Scope::new("acme", &["*"]).unwrap(), NOW).unwrap();
    let store = TrustStore::with(1, vec![anchor]).unwrap();
    let signature = SignatureFile::parse(&key.sign(IMAGE).to_bytes()).unwrap();
    let request = Request {
        slot: Slot::new("pump-3").unwrap(),
        product: Product::new("acme", "px-200").unwrap(),
        identity,
        signature: signed.then_some(signature),
        policy_epoch: 1,
        state_counter: 1,
        expires: Wall::trusted(NOW.ms + HOUR),
    };
    let policy = Policy::compile(&[Module { name: "site.rego".into(), text: RULES.into() }]).unwrap();
    let papers = Papers {
        gateway: "cell-4".into(),
        version: version.map(String::from),
        policy: Some(SitePolicy { policy, until, zone: Some("wet-well".into()), no }),
        ..Papers::default()
    };
    let mut gauntlet = Gauntlet::with(request, papers, &store, now);
    gauntlet.absorb(IMAGE);
    gauntlet.finish()
}

fn stage(verdict: &Verdict) -> (Outcome, String) {
    let evidence = verdict.evidence().iter().find(|e| e.stage == Stage::Policy).unwrap();
    (evidence.outcome, evidence.found.clone())
}

#[test]
fn what_the_policy_is_against_does_not_pass_and_the_zone_says_what_becomes_of_it() {
    let forever = (None, NOW);
    for (no, version, code) in [
        (PolicyNo::Reject, "9", Some(r::POLICY_DENIES)),
        (PolicyNo::Hold, "9", Some(r::POLICY_HOLDS)),
        (PolicyNo::Warn, "9", None),
        (PolicyNo::Reject, "words", Some(r::POLICY_UNDECIDED)),
        (PolicyNo::Warn, "words", Some(r::POLICY_UNDECIDED)),
        (PolicyNo::Reject, "conflict", Some(r::POLICY_NO_MATCH)),
        (PolicyNo::Reject, "8", None),
    ] {
        let verdict = run(true, Some(version), no, forever);
        assert_eq!(verdict.code(), code, "{no:?} {version}: {verdict:?}");
        let rejected = matches!(verdict, Verdict::Rejected(..));
        let by_rule = matches!(code, Some(r::POLICY_DENIES | r::POLICY_NO_MATCH));
        assert_eq!(rejected, by_rule, "{no:?} {version}");
    }
    let (outcome, found) = stage(&run(true, Some("9"), PolicyNo::Warn, forever));
    assert_eq!((outcome, found.as_str()), (Outcome::Passed, "told only: HG-4101: too new"));
}

#[test]
fn a_policy_past_its_time_decides_nothing() {
    let until = Some(Wall::trusted(NOW.ms + 1));
    let doubtful = Wall { trusted: false, ..NOW };
    for (now, code) in
        [(NOW, None), (Wall::trusted(NOW.ms + 1), Some(r::POLICY_ENDED)), (doubtful, Some(r::POLICY_ENDED))]
    {
        let verdict = run(true, Some("8"), PolicyNo::Warn, (until, now));
        assert_eq!(verdict.code(), code, "{now}: {verdict:?}");
    }
}

#[test]
fn an_image_that_fails_anyhow_is_not_put_to_the_policy() {
    let verdict = run(false, Some("9"), PolicyNo::Reject, (None, NOW));
    assert_eq!((verdict.code(), stage(&verdict).0), (Some(r::NO_SIGNATURE), Outcome::NotDone));
    // Signed, but for another device than the one that is there.
    let elsewhere = ControllerIdentity::new("acme", "px-900", "1").unwrap();
    let identity = Some(Observed { at: NOW, value: elsewhere });
    let verdict = run_on(identity, true, Some("9"), PolicyNo::Reject, (None, NOW));
    assert_eq!((verdict.code(), stage(&verdict).0), (Some(r::WRONG_MODEL), Outcome::NotDone));
}

/// Whether an object has just the members that the schema says, at every depth.
fn has_the_members_of(schema: &Value, value: &Value, at: &str) {
    match value {
        Value::Object(members) => {
            let mut wanted: Vec<&str> =
                schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            let mut found: Vec<&str> = members.keys().map(String::as_str).collect();
            wanted.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, wanted, "members of {at}");
            for (name, member) in members {
                has_the_members_of(&schema["properties"][name], member, &format!("{at}.{name}"));
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| has_the_members_of(&schema["items"], item, &format!("{at}[]")))
        }
        _ => assert!(schema.is_object(), "{at} is not in the schema"),
    }
}

#[test]
fn what_a_policy_sees_is_what_its_schema_says() {
    let some = |text: &str| Some(text.to_owned());
    let part = Part {
        name: "zlib".into(),
        version: some("1"),
        supplier: some("acme"),
        purl: some("pkg:generic/zlib@1"),
        cpe: some("cpe:2.3:a:zlib:zlib:1"),
        sha256: some(&"ab".repeat(32)),
    };
    let weakness = Weakness {
        cve: "CVE-2026-0001".into(),
        advisory: "ACME-1".into(),
        answer: "affected".into(),
        score: Some(9.8),
        severity: some("critical"),
        exploited: true,
        component: some("zlib"),
        version: some("1"),
    };
    let verdict = run(true, Some("8"), PolicyNo::Reject, (None, NOW));
    let input = Input {
        schema: 1,
        now_ms: Some(1),
        gateway: "cell-4".into(),
        controller: Controller {
            id: "pump-3".into(),
            zone: some("wet-well"),
            vendor: "acme".into(),
            model: "px-200".into(),
            firmware: some("1"),
        },
        image: Image {
            sha256: some(&"ab".repeat(32)),
            size: 1,
            version: some("1"),
            security_version: Some(1),
            basis: some("vendor-signed"),
            signers: vec![firmware_verifier::policy::Signer { id: "00".into(), name: "acme".into() }],
        },
        stages: verdict.evidence().to_vec(),
        sbom: Some(Parts { format: "CycloneDX 1.6".into(), made_ms: Some(1), components: vec![part] }),
        vulnerabilities: Some(Vulnerabilities {
            database: "ab".repeat(32),
            current_ms: 1,
            stale: false,
            product_known: true,
            components_known: 1,
            more: 0,
            findings: vec![weakness],
        }),
    };
    let schema = include_str!("../../docs/policy-input.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    has_the_members_of(&schema, &serde_json::to_value(input).unwrap(), "input");
}
