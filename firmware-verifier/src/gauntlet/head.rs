//! The first bytes of an image: whether they are those of something else that vendors sign.
//!
//! A key that signs images and other things alike would otherwise let the signature of a statement, of signed attributes
//! or of a list of parts pass as that of an image made of the same bytes.

use crate::dsse;

/// The first bytes of the image.
#[derive(Debug, Default)]
pub(super) struct Head(Vec<u8>);

impl Head {
    pub(super) fn absorb(&mut self, bytes: &[u8]) {
        let missing = HEAD.saturating_sub(self.0.len());
        self.0.extend(bytes.iter().take(missing));
    }

    /// What the image is instead, in words.
    pub(super) fn document(&self) -> Option<&'static str> {
        if self.0.starts_with(dsse::PAE_START) || self.is_signed_attributes() {
            return Some("the bytes that are signed for a DSSE envelope or a CMS signature");
        }
        self.is_json().then_some("a JSON document, as SBOMs, advisories and manifests are")
    }

    /// A SET whose first element is an attribute of PKCS #9 (RFC 5652 §5.4, §11).
    fn is_signed_attributes(&self) -> bool {
        let [0x31, len, rest @ ..] = self.0.as_slice() else { return false };
        let rest = match len {
            0..=0x7f => rest,
            more => rest.get(usize::from(more & 0x7f)..).unwrap_or_default(),
        };
        matches!(rest, [0x30, _, attribute @ ..] if attribute.starts_with(PKCS9))
    }

    /// An object with a first name (RFC 8259 §4), behind a byte order mark or not. Longer runs of blanks than are looked at
    /// begin no image either.
    fn is_json(&self) -> bool {
        let text = self.0.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.0);
        let mut rest = text.iter().filter(|b| !b.is_ascii_whitespace());
        match (rest.next(), rest.next()) {
            (Some(b'{'), Some(b'"') | None) => true,
            (None, _) => self.0.len() >= HEAD,
            _ => false,
        }
    }
}

/// Bytes of an image that are looked at.
const HEAD: usize = 64;
/// An OBJECT IDENTIFIER below pkcs-9, up to its last number.
const PKCS9: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09];
