//! Signatures over an image's digest: ECDSA, cosign bundles, in-toto statements. Refusals first.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firmware_verifier::document::{Document, DocumentId, Moment, TrustBundle};
use firmware_verifier::dsse::{Envelope, pae};
use firmware_verifier::reasons as r;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::statement::{PAYLOAD_TYPE, RELEASING};
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Role, Scope, Threshold, Thresholds, TrustStore};
use firmware_verifier::{Digest, Verdict};
use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde_json::json;

const IMAGE: &[u8] = b"firmware of pump 3, version 2";
const NOW: Wall = Wall::trusted(1_800_000_000_000);

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn key(&self) -> PublicKey {
        PublicKey::new(KeyKind::EcdsaP256, self.0.public_key().as_ref()).unwrap()
    }

    fn anchor(&self) -> Anchor {
        Anchor::new(self.key(), "acme", Scope::new("acme", &["*"]).unwrap(), NOW).unwrap()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    fn envelope(&self, payload_type: &str, payload: Vec<u8>) -> Envelope {
        let mut envelope = Envelope::new(payload_type, payload).unwrap();
        envelope.attach("", &self.sign(&envelope.message())).unwrap();
        envelope
    }
}

fn statement(image: &[u8], predicate_type: &str) -> Vec<u8> {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "fw.bin", "digest": {"sha256": Digest::of(image).to_hex()}}],
        "predicateType": predicate_type,
        "predicate": {"buildDefinition": {}},
    })
    .to_string()
    .into_bytes()
}

fn store(anchors: Vec<Anchor>) -> TrustStore {
    TrustStore::with(1, anchors).unwrap()
}

/// A store whose site has asked for two signers of each image.
fn two_are_needed(mut anchors: Vec<Anchor>) -> TrustStore {
    let site = Signer::new();
    anchors.push(Anchor::with_role(Role::Site, site.key(), "site", NOW).unwrap());
    let moment = |ms| Moment::new(Wall::trusted(NOW.ms + ms));
    let thresholds = Thresholds::default().role(Role::Vendor, Threshold::TWO);
    let document = Document {
        content: TrustBundle { sequence: 1, thresholds: Some(thresholds), ..TrustBundle::default() },
        expires: moment(1000),
        gateway: "cell-4".to_owned(),
        id: DocumentId::from_bytes([7; 16]),
        issued: moment(-1000),
        reason: "as agreed".to_owned(),
    };
    let mut envelope = document.to_envelope().unwrap();
    envelope.attach("", &site.sign(&envelope.message())).unwrap();
    TrustBundle::apply(&envelope, &store(anchors), "cell-4", NOW).unwrap().0
}

fn run(signature: &[u8], store: &TrustStore, image: &[u8]) -> Verdict {
    support::verdict(SignatureFile::parse(signature).unwrap(), store, image, NOW)
}

fn refused(signature: &[u8], store: &TrustStore, image: &[u8], code: ReasonCode) {
    let verdict = run(signature, store, image);
    assert_eq!(verdict.code(), Some(code), "{:?}", verdict.evidence());
}

#[test]
fn a_statement_counts_only_when_it_gives_out_this_very_image() {
    let (vendor, other) = (Signer::new(), Signer::new());
    let trusted = store(vec![vendor.anchor()]);
    let json = |signer: &Signer, kind: &str, payload| signer.envelope(kind, payload).to_json().unwrap();
    let good = json(&vendor, PAYLOAD_TYPE, statement(IMAGE, RELEASING[0]));
    refused(good.as_bytes(), &trusted, b"another image", r::SIGNATURE_MISMATCH);
    refused(good.as_bytes(), &store(vec![other.anchor()]), IMAGE, r::SIGNATURE_MISMATCH);
    refused(good.as_bytes(), &store(vec![]), IMAGE, r::SIGNER_UNKNOWN);
    let bom = json(&vendor, PAYLOAD_TYPE, statement(IMAGE, "https://cyclonedx.org/bom"));
    refused(bom.as_bytes(), &trusted, IMAGE, r::STATEMENT_OTHER_KIND);
    let typed = json(&vendor, "application/json", statement(IMAGE, RELEASING[0]));
    refused(typed.as_bytes(), &trusted, IMAGE, r::STATEMENT_OTHER_KIND);
    let text = json(&vendor, PAYLOAD_TYPE, b"{}".to_vec());
    refused(text.as_bytes(), &trusted, IMAGE, r::SIGNATURE_FILE_DAMAGED);
    let verdict = run(good.as_bytes(), &trusted, IMAGE);
    assert!(matches!(verdict, Verdict::Verified(..)), "{:?}", verdict.evidence());
}

#[test]
fn an_approver_who_signs_a_statement_signs_no_image() {
    let signer = Signer::new();
    let approver = Anchor::with_role(Role::Approver, signer.key(), "ann", NOW).unwrap();
    let envelope = signer.envelope(PAYLOAD_TYPE, statement(IMAGE, RELEASING[0]));
    let text = envelope.to_json().unwrap();
    refused(text.as_bytes(), &store(vec![approver]), IMAGE, r::SIGNER_NOT_ALLOWED);
}

#[test]
fn two_keys_in_one_envelope_are_two_signers_and_one_key_twice_is_one() {
    let (one, two) = (Signer::new(), Signer::new());
    let mut envelope = one.envelope(PAYLOAD_TYPE, statement(IMAGE, RELEASING[1]));
    envelope.attach("another", &one.sign(&envelope.message())).unwrap();
    let trusted = two_are_needed(vec![one.anchor(), two.anchor()]);
    refused(envelope.to_json().unwrap().as_bytes(), &trusted, IMAGE, r::SIGNERS_TOO_FEW);
    envelope.attach("", &two.sign(&envelope.message())).unwrap();
    let verdict = run(envelope.to_json().unwrap().as_bytes(), &trusted, IMAGE);
    let Verdict::Verified(proof, _) = verdict else { panic!("{:?}", verdict.evidence()) };
    assert_eq!(proof.signers().count(), 2);
}

#[test]
fn the_signature_of_a_statement_is_none_of_an_image_made_of_the_same_bytes() {
    let vendor = Signer::new();
    let payload = statement(IMAGE, RELEASING[0]);
    let image = pae(PAYLOAD_TYPE, &payload);
    refused(&vendor.sign(&image), &store(vec![vendor.anchor()]), &image, r::IMAGE_IS_A_DOCUMENT);
}

#[test]
fn a_cosign_bundle_needs_its_log_entry_to_be_of_this_image_and_key() {
    let (vendor, other) = (Signer::new(), Signer::new());
    let trusted = store(vec![vendor.anchor(), other.anchor()]);
    let der = vendor.sign(IMAGE);
    let bundle = |image: &[u8], signer: &Signer| {
        let entry = json!({
            "apiVersion": "0.0.1", "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": Digest::of(image).to_hex()}},
                "signature": {"content": STANDARD.encode(&der),
                              "publicKey": {"content": STANDARD.encode(pem(&signer.key()))}},
            },
        });
        json!({
            "base64Signature": STANDARD.encode(&der),
            "rekorBundle": {"SignedEntryTimestamp": "", "Payload": {"body": STANDARD.encode(entry.to_string())}},
        })
        .to_string()
    };
    refused(bundle(b"other", &vendor).as_bytes(), &trusted, IMAGE, r::LOG_ENTRY_ELSEWHERE);
    refused(bundle(IMAGE, &other).as_bytes(), &trusted, IMAGE, r::LOG_ENTRY_ELSEWHERE);
    refused(bundle(b"other", &vendor).as_bytes(), &trusted, b"other", r::SIGNATURE_MISMATCH);
    for good in [bundle(IMAGE, &vendor), json!({"base64Signature": STANDARD.encode(&der)}).to_string()] {
        let verdict = run(good.as_bytes(), &trusted, IMAGE);
        assert!(matches!(verdict, Verdict::Verified(..)), "{:?}", verdict.evidence());
    }
    let both = json!({"base64Signature": "", "payloadType": "", "payload": "", "signatures": []}).to_string();
    let error = SignatureFile::parse(both.as_bytes()).unwrap_err();
    assert_eq!(error.code(), r::SIGNATURE_FORMAT_UNKNOWN);
}

fn pem(key: &PublicKey) -> String {
    hal::tpm::SiteKeyPublic::new(key.as_bytes()).unwrap().to_pem()
}

#[test]
fn a_sigstore_bundle_of_a_site_without_a_log_counts_by_its_key_alone() {
    let (vendor, other) = (Signer::new(), Signer::new());
    let material = json!({"publicKey": {"hint": "x"}});
    let bundle = |content: (&str, serde_json::Value)| {
        let mut bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
        });
        bundle[content.0] = content.1;
        bundle.to_string()
    };
    let message = |image: &[u8]| {
        let digest = STANDARD.encode(Digest::of(image).as_bytes());
        let signature = STANDARD.encode(vendor.sign(IMAGE));
        let of =
            json!({"messageDigest": {"algorithm": "SHA2_256", "digest": digest}, "signature": signature});
        bundle(("messageSignature", of))
    };
    let statement = |kind: &str| {
        let envelope = vendor.envelope(PAYLOAD_TYPE, statement(IMAGE, kind)).to_json().unwrap();
        bundle(("dsseEnvelope", serde_json::from_str(&envelope).unwrap()))
    };
    let trusted = store(vec![vendor.anchor()]);
    refused(message(IMAGE).as_bytes(), &store(vec![other.anchor()]), IMAGE, r::SIGNATURE_MISMATCH);
    refused(message(IMAGE).as_bytes(), &trusted, b"other", r::SIGNATURE_MISMATCH);
    refused(message(b"other").as_bytes(), &trusted, IMAGE, r::SIGNATURE_MISMATCH);
    let bom = statement("https://cyclonedx.org/bom");
    refused(bom.as_bytes(), &trusted, IMAGE, r::STATEMENT_OTHER_KIND);
    for good in [message(IMAGE), statement(RELEASING[0])] {
        let verdict = run(good.as_bytes(), &trusted, IMAGE);
        assert!(matches!(verdict, Verdict::Verified(..)), "{:?}", verdict.evidence());
    }
}
