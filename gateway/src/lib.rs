//! The Headgate box: conduits that pass process traffic and hold firmware until it is verified.
//!
//! Pure modules ([`protocol`], [`transfer`], [`shield`]) take bytes and `now` and return what to do; I/O
//! lives in [`proxy`], [`socket`] and [`feed`], and concrete types meet in [`app`].

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod advisories;
pub mod app;
pub mod attestation;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod config;
pub mod devid;
pub mod feed;
pub mod inspect;
pub mod judge;
mod next;
pub mod plot;
pub mod protocol;
pub mod proxy;
pub mod reasons;
pub mod receipt;
pub mod report;
pub mod shield;
pub mod signals;
pub mod sim;
pub mod socket;
pub mod state;
pub mod transfer;
pub mod vault;
