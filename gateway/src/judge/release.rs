//! Images on their way to being deliverable: verify, stage, release, and the proof made anew for each use.

use firmware_verifier::identity::Slot;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::{Gauntlet, Papers, Rejection, Request, Verdict};
use hal::clock::Wall;
use hal::reason::ReasonCode;

use super::message::{Answered, EvidenceRow, Failure};
use super::rollback::{self, Leave};
use super::rows::{self, ImageRow, ReleaseRow, VerdictRow};
use super::trust::gate_failure;
use super::{Judge, refusal};
use crate::audit::Kind;
use crate::reasons as why;
use crate::state::case::CaseState;
use crate::state::meta;
use crate::state::release::{self, Release, Terms, Window};
use crate::transfer::event::{Refusal, Station};
use crate::transfer::image::{Image, ImageError, Released};
use crate::vault::{
    self, Area, Attached, ImageDigest, ImageIntake, Refused, Sidecar, VaultError, VaultImage,
};

/// Role of the signature among what lies beside an image.
const SIGNATURE: &str = "signature";
/// Most images tried for one transfer.
const MAX_CANDIDATES: usize = 8;
/// How long a release without a window lasts.
const DEFAULT_LIFE_MS: i64 = 7 * 86_400_000;
/// How long the proof for finishing a begun delivery lasts.
const RESUME_LIFE_MS: i64 = 86_400_000;

impl Judge {
    /// Checks an image for a controller; with `keep`, a good one stays in the vault.
    pub(super) fn take_image(
        &mut self,
        plc: &str,
        (mut sidecar, leave): (Sidecar, Option<Leave>),
        signature: Option<Vec<u8>>,
        intake: ImageIntake,
        keep: bool,
    ) -> Result<Answered, Failure> {
        self.gate_open().map_err(gate_failure)?;
        self.plc(plc)?;
        if let Some(signature) = &signature {
            SignatureFile::parse(signature).map_err(|e| rejected(&e.rejection()))?;
            sidecar.attached.insert(SIGNATURE.into(), Attached(signature.clone()));
        }
        let staged = intake.finish(&sidecar)?;
        let digest = *staged.digest();
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
                    let signer = verified.signer();
                    let stated = sidecar.security_version;
                    let stated = stated.map_or(String::new(), |v| format!(", security version {v}"));
                    let (size, name, id) = (staged.size(), &signer.name, signer.id);
                    let text = format!("staged: {size} bytes{stated}, signed by {name} ({id})");
                    self.note_with(Kind::Verdict, plc, &text, None, Some(digest));
                }
                Ok(Answered::Verdict(VerdictRow {
                    digest: vault::hex(&digest),
                    size: staged.size(),
                    plc: plc.to_string(),
                    signer: format!("{} ({})", verified.signer().name, verified.signer().id),
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

    pub(super) fn release(
        &mut self,
        digest: &str,
        plc: &str,
        terms: rows::Terms,
        downgrade: Option<&str>,
    ) -> Result<Answered, Failure> {
        self.gate_open().map_err(gate_failure)?;
        let digest = self.find_image(digest)?;
        self.takes_updates(plc)?;
        let now = self.now();
        let (window, expires) = life(&terms, now)?;
        let given = downgrade.map(|ticket| Leave::given(ticket, terms.uses)).transpose()?;
        let staged = self.vault.prove(&digest)?;
        let minted = self.mint_with(plc, &digest, expires, given.clone());
        let verified = minted.map_err(|f| f.into_failure())?.verified;
        // No release outlives the documents that it rests on.
        let expires = verified.expires();
        let spent = match (verified.spends(), downgrade) {
            (Some(spend), Some(ticket)) => {
                self.spend_ticket(plc, spend)?;
                Some((spend, ticket))
            }
            _ => None,
        };
        let terms = Terms {
            stations: terms.stations,
            ticket: terms.ticket,
            window,
            uses: terms.uses,
            expires,
            signer: verified.signer().id.to_string(),
            policy_epoch: verified.policy_epoch(),
            by: self.caller.clone(),
        };
        let before = release::get(&self.db.rows(), &digest, plc)?;
        let leave = spent.map_or("", |(_, ticket)| ticket);
        self.db.write("release an image", |tx| {
            rollback::keep_ticket(tx, plc, &digest, leave)?;
            release::add(tx, &staged, plc, &terms, now)
        })?;
        let replaced = before.map_or(String::new(), |before| before.replaced_by(&terms));
        let mut ticket = terms.ticket.as_ref().map_or(String::new(), |ticket| format!(", ticket {ticket}"));
        if let Some((spend, _)) = spent {
            ticket += &format!(", downgrade ticket {} spent", spend.id);
        }
        let text = format!("{} use(s), until {expires}{ticket}, signed by {}", terms.uses, terms.signer);
        self.note_with(Kind::Release, plc, &text, None, Some(digest));
        let (digest, uses) = (vault::hex(&digest), terms.uses);
        Ok(Answered::Done {
            text: format!("released: {digest} for {plc}, {uses} time(s), until {expires}{replaced}"),
        })
    }

    /// Whether any update may ever pass to a controller, by its configuration.
    pub(super) fn takes_updates(&self, plc: &str) -> Result<(), Failure> {
        let config = self.plc(plc)?;
        if config.safety {
            return Err(Failure::usage(format!("{plc} is a safety controller: nothing is delivered to it")));
        }
        if config.routes.iter().all(|r| r.update.is_none()) {
            return Err(Failure::usage(format!(
                "{plc} takes no updates: its [[plc.route]] carries process traffic only; give it way and profile"
            )));
        }
        Ok(())
    }

    pub(super) fn withdraw(&mut self, digest: &str, plc: &str) -> Result<Answered, Failure> {
        let digest = self.find_image(digest)?;
        match self.db.write("withdraw a release", |tx| release::withdraw(tx, &digest, plc))? {
            true => {
                self.close_ready(plc, &digest, CaseState::Aborted, "the release was withdrawn");
                self.note_with(Kind::Withdraw, plc, "the release is withdrawn", None, Some(digest));
                Ok(Answered::Done { text: format!("withdrawn: {} for {plc}", vault::hex(&digest)) })
            }
            false => Err(Failure::not_found(format!("{} is not released for {plc}", vault::hex(&digest)))),
        }
    }

    /// Every release, or those of the image that `digest` names.
    pub(super) fn releases(&self, digest: Option<&str>) -> Result<Answered, Failure> {
        let digest = digest.map(|d| self.find_image(d)).transpose()?;
        let row = |r: Release| ReleaseRow {
            digest: vault::hex(&r.digest),
            plc: r.plc,
            uses_left: r.uses_left,
            signer: r.terms.signer.clone(),
            terms: rows::Terms {
                stations: r.terms.stations,
                ticket: r.terms.ticket,
                window: r.terms.window.map(|w| (w.from, w.to)),
                uses: r.terms.uses,
                expires: Some(r.terms.expires),
            },
        };
        let named = |r: &Release| digest.is_none_or(|d| d == r.digest);
        let all = release::list(&self.db.rows())?.into_iter();
        Ok(Answered::Releases { releases: all.filter(named).map(row).collect() })
    }

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

    /// Everything that `station` may load into `plc` now, each with a fresh proof; or why there is nothing.
    pub(super) fn deliverable(&mut self, plc: &str, station: Station) -> Result<Vec<Released>, Refusal> {
        self.gate_open()?;
        self.unlocked(plc, None)?;
        let now = self.now();
        if !now.trusted {
            return Err(refusal(
                why::OUTSIDE_WINDOW,
                None,
                "a clock that was never set",
                "a set clock: releases have an end",
            ));
        }
        let state = |e: crate::state::StateError| {
            refusal(why::STATE_DAMAGED, None, e.to_string(), "a readable state")
        };
        let name = station.to_string();
        let current = release::current_for(&self.db.rows(), plc, &name, now).map_err(state)?;
        let mut released = Vec::new();
        let mut last = None;
        for r in current.iter().take(MAX_CANDIDATES) {
            match self.mint(plc, &r.digest, r.terms.expires) {
                Ok(one) => released.push(one),
                Err(f) => last = Some(f.into_refusal()),
            }
        }
        match (released.is_empty(), last) {
            (false, _) => Ok(released),
            (true, Some(refusal)) => Err(refusal),
            (true, None) => Err(self.why_nothing(plc, &name, now).unwrap_or_else(state)),
        }
    }

    /// What the gateway itself may deliver: a release names stations, and this is none of them.
    pub(super) fn deliverable_by_us(&mut self, plc: &str, digest: &ImageDigest) -> Result<Released, Refusal> {
        self.gate_open()?;
        self.unlocked(plc, Some(digest))?;
        let state = |e: crate::state::StateError| {
            refusal(why::STATE_DAMAGED, None, e.to_string(), "a readable state")
        };
        let release = release::get(&self.db.rows(), digest, plc).map_err(state)?;
        let Some(release) = release else {
            let found = format!("image sha256:{}", vault::hex(digest));
            return Err(refusal(why::NOT_RELEASED, None, found, "an image released for this controller"));
        };
        let station = release.terms.stations.first().map_or("gateway", String::as_str);
        let now = self.now();
        if release.uses_left == 0 || !now.trusted || !release.allows(station, now) {
            return Err(self.why_nothing(plc, station, now).unwrap_or_else(state));
        }
        self.mint(plc, digest, release.terms.expires).map_err(Unverified::into_refusal)
    }

    /// Why no release applies: the nearest miss.
    fn why_nothing(&self, plc: &str, station: &str, now: Wall) -> Result<Refusal, crate::state::StateError> {
        let all = release::list(&self.db.rows())?;
        let mine: Vec<&Release> = all.iter().filter(|r| r.plc == plc).collect();
        let named =
            |r: &&&Release| r.terms.stations.is_empty() || r.terms.stations.iter().any(|s| s == station);
        let (code, found, expected) = match (mine.iter().find(named), mine.first()) {
            (Some(r), _) if r.uses_left == 0 => {
                let found = format!("the release of sha256:{} without uses left", short(&r.digest));
                (why::USED_UP, found, "headgate release, again".into())
            }
            (Some(r), _) => {
                let from = r.terms.window.map_or(r.created, |w| w.from);
                let found = format!("the time {now}; the release holds from {from} to {}", r.terms.expires);
                (why::OUTSIDE_WINDOW, found, "a transfer within the window".into())
            }
            (None, Some(r)) => {
                let (named, digest) = (r.terms.stations.join(", "), short(&r.digest));
                let expected = format!("{named}, as the release of sha256:{digest} says");
                (why::STATION_NOT_NAMED, format!("station {station}"), expected)
            }
            (None, None) => {
                let expected = format!("headgate release DIGEST --plc {plc}");
                (why::NOTHING_RELEASED, format!("no release for {plc}"), expected)
            }
        };
        Ok(refusal(code, None, found, expected))
    }

    /// The proof for finishing a delivery that has begun; its release may be used up or over by now.
    pub(super) fn mint_to_resume(&mut self, plc: &str, digest: &ImageDigest) -> Result<Released, Refusal> {
        self.gate_open()?;
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
        let ticket = self.ticket_of(plc, digest);
        self.mint_with(plc, digest, expires, ticket)
    }

    #[expect(clippy::result_large_err, reason = "a refusal carries the whole verdict, and is made rarely")]
    fn mint_with(
        &mut self,
        plc: &str,
        digest: &ImageDigest,
        expires: Wall,
        leave: Option<Leave>,
    ) -> Result<Released, Unverified> {
        let mut image = self.vault.image(digest).map_err(|e| Unverified::Failure(e.into()))?;
        let sidecar = self.vault.sidecar(Area::Vault, digest).map_err(|e| Unverified::Failure(e.into()))?;
        match self.run_gauntlet(plc, (&sidecar, leave), &mut image, expires) {
            Ok(Verdict::Verified(verified, evidence)) => {
                Ok(Released { verified, evidence, image: Box::new(Stored(image)) })
            }
            Ok(verdict) => Err(Unverified::Verdict(verdict)),
            Err(refusal) => Err(Unverified::Gate(refusal)),
        }
    }

    /// The one way to a verdict. Revocations, thresholds and floors are those of the trust store as it is now.
    fn run_gauntlet(
        &self,
        plc: &str,
        (sidecar, leave): (&Sidecar, Option<Leave>),
        image: &mut VaultImage,
        expires: Wall,
    ) -> Result<Verdict, Refusal> {
        let bad = |what: String| refusal(why::STATE_DAMAGED, None, what, "a readable state");
        let plc_config = self.config.plc(plc).ok_or_else(|| bad(format!("no controller {plc:?}")))?;
        let largest =
            plc_config.routes.iter().filter_map(|r| r.update.as_ref()).map(|(_, p)| p.max_image).max();
        if let Some(limit) = largest.filter(|limit| image.size() > *limit) {
            // Past the point of no return it would leave the controller without firmware.
            let (found, expected) = (
                format!("an image of {} bytes", image.size()),
                format!("at most {limit}, as the profile of {plc} says"),
            );
            return Err(refusal(why::IMAGE_TOO_LARGE, None, found, expected));
        }
        let request = Request {
            slot: Slot::new(plc).map_err(|e| bad(e.to_string()))?,
            product: plc_config.product.clone(),
            identity: self.identities.get(plc).cloned(),
            signature: sidecar.attached.get(SIGNATURE).and_then(|s| SignatureFile::parse(&s.0).ok()),
            policy_epoch: POLICY_EPOCH,
            state_counter: meta::state_counter(&self.db.rows()).map_err(|e| bad(e.to_string()))?,
            expires,
        };
        let papers = Papers {
            gateway: self.config.name.clone(),
            security_version: sidecar.security_version,
            downgrade_spent: leave.as_ref().is_some_and(|leave| leave.spent),
            downgrade: leave.map(|leave| leave.ticket),
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

    fn far_future(&self) -> Wall {
        Wall { ms: self.now().ms + DEFAULT_LIFE_MS, ..self.now() }
    }
}

/// Enough of a digest to find it in a list.
fn short(digest: &ImageDigest) -> String {
    vault::hex(digest)[..12].into()
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

    fn into_failure(self) -> Failure {
        match self {
            Unverified::Verdict(verdict) => verdict_failure(&verdict),
            Unverified::Gate(refusal) => gate_failure(refusal),
            Unverified::Failure(f) => f,
        }
    }
}

/// An image of the vault as the engine reads it.
struct Stored(VaultImage);

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

fn life(terms: &rows::Terms, now: Wall) -> Result<(Option<Window>, Wall), Failure> {
    let window = terms.window.map(|(from, to)| Window { from, to });
    let end = window.map_or(Wall { ms: now.ms + DEFAULT_LIFE_MS, ..now }, |w| w.to);
    let expires = terms.expires.unwrap_or(end);
    match window {
        Some(w) if w.to <= w.from => Err(Failure::usage("the window ends before it begins")),
        _ if expires <= now => {
            Err(Failure::usage(format!("the release would have ended at {expires}; it is {now}")))
        }
        _ if terms.uses == 0 => Err(Failure::usage("uses must be 1 or more")),
        _ => Ok((window, expires)),
    }
}

/// Policy of this version: built in. It becomes a number of its own once policies can change.
const POLICY_EPOCH: u64 = 1;
