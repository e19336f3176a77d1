//! Receipts made of software keys: what is written is read back, and nothing else passes for it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use firmware_verifier::Digest;
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::{KeyKind, PublicKey};
use proptest::prelude::*;

use super::record::*;
use super::statement::*;
use super::*;

struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Key {
        Key(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn public(&self) -> PublicKey {
        PublicKey::new(KeyKind::EcdsaP256, self.0.public_key().as_ref()).unwrap()
    }

    fn sign(&self, payload: Vec<u8>) -> String {
        let envelope = Envelope::new(envelope::PAYLOAD_TYPE, payload.clone()).unwrap();
        let signature = self.0.sign(&SystemRandom::new(), &envelope.message()).unwrap();
        envelope::signed(payload, "hint", signature.as_ref()).unwrap()
    }
}

pub(crate) fn statement() -> Statement {
    let sha256 = |of: &[u8]| Sha256 { sha256: Digest::of(of).to_hex() };
    let reading = |revision: &str| Reading {
        vendor: "Acme".into(),
        product: "PX-200".into(),
        revision: revision.into(),
        at: "2026-11-22T10:15:00.250Z".into(),
    };
    Statement {
        kind: STATEMENT.into(),
        predicate_type: SUMMARY.into(),
        subject: vec![Subject { name: "new.bin".into(), digest: sha256(b"image") }],
        predicate: Summary {
            verifier: Verifier { id: "headgate/bench".into() },
            time_verified: "2026-11-22T10:14:00.000Z".into(),
            resource_uri: "bench/pump-3".into(),
            policy: Resource { uri: "headgate:policy/built-in/1".into(), digest: sha256(b"settings") },
            input_attestations: vec![Resource { uri: "headgate:signature".into(), digest: sha256(b"sig") }],
            verification_result: "PASSED".into(),
            verified_levels: vec![],
            headgate: Record {
                schema: SCHEMA.into(),
                case: "bench/C-000001".into(),
                outcome: "done".into(),
                code: None,
                opened: "2026-11-22T10:13:00.000Z".into(),
                ended: Some("2026-11-22T10:15:00.250Z".into()),
                controller: Controller {
                    id: "pump-3".into(),
                    vendor: "acme".into(),
                    model: "px-200".into(),
                    before: Some(reading("1.0")),
                    after: Some(reading("1.1 \u{e4}\u{2028}\"\\")),
                    read_back: "identity-only".into(),
                },
                stages: vec![Stage {
                    stage: "identity".into(),
                    outcome: "passed".into(),
                    code: None,
                    found:
                        "Acme PX-200, as the controller says it is, read back over the conduit that it has"
                            .into(),
                    expected: "acme px-200".into(),
                    input_age_seconds: Some(3),
                }],
                signer: Some(Signer { id: "0123".into(), name: "acme".into() }),
                basis: Some("vendor-signed".into()),
                break_glass: None,
                program: None,
                vouched_by: vec![],
                release: Some(Terms {
                    by: "uid 0".into(),
                    approvers: vec![Approver {
                        id: "0123".into(),
                        name: "shift lead".into(),
                        at: "2026-11-22T09:59:00.000Z".into(),
                    }],
                    held: Some("C-000006".into()),
                    given: "2026-11-22T10:00:00.000Z".into(),
                    stations: vec!["127.0.0.1".into()],
                    ticket: Some("CHG-1".into()),
                    window: None,
                    uses: 1,
                    expires: "2026-11-29T10:00:00.000Z".into(),
                }),
                configuration: sha256(b"settings"),
                way: "match".into(),
                station: "127.0.0.1".into(),
                delivered_bytes: Some(5),
                watch: Some(Watch {
                    state: "quiet".into(),
                    text: "nothing changed".into(),
                    at: "2026-11-22T11:15:00.000Z".into(),
                }),
                gateway: Gateway { name: "bench".into(), version: "0.1.0".into(), evidence_key: "00".into() },
                audit: None,
                quote: None,
            },
        },
    }
}

fn refused(bytes: &[u8]) -> String {
    Statement::parse(bytes).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_back_and_no_other_form_of_it() {
    let written = statement().to_json().unwrap();
    assert_eq!(Statement::parse(&written).unwrap(), statement());
    let text = String::from_utf8(written).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1).into_bytes()
    };
    let long = "x".repeat(MAX_TEXT + 1);
    for (what, bytes, part) in [
        ("nothing", vec![], "none that this version reads"),
        ("a line feed behind it", format!("{text}\n").into_bytes(), "not in canonical"),
        ("a blank", edit(",", ", "), "not in canonical"),
        ("a key twice", edit("{\"_type\"", "{\"_type\":\"x\",\"_type\""), "not in canonical"),
        ("another statement", edit("Statement/v1", "Statement/v2"), "the statement's type"),
        ("another predicate", edit("verification_summary/v1", "verification_summary/v2"), "predicate's type"),
        ("another record", edit("receipt/v1", "receipt/v2"), "the record's schema"),
        ("no subject", edit(&text[text.find("\"subject\"").unwrap()..], "\"subject\":[]}"), "subject"),
        (
            "a digest of 63",
            edit(&Digest::of(b"image").to_hex(), &Digest::of(b"image").to_hex()[1..]),
            "subject",
        ),
        ("a text too long", edit("uid 0", &long), "the field text"),
        ("an approver's name too long", edit("shift lead", &long), "the field text"),
        ("a bell in the case it was held in", edit("C-000006", "\\u0007"), "the field text"),
        ("a bell", edit("uid 0", "\\u0007"), "the field text"),
        ("a delete", edit("uid 0", "\u{7f}"), "the field text"),
        ("a missing field", edit("\"outcome\":\"done\",", ""), "missing field"),
    ] {
        let said = refused(&bytes);
        assert!(said.contains(part), "{what}: {said}");
    }
    let more = edit("\"basis\":", "\"another\":1,\"basis\":");
    assert!(Statement::parse(&more).is_ok(), "what a later version adds is passed over");
    assert_ne!(
        Statement::nonce(&more).unwrap(),
        Statement::nonce(text.as_bytes()).unwrap(),
        "not by the nonce"
    );
}

#[test]
fn every_list_has_its_limit() {
    let mut many = statement();
    let stage = many.predicate.headgate.stages[0].clone();
    many.predicate.headgate.stages = vec![stage; MAX_STAGES + 1];
    assert!(refused(&many.to_json().unwrap()).contains("a list of stages of 33"));
    let mut many = statement();
    many.predicate.headgate.release.as_mut().unwrap().stations = vec![String::new(); MAX_STATIONS + 1];
    assert!(refused(&many.to_json().unwrap()).contains("a list of stations of 65"));
    let mut many = statement();
    let release = many.predicate.headgate.release.as_mut().unwrap();
    release.approvers = vec![release.approvers[0].clone(); MAX_APPROVERS + 1];
    assert!(refused(&many.to_json().unwrap()).contains("a list of approvers of 17"));
    let mut many = statement();
    let signer = Signer { id: "0".into(), name: "x".into() };
    many.predicate.headgate.vouched_by = vec![signer; MAX_APPROVERS + 1];
    assert!(refused(&many.to_json().unwrap()).contains("who vouch of 17"));
    let large = vec![b' '; MAX_RECEIPT + 1];
    assert!(envelope::open(&large).unwrap_err().to_string().contains("a file of"));
    let other = Envelope::new("text/plain", statement().to_json().unwrap()).unwrap().to_json().unwrap();
    assert!(envelope::open(other.as_bytes()).unwrap_err().to_string().contains("payload's type"));
}

#[test]
fn a_statement_without_a_quote_is_refused_though_its_signature_holds() {
    let key = Key::new();
    let file = key.sign(statement().to_json().unwrap());
    let checked = check(file.as_bytes(), &key.public(), None).unwrap();
    let said: Vec<(&str, Said)> = checked.findings.iter().map(|f| (f.what, f.said)).collect();
    use Said::{Bad, Good, NotLooked};
    assert_eq!(said, [("signature", Good), ("key", Bad), ("quote", Bad), ("audit log", NotLooked)]);
    assert!(!checked.is_good());
    let other = check(file.as_bytes(), &Key::new().public(), None).unwrap();
    assert_eq!(other.findings[0].said, Bad);
}

/// A receipt of a bench with a software TPM, as this version's first commit wrote it.
const KEPT: &[u8] = include_bytes!("../../../fuzz/seeds/receipt_file/whole");

#[test]
fn a_receipt_of_a_tpm_is_good_under_its_own_key_and_each_part_is_looked_at() {
    let (envelope, whole) = envelope::open(KEPT).unwrap();
    let quote = whole.record().quote.clone().unwrap();
    let point = |public: &Bytes| {
        let (x, y) = (&public.0[public.0.len() - 66..][..32], &public.0[public.0.len() - 32..]);
        PublicKey::new(KeyKind::EcdsaP256, [&[4], x, y].concat()).unwrap()
    };
    let (key, attestation) = (point(&quote.evidence_public), point(&quote.attestation_public));
    let said = |statement: &Statement, attestation: &PublicKey| -> Vec<&'static str> {
        let mut other = Envelope::new(envelope::PAYLOAD_TYPE, statement.to_json().unwrap()).unwrap();
        let signed: serde_json::Value = serde_json::from_str(&envelope.to_json().unwrap()).unwrap();
        let signature = Bytes::try_from(signed["signatures"][0]["sig"].as_str().unwrap().to_owned()).unwrap();
        other.attach("", &signature.0).unwrap();
        let checked = check(other.to_json().unwrap().as_bytes(), &key, Some(attestation)).unwrap();
        checked.findings.iter().filter(|f| f.said != Said::Good).map(|f| f.what).collect()
    };
    assert_eq!(said(&whole, &attestation), [""; 0]);
    assert_eq!(said(&whole, &key), ["attestation key"]);
    type Edit = fn(&mut Record);
    let rows: &[(&str, Edit, &[&str])] = &[
        ("a ticket", |r| r.release.as_mut().unwrap().ticket = None, &["signature", "nonce"]),
        ("the gateway's key", |r| r.gateway.evidence_key.clear(), &["signature", "key", "nonce"]),
        ("no quote", |r| r.quote = None, &["signature", "quote"]),
        ("no audit log", |r| r.audit = None, &["signature", "nonce", "audit log"]),
        ("another entry", |r| r.audit.as_mut().unwrap().index += 1, &["signature", "nonce", "audit log"]),
        ("another case", |r| r.case = "bench/C-000002".into(), &["signature", "nonce", "audit log"]),
        (
            "a shorter proof",
            |r| drop(r.audit.as_mut().unwrap().proof.pop()),
            &["signature", "nonce", "audit log"],
        ),
        (
            "an edited entry",
            |r| r.audit.as_mut().unwrap().entry = "{}".into(),
            &["signature", "nonce", "audit log"],
        ),
        ("the quote", |r| r.quote.as_mut().unwrap().attest.0[20] ^= 1, &["signature", "quote"]),
        ("a cut quote", |r| r.quote.as_mut().unwrap().attest.0.truncate(90), &["signature", "quote"]),
        (
            "a certification as quote",
            |r| {
                let quote = r.quote.as_mut().unwrap();
                quote.attest = quote.certification.attest.clone();
                quote.signature = quote.certification.signature.clone();
            },
            &["signature", "nonce", "pcrs"],
        ),
        (
            "no certification",
            |r| r.quote.as_mut().unwrap().certification.signature.0[10] ^= 1,
            &["signature", "evidence key"],
        ),
        (
            "another site's key",
            |r| r.quote.as_mut().unwrap().site_key = r.quote.as_ref().unwrap().attestation_key.clone(),
            &["signature", "evidence key"],
        ),
        (
            "two attestation keys",
            |r| r.quote.as_mut().unwrap().attestation_key.clear(),
            &["signature", "attestation key"],
        ),
    ];
    for (what, edit, expected) in rows {
        let mut edited = whole.clone();
        edit(&mut edited.predicate.headgate);
        assert_eq!(said(&edited, &attestation), *expected, "{what}");
    }
}

#[test]
fn a_page_is_one_page_of_eighty_columns_and_moves_no_cursor() {
    let mut hostile = statement();
    hostile.predicate.headgate.controller.after.as_mut().unwrap().product = "\u{1b}[2J\u{9b}".repeat(40);
    let mut long = statement();
    long.predicate.headgate.case = "x".repeat(MAX_TEXT); // once it was a heading of one line
    for (what, statement) in [("plain", statement()), ("hostile", hostile), ("long", long)] {
        let text = page(&statement, &Standing::Unsigned("the case was refused".into()));
        assert!(text.lines().count() <= 60, "{what}: {text}");
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{what}: {text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{what}");
        assert!(text.contains("NOT SIGNED   the case was refused"), "{what}: {text}");
    }
    let text = page(&statement(), &Standing::Signed { key: "ab".repeat(32) });
    for part in ["bench/C-000001", "key abababababababab", "CHG-1", "uid 0", "3 s old", "PX-200"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

proptest! {
    #[test]
    fn any_flipped_byte_of_payload_or_signature_is_refused(at: prop::sample::Index, bit in 0u8..8, payload: bool) {
        let key = Key::new();
        let (whole, _) = envelope::open(key.sign(statement().to_json().unwrap()).as_bytes()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&whole.to_json().unwrap()).unwrap();
        let decode = |text: &serde_json::Value| -> Vec<u8> {
            let text = text.as_str().unwrap().to_owned();
            Bytes::try_from(text).map_or_else(|_| whole.payload().to_vec(), |bytes| bytes.0)
        };
        let (mut body, mut signature) = (whole.payload().to_vec(), decode(&json["signatures"][0]["sig"]));
        let bytes = if payload { &mut body } else { &mut signature };
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let file = envelope::signed(body, "", &signature).unwrap();
        let refused = match check(file.as_bytes(), &key.public(), None) {
            Err(_) => true,
            Ok(checked) => checked.findings[0].said == Said::Bad,
        };
        prop_assert!(refused);
    }

    #[test]
    fn texts_of_any_kind_are_written_and_read_back(name: String, revision: String, ticket in proptest::option::of(".*")) {
        let mut any = statement();
        any.subject[0].name = plain(&name);
        any.predicate.headgate.controller.after.as_mut().unwrap().revision = plain(&revision);
        any.predicate.headgate.release.as_mut().unwrap().ticket = ticket.map(|t| plain(&t));
        let written = any.to_json().unwrap();
        prop_assert_eq!(&Statement::parse(&written).unwrap(), &any);
        let text = page(&any, &Standing::Unsigned(String::new()));
        prop_assert!(text.lines().all(|l| l.chars().count() <= 80));
    }
}
