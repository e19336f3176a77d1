//! What goes into a controller on a break-glass document: images that nobody has verified, or can verify now.
//!
//! Nothing less than the site key's word makes one pass, and everything else still holds: the image is known by its
//! digest before its first byte passes and hashed again from the vault, a release is used up for it, a lock stays, a permissive must be there, what
//! is known to be revoked is refused, and delivery past its point of no return is finished. The case, the audit log and
//! the receipt say that it was not verified.

use firmware_verifier::document::Action;
use firmware_verifier::identity::Slot;
use firmware_verifier::{Digest, reasons};
use hal::reason::ReasonCode;

use super::break_glass::InForce;
use super::failure::Failure;
use super::message::Answered;
use super::mint::{POLICY_EPOCH, Stored};
use super::trust::gate_failure;
use super::{Judge, OURSELVES, refusal, why};
use crate::audit::{Event, Kind};
use crate::state::alarm::Kind as Told;
use crate::state::delivery::Delivery;
use crate::state::release::{self, Terms};
use crate::transfer::event::{CaseId, Refusal, Station};
use crate::transfer::image::{Released, Warrant};
use crate::vault::{self, Area, ImageDigest, ImageIntake, Sidecar, StagedImage};

impl Judge {
    /// Adds to what `station` may load into `plc` every image that is released for it, although it cannot be verified.
    pub(super) fn and_unverified(
        &mut self,
        verified: Result<Vec<Released>, Refusal>,
        plc: &str,
        station: Station,
    ) -> Result<Vec<Released>, Refusal> {
        let Some(glass) = self.in_force(plc, Action::PassUnverified) else { return verified };
        self.unlocked(plc, None)?;
        self.permitted(plc)?;
        let (mut released, mut last) = match verified {
            Ok(released) => (released, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        let current = release::current_for(&self.db.rows(), plc, &station.to_string(), self.now());
        for one in current.map_err(|e| damaged(&e))?.iter().take(super::deliverable::MAX_CANDIDATES) {
            if released.iter().any(|r| r.warrant.digest().as_bytes() == &one.digest) {
                continue;
            }
            match self.unverified(&glass, Action::PassUnverified, plc, &one.digest) {
                Ok(more) => released.push(more),
                Err(refusal) => last = Some(refusal),
            }
        }
        match last {
            Some(refusal) if released.is_empty() => Err(refusal),
            _ => Ok(released),
        }
    }

    /// What the gateway itself may deliver: a released image that cannot be verified, for `refused`.
    pub(super) fn or_unverified(
        &mut self,
        plc: &str,
        digest: &ImageDigest,
        refused: Refusal,
    ) -> Result<Released, Refusal> {
        let Some(glass) = self.in_force(plc, Action::PassUnverified) else { return Err(refused) };
        self.unlocked(plc, Some(digest))?;
        self.permitted(plc)?;
        let release = release::get(&self.db.rows(), digest, plc).map_err(|e| damaged(&e))?;
        let now = self.now();
        let allows = release.is_some_and(|r| {
            let station = r.terms.stations.first().map_or(OURSELVES, String::as_str);
            r.uses_left > 0 && r.allows(station, now)
        });
        if !allows {
            return Err(refused);
        }
        self.unverified(&glass, Action::PassUnverified, plc, digest)
    }

    /// A delivery that is past its point of no return, and that could not go on for `refused`.
    pub(super) fn finish_unverified(
        &mut self,
        plc: &str,
        one: &Delivery,
        refused: Refusal,
    ) -> Result<Released, Refusal> {
        let Some(glass) = self.in_force(plc, Action::FinishDelivery) else { return Err(refused) };
        if glass.case.as_ref().is_some_and(|case| case.number != one.case) {
            return Err(refused);
        }
        let released = self.unverified(&glass, Action::FinishDelivery, plc, &one.digest)?;
        self.let_through_again(one.case, &released);
        self.note_unverified(plc, CaseId(one.case.as_u64()), &released);
        Ok(released)
    }

    /// The image of a station's transfer, whole: kept and let in, where it may pass unverified.
    pub(super) fn keep_unverified(
        &mut self,
        plc: &str,
        case: CaseId,
        image: &[u8],
        refused: Refusal,
    ) -> Result<Released, Refusal> {
        let Some(glass) = self.in_force(plc, Action::PassUnverified) else { return Err(refused) };
        self.unlocked(plc, None)?;
        self.permitted(plc)?;
        let sidecar = Sidecar { name: case.to_string(), ..Sidecar::default() };
        let kept = self.vault.intake(image.len() as u64).and_then(|mut intake| {
            intake.write(image)?;
            intake.finish(&sidecar)
        });
        let staged = kept.map_err(Failure::from).map_err(|f| failed(f, case))?;
        self.admit_unverified(&glass, plc, &staged)
    }

    /// Keeps an image that somebody brings although nobody vouches for it, and releases it as long as the document holds.
    pub(super) fn stage_unverified(
        &mut self,
        plc: &str,
        sidecar: &Sidecar,
        intake: ImageIntake,
    ) -> Result<Answered, Failure> {
        self.takes_updates(plc)?;
        let glass = self.in_force(plc, Action::PassUnverified).ok_or_else(|| {
            let text = format!("found no break-glass in force that lets {plc} take what was not verified");
            Failure::new(why::NO_BREAK_GLASS, format!("{text}, expected one with pass-unverified"))
        })?;
        let staged = intake.finish(sidecar)?;
        let released = self.admit_unverified(&glass, plc, &staged).map_err(gate_failure)?;
        let (digest, backing) = (*staged.digest(), released.warrant.backing());
        self.note_with(Kind::Release, plc, &backing, Some(why::BREAK_GLASS), Some(digest));
        let until = glass.signed.document().ends();
        let text =
            format!("kept and released for {plc} until {until}: sha256:{}\n  {backing}", vault::hex(&digest));
        Ok(Answered::Done { text })
    }

    /// Lets a stored image in, and gives it one use where no release has any left; takes it out again where it may not.
    fn admit_unverified(
        &mut self,
        glass: &InForce,
        plc: &str,
        staged: &StagedImage,
    ) -> Result<Released, Refusal> {
        let (digest, now) = (*staged.digest(), self.now());
        let released = self.unverified(glass, Action::PassUnverified, plc, &digest).inspect_err(|_| {
            if !staged.already_there()
                && let Err(e) = self.vault.remove(Area::Vault, &digest)
            {
                tracing::warn!(error = %e, "an image that may not pass stays in the vault");
            }
        })?;
        let document = glass.signed.document();
        let terms = Terms {
            stations: Vec::new(),
            ticket: Some(format!("break-glass {}", document.id)),
            window: None,
            uses: 1,
            expires: document.ends(),
            signer: NOBODY.into(),
            policy_epoch: POLICY_EPOCH,
            by: self.caller.clone(),
        };
        let before = release::get(&self.db.rows(), &digest, plc).map_err(|e| damaged(&e))?;
        let stands = before
            .is_some_and(|r| r.uses_left > 0 && r.terms.stations.is_empty() && r.allows(OURSELVES, now));
        if !stands {
            let given = self.db.write("release an image", |tx| release::add(tx, staged, plc, &terms, now));
            given.map_err(|e| damaged(&e))?;
        }
        Ok(released)
    }

    /// The one way in without a verdict.
    fn unverified(
        &mut self,
        glass: &InForce,
        action: Action,
        plc: &str,
        digest: &ImageDigest,
    ) -> Result<Released, Refusal> {
        self.not_revoked(plc, digest)?;
        // Hashed as a whole here, and each block again as it is sent.
        let image = self.vault.image(digest).map_err(Failure::from).map_err(Refusal::from)?;
        self.fits_profile(plc, image.size())?;
        let slot = Slot::new(plc).map_err(|e| damaged(&e))?;
        // A case stands for its image, whoever brings that.
        let case = glass.case.as_ref().filter(|case| case.digest.as_ref() == Some(digest));
        let case = case.map(|case| case.number.to_string());
        let what = (Digest::from_bytes(*digest), image.size());
        let unverified = glass.signed.lets_in(action, (&slot, case.as_deref()), what).ok_or_else(|| {
            let found = format!("break-glass {} for something else", glass.signed.document().id);
            refusal(why::NO_BREAK_GLASS, None, found, format!("one for this image of {plc}"))
        })?;
        let warrant = Warrant::BreakGlass(unverified);
        Ok(Released { warrant, evidence: Vec::new(), image: Box::new(Stored(image)) })
    }

    /// Refuses what is revoked, as far as that is known: with the trust store shut nobody can read it.
    fn not_revoked(&mut self, plc: &str, digest: &ImageDigest) -> Result<(), Refusal> {
        let Ok(trust) = self.trust() else { return Ok(()) };
        let digest_of = Digest::from_bytes(*digest);
        if let Some(revoked) = trust.revoked_digest(&digest_of) {
            let found = format!("image {digest_of}, {revoked}");
            return Err(refusal(reasons::IMAGE_REVOKED, None, found, "an image that is not revoked"));
        }
        match self.mint(plc, digest, self.now()).map_err(super::mint::Unverified::into_refusal) {
            Err(refusal) if REVOKED.contains(&refusal.code) => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Says for good that an image goes in on a break-glass document; nothing where it was verified.
    pub(super) fn note_unverified(&mut self, plc: &str, case: CaseId, released: &Released) {
        let Warrant::BreakGlass(unverified) = &released.warrant else { return };
        let text = format!("{case}: {}", unverified.backing());
        let digest = Some(*unverified.digest().as_bytes());
        let event = Event::new(self.now(), Kind::Release, OURSELVES, plc, &text);
        self.note_of_peer(Event { code: Some(why::BREAK_GLASS), digest, ..event });
        self.raise(Some(plc), why::BREAK_GLASS, Told::Latched, &text);
    }
}

fn damaged(e: &dyn std::fmt::Display) -> Refusal {
    refusal(why::STATE_DAMAGED, None, e.to_string(), "a readable state")
}

fn failed(f: Failure, case: CaseId) -> Refusal {
    Refusal { case: Some(case), ..Refusal::from(f) }
}

impl From<Failure> for Refusal {
    fn from(f: Failure) -> Refusal {
        refusal(f.code.unwrap_or(why::STATE_DAMAGED), None, f.text, "a readable image")
    }
}

/// Whose signature a release remembers that rests on none.
const NOBODY: &str = "NOT VERIFIED";
/// What no document overrides.
const REVOKED: [ReasonCode; 2] = [reasons::IMAGE_REVOKED, reasons::SIGNER_REVOKED];
