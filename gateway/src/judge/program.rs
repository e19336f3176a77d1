//! Everyday logic: what a route of class `program` loads. Nobody signs it, so that nobody verifies it either: a ticket and
//! two approvers let it in, its digest is recorded, and it is compared with what the controller took last.
//!
//! On a route of another class an image is firmware, whatever its bringer calls it, and walks the gauntlet. Nothing here
//! says "verified": not the case, not the status, not the receipt.

use firmware_verifier::document::Approval;
use firmware_verifier::trust::Threshold;
use firmware_verifier::{Digest, reasons};
use hal::clock::Wall;

use super::failure::Failure;
use super::message::Answered;
use super::mint::{POLICY_EPOCH, Stored};
use super::release::Basis;
use super::trust::gate_failure;
use super::{Judge, refusal, rows, why};
use crate::audit::Kind;
use crate::state::held::{self, Held};
use crate::state::{case, delivery, release};
use crate::transfer::event::Refusal;
use crate::transfer::image::{Released, Warrant};
use crate::vault::{self, Area, ImageDigest, ImageIntake, Sidecar, VaultImage};

impl Judge {
    /// Whether an image is a program for this controller.
    pub(super) fn is_program(&self, plc: &str, digest: &ImageDigest) -> bool {
        self.loads_programs(plc)
            && self.vault.sidecar(Area::Vault, digest).is_ok_and(|sidecar| sidecar.program)
    }

    /// The class of an image, for its case.
    pub(super) fn class_of(&self, plc: &str, digest: &ImageDigest) -> &'static str {
        if self.is_program(plc, digest) { "program" } else { "firmware" }
    }

    pub(super) fn loads_programs(&self, plc: &str) -> bool {
        self.config.plc(plc).is_some_and(|plc| plc.routes.iter().any(|route| route.program))
    }

    /// How many approvers a release takes: of a program two, where the controller does not ask for more.
    pub(super) fn approvals_needed(&self, plc: &str, digest: &ImageDigest) -> Option<Threshold> {
        let asked = self.config.plc(plc).and_then(|plc| plc.approvals);
        match self.is_program(plc, digest) {
            true => Some(asked.unwrap_or(Threshold::TWO).or_more(Threshold::TWO)),
            false => asked,
        }
    }

    /// Keeps a program that somebody brings, and says how it differs from the last one.
    pub(super) fn stage_program(
        &mut self,
        plc: &str,
        sidecar: &Sidecar,
        intake: ImageIntake,
    ) -> Result<Answered, Failure> {
        self.takes_updates(plc)?;
        self.gate_open().map_err(gate_failure)?;
        if !self.loads_programs(plc) {
            let text = format!(
                "found a program for {plc}, expected firmware: its route is not of class \"program\""
            );
            return Err(Failure::new(why::NO_PROGRAM, text));
        }
        let sidecar = Sidecar { program: true, ..sidecar.clone() };
        let staged = intake.finish(&sidecar)?;
        let digest = *staged.digest();
        let admitted = self.admit_program(plc, &digest, staged.size());
        if let Err(refusal) = admitted {
            if !staged.already_there() {
                self.vault.remove(Area::Vault, &digest)?;
            }
            return Err(gate_failure(refusal));
        }
        let text = format!(
            "program, recorded, not verified: {} bytes; {}",
            staged.size(),
            self.difference(plc, &digest)
        );
        self.note_with(Kind::Verdict, plc, &text, None, Some(digest));
        Ok(Answered::Done { text: format!("kept for {plc}: sha256:{}\n  {text}", vault::hex(&digest)) })
    }

    fn admit_program(&self, plc: &str, digest: &ImageDigest, size: u64) -> Result<(), Refusal> {
        if size == 0 {
            let found = format!("a program of 0 bytes for {plc}");
            return Err(refusal(reasons::IMAGE_EMPTY, None, found, "a program of a byte or more"));
        }
        self.fits_profile(plc, size)?;
        self.program_not_revoked(digest)?;
        if !self.is_program(plc, digest) {
            let found = format!("image sha256:{}, which is in the vault as firmware", vault::hex(digest));
            return Err(refusal(why::NO_PROGRAM, None, found, "a program: headgate vault rm takes it out"));
        }
        Ok(())
    }

    fn program_not_revoked(&self, digest: &ImageDigest) -> Result<(), Refusal> {
        let digest = Digest::from_bytes(*digest);
        let Some(revoked) = self.trust()?.revoked_digest(&digest) else { return Ok(()) };
        let found = format!("image {digest}, {revoked}");
        Err(refusal(reasons::IMAGE_REVOKED, None, found, "an image that is not revoked"))
    }

    /// A program is released under a ticket, when its approvers have signed: until then it is held.
    pub(super) fn release_program(
        &mut self,
        (plc, digest): (&str, &ImageDigest),
        terms: rows::Terms,
        expires: Wall,
        downgrade: Option<&str>,
    ) -> Result<Answered, Failure> {
        if downgrade.is_some() {
            return Err(Failure::usage("--ticket-file is for firmware below its floor; a program has none"));
        }
        if terms.ticket.is_none() {
            let text =
                format!("found a program for {plc} without a ticket, expected the change it belongs to");
            return Err(Failure::new(why::PROGRAM_TICKET, text));
        }
        let size = self.vault.prove(digest)?.size();
        self.admit_program(plc, digest, size).map_err(gate_failure)?;
        let need = self.approvals_needed(plc, digest).unwrap_or(Threshold::TWO);
        self.hold((plc, digest), &rows::Terms { expires: Some(expires), ..terms }, "", need)
    }

    /// What the release of a program rests on, once it is approved.
    pub(super) fn program_basis(&self, held: &Held, expires: Wall) -> Result<Basis, Failure> {
        let released = self.recorded_in(held, &self.step(held)?, self.now()).map_err(gate_failure)?;
        let backing = released.warrant.backing();
        Ok(Basis { expires, spends: None, policy_epoch: POLICY_EPOCH, signer: backing.clone(), backing })
    }

    /// A program that is released, on its approvals: as they count at `at`, with the keys that are trusted now.
    pub(super) fn approved_program(
        &self,
        plc: &str,
        digest: &ImageDigest,
        at: Wall,
    ) -> Result<Released, Refusal> {
        let given = release::get(&self.db.rows(), digest, plc)
            .and_then(|release| match release {
                Some(release) => Ok(held::of_release(&self.db.rows(), plc, digest, release.created)?
                    .map(|held| (held, release))),
                None => Ok(None),
            })
            .map_err(|e| refusal(why::STATE_DAMAGED, None, e.to_string(), "a readable state"))?;
        let none = || {
            let found = format!("program sha256:{}, which nobody has approved", vault::hex(digest));
            refusal(why::HELD, None, found, "headgate release, with --ticket")
        };
        let (held, release) = given.ok_or_else(none)?;
        self.recorded_in(&held, &self.step_given(&held, &release)?, at)
    }

    fn recorded_in(&self, held: &Held, step: &Approval, at: Wall) -> Result<Released, Refusal> {
        self.program_not_revoked(&held.digest)?;
        let damaged = |e: String| refusal(why::STATE_DAMAGED, None, e, "a readable state");
        let kept = held::approvals(&self.db.rows(), held.case).map_err(|e| damaged(e.to_string()))?;
        let opened = self.opened_approvals(held, &kept, at)?;
        let need = self.need_of(held)?;
        let recorded = step.recorded(&opened, need).ok_or_else(|| {
            let found = format!("{}, in which too few approvals count now", held.case);
            refusal(why::HELD, None, found, format!("{need} approver(s): headgate release, again"))
        })?;
        let image = self.vault.image(&held.digest).map_err(Failure::from).map_err(Refusal::from)?;
        self.fits_profile(&held.plc, image.size())?;
        let warrant = Warrant::Recorded(recorded);
        Ok(Released { warrant, evidence: Vec::new(), image: Box::new(Stored(image)) })
    }

    /// When the delivery to a controller that is under way was last written down: what counted then, it may finish on.
    pub(super) fn began(&self, plc: &str) -> Wall {
        let open = delivery::open_deliveries(&self.db.rows()).unwrap_or_default();
        open.iter().find(|d| d.plc == plc).map_or(self.now(), |d| d.updated)
    }

    /// How a program differs from the last one that the controller took through this gateway.
    pub(super) fn difference(&self, plc: &str, digest: &ImageDigest) -> String {
        let rows = self.db.rows();
        let last =
            case::last_done(&rows, plc).ok().flatten().and_then(|n| case::get(&rows, n).ok().flatten());
        let Some((case, Some(golden))) = last.map(|row| (row.number, row.digest)) else {
            return "nothing came through this gateway before to compare it with".into();
        };
        match (self.vault.image(&golden), self.vault.image(digest)) {
            _ if golden == *digest => format!("the same as in {case}"),
            (Ok(old), Ok(new)) => format!("against {case}: {}", compare(old, new)),
            _ => format!("the image of {case}, sha256:{}, is no longer in the vault", vault::hex(&golden)),
        }
    }
}

/// How many blocks of the new image differ, the first places, and how the length changed.
fn compare(mut old: VaultImage, mut new: VaultImage) -> String {
    let (mut differ, mut places, mut at) = (0u64, Vec::new(), 0u64);
    let (mut a, mut b) = (vec![0; BLOCK], vec![0; BLOCK]);
    while at < new.size() {
        let (Ok(n), Ok(m)) = (old.read_at(at, &mut a), new.read_at(at, &mut b)) else {
            return "it could not be read".into();
        };
        if a[..n] != b[..m] {
            differ += 1;
            if places.len() < PLACES {
                places.push(format!("{at:#x}"));
            }
        }
        at += BLOCK as u64;
    }
    let all = new.size().div_ceil(BLOCK as u64);
    let length = match new.size() == old.size() {
        true => String::new(),
        false => format!(", {} bytes long instead of {}", new.size(), old.size()),
    };
    let first = if places.is_empty() { String::new() } else { format!(", first at {}", places.join(", ")) };
    format!("{differ} of {all} blocks of {BLOCK} bytes differ{first}{length}")
}

/// Bytes that are compared as one.
const BLOCK: usize = 256;
/// Most places that are named.
const PLACES: usize = 8;
