//! What whoever staged an image said of its age: its version, and its security version.
//!
//! People release an image with what is stated of it; so that cannot be changed under their release. What was stated
//! when an image was let through is kept with its case: the floor rises to that, and that is what later versions of the
//! product are compared with.

use firmware_verifier::identity::Product;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::{Judge, why};
use crate::audit::Kind;
use crate::state::{StateError, Tx, meta, release};
use crate::vault::{self, Area, ImageDigest, Sidecar};

/// What is stated of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stated {
    #[serde(default)]
    pub(super) security_version: Option<u64>,
    #[serde(default)]
    pub(super) version: Option<String>,
}

impl From<&Sidecar> for Stated {
    fn from(sidecar: &Sidecar) -> Stated {
        Stated { security_version: sidecar.security_version, version: sidecar.version.clone() }
    }
}

impl std::fmt::Display for Stated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let security = self.security_version.map_or("none".into(), |v| v.to_string());
        let version = self.version.as_ref().map_or("none".into(), |v| format!("{v:?}"));
        write!(f, "security version {security}, version {version}")
    }
}

/// An image is stated to be something else than before.
pub(super) struct Restated(Stated, Stated);

impl Judge {
    /// What is stated of an image of the vault.
    pub(super) fn stated(&self, digest: &ImageDigest) -> Option<Stated> {
        self.vault.sidecar(Area::Vault, digest).ok().map(|sidecar| Stated::from(&sidecar))
    }

    /// What a new statement about an image changes; refused while anything rests on the old one.
    pub(super) fn may_restate(
        &mut self,
        digest: &ImageDigest,
        sidecar: &Sidecar,
    ) -> Result<Option<Restated>, Failure> {
        let (before, now) = (self.stated(digest), Stated::from(sidecar));
        let Some(before) = before.filter(|before| *before != now) else { return Ok(None) };
        let Some(plc) = release::in_use_for(&self.db.rows(), digest, self.now())? else {
            return Ok(Some(Restated(before, now)));
        };
        let image = vault::hex(digest);
        let held = self.held_for(&plc).filter(|held| held.digest == *digest);
        let next = match held {
            Some(held) => format!("headgate held refuse {} --reason TEXT, then stage it again", held.case),
            None => format!("headgate withdraw {image} --plc {plc}, then stage it again"),
        };
        let text =
            format!("found {now} for image sha256:{image}, expected {before}, as it is released for {plc}");
        self.note_with(
            Kind::Verdict,
            &plc,
            &format!("not restated: {text}"),
            Some(why::RESTATED),
            Some(*digest),
        );
        Err(Failure::new(why::RESTATED, text).next(next))
    }

    /// Writes down that an image is stated to be something else now.
    pub(super) fn note_restated(&mut self, plc: &str, digest: &ImageDigest, Restated(was, is): &Restated) {
        self.note_with(Kind::Verdict, plc, &format!("restated: {is}; was {was}"), None, Some(*digest));
    }

    /// The version that a controller accepted last.
    pub(super) fn accepted_version(
        &self,
        plc: &str,
        product: &Product,
    ) -> Result<Option<String>, StateError> {
        let kept = meta::get(&self.db.rows(), &place(plc, product))?;
        // What is no text is none that a scheme reads: nothing is let through because of it.
        Ok(kept.map(|kept| String::from_utf8_lossy(&kept).into_owned()))
    }
}

/// Keeps the version that a controller has accepted.
pub(super) fn accepted(tx: &Tx<'_>, plc: &str, product: &Product, version: &str) -> Result<(), StateError> {
    meta::put(tx, &place(plc, product), version.as_bytes())
}

/// Of one product: what another one counted is nothing to compare with.
fn place(plc: &str, product: &Product) -> String {
    format!("accepted-version/{plc}/{product}")
}
