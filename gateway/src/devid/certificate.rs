//! What an X.509 certificate says (RFC 5280 §4.1), as far as a person or a check here asks.
//!
//! It verifies nothing: signatures are rustls-webpki's affair.

use hal::clock::Wall;

use super::der::{
    BIT_STRING, Der, Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, UTC_TIME,
};

/// Longest name in words, in characters.
const MAX_WORDS: usize = 200;
/// Most parts of a name that are read.
const MAX_PARTS: usize = 32;
/// Most extensions that are read.
const MAX_EXTENSIONS: usize = 64;
/// id-ce-keyUsage, id-ce-basicConstraints, id-ce-extKeyUsage (RFC 5280 §4.2.1.3, .9, .12).
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// id-kp-clientAuth and anyExtendedKeyUsage.
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// A certificate, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is about, in words.
    pub subject: String,
    /// Who says so, in words.
    pub issuer: String,
    /// First moment it is valid.
    pub not_before: Wall,
    /// Last moment it is valid.
    pub not_after: Wall,
    /// SubjectPublicKeyInfo, in DER.
    pub key: Vec<u8>,
    /// Whether what it may be used for, where it says so, includes signing as a client of TLS.
    pub for_clients: bool,
    /// Whether it is that of an authority.
    pub is_authority: bool,
    pub(super) subject_der: Vec<u8>,
    pub(super) issuer_der: Vec<u8>,
}

impl Certificate {
    /// Reads one in DER; `None` for anything else.
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        let mut outer = Der::new(Der::only(der, SEQUENCE)?);
        let mut of = Der::new(outer.take(SEQUENCE)?.inner);
        outer.take(SEQUENCE)?;
        outer.take(BIT_STRING).filter(|_| outer.is_empty())?;
        if of.is_next(VERSION) {
            of.next()?;
        }
        of.take(INTEGER)?;
        of.take(SEQUENCE)?;
        let issuer = of.take(SEQUENCE)?;
        let mut validity = Der::new(of.take(SEQUENCE)?.inner);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = of.take(SEQUENCE)?;
        let key = of.take(SEQUENCE)?.whole.to_vec();
        let mut says = Says { for_clients: true, is_authority: false };
        while let Some(part) = of.next() {
            if part.tag == EXTENSIONS {
                says = extensions(part.inner)?;
            }
        }
        if !of.is_empty() || !validity.is_empty() {
            return None;
        }
        Some(Certificate {
            subject: words(subject.inner)?,
            issuer: words(issuer.inner)?,
            not_before,
            not_after,
            key,
            for_clients: says.for_clients,
            is_authority: says.is_authority,
            subject_der: subject.whole.to_vec(),
            issuer_der: issuer.whole.to_vec(),
        })
    }
}

struct Says {
    for_clients: bool,
    is_authority: bool,
}

fn extensions(bytes: &[u8]) -> Option<Says> {
    let mut all = Der::new(Der::only(bytes, SEQUENCE)?);
    let mut says = Says { for_clients: true, is_authority: false };
    for _ in 0..MAX_EXTENSIONS {
        if all.is_empty() {
            return Some(says);
        }
        let mut one = Der::new(all.take(SEQUENCE)?.inner);
        let id = one.take(OID)?.inner;
        if one.is_next(BOOLEAN) {
            one.next()?;
        }
        let value = one.take(OCTET_STRING).filter(|_| one.is_empty())?.inner;
        match id {
            // digitalSignature is the first bit, behind the count of unused ones.
            KEY_USAGE => says.for_clients &= Der::only(value, BIT_STRING)?.get(1)? & 0x80 != 0,
            EXTENDED_KEY_USAGE => {
                let mut usages = Der::new(Der::only(value, SEQUENCE)?);
                let mut any = false;
                while let Some(usage) = usages.next() {
                    any |= [CLIENT_AUTH, ANY_USAGE].contains(&usage.inner);
                }
                says.for_clients &= any;
            }
            BASIC_CONSTRAINTS => {
                let mut inside = Der::new(Der::only(value, SEQUENCE)?);
                says.is_authority = inside.take(BOOLEAN).is_some_and(|yes| yes.inner != [0]);
            }
            _ => {}
        }
    }
    None
}

/// RDNSequence in words, the way people write names: `CN=cell-4, serialNumber=...`.
pub(super) fn words(sequence: &[u8]) -> Option<String> {
    let mut of = Der::new(sequence);
    let mut parts: Vec<String> = Vec::new();
    while !of.is_empty() {
        let mut set = Der::new(of.take(SET)?.inner);
        while !set.is_empty() {
            let mut pair = Der::new(set.take(SEQUENCE)?.inner);
            let (id, value) = (pair.take(OID)?.inner, pair.next()?);
            if !pair.is_empty() || parts.len() == MAX_PARTS {
                return None;
            }
            parts.push(format!("{}={}", attribute(id), String::from_utf8_lossy(value.inner)));
        }
    }
    // What somebody else wrote is printed: one line, and nothing that moves a cursor.
    let plain = |c: char| if c.is_control() { '?' } else { c };
    Some(parts.join(", ").chars().take(MAX_WORDS).map(plain).collect())
}

/// Short names of RFC 4519; others by their number.
fn attribute(id: &[u8]) -> String {
    match id {
        [0x55, 0x04, 0x03] => "CN".into(),
        [0x55, 0x04, 0x05] => "serialNumber".into(),
        [0x55, 0x04, 0x06] => "C".into(),
        [0x55, 0x04, 0x07] => "L".into(),
        [0x55, 0x04, 0x08] => "ST".into(),
        [0x55, 0x04, 0x0a] => "O".into(),
        [0x55, 0x04, 0x0b] => "OU".into(),
        other => other.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// UTCTime or GeneralizedTime in the one form that RFC 5280 §4.1.2.5 allows: with seconds, in UTC.
fn time(element: Element<'_>) -> Option<Wall> {
    let text = std::str::from_utf8(element.inner).ok()?;
    let (year, rest) = match element.tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let century = if year >= "50" { "19" } else { "20" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => text.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    let digits = rest.strip_suffix('Z').filter(|d| d.len() == 10 && d.bytes().all(|b| b.is_ascii_digit()))?;
    let at = |n: usize| &digits[n..n + 2];
    format!("{year}-{}-{}T{}:{}:{}Z", at(0), at(2), at(4), at(6), at(8)).parse().ok()
}

const BOOLEAN: u8 = 0x01;
/// [0] and [3] EXPLICIT of TBSCertificate.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::PublicKeyData as _;
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "cell\n4");
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        change(&mut params);
        (params.self_signed(&key).unwrap().der().to_vec(), key)
    }

    #[test]
    fn a_certificate_is_read_as_it_was_made() {
        let (der, key) = made(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
        let read = Certificate::parse(&der).unwrap();
        assert_eq!((read.subject.as_str(), &read.subject), ("CN=cell?4", &read.issuer));
        assert_eq!(read.not_before.to_string(), "2026-01-02T00:00:00.000Z");
        assert_eq!(read.not_after.to_string(), "9999-12-31T00:00:00.000Z");
        assert_eq!(read.key, key.subject_public_key_info());
        assert!(read.is_authority && read.for_clients);
        for len in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..len]), None, "{len}");
        }
    }

    #[test]
    fn what_it_may_be_used_for_is_read_where_it_says_so() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
        use KeyUsagePurpose::{DigitalSignature, KeyEncipherment};
        for (what, usages, extended, right) in [
            ("nothing said", vec![], vec![], true),
            ("both", vec![DigitalSignature], vec![ClientAuth], true),
            ("anything", vec![], vec![Any], true),
            ("for servers", vec![DigitalSignature], vec![ServerAuth], false),
            ("does not sign", vec![KeyEncipherment], vec![ClientAuth], false),
        ] {
            let (der, _) = made(|p| (p.key_usages, p.extended_key_usages) = (usages, extended));
            let read = Certificate::parse(&der).unwrap();
            assert_eq!((read.for_clients, read.is_authority), (right, false), "{what}");
        }
    }

    #[test]
    fn times_have_one_form() {
        let at = |tag, text: &str| {
            time(Element { tag, inner: text.as_bytes(), whole: &[] }).map(|w| w.to_string())
        };
        assert_eq!(at(UTC_TIME, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59.000Z"));
        assert_eq!(at(UTC_TIME, "700101000000Z").as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(at(GENERALIZED_TIME, "99991231235959Z").as_deref(), Some("9999-12-31T23:59:59.000Z"));
        for bad in ["4912312359Z", "491231235959", "491231235959+0100", "49123123595\u{e9}Z", "é", ""] {
            assert_eq!(at(UTC_TIME, bad), None, "{bad}");
        }
        assert_eq!(at(GENERALIZED_TIME, "20261301000000Z"), None);
    }

    proptest! {
        #[test]
        fn changed_bytes_are_refused_or_read(at in 0usize..600, with: u8) {
            let (mut der, _) = made(|_| ());
            let at = at % der.len();
            der[at] = with;
            if let Some(read) = Certificate::parse(&der) {
                prop_assert!(read.subject.chars().count() <= MAX_WORDS);
                prop_assert!(!read.issuer.chars().any(char::is_control));
            }
        }
    }
}
