//! Power that goes at every write, and a TPM that dies at every command: what is on disk, in the database and in the TPM
//! is before or after, and the same command given again ends well.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod advisories;
mod commands;
mod replace;
mod spent;
mod tpm_dies;
#[allow(dead_code)]
#[path = "../../../hal/tests/tpm_bench/wire.rs"]
mod wire;
mod world;
