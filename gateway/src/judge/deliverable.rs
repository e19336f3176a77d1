//! What may go into a controller now: the releases that apply, each with a proof made anew; or why there is none.

use hal::clock::Wall;

use super::four_eyes::waits;
use super::mint::Unverified;
use super::stored::short;
use super::{Judge, refusal};
use crate::reasons as why;
use crate::state::release::{self, Release};
use crate::transfer::event::{Refusal, Station};
use crate::transfer::image::Released;
use crate::vault::{self, ImageDigest};

impl Judge {
    /// Everything that `station` may load into `plc` now, each with a fresh proof or on a break-glass document; or why
    /// there is nothing.
    pub(super) fn deliverable(&mut self, plc: &str, station: Station) -> Result<Vec<Released>, Refusal> {
        let verified = self.verified(plc, station);
        self.and_unverified(verified, plc, station)
    }

    fn verified(&mut self, plc: &str, station: Station) -> Result<Vec<Released>, Refusal> {
        self.gate_open()?;
        self.unlocked(plc, None)?;
        self.permitted(plc)?;
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
            let minted = self
                .approvers(r)
                .and_then(|_| self.mint(plc, &r.digest, r.terms.expires).map_err(Unverified::into_refusal));
            match minted {
                Ok(one) => released.push(one),
                Err(refusal) => last = Some(refusal),
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
        let verified = self.verified_by_us(plc, digest);
        verified.or_else(|refusal| self.or_unverified(plc, digest, refusal))
    }

    fn verified_by_us(&mut self, plc: &str, digest: &ImageDigest) -> Result<Released, Refusal> {
        self.gate_open()?;
        self.unlocked(plc, Some(digest))?;
        self.permitted(plc)?;
        let state = |e: crate::state::StateError| {
            refusal(why::STATE_DAMAGED, None, e.to_string(), "a readable state")
        };
        let release = release::get(&self.db.rows(), digest, plc).map_err(state)?;
        let Some(release) = release else {
            if let Some(refusal) = self.why_held(plc) {
                return Err(refusal);
            }
            let found = format!("image sha256:{}", vault::hex(digest));
            return Err(refusal(why::NOT_RELEASED, None, found, "an image released for this controller"));
        };
        let station = release.terms.stations.first().map_or("gateway", String::as_str);
        let now = self.now();
        if release.uses_left == 0 || !now.trusted || !release.allows(station, now) {
            return Err(self.why_nothing(plc, station, now).unwrap_or_else(state));
        }
        self.approvers(&release)?;
        self.mint(plc, digest, release.terms.expires).map_err(Unverified::into_refusal)
    }

    /// A release that people have not approved yet is nearer than any other reason.
    fn why_held(&self, plc: &str) -> Option<Refusal> {
        let held = self.held_for(plc)?;
        let (code, found, expected) = waits(&held, &self.count_approvals(&held).ok()?);
        Some(refusal(code, None, found, expected))
    }

    /// Why no release applies: the nearest miss.
    fn why_nothing(&self, plc: &str, station: &str, now: Wall) -> Result<Refusal, crate::state::StateError> {
        if let Some(refusal) = self.why_held(plc) {
            return Ok(refusal);
        }
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
}

/// Most images tried for one transfer.
pub(super) const MAX_CANDIDATES: usize = 8;
