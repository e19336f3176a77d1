//! Releases: an image is permitted into a controller, on terms, and the permission taken back.

use firmware_verifier::dsse::Envelope;
use firmware_verifier::verdict::{self, Spend, Verified};
use hal::clock::Wall;

use super::Judge;
use super::failure::Failure;
use super::message::Answered;
use super::rollback;
use super::rows::{self, ReleaseRow};
use super::trust::gate_failure;
use crate::audit::Kind;
use crate::state::case::{self, CaseNumber, CaseState};
use crate::state::held;
use crate::state::release::{self, Release, Terms, Window};
use crate::vault::{self, ImageDigest};

/// A release that is to be given.
pub(super) struct Grant<'a> {
    pub(super) plc: &'a str,
    pub(super) digest: ImageDigest,
    pub(super) terms: rows::Terms,
    /// Who asked for it.
    pub(super) by: String,
    pub(super) downgrade: Option<&'a str>,
    /// The case that it waited in.
    pub(super) held: Option<CaseNumber>,
}

/// What a release rests on: a verdict, or approvals of what nobody verifies.
pub(super) struct Basis {
    /// When that ends: no release outlives it.
    pub(super) expires: Wall,
    pub(super) spends: Option<Spend>,
    pub(super) policy_epoch: u64,
    /// Whose key stands behind the image: what the release remembers.
    pub(super) signer: String,
    /// Who stands behind it and how, in words.
    pub(super) backing: String,
}

impl From<&Verified> for Basis {
    fn from(verified: &Verified) -> Basis {
        Basis {
            expires: verified.expires(),
            spends: verified.spends(),
            policy_epoch: verified.policy_epoch(),
            signer: signer(verified),
            backing: verified.backing(),
        }
    }
}

impl Judge {
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
        let (_, expires) = life(&terms, now)?;
        if self.is_program(plc, &digest) {
            return self.release_program((plc, &digest), terms, expires, downgrade);
        }
        let given =
            downgrade.map(|ticket| self.leave_given((plc, &digest), ticket, terms.uses)).transpose()?;
        let minted = self.mint_with(plc, &digest, expires, given);
        let verified = minted.map_err(|f| f.into_failure())?.verified;
        if let Some(need) = self.approvals_needed(plc, &digest) {
            let terms = rows::Terms { expires: Some(verified.expires()), ..terms };
            return self.hold((plc, &digest), &terms, downgrade.unwrap_or_default(), need);
        }
        let by = self.caller.clone();
        let grant = Grant { plc, digest, terms, by, downgrade, held: None };
        self.grant(grant, &Basis::from(&verified)).map(|text| Answered::Done { text })
    }

    /// Writes a release down, and says so. A downgrade ticket that it needs is spent first.
    pub(super) fn grant(&mut self, grant: Grant<'_>, basis: &Basis) -> Result<String, Failure> {
        let Grant { plc, digest, terms, by, downgrade, held } = grant;
        let now = self.now();
        let staged = self.vault.prove(&digest)?;
        // No release outlives the documents that it rests on.
        let expires = basis.expires;
        let spent = match (basis.spends, downgrade) {
            (_, None) => None,
            (Some(spend), Some(ticket)) => {
                self.spend_ticket(plc, &digest, spend)?;
                Some((spend.id, ticket))
            }
            (None, Some(ticket)) => Envelope::parse(ticket.as_bytes())
                .ok()
                .and_then(|envelope| self.spent_before_a_cut(plc, &digest, &envelope))
                .map(|id| (id, ticket)),
        };
        let terms = Terms {
            stations: terms.stations,
            ticket: terms.ticket,
            window: terms.window.map(|(from, to)| Window { from, to }),
            uses: terms.uses,
            expires,
            signer: basis.signer.clone(),
            policy_epoch: basis.policy_epoch,
            by,
        };
        let before = release::get(&self.db.rows(), &digest, plc)?;
        let leave = spent.map_or("", |(_, ticket)| ticket);
        self.db.write("release an image", |tx| {
            rollback::keep_ticket(tx, plc, &digest, leave)?;
            release::add(tx, &staged, plc, &terms, now)?;
            let Some(case) = held else { return Ok(()) };
            held::released(tx, case, now)?;
            case::settle(tx, case, CaseState::Done, None)
        })?;
        let replaced = before.map_or(String::new(), |before| before.replaced_by(&terms));
        let mut ticket = terms.ticket.as_ref().map_or(String::new(), |ticket| format!(", ticket {ticket}"));
        if let Some((id, _)) = spent {
            ticket += &format!(", downgrade ticket {id} spent");
        }
        let held = held.map_or(String::new(), |case| format!(", approved in {case}"));
        let text = format!("{} use(s), until {expires}{ticket}{held}, {}", terms.uses, basis.backing);
        self.note_with(Kind::Release, plc, &text, None, Some(digest));
        let (digest, uses) = (vault::hex(&digest), terms.uses);
        Ok(format!("released: {digest} for {plc}, {uses} time(s), until {expires}{replaced}"))
    }

    /// Whether any update may ever pass to a controller, by its configuration.
    pub(super) fn takes_updates(&self, plc: &str) -> Result<(), Failure> {
        self.not_safety(plc)?;
        let config = self.plc(plc)?;
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
            false => {
                let held = self.held_for(plc).filter(|held| held.digest == digest);
                let held = held.map_or(String::new(), |held| {
                    format!("; its release waits in {0}: headgate held refuse {0}", held.case)
                });
                let text = format!("{} is not released for {plc}{held}", vault::hex(&digest));
                Err(Failure::not_found(text))
            }
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
}

/// Whose key stands behind an image: what a release remembers.
fn signer(verified: &Verified) -> String {
    match verified.basis() {
        verdict::Basis::VendorSigned => verified.signer().id.to_string(),
        verdict::Basis::SiteVouched => verified.backing(),
    }
}

pub(super) fn life(terms: &rows::Terms, now: Wall) -> Result<(Option<Window>, Wall), Failure> {
    let window = terms.window.map(|(from, to)| Window { from, to });
    let end = window.map_or(Wall { ms: now.ms + DEFAULT_LIFE_MS, ..now }, |w| w.to);
    let expires = terms.expires.unwrap_or(end);
    match window {
        Some(w) if w.to <= w.from => Err(Failure::usage("the window ends before it begins")),
        _ if expires <= now => {
            let clock = if now.trusted { "" } else { ", by a clock that was never set" };
            Err(Failure::usage(format!("the release would have ended at {expires}; it is {now}{clock}")))
        }
        _ if terms.uses == 0 => Err(Failure::usage("uses must be 1 or more")),
        _ => Ok((window, expires)),
    }
}

/// How long a release without a window lasts.
pub(super) const DEFAULT_LIFE_MS: i64 = 7 * 86_400_000;
