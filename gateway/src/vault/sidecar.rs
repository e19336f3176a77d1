//! What lies beside an image: what it was called, what came with it, and why it was refused.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use super::{Area, VaultError, digest::ImageDigest};

/// The sidecar of one image. Nothing in it is trusted: the gauntlet judges it again at each release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// What the station or the engineer called the image.
    pub name: String,
    /// The version its bringer claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The security version its bringer stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_version: Option<u64>,
    /// The controller that it was staged for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plc: Option<String>,
    /// It is everyday logic, which nobody signs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub program: bool,
    /// Files that came with it, by role: `signature`, `vouch`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attached: BTreeMap<String, Attached>,
    /// Why it lies in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// A file that came with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached(pub Vec<u8>);

/// Why and when an image was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The reason.
    pub code: ReasonCode,
    /// The case that tells the story, as printed.
    pub case: String,
    /// When.
    pub at: Wall,
}

impl Sidecar {
    pub(super) fn to_json(&self, digest: &ImageDigest) -> Result<Vec<u8>, VaultError> {
        let attached = |a: &Attached| a.0.len() as u64;
        let size = self.attached.values().map(attached).sum::<u64>() + self.name.len() as u64;
        let bytes = serde_json::to_vec(self)
            .map_err(|source| VaultError::Sidecar { digest: *digest, found: source.to_string() })?;
        if bytes.len() as u64 > MAX_SIDECAR {
            return Err(VaultError::TooLarge {
                what: "what came with the image",
                found: size,
                limit: MAX_SIDECAR,
            });
        }
        Ok(bytes)
    }

    pub(super) fn read(
        store: &hal::store::Store,
        area: Area,
        digest: &ImageDigest,
    ) -> Result<Sidecar, VaultError> {
        let broken = |found: String| VaultError::Sidecar { digest: *digest, found };
        let bytes = store
            .read(&area.sidecar(digest), MAX_SIDECAR)?
            .ok_or_else(|| broken("there is none".to_owned()))?;
        serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))
    }
}

impl Serialize for Attached {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Attached {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Attached, D::Error> {
        let text = String::deserialize(d)?;
        STANDARD.decode(text).map(Attached).map_err(serde::de::Error::custom)
    }
}

/// Largest sidecar in bytes: an SBOM of 10,000 components is about 6 MB, a third more in base64.
pub const MAX_SIDECAR: u64 = 8 << 20;
