//! The vault as commands see it: what is there, taken out, removed, and found by the first digits of its digest.

use super::Judge;
use super::failure::Failure;
use super::message::Answered;
use super::rows::ImageRow;
use crate::state::release;
use crate::vault::{self, Area, ImageDigest};

impl Judge {
    pub(super) fn vault_list(&self) -> Answered {
        let rows = |area| {
            self.vault.list(area).into_iter().map(move |stored| {
                let sidecar = self.vault.sidecar(area, &stored.digest).unwrap_or_default();
                ImageRow {
                    digest: vault::hex(&stored.digest),
                    size: stored.size,
                    name: sidecar.name,
                    version: sidecar.version,
                    security_version: sidecar.security_version,
                    site_vouched: area == Area::Vault && self.word_beside(&stored.digest).is_some(),
                    program: sidecar.program,
                    refused: sidecar.refused.map(|r| (r.code, r.case)),
                }
            })
        };
        Answered::Vault { images: rows(Area::Vault).collect(), quarantine: rows(Area::Quarantine).collect() }
    }

    pub(super) fn vault_remove(&mut self, digest: &str) -> Result<Answered, Failure> {
        let (area, digest) = self.find_in(&[Area::Vault, Area::Quarantine], digest)?;
        if release::names_image(&self.db.rows(), &digest)? {
            return Err(Failure::usage("a release or a delivery needs this image; withdraw it first"));
        }
        self.vault.remove(area, &digest)?;
        Ok(Answered::Done { text: format!("removed: {}", vault::hex(&digest)) })
    }

    pub(super) fn vault_export(&self, digest: &str, to: &std::path::Path) -> Result<Answered, Failure> {
        let digest = self.find_image(digest)?;
        let said = |e: std::io::Error| format!("{}: {e}", to.display());
        let new = std::fs::OpenOptions::new().write(true).create_new(true).open(to);
        let mut file = new.map_err(|e| Failure::usage(said(e)))?;
        let exported = self.vault.export(Area::Vault, &digest, &mut file).map_err(Failure::from);
        let whole = exported.and_then(|()| file.sync_all().map_err(|e| Failure::internal(said(e))));
        if let Err(failure) = whole {
            // Nobody shall take half an image for one.
            let _ = std::fs::remove_file(to);
            return Err(failure);
        }
        Ok(Answered::Done { text: format!("exported: {}", to.display()) })
    }

    /// A digest in the vault, or the first digits of one that names a single image.
    pub(super) fn find_image(&self, text: &str) -> Result<ImageDigest, Failure> {
        self.find_in(&[Area::Vault], text).map(|(_, digest)| digest)
    }

    /// As [`Judge::find_image`], in the first of `areas` that has it.
    fn find_in(&self, areas: &[Area], text: &str) -> Result<(Area, ImageDigest), Failure> {
        let text = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        let is_prefix = (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_prefix {
            return Err(Failure::usage(format!(
                "{text:?} is no SHA-256: give its 64 hexadecimal digits, or the first 8 or more of them"
            )));
        }
        let all = areas.iter().flat_map(|a| self.vault.list(*a).into_iter().map(|s| (*a, s.digest)));
        let mut matching: Vec<_> = all.filter(|(_, d)| vault::hex(d).starts_with(&text)).collect();
        let one = matching.first().copied();
        matching.retain(|(_, digest)| one.is_some_and(|(_, first)| *digest != first));
        match (one, matching.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(Failure::usage(format!("{text:?} begins more than one digest"))),
            (None, _) => Err(Failure::not_found(format!("no image {text:?}; headgate vault list shows all"))),
        }
    }
}

/// Enough of a digest to find it in a list.
pub(super) fn short(digest: &ImageDigest) -> String {
    vault::hex(digest)[..12].into()
}
