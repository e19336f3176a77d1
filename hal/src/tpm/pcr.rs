//! Which PCRs count, and what they hold. SHA-256 bank only.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::error::TpmError;
use super::hex;

/// PCRs of a PC Client TPM (TCG PC Client Platform TPM Profile §4.6).
const PCR_COUNT: u8 = 24;

/// A non-empty set of PCRs of the SHA-256 bank, in rising order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct PcrSelection(Vec<u8>);

impl PcrSelection {
    /// Takes the PCR numbers in any order, repeats allowed.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when there is none or one is 24 or more.
    pub fn new(indices: &[u8]) -> Result<PcrSelection, TpmError> {
        let mut sorted = indices.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.is_empty() || sorted.iter().any(|&index| index >= PCR_COUNT) {
            let found = format!("{indices:?}");
            return Err(TpmError::Malformed {
                what: "PCR selection",
                found,
                expected: "one or more of 0 to 23",
            });
        }
        Ok(PcrSelection(sorted))
    }

    /// The PCR numbers, rising.
    pub fn indices(&self) -> &[u8] {
        &self.0
    }

    /// Whether every PCR of `other` is also in this selection.
    pub fn covers(&self, other: &PcrSelection) -> bool {
        other.0.iter().all(|index| self.0.contains(index))
    }

    /// TPML_PCR_SELECTION, marshalled (Part 2 §10.9.7): one SHA-256 bank, three bytes of bits.
    pub(super) fn marshal(&self) -> Vec<u8> {
        let mut bits = [0u8; 3];
        for &index in &self.0 {
            bits[usize::from(index / 8)] |= 1 << (index % 8);
        }
        let mut out = vec![0, 0, 0, 1, 0x00, 0x0b, 3];
        out.extend(bits);
        out
    }
}

impl TryFrom<Vec<u8>> for PcrSelection {
    type Error = TpmError;
    fn try_from(indices: Vec<u8>) -> Result<PcrSelection, TpmError> {
        PcrSelection::new(&indices)
    }
}

impl From<PcrSelection> for Vec<u8> {
    fn from(selection: PcrSelection) -> Vec<u8> {
        selection.0
    }
}

/// One PCR in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PcrJson {
    pub(super) pcr: u8,
    #[serde(with = "hex")]
    pub(super) sha256: [u8; 32],
}

/// What the selected PCRs held when they were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<PcrJson>", into = "Vec<PcrJson>")]
pub struct PcrValues(Vec<(u8, [u8; 32])>);

impl PcrValues {
    /// Pairs of PCR number and value, sorted by number here.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when there is none, a number repeats or is 24 or more.
    pub fn new(mut values: Vec<(u8, [u8; 32])>) -> Result<PcrValues, TpmError> {
        values.sort_unstable_by_key(|(index, _)| *index);
        let indices: Vec<u8> = values.iter().map(|(index, _)| *index).collect();
        if PcrSelection::new(&indices)?.indices().len() != indices.len() {
            let found = format!("{indices:?}");
            return Err(TpmError::Malformed { what: "PCR values", found, expected: "each PCR once" });
        }
        Ok(PcrValues(values))
    }

    /// Number and value of each PCR, by rising number.
    pub fn values(&self) -> &[(u8, [u8; 32])] {
        &self.0
    }

    /// These values with some replaced.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when one is replaced that is not here.
    pub(super) fn with(mut self, others: &[(u8, [u8; 32])]) -> Result<PcrValues, TpmError> {
        for (index, value) in others {
            let Some(place) = self.0.iter_mut().find(|(i, _)| i == index) else {
                let found = format!("a value foreseen for PCR {index}");
                return Err(TpmError::Malformed {
                    what: "PCR values",
                    found,
                    expected: "PCRs of the selection only",
                });
            };
            place.1 = *value;
        }
        Ok(self)
    }

    /// The PCRs these values belong to.
    pub fn selection(&self) -> PcrSelection {
        PcrSelection(self.0.iter().map(|(index, _)| *index).collect())
    }

    /// SHA-256 over the values in rising order of their numbers: `pcrDigest` of Part 3 §23.7.
    pub fn digest(&self) -> [u8; 32] {
        let joined: Vec<u8> = self.0.iter().flat_map(|(_, value)| *value).collect();
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, &joined).as_ref());
        out
    }

    /// Refuses values nobody measured.
    ///
    /// # Errors
    /// [`TpmError::PcrUnset`] for the first PCR that reads all zero or all ones.
    pub fn require_measured(&self) -> Result<(), TpmError> {
        for (index, value) in &self.0 {
            if *value == [0; 32] || *value == [0xff; 32] {
                return Err(TpmError::PcrUnset { index: *index, ones: value[0] == 0xff });
            }
        }
        Ok(())
    }

    /// Numbers of the PCRs whose value here is not the one in `other`.
    pub fn differing(&self, other: &PcrValues) -> Vec<u8> {
        self.0.iter().filter(|pair| !other.0.contains(pair)).map(|(index, _)| *index).collect()
    }
}

impl TryFrom<Vec<PcrJson>> for PcrValues {
    type Error = TpmError;
    fn try_from(json: Vec<PcrJson>) -> Result<PcrValues, TpmError> {
        PcrValues::new(json.into_iter().map(|one| (one.pcr, one.sha256)).collect())
    }
}

impl From<PcrValues> for Vec<PcrJson> {
    fn from(values: PcrValues) -> Vec<PcrJson> {
        values.0.into_iter().map(|(pcr, sha256)| PcrJson { pcr, sha256 }).collect()
    }
}

/// PCR values as `tpm2_pcrread` prints them: a line `sha256:`, then `NUMBER : 0xHEX` lines. Without such a line all
/// count. At most [`PCR_COUNT`] values.
///
/// # Errors
/// What was found instead, with its line.
pub fn parse_pcrs(text: &str) -> Result<Vec<(u8, [u8; 32])>, String> {
    let (mut values, mut is_sha256) = (Vec::new(), true);
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        let found = || format!("line {}: found {:?}", n + 1, line.chars().take(40).collect::<String>());
        if line.is_empty() {
            continue;
        }
        if let Some(bank) = line.strip_suffix(':') {
            is_sha256 = bank.trim() == "sha256";
            continue;
        }
        if !is_sha256 {
            continue;
        }
        let pair = line.split_once(':').and_then(|(index, value)| {
            let value = value.trim();
            let digits = value.strip_prefix("0x").or(value.strip_prefix("0X")).unwrap_or(value);
            let value = <[u8; 32]>::try_from(hex::decode(digits)?).ok()?;
            Some((index.trim().parse::<u8>().ok().filter(|i| *i < PCR_COUNT)?, value))
        });
        let pair =
            pair.ok_or_else(|| format!("{}, expected NUMBER : 0x and 64 hexadecimal digits", found()))?;
        if values.iter().any(|(index, _)| *index == pair.0) {
            return Err(format!("{}: PCR {} was given before", found(), pair.0));
        }
        values.push(pair);
    }
    if values.is_empty() { Err("no PCR values of the SHA-256 bank".into()) } else { Ok(values) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_sorted_unique_and_bounded() {
        assert_eq!(PcrSelection::new(&[7, 0, 7, 4]).unwrap().indices(), [0, 4, 7]);
        assert!(PcrSelection::new(&[]).is_err());
        assert!(PcrSelection::new(&[24]).is_err());
        assert_eq!(
            PcrSelection::new(&[0, 8, 23]).unwrap().marshal(),
            [0, 0, 0, 1, 0, 0x0b, 3, 0x01, 0x01, 0x80]
        );
    }

    #[test]
    fn an_unmeasured_pcr_is_named() {
        let values = PcrValues::new(vec![(7, [0xff; 32]), (0, [1; 32])]).unwrap();
        assert!(matches!(values.require_measured(), Err(TpmError::PcrUnset { index: 7, ones: true })));
    }
}
