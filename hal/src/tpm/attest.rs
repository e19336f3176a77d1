//! TPMS_ATTEST: what a TPM says of itself, as bytes that were signed (TPM 2.0 Library Part 2 §10.12).
//!
//! Pure and bounded: every length is checked against what is left, nothing may follow the structure, and the
//! two kinds that this layer asks for are the only ones taken. It verifies nothing; see
//! [`Quote`](super::Quote).

use super::pcr::PcrSelection;
use super::policy::Name;
use super::reader::Reader;

/// TPM_GENERATED_VALUE, `ff 54 43 47`: no restricted key signs anything else that begins so.
const GENERATED: u32 = 0xff54_4347;
const ST_ATTEST_CERTIFY: u16 = 0x8017;
const ST_ATTEST_QUOTE: u16 = 0x8018;
const ALG_SHA256: u16 = 0x000b;
/// Longest TPM2B_NAME: an algorithm and a digest of SHA-512.
const NAME_MAX: usize = 66;
/// Longest TPM2B_DATA: as long as a TPMT_HA (Part 2 §10.4.3).
const DATA_MAX: usize = 66;

/// A statement of a TPM, read and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// Qualified Name of the key that signed.
    pub qualified_signer: Vec<u8>,
    /// What the asker gave to have it mixed in: a nonce.
    pub extra_data: Vec<u8>,
    /// Milliseconds the TPM has been powered, over all its life.
    pub clock: u64,
    /// How often the TPM was reset. Obfuscated: compare it only under the same key.
    pub reset_count: u32,
    /// How often it was resumed since. Obfuscated as well.
    pub restart_count: u32,
    /// Whether no higher value of the clock was ever reported.
    pub safe: bool,
    /// Of the TPM's maker. Obfuscated as well.
    pub firmware_version: u64,
    /// What is said.
    pub attested: Attested,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attested {
    /// The PCRs selected hold values with this digest.
    Quote {
        /// PCRs of the SHA-256 bank.
        selection: PcrSelection,
        /// SHA-256 over their values.
        digest: [u8; 32],
    },
    /// An object of this Name is loaded in the TPM.
    Certify {
        /// The object's Name.
        name: Name,
        /// Its Name together with its parents'.
        qualified_name: Vec<u8>,
    },
}

/// Bytes that are no statement this layer knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// They end too early.
    #[error("the statement is cut short")]
    Short,
    /// Something follows.
    #[error("{0} bytes follow the statement")]
    Trailing(usize),
    /// Not made by a TPM.
    #[error("it begins with {0:#010x}, expected TPM_GENERATED {GENERATED:#010x}")]
    Magic(u32),
    /// Another kind of statement.
    #[error("it is of type {0:#06x}, expected a quote (0x8018) or a certification (0x8017)")]
    Type(u16),
    /// A buffer is longer than its type allows.
    #[error("{what} of {found} bytes, expected at most {max}")]
    Long {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A field that can have two values has a third.
    #[error("the flag of the clock is {0}, expected 0 or 1")]
    Flag(u8),
    /// Not one bank, not SHA-256, no PCR, or one that does not exist.
    #[error("its PCR selection is not one of PCRs 0 to 23 of the SHA-256 bank alone")]
    Selection,
    /// Not SHA-256.
    #[error("its {what} has {found} bytes, expected those of SHA-256")]
    Digest {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
    },
}

impl Attest {
    /// Reads a TPMS_ATTEST, marshalled.
    ///
    /// # Errors
    /// [`AttestError`] for anything else, also for other kinds of statement.
    pub fn parse(bytes: &[u8]) -> Result<Attest, AttestError> {
        use AttestError::Short;
        let mut reader = Reader::new(bytes);
        let magic = reader.u32().ok_or(Short)?;
        if magic != GENERATED {
            return Err(AttestError::Magic(magic));
        }
        let kind = reader.u16().ok_or(Short)?;
        let qualified_signer = bounded(&mut reader, "signer", NAME_MAX)?;
        let extra_data = bounded(&mut reader, "nonce", DATA_MAX)?;
        let clock = reader.u64().ok_or(Short)?;
        let reset_count = reader.u32().ok_or(Short)?;
        let restart_count = reader.u32().ok_or(Short)?;
        let safe = match reader.u8().ok_or(Short)? {
            0 => false,
            1 => true,
            other => return Err(AttestError::Flag(other)),
        };
        let firmware_version = reader.u64().ok_or(Short)?;
        let attested = match kind {
            ST_ATTEST_QUOTE => quote(&mut reader)?,
            ST_ATTEST_CERTIFY => certify(&mut reader)?,
            other => return Err(AttestError::Type(other)),
        };
        if reader.left() != 0 {
            return Err(AttestError::Trailing(reader.left()));
        }
        Ok(Attest {
            qualified_signer,
            extra_data,
            clock,
            reset_count,
            restart_count,
            safe,
            firmware_version,
            attested,
        })
    }

    /// The bytes it was read from: there is one form of every statement.
    pub fn marshal(&self) -> Vec<u8> {
        let mut out = GENERATED.to_be_bytes().to_vec();
        let kind = match self.attested {
            Attested::Quote { .. } => ST_ATTEST_QUOTE,
            Attested::Certify { .. } => ST_ATTEST_CERTIFY,
        };
        out.extend(kind.to_be_bytes());
        put_sized(&mut out, &self.qualified_signer);
        put_sized(&mut out, &self.extra_data);
        out.extend(self.clock.to_be_bytes());
        out.extend(self.reset_count.to_be_bytes());
        out.extend(self.restart_count.to_be_bytes());
        out.push(u8::from(self.safe));
        out.extend(self.firmware_version.to_be_bytes());
        match &self.attested {
            Attested::Quote { selection, digest } => {
                out.extend(selection.marshal());
                put_sized(&mut out, digest);
            }
            Attested::Certify { name, qualified_name } => {
                put_sized(&mut out, &name.0);
                put_sized(&mut out, qualified_name);
            }
        }
        out
    }
}

/// TPMS_QUOTE_INFO: TPML_PCR_SELECTION of one bank, TPM2B_DIGEST.
fn quote(reader: &mut Reader<'_>) -> Result<Attested, AttestError> {
    use AttestError::Short;
    let (banks, bank) = (reader.u32().ok_or(Short)?, reader.u16().ok_or(Short)?);
    let bits = reader.u8().ok_or(Short)?;
    // Three bytes of bits, as this layer asks for and as every PC Client TPM answers.
    if (banks, bank, bits) != (1, ALG_SHA256, 3) {
        return Err(AttestError::Selection);
    }
    let bits = reader.take(3).ok_or(Short)?;
    let indices: Vec<u8> = (0..24).filter(|&n| bits[usize::from(n / 8)] & (1 << (n % 8)) != 0).collect();
    let selection = PcrSelection::new(&indices).map_err(|_| AttestError::Selection)?;
    let digest = reader.sized().ok_or(Short)?;
    let found = digest.len();
    let digest = digest.try_into().map_err(|_| AttestError::Digest { what: "PCR digest", found })?;
    Ok(Attested::Quote { selection, digest })
}

/// TPMS_CERTIFY_INFO: two TPM2B_NAMEs.
fn certify(reader: &mut Reader<'_>) -> Result<Attested, AttestError> {
    let name = bounded(reader, "Name", NAME_MAX)?;
    let found = name.len();
    let name = Name::from_tpm(&name).map_err(|_| AttestError::Digest { what: "Name", found })?;
    let qualified_name = bounded(reader, "qualified Name", NAME_MAX)?;
    Ok(Attested::Certify { name, qualified_name })
}

fn bounded(reader: &mut Reader<'_>, what: &'static str, max: usize) -> Result<Vec<u8>, AttestError> {
    let bytes = reader.sized().ok_or(AttestError::Short)?;
    if bytes.len() > max {
        return Err(AttestError::Long { what, found: bytes.len(), max });
    }
    Ok(bytes.to_vec())
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_be_bytes());
    out.extend(bytes);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statement(attested: Attested) -> Attest {
        Attest {
            qualified_signer: vec![7; 34],
            extra_data: b"nonce".to_vec(),
            clock: 1,
            reset_count: 2,
            restart_count: 3,
            safe: true,
            firmware_version: 4,
            attested,
        }
    }

    fn quoted() -> Attest {
        statement(Attested::Quote { selection: PcrSelection::new(&[0, 7]).unwrap(), digest: [9; 32] })
    }

    fn certified() -> Attest {
        let mut name = [1; 34];
        name[..2].copy_from_slice(&[0x00, 0x0b]);
        statement(Attested::Certify { name: Name(name), qualified_name: vec![2; 34] })
    }

    #[test]
    fn every_cut_and_every_byte_too_many_is_refused() {
        for whole in [quoted(), certified()] {
            let bytes = whole.marshal();
            assert_eq!(Attest::parse(&bytes), Ok(whole));
            for len in 0..bytes.len() {
                assert_eq!(Attest::parse(&bytes[..len]), Err(AttestError::Short), "{len}");
            }
            assert_eq!(Attest::parse(&[bytes, vec![0]].concat()), Err(AttestError::Trailing(1)));
        }
    }

    #[test]
    fn what_is_no_statement_is_refused_by_name() {
        let good = quoted().marshal();
        // magic 4, type 2, signer 36, nonce 7, clock 8, counts 8, flag, firmware 8, then the selection.
        let cases: &[(&str, usize, &[u8], AttestError)] = &[
            ("other bytes signed by the same key", 0, &[0xfe], AttestError::Magic(0xfe54_4347)),
            ("a statement about time", 4, &[0x80, 0x19], AttestError::Type(0x8019)),
            ("a flag of two", 65, &[2], AttestError::Flag(2)),
            ("no bank", 74, &[0, 0, 0, 0], AttestError::Selection),
            ("two banks", 74, &[0, 0, 0, 2], AttestError::Selection),
            ("SHA-1", 78, &[0, 4], AttestError::Selection),
            ("two bytes of bits", 80, &[2], AttestError::Selection),
            ("no PCR", 81, &[0, 0, 0], AttestError::Selection),
        ];
        for (what, at, bytes, error) in cases {
            let mut bad = good.clone();
            bad[*at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(Attest::parse(&bad).as_ref(), Err(error), "{what}");
        }
        let mut long = quoted();
        long.extra_data = vec![0; DATA_MAX + 1];
        let too_long = AttestError::Long { what: "nonce", found: DATA_MAX + 1, max: DATA_MAX };
        assert_eq!(Attest::parse(&long.marshal()), Err(too_long));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_have_this_form_alone(
            certify: bool,
            at in 0usize..120,
            with in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut bytes = if certify { certified() } else { quoted() }.marshal();
            let at = at.min(bytes.len());
            let end = (at + with.len()).min(bytes.len());
            bytes.splice(at..end, with);
            if let Ok(read) = Attest::parse(&bytes) {
                prop_assert_eq!(read.marshal(), bytes);
            }
        }
    }
}
