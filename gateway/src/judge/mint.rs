//! Proofs: a stored image walks the gauntlet again for each use, with what the trust store says then.

use firmware_verifier::dsse::Envelope;
use firmware_verifier::identity::Slot;
use firmware_verifier::sbom::SbomFile;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::{
    Evidence, Gauntlet, Papers, Rejection, Request, SiteAdvisories, SitePolicy, Verdict, Verified,
};
use hal::clock::Wall;
use hal::reason::ReasonCode;

use super::failure::{EvidenceRow, Failure};
use super::rollback::Leave;
use super::trust::gate_failure;
use super::{Judge, refusal};
use crate::reasons as why;
use crate::state::meta;
use crate::transfer::event::Refusal;
use crate::transfer::image::{Image, ImageError, Released, Warrant};
use crate::vault::{Area, ImageDigest, Sidecar, VaultError, VaultImage};

/// A proof, and the stored image that it is about.
pub(super) struct Minted {
    pub(super) verified: Verified,
    evidence: Vec<Evidence>,
    image: VaultImage,
}

impl From<Minted> for Released {
    fn from(minted: Minted) -> Released {
        let Minted { verified, evidence, image } = minted;
        Released { warrant: Warrant::Verified(verified), evidence, image: Box::new(Stored(image)) }
    }
}

impl Judge {
    /// The proof for finishing a delivery that has begun; its release may be used up or over by now.
    pub(super) fn mint_to_resume(&mut self, plc: &str, digest: &ImageDigest) -> Result<Released, Refusal> {
        self.gate_open()?;
        if self.is_program(plc, digest) {
            return self.approved_program(plc, digest, self.began(plc));
        }
        let expires = Wall { ms: self.now().ms + RESUME_LIFE_MS, ..self.now() };
        self.mint(plc, digest, expires).map_err(Unverified::into_refusal)
    }

    /// Runs the gauntlet on a stored image and hands over proof and bytes together.
    #[expect(clippy::result_large_err, reason = "a refusal carries the whole verdict, and is made rarely")]
    pub(super) fn mint(
        &mut self,
        plc: &str,
        digest: &ImageDigest,
        expires: Wall,
    ) -> Result<Released, Unverified> {
        if self.is_program(plc, digest) {
            return self.approved_program(plc, digest, self.now()).map_err(Unverified::Gate);
        }
        let ticket = self.ticket_of(plc, digest);
        self.mint_with(plc, digest, expires, ticket).map(Released::from)
    }

    #[expect(clippy::result_large_err, reason = "a refusal carries the whole verdict, and is made rarely")]
    pub(super) fn mint_with(
        &mut self,
        plc: &str,
        digest: &ImageDigest,
        expires: Wall,
        leave: Option<Leave>,
    ) -> Result<Minted, Unverified> {
        let mut image = self.vault.image(digest).map_err(|e| Unverified::Failure(e.into()))?;
        let sidecar = self.vault.sidecar(Area::Vault, digest).map_err(|e| Unverified::Failure(e.into()))?;
        match self.run_gauntlet(plc, (&sidecar, leave), &mut image, expires) {
            Ok(Verdict::Verified(verified, evidence)) => Ok(Minted { verified, evidence, image }),
            Ok(verdict) => Err(Unverified::Verdict(verdict)),
            Err(refusal) => Err(Unverified::Gate(refusal)),
        }
    }

    /// Refuses what is longer than the controller's profile takes: past the point of no return it would leave the
    /// controller without firmware.
    pub(super) fn fits_profile(&self, plc: &str, size: u64) -> Result<(), Refusal> {
        let routes = self.config.plc(plc).map(|p| p.routes.as_slice()).unwrap_or_default();
        let largest = routes.iter().filter_map(|r| r.update.as_ref()).map(|(_, p)| p.max_image).max();
        let Some(limit) = largest.filter(|limit| size > *limit) else { return Ok(()) };
        let expected = format!("at most {limit}, as the profile of {plc} says");
        Err(refusal(why::IMAGE_TOO_LARGE, None, format!("an image of {size} bytes"), expected))
    }

    /// The one way to a verdict. Revocations, thresholds, floors and advisories are those of the trust store as it is now.
    pub(super) fn run_gauntlet(
        &self,
        plc: &str,
        papers: (&Sidecar, Option<Leave>),
        image: &mut VaultImage,
        expires: Wall,
    ) -> Result<Verdict, Refusal> {
        let advisories = self.plc(plc).ok().map(|plc| self.site_advisories(plc));
        self.run_gauntlet_by(advisories, plc, papers, image, expires)
    }

    /// As [`Judge::run_gauntlet`], by these advisories.
    pub(super) fn run_gauntlet_by(
        &self,
        advisories: Option<SiteAdvisories>,
        plc: &str,
        (sidecar, leave): (&Sidecar, Option<Leave>),
        image: &mut VaultImage,
        expires: Wall,
    ) -> Result<Verdict, Refusal> {
        let bad = |what: String| refusal(why::STATE_DAMAGED, None, what, "a readable state");
        let plc_config = self.config.plc(plc).ok_or_else(|| bad(format!("no controller {plc:?}")))?;
        self.fits_profile(plc, image.size())?;
        let request = Request {
            slot: Slot::new(plc).map_err(|e| bad(e.to_string()))?,
            product: plc_config.product.clone(),
            identity: self.identities.get(plc).cloned(),
            signature: sidecar.attached.get(SIGNATURE).and_then(|s| SignatureFile::parse(&s.0).ok()),
            policy_epoch: POLICY_EPOCH,
            state_counter: meta::state_counter(&self.db.rows()).map_err(|e| bad(e.to_string()))?,
            expires,
        };
        let sbom = sbom_beside(sidecar).map_err(|r| refusal(r.code, None, r.found, r.expected))?;
        let vouch = sidecar.attached.get(VOUCH).and_then(|word| Envelope::parse(&word.0).ok());
        let papers = Papers {
            gateway: self.config.name.clone(),
            vouch,
            security_version: sidecar.security_version,
            version: sidecar.version.clone(),
            scheme: plc_config.version_scheme,
            accepted: self.accepted_version(plc, &plc_config.product).map_err(|e| bad(e.to_string()))?,
            downgrade_spent: leave.as_ref().is_some_and(|leave| leave.spent),
            downgrade: leave.map(|leave| leave.ticket),
            sbom,
            sbom_required: plc_config.sbom_required,
            advisories,
            policy: Some(SitePolicy {
                policy: self.config.policy.policy.clone(),
                until: self.config.policy.until,
                zone: plc_config.zone.clone(),
                no: plc_config.policy_no,
            }),
            ..Papers::default()
        };
        let gauntlet = Gauntlet::with(request, papers, self.trust()?, self.now());
        let mut at = 0;
        let read = |buffer: &mut [u8]| {
            let n = image.read_at(at, buffer)?;
            at += n as u64;
            Ok(n)
        };
        super::walk(gauntlet, read)
            .map_err(|e: VaultError| refusal(why::VAULT_ALTERED, None, e.to_string(), "the stored bytes"))
    }
}

/// The list of parts that lies beside an image.
pub(super) fn sbom_beside(sidecar: &Sidecar) -> Result<Option<SbomFile>, Rejection> {
    sbom_of(
        sidecar.attached.get(SBOM).map(|file| &file.0),
        sidecar.attached.get(SBOM_SIGNATURE).map(|s| &s.0),
    )
}

/// A list of parts and the signature beside it, as files.
pub(crate) fn sbom_of(
    file: Option<&Vec<u8>>,
    signature: Option<&Vec<u8>>,
) -> Result<Option<SbomFile>, Rejection> {
    let Some(file) = file else { return Ok(None) };
    let signature = signature.map(|s| SignatureFile::parse(s).map_err(|e| e.rejection())).transpose()?;
    SbomFile::parse(file.clone(), signature).map(Some).map_err(|e| e.rejection())
}

/// Why no proof could be made.
pub(super) enum Unverified {
    Verdict(Verdict),
    Gate(Refusal),
    Failure(Failure),
}

impl Unverified {
    pub(super) fn into_refusal(self) -> Refusal {
        match self {
            Unverified::Gate(refusal) => refusal,
            Unverified::Failure(f) => {
                refusal(f.code.unwrap_or(why::STATE_DAMAGED), None, f.text, "a readable image")
            }
            Unverified::Verdict(Verdict::Rejected(r, _)) => refusal(r.code, None, r.found, r.expected),
            Unverified::Verdict(Verdict::Undecided(e, _)) => {
                refusal(e.code(), None, e.to_string(), "a decision")
            }
            Unverified::Verdict(Verdict::Verified(..)) => {
                refusal(why::STATE_DAMAGED, None, "a verdict", "none")
            }
        }
    }

    pub(super) fn into_failure(self) -> Failure {
        match self {
            Unverified::Verdict(verdict) => verdict_failure(&verdict),
            Unverified::Gate(refusal) => gate_failure(refusal),
            Unverified::Failure(f) => f,
        }
    }
}

/// An image of the vault as the engine reads it.
pub(super) struct Stored(pub(super) VaultImage);

impl Image for Stored {
    fn len(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError> {
        match self.0.read_at(offset, buf) {
            Ok(n) if n == buf.len() => Ok(()),
            Ok(n) => Err(ImageError(format!("{n} of {} bytes at offset {offset}", buf.len()))),
            Err(e) => Err(ImageError(e.to_string())),
        }
    }
}

pub(crate) fn verdict_failure(verdict: &Verdict) -> Failure {
    let failure = match verdict {
        Verdict::Rejected(r, _) => rejected(r),
        Verdict::Undecided(e, _) => coded(e.code(), &e.to_string()),
        Verdict::Verified(..) => Failure::internal("verified"),
    };
    Failure { evidence: verdict.evidence().iter().map(EvidenceRow::from).collect(), ..failure }
}

/// A rejection as the answer to a command.
pub(crate) fn rejected(r: &Rejection) -> Failure {
    coded(r.code, &r.to_string())
}

/// The failure says the code itself; the verifier's text begins with it.
fn coded(code: ReasonCode, text: &str) -> Failure {
    let text = text.strip_prefix(&code.to_string()).unwrap_or(text);
    Failure::new(code, text.trim_start_matches([':', ' ']))
}

/// Role of the signature among what lies beside an image.
pub(super) const SIGNATURE: &str = "signature";
/// Role of the list of parts.
pub(super) const SBOM: &str = "sbom";
/// Role of its signature, where that is a file of its own.
pub(super) const SBOM_SIGNATURE: &str = "sbom-signature";
/// Role of the site's word, where there is no signature.
pub(super) const VOUCH: &str = "vouch";
/// How long the proof for finishing a begun delivery lasts.
const RESUME_LIFE_MS: i64 = 86_400_000;
/// Policy of this version: built in. It becomes a number of its own once policies can change.
pub(super) const POLICY_EPOCH: u64 = 1;
