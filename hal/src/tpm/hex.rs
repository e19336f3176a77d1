//! Bytes as lower-case hexadecimal text, for JSON.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// `bytes` in lower case, two digits each.
pub(super) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of `text`; `None` when it is no hexadecimal text of whole bytes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

/// For `#[serde(with = "hex")]` on byte arrays and vectors.
pub(super) fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&encode(bytes.as_ref()))
}

/// For `#[serde(with = "hex")]` on byte arrays and vectors; an array takes exactly its own length.
pub(super) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = decode(&text).ok_or_else(|| D::Error::custom("expected hexadecimal digits"))?;
    let len = bytes.len();
    T::try_from(bytes).map_err(|_| D::Error::custom(format!("{len} bytes is not the expected length")))
}
