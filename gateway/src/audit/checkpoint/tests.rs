use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use proptest::prelude::*;

use super::*;

const ORIGIN: &str = "plant.example/headgate-1";

fn pair() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

fn public(pair: &EcdsaKeyPair) -> LogKey {
    let point = pair.public_key().as_ref();
    let (x, y) = (point[1..33].try_into().unwrap(), point[33..].try_into().unwrap());
    LogKey::from_coordinates(ORIGIN, &x, &y).unwrap()
}

fn sign(pair: &EcdsaKeyPair, text: &str) -> Vec<u8> {
    pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size, root: Hash::of_leaf(b"x"), extensions: vec![] }
}

#[test]
fn a_malformed_note_is_refused_where_it_is_wrong() {
    let root = Hash::of_empty().to_base64();
    let good = format!("{ORIGIN}\n7\n{root}\n\n\u{2014} a AAAAAA==\n");
    assert!(Note::parse(&good).is_ok());
    let long = "x".repeat(256);
    let many = format!("{good}{}", "\u{2014} a AAAAAA==\n".repeat(32));
    let cases = [
        ("no signatures", format!("{ORIGIN}\n7\n{root}\n"), 0),
        ("nothing", String::new(), 0),
        ("a control character", good.replace('7', "7\r"), 0),
        ("too large", "x".repeat(MAX_NOTE + 1), 0),
        ("no origin", good.replacen(ORIGIN, "", 1), 1),
        ("a long origin", good.replacen(ORIGIN, &long, 1), 1),
        ("a leading zero", good.replacen("\n7", "\n07", 1), 2),
        ("a plus sign", good.replacen("\n7", "\n+7", 1), 2),
        ("more than 64 bits", good.replacen("\n7", "\n18446744073709551616", 1), 2),
        ("no size", format!("{ORIGIN}\n\n\u{2014} a AAAAAA==\n"), 2),
        ("a short root", good.replacen(&root, &root[1..], 1), 3),
        ("a root without padding", good.replacen(&root, root.trim_end_matches('='), 1), 3),
        ("an empty extension line", good.replacen("=\n\n", "=\n\nx\n\n", 1), 4),
        ("a hyphen for the dash", good.replacen('\u{2014}', "-", 1), 5),
        ("a name with a plus sign", good.replacen(" a ", " a+b ", 1), 5),
        ("no name", good.replacen(" a ", "  ", 1), 5),
        ("a wide space in the name", good.replacen(" a ", " a\u{3000}b ", 1), 5),
        ("no key id", good.replacen("AAAAAA==", "AAAA", 1), 5),
        ("no Base64", good.replacen("AAAAAA==", "!", 1), 5),
        ("no line feed at the end", good.trim_end().into(), 5),
        ("an empty line behind", format!("{good}\n"), 4),
        ("33 signatures", many, 37),
    ];
    for (what, note, line) in cases {
        let error = Note::parse(&note).unwrap_err();
        assert_eq!(error.line, line, "{what}: {error}");
    }
}

#[test]
fn the_key_id_of_the_signed_note_specification_is_the_hash_of_the_spki() {
    // openssl pkey -pubin -in key.pem -outform DER | sha256sum, on the public key of RFC 6979 §A.2.5.
    let x =
        crate::vault::from_hex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6").unwrap();
    let y =
        crate::vault::from_hex("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299").unwrap();
    let key = LogKey::from_coordinates(ORIGIN, &x, &y).unwrap();
    assert_eq!(key.label(), format!("{ORIGIN}+5a7a78cc"));
    assert_eq!(LogKey::from_spki(ORIGIN, &key.spki()), Ok(key.clone()));
    // The signature of "sample" with SHA-256 in the same section, as DER.
    let (r, s) = (
        crate::vault::from_hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716").unwrap(),
        crate::vault::from_hex("f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8").unwrap(),
    );
    let der = [&[0x30, 0x46, 0x02, 0x21, 0x00][..], &r, &[0x02, 0x21, 0x00], &s].concat();
    assert!(
        key.accepts(b"sample", &der) && !key.accepts(b"simple", &der) && !key.accepts(b"sample", &der[1..])
    );
}

#[test]
fn a_key_of_another_kind_is_no_log_key() {
    let key = public(&pair());
    let (mut compressed, mut other) = (key.spki(), key.spki());
    compressed[26] = 2;
    other[20] ^= 1;
    for der in [&[][..], &key.spki()[1..], &[key.spki(), vec![0]].concat(), &compressed, &other] {
        assert!(matches!(LogKey::from_spki(ORIGIN, der), Err(KeyError::NotP256 { .. })));
    }
    for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b", &"x".repeat(256)] {
        assert!(matches!(LogKey::from_spki(name, &key.spki()), Err(KeyError::Name { .. })), "{name:?}");
    }
}

#[test]
fn only_the_logs_own_signature_counts_and_others_are_kept() {
    let (pair, stranger) = (pair(), pair());
    let key = public(&pair);
    let note = Note::signed(checkpoint(3), &key, &sign(&pair, &checkpoint(3).text()));
    assert_eq!(note.verify(&key), Ok(&checkpoint(3)));

    let mut witnessed = note.clone();
    witnessed.signatures.push(NoteSignature { name: "witness".into(), id: [1, 2, 3, 4], bytes: vec![5] });
    let read = Note::parse(&witnessed.to_string()).unwrap();
    assert_eq!((&read, read.verify(&key)), (&witnessed, Ok(&checkpoint(3))));

    let other = Note::signed(checkpoint(3), &public(&stranger), &sign(&stranger, &checkpoint(3).text()));
    assert!(matches!(other.verify(&key), Err(SignatureError::OtherKey { .. })));
    let mut claimed = other.clone();
    claimed.signatures[0].id = key.id();
    assert_eq!(claimed.verify(&key), Err(SignatureError::Wrong { key: key.label() }));
    let mut spoilt = note.clone();
    spoilt.signatures.extend(claimed.signatures);
    assert!(matches!(spoilt.verify(&key), Err(SignatureError::Wrong { .. })));
    let mut changed = note.clone();
    changed.checkpoint.size = 4;
    assert!(matches!(changed.verify(&key), Err(SignatureError::Wrong { .. })));
    let elsewhere = Checkpoint { origin: "elsewhere".into(), ..checkpoint(3) };
    let note = Note::signed(elsewhere.clone(), &key, &sign(&pair, &elsewhere.text()));
    assert!(matches!(note.verify(&key), Err(SignatureError::Origin { .. })));
}

proptest! {
    #[test]
    fn what_is_read_is_written_back_byte_for_byte(
        size in any::<u64>(),
        root in any::<[u8; 32]>(),
        extensions in prop::collection::vec("[^\\p{C}]{1,20}", 0..3),
        lines in prop::collection::vec(("[a-z./]{1,20}", any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..80)), 1..5),
    ) {
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: Hash(root), extensions };
        let signatures = lines.into_iter().map(|(name, id, bytes)| NoteSignature { name, id, bytes }).collect();
        let note = Note { checkpoint, signatures };
        let text = note.to_string();
        prop_assert_eq!(Note::parse(&text), Ok(note));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|\n|\u{2014} ){0,200}") {
        if let Ok(note) = Note::parse(&text) {
            prop_assert_eq!(note.to_string(), text);
        }
    }
}
