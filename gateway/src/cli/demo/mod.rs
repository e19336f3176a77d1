//! `headgate demo`: the whole product on one machine, with a software TPM, a broker and two controllers.
//!
//! Everything but the controllers is real: swtpm, mosquitto with TLS 1.3, the gateway as a process of its
//! own, and a firmware image that Debian ships. The story is told in acts; with `--once` each must come out
//! as told, or the exit code is 1.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Said;
use crate::judge::Failure;

mod broker;
mod station;
mod story;
mod world;

/// Where the demo lives and how long.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Play the story, print it, and end.
    #[arg(long)]
    once: bool,
    /// Firmware image to play with.
    #[arg(long, value_name = "FILE", default_value = IMAGE)]
    image: PathBuf,
    /// Folder for keys, state and logs; it must be new. Without it, a temporary one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn demo(v: &Demo) -> Result<Said, Failure> {
    let image = std::fs::read(&v.image).map_err(|e| {
        let path = v.image.display();
        Failure::not_found(format!(
            "{path}: {e}. deploy/setup.sh installs it (Debian's u-boot-qemu), or give --image FILE"
        ))
    })?;
    if image.is_empty() || image.len() > MAX_IMAGE {
        return Err(Failure::usage(format!(
            "{}: {} bytes; use 1 to {MAX_IMAGE}",
            v.image.display(),
            image.len()
        )));
    }
    let mut world = world::World::build(v.dir.clone(), image)?;
    let told = story::play(&mut world)?;
    if !v.once && told.all_as_told() {
        world.stay();
    }
    let words = told.summary();
    match told.all_as_told() {
        true => Ok(Said::Words(words, json!({ "schema": 1, "acts": told.acts() }))),
        false => Err(Failure::internal(words)),
    }
}

/// Debian's u-boot for QEMU's arm64 board: a real firmware image that installs anywhere.
const IMAGE: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
/// What the simulated controllers' profile holds.
const MAX_IMAGE: usize = 1 << 20;
