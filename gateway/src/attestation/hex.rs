//! Bytes as hexadecimal text, at most [`MAX`] of them.

use serde::{Deserialize, Serialize};

/// Longest value in bytes: a maker's certificate.
pub(super) const MAX: usize = 4096;

/// Bytes that are written as lower-case hexadecimal digits, and read in either case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex(pub Vec<u8>);

impl std::str::FromStr for Hex {
    type Err = String;

    fn from_str(text: &str) -> Result<Hex, String> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(format!("{} digits: two make a byte", text.len()));
        };
        if pairs.len() > MAX {
            return Err(format!("{} bytes, at most {MAX} are taken", pairs.len()));
        }
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        bytes.map(Hex).ok_or_else(|| "found something else than hexadecimal digits".into())
    }
}

impl TryFrom<String> for Hex {
    type Error = String;
    fn try_from(text: String) -> Result<Hex, String> {
        text.parse()
    }
}

impl From<Hex> for String {
    fn from(hex: Hex) -> String {
        hex.to_string()
    }
}

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_a_byte_no_digit_and_too_many_are_refused() {
        assert_eq!("00fF".parse::<Hex>().unwrap().0, [0, 255]);
        for bad in ["0", "0x", "+1", "é", &"00".repeat(MAX + 1)] {
            assert!(bad.parse::<Hex>().is_err(), "{bad:.10}");
        }
    }

    proptest! {
        #[test]
        fn bytes_read_back_as_they_print(bytes: Vec<u8>) {
            let hex = Hex(bytes);
            prop_assert_eq!(hex.to_string().parse::<Hex>().unwrap(), hex);
        }
    }
}
