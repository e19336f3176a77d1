//! Images that are brought: checked, and kept in the vault or in quarantine.

use firmware_verifier::signature::SignatureFile;
use firmware_verifier::{Basis, Verdict, Verified};
use hal::clock::Wall;

use super::Judge;
use super::failure::{EvidenceRow, Failure};
use super::message::{Answered, SbomGiven};
use super::mint::{SBOM, SBOM_SIGNATURE, SIGNATURE, VOUCH, rejected, sbom_beside, verdict_failure};
use super::release::DEFAULT_LIFE_MS;
use super::rollback::Leave;
use super::rows::VerdictRow;
use super::trust::gate_failure;
use crate::audit::Kind;
use crate::vault::{self, Area, Attached, ImageDigest, ImageIntake, Refused, Sidecar};

impl Judge {
    /// Checks an image for a controller; with `keep`, a good one stays in the vault.
    pub(super) fn take_image(
        &mut self,
        plc: &str,
        (mut sidecar, leave): (Sidecar, Option<Leave>),
        (signature, sbom): (Option<Vec<u8>>, Option<SbomGiven>),
        intake: ImageIntake,
        keep: bool,
    ) -> Result<Answered, Failure> {
        if keep {
            self.not_safety(plc)?;
        }
        self.gate_open().map_err(gate_failure)?;
        sidecar.plc = Some(self.plc(plc)?.slot.as_str().to_owned());
        if let Some(signature) = &signature {
            SignatureFile::parse(signature).map_err(|e| rejected(&e.rejection()))?;
            sidecar.attached.insert(SIGNATURE.into(), Attached(signature.clone()));
        }
        if let Some(sbom) = sbom {
            attach_sbom(&mut sidecar, sbom)?;
        }
        let restated = match keep {
            true => self.may_restate(&intake.digest(), &sidecar)?,
            false => None,
        };
        let staged = intake.finish(&sidecar)?;
        let digest = *staged.digest();
        if signature.is_none()
            && let Some(word) = self.word_beside(&digest)
        {
            sidecar.attached.insert(VOUCH.into(), word);
        }
        let verdict = self.vault.image(&digest).map_err(Failure::from).and_then(|mut image| {
            self.run_gauntlet(plc, (&sidecar, leave), &mut image, self.far_future()).map_err(gate_failure)
        });
        let drop_it = !keep && !staged.already_there();
        match verdict {
            Ok(Verdict::Verified(verified, evidence)) => {
                if drop_it {
                    self.vault.remove(Area::Vault, &digest)?;
                } else if staged.already_there() && keep {
                    self.vault.replace_sidecar(&digest, &sidecar)?;
                }
                if keep && self.vault.list(Area::Quarantine).iter().any(|s| s.digest == digest) {
                    self.vault.remove(Area::Quarantine, &digest)?; // what was wrong is mended
                }
                if keep {
                    let stated = sidecar.security_version;
                    let stated = stated.map_or(String::new(), |v| format!(", security version {v}"));
                    let text = format!("staged: {} bytes{stated}, {}", staged.size(), verified.backing());
                    self.note_with(Kind::Verdict, plc, &text, None, Some(digest));
                }
                if let Some(restated) = &restated {
                    self.note_restated(plc, &digest, restated);
                }
                Ok(Answered::Verdict(VerdictRow {
                    digest: vault::hex(&digest),
                    size: staged.size(),
                    plc: plc.to_string(),
                    signer: signer_words(&verified),
                    basis: verified.basis(),
                    backing: verified.backing(),
                    staged: keep,
                    evidence: evidence.iter().map(EvidenceRow::from).collect(),
                }))
            }
            Ok(other) => {
                if !staged.already_there() {
                    self.drop_refused(&digest, &other, keep)?;
                }
                Err(verdict_failure(&other))
            }
            Err(e) => {
                if !staged.already_there() {
                    self.vault.remove(Area::Vault, &digest)?;
                }
                Err(e)
            }
        }
    }

    fn drop_refused(&self, digest: &ImageDigest, verdict: &Verdict, keep: bool) -> Result<(), Failure> {
        match verdict.code() {
            Some(code) if keep => {
                Ok(self.vault.quarantine(digest, Refused { code, case: "stage".into(), at: self.now() })?)
            }
            _ => Ok(self.vault.remove(Area::Vault, digest)?),
        }
    }

    fn far_future(&self) -> Wall {
        Wall { ms: self.now().ms + DEFAULT_LIFE_MS, ..self.now() }
    }
}

/// Lays a list of parts beside the image, when it is one at all.
fn attach_sbom(sidecar: &mut Sidecar, sbom: SbomGiven) -> Result<(), Failure> {
    let SbomGiven { file, signature } = sbom;
    sidecar.attached.insert(SBOM.into(), Attached(file));
    if let Some(signature) = signature {
        sidecar.attached.insert(SBOM_SIGNATURE.into(), Attached(signature));
    }
    sbom_beside(sidecar).map_err(|r| rejected(&r)).map(drop)
}

/// Whose signature an image has; nobody's where the site vouches for it.
fn signer_words(verified: &Verified) -> String {
    match verified.basis() {
        Basis::VendorSigned => format!("{} ({})", verified.signer().name, verified.signer().id),
        Basis::SiteVouched => String::new(),
    }
}
