//! The machine under Headgate: its clock, its TPM, its durable files, and the words it reports in.
//!
//! Everything here blocks and nothing here decides. The gateway gives each slow part its own thread;
//! the pure crates above take the values defined here ([`clock::Mono`], [`clock::Wall`],
//! [`reason::ReasonCode`]) and never the machine itself.
//!
//! `unsafe` is allowed in one folder, `tpm/esys/`, which talks to libtss2, and for one system call in
//! `sandbox/descriptors.rs`.

pub mod clock;
pub mod reason;
pub mod sandbox;
pub mod sensor;
pub mod store;
pub mod tpm;
