//! The rollback stage: is the image older than what its product may be given?
//!
//! A security version is held against the floor of the trust store. Where an image states none and no
//! floor asks for one, its version is held against the one accepted last. Whoever has set a floor or a
//! scheme is not passed over: what cannot be compared then is held. Where nobody has set either, the stage
//! says that it compared nothing, which is a finding and no pass.

use std::cmp::Ordering;

use hal::clock::Wall;

use super::papers::Papers;
use super::verified::Spend;
use super::{Fault, Finding};
use crate::digest::Digest;
use crate::document::{DocumentError, Downgrade, Signed};
use crate::identity::Slot;
use crate::reasons;
use crate::trust::Floor;
use crate::verdict::{Rejection, VerifierError};

/// How the stage ended when nothing is wrong.
pub(super) enum Age {
    /// As new as it must be.
    Passed(Finding),
    /// Older, with leave; passing uses the ticket up once.
    Downgraded(Finding, Spend),
    /// There was nothing to compare with.
    NotCompared(Finding),
}

/// The ticket that came along, opened.
pub(super) type Ticket = Option<Result<Signed<Downgrade>, DocumentError>>;

pub(super) fn check(
    papers: &Papers,
    floor: Option<&Floor>,
    ticket: &Ticket,
    (slot, digest, now): (&Slot, Option<Digest>, Wall),
) -> Result<Age, Fault> {
    let older = |finding: Finding| match leave(ticket, slot, digest, now) {
        Ok(spend) => {
            let found = format!("{}, with downgrade ticket {}", finding.found, spend.id);
            Ok(Age::Downgraded(Finding { found, ..finding }, spend))
        }
        Err(why) => {
            let found = format!("{}; {why}", finding.found);
            Err(Rejection::new(reasons::ROLLBACK, found, finding.expected).into())
        }
    };
    match (papers.security_version, floor) {
        (Some(found), Some(floor)) => {
            let expected = format!("at least the {floor}");
            let finding = Finding { found: format!("security version {found}"), expected };
            if found < floor.value() { older(finding) } else { Ok(Age::Passed(finding)) }
        }
        (None, Some(floor)) => {
            let found = format!("an image that states no security version, and a {floor}");
            unknown(found, ticket, slot, digest, now)
        }
        (Some(found), None) => {
            let found = format!("security version {found}");
            Ok(Age::Passed(Finding { found, expected: "any: this product has no floor".to_owned() }))
        }
        (None, None) => match by_version(papers) {
            Compared::Stands(Ordering::Less, finding) => older(finding),
            Compared::Stands(_, finding) => Ok(Age::Passed(finding)),
            Compared::Unreadable(found) => unknown(found, ticket, slot, digest, now),
            Compared::Nothing(found) => {
                let expected = "a security version, or a version scheme and an accepted version".to_owned();
                Ok(Age::NotCompared(Finding { found, expected }))
            }
        },
    }
}

enum Compared {
    Stands(Ordering, Finding),
    Unreadable(String),
    Nothing(String),
}

fn by_version(papers: &Papers) -> Compared {
    let (Some(scheme), Some(accepted)) = (papers.scheme, papers.accepted.as_deref()) else {
        return Compared::Nothing("no security version, and no version to compare with".to_owned());
    };
    let Some(version) = papers.version.as_deref() else {
        return Compared::Unreadable(format!(
            "an image that states no version; {accepted:?} was accepted last"
        ));
    };
    match scheme.compare(version, accepted) {
        Ok(order) => {
            let expected = format!("{accepted:?}, accepted last, or newer by the scheme {scheme}");
            Compared::Stands(order, Finding { found: format!("version {version:?}"), expected })
        }
        Err(error) => Compared::Unreadable(format!("{error}; {accepted:?} was accepted last")),
    }
}

/// A ticket names its image, so it also serves where the age cannot be told.
fn unknown(
    found: String,
    ticket: &Ticket,
    slot: &Slot,
    digest: Option<Digest>,
    now: Wall,
) -> Result<Age, Fault> {
    match leave(ticket, slot, digest, now) {
        Ok(spend) => {
            let found = format!("{found}, with downgrade ticket {}", spend.id);
            let expected = "an image whose age can be told, or a ticket".to_owned();
            Ok(Age::Downgraded(Finding { found, expected }, spend))
        }
        Err(_) => Err(VerifierError::CannotCompare { found }.into()),
    }
}

/// The ticket, when it is for this controller, this image and this time; else why it does not help.
fn leave(ticket: &Ticket, slot: &Slot, digest: Option<Digest>, now: Wall) -> Result<Spend, String> {
    let signed = match ticket {
        None => return Err("no downgrade ticket came along".to_owned()),
        Some(Err(error)) => return Err(format!("the downgrade ticket does not count: {error}")),
        Some(Ok(signed)) => signed,
    };
    let Downgrade { controller, image, uses, window } = signed.content();
    if controller != slot || Some(*image) != digest {
        return Err(format!("the downgrade ticket is for {controller} and {image}"));
    }
    let inside = |w: &crate::document::Window| (w.from.wall().ms..w.until.wall().ms).contains(&now.ms);
    match window {
        Some(window) if !inside(window) => {
            Err(format!("the downgrade ticket is for {} to {}", window.from, window.until))
        }
        _ => {
            let document = signed.document();
            let expires = document.expires.wall();
            let until = window.map_or(expires, |w| w.until.min(document.expires).wall());
            Ok(Spend { id: document.id, uses: *uses, expires, until })
        }
    }
}
