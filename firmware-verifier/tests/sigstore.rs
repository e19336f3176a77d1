//! Sigstore bundles made by others: the conformance suite's, with the keys of the public instance. Refusals first.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firmware_verifier::Verdict;
use firmware_verifier::reasons as r;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, Keyless, PublicKey, Scope, TrustStore};
use hal::clock::Wall;
use serde_json::Value;
use sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT as PUBLIC;

const NOW: Wall = Wall::trusted(1_800_000_000_000);
/// Defaults of the suite's README.
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/\
                        workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn anchor(credential: impl Into<firmware_verifier::trust::Credential>) -> TrustStore {
    let scope = Scope::new("acme", &["*"]).unwrap();
    TrustStore::with(1, vec![Anchor::new(credential, "acme", scope, NOW).unwrap()]).unwrap()
}

fn keyless(root: &str, identity: &str, issuer: &str) -> TrustStore {
    anchor(Keyless::new(root.as_bytes(), identity, issuer).unwrap())
}

fn verdict(signature: SignatureFile, store: &TrustStore, image: &[u8]) -> Verdict {
    support::verdict(signature, store, image, NOW)
}

/// A case of the suite: its files, or the suite's defaults.
struct Case {
    folder: PathBuf,
}

impl Case {
    fn text(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(file)).ok()
    }

    fn image(&self) -> Vec<u8> {
        let own = std::fs::read(self.folder.join("artifact"));
        own.unwrap_or_else(|_| std::fs::read(self.folder.parent().unwrap().join("a.txt")).unwrap())
    }

    fn signature(&self) -> Result<SignatureFile, String> {
        let json = std::fs::read(self.folder.join("bundle.sigstore.json")).unwrap();
        SignatureFile::parse(&json).map_err(|e| e.to_string())
    }

    /// Whom the case pins; an identity of the bundle's own where the case is of another repository.
    fn store(&self, identity: &str, issuer: &str) -> TrustStore {
        match self.text("key.pub") {
            Some(pem) => anchor(PublicKey::parse(pem.as_bytes()).unwrap()),
            None => keyless(&self.text("trusted_root.json").unwrap_or(PUBLIC.to_owned()), identity, issuer),
        }
    }
}

#[test]
fn the_conformance_suite_is_met_and_nothing_good_passes_for_another_image_identity_or_issuer() {
    let Some(suite) = support::vectors("sigstore-conformance-sample/bundle-verify") else { return };
    let (mut good, mut bad) = (0, 0);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&suite).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    for folder in folders.into_iter().filter(|f| f.is_dir()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let case = Case { folder };
        let identity = case.text("identity").unwrap_or(IDENTITY.to_owned());
        let issuer = case.text("issuer").unwrap_or(ISSUER.to_owned());
        if case.text("key.pub").is_some_and(|pem| PublicKey::parse(pem.as_bytes()).is_err()) {
            assert!(name.ends_with("_fail"), "{name}");
            println!("{name}: its key is none, so nobody could pin it");
            bad += 1;
            continue;
        }
        let store = case.store(identity.trim(), issuer.trim());
        let ours = case.signature().map(|signature| verdict(signature, &store, &case.image()));
        let passed = matches!(ours, Ok(Verdict::Verified(..)));
        let said = ours
            .as_ref()
            .map_or_else(Clone::clone, |v| format!("{:?} {:?}", v.code(), v.evidence()[2].found));
        println!("{name}: {}", if passed { "verified" } else { &said });
        assert_eq!(passed, !name.ends_with("_fail"), "{name}: {said}");
        if !passed {
            bad += 1;
            continue;
        }
        good += 1;
        let signature = || case.signature().unwrap();
        assert!(!matches!(verdict(signature(), &store, b"other"), Verdict::Verified(..)), "{name}");
        if case.text("key.pub").is_none() {
            let of = |identity: &str, issuer: &str| {
                verdict(signature(), &case.store(identity, issuer), &case.image())
            };
            assert_eq!(of("somebody@example.com", issuer.trim()).code(), Some(r::SIGNER_UNKNOWN), "{name}");
            assert_eq!(
                of(identity.trim(), "https://accounts.example.com").code(),
                Some(r::SIGNER_UNKNOWN),
                "{name}"
            );
        }
    }
    assert_eq!((good, bad), (4, 4));
}

#[test]
fn an_identity_never_stands_in_for_a_key_nor_a_key_for_an_identity() {
    let Some(suite) = support::vectors("sigstore-conformance-sample/bundle-verify") else { return };
    let case = |name: &str| Case { folder: suite.join(name) };
    let (keyed, certified) = (case("managed-key-happy-path"), case("happy-path-v0.3"));
    let key = keyed.store("", "");
    let identity = certified.store(IDENTITY, ISSUER);
    for (case, store) in [(&keyed, &identity), (&certified, &key)] {
        let verdict = verdict(case.signature().unwrap(), store, &case.image());
        assert_eq!(verdict.code(), Some(r::SIGNER_UNKNOWN), "{:?}", verdict.evidence());
    }
}

#[test]
fn a_good_bundle_under_the_keys_of_another_instance_is_unknown() {
    let Some(suite) = support::vectors("sigstore-conformance-sample/bundle-verify") else { return };
    let case = |name: &str| Case { folder: suite.join(name) };
    let staging = case("rekor2-happy-path").text("trusted_root.json").unwrap();
    let good = case("happy-path-v0.3");
    let verdict = verdict(good.signature().unwrap(), &keyless(&staging, IDENTITY, ISSUER), &good.image());
    assert_eq!(verdict.code(), Some(r::SIGNER_UNKNOWN), "{:?}", verdict.evidence());
}

#[test]
fn what_is_no_trusted_root_is_not_pinned_and_what_is_pinned_reads_back() {
    let long = "x".repeat(40_000);
    for (root, expected) in [
        ("", "not the trusted_root.json"),
        ("{}", "not the trusted_root.json"),
        (
            r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#,
            "no certificate authority",
        ),
        (long.as_str(), "at most"),
    ] {
        let error = Keyless::new(root.as_bytes(), "a", "b").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(Keyless::new(PUBLIC.as_bytes(), " ", "b").is_err());
    let store = keyless(PUBLIC, IDENTITY, ISSUER);
    assert_eq!(TrustStore::from_cbor(&store.to_cbor().unwrap()).unwrap(), store);
    let json = serde_json::to_string(&store.anchors()[0]).unwrap();
    for (from, to) in [("\"sigstore\"", "\"x509\""), ("githubusercontent", "example")] {
        let changed = json.replacen(from, to, 1);
        assert!(changed != json && serde_json::from_str::<Anchor>(&changed).is_err(), "{from}");
    }
}

#[test]
fn every_changed_byte_of_what_a_bundle_signs_is_noticed() {
    let Some(suite) = support::vectors("sigstore-conformance-sample/bundle-verify") else { return };
    let case = Case { folder: suite.join("managed-key-happy-path") };
    let (store, image) = (case.store("", ""), case.image());
    let good = std::fs::read(case.folder.join("bundle.sigstore.json")).unwrap();
    let at = good.windows(11).position(|w| w == b"\"signature\"").unwrap();
    for flip in (at..good.len()).step_by(3) {
        let mut changed = good.clone();
        changed[flip] ^= 0x01;
        if let Ok(signature) = SignatureFile::parse(&changed)
            && matches!(verdict(signature, &store, &image), Verdict::Verified(..))
        {
            let text = String::from_utf8_lossy(&good[flip.saturating_sub(10)..good.len().min(flip + 10)]);
            panic!("byte {flip} does not matter, near {text}");
        }
    }
}

#[test]
fn without_a_clock_nobody_can_say_whether_an_identity_was_certified() {
    let Some(suite) = support::vectors("sigstore-conformance-sample/bundle-verify") else { return };
    let case = Case { folder: suite.join("happy-path-v0.3") };
    let unset = Wall { trusted: false, ..NOW };
    let store = case.store(IDENTITY, ISSUER);
    let verdict = support::verdict(case.signature().unwrap(), &store, &case.image(), unset);
    assert_eq!(verdict.code(), Some(r::CLOCK_UNTRUSTED), "{:?}", verdict.evidence());
    let keyed = Case { folder: suite.join("managed-key-happy-path") };
    let verdict = support::verdict(keyed.signature().unwrap(), &keyed.store("", ""), &keyed.image(), unset);
    assert!(matches!(verdict, Verdict::Verified(..)), "a key needs no clock: {:?}", verdict.evidence());
}

#[test]
fn bundles_that_keep_a_verifier_busy_are_refused_before_it_reads_them() {
    let Some(suite) = support::vectors("sigstore-conformance-sample/bundle-verify") else { return };
    let case = Case { folder: suite.join("happy-path-v0.3") };
    let good: Value = serde_json::from_str(&case.text("bundle.sigstore.json").unwrap()).unwrap();
    let refusal = |change: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        SignatureFile::parse(bundle.to_string().as_bytes()).unwrap_err().to_string()
    };
    let entries = refusal(&|bundle| {
        let entry = bundle["verificationMaterial"]["tlogEntries"][0].clone();
        bundle["verificationMaterial"]["tlogEntries"] = vec![entry; 9].into();
    });
    assert!(entries.contains("9 log entries; at most 8"), "{entries}");
    let hashes = refusal(&|bundle| {
        let proof = &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"];
        let hash = proof["hashes"][0].clone();
        proof["hashes"] = vec![hash; 65].into();
    });
    assert!(hashes.contains("65 hashes in a proof; at most 64"), "{hashes}");
    // A SET that a library would sort by comparing each element with each.
    let set = [&[0x31, 0x82, 0x01, 0x00][..], &[5, 0].repeat(128)].concat();
    let certificate = refusal(&|bundle| {
        bundle["verificationMaterial"]["certificate"]["rawBytes"] = STANDARD.encode(&set).into();
    });
    assert!(certificate.contains("no plain DER"), "{certificate}");
}
