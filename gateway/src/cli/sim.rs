//! `headgate sim`: a simulated controller on a TCP port, to try a configuration without a plant.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use hal::clock::Clock;

use super::{Said, open_image};
use crate::judge::Failure;
use crate::sim::bootloader::Kind;
use crate::sim::controller::Controller;
use crate::sim::server;

/// Which controller, and what it runs.
#[derive(Debug, Args)]
pub(super) struct Sim {
    /// Transfer profile its bootloader speaks.
    #[arg(long, default_value = "generic-file-record")]
    profile: String,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:1502")]
    listen: SocketAddr,
    /// The firmware it runs at first.
    #[arg(long, value_name = "FILE")]
    firmware: PathBuf,
    /// Unit id.
    #[arg(long, default_value_t = 1)]
    unit: u8,
    /// How long it takes to boot.
    #[arg(long, default_value_t = 300)]
    boot_ms: u64,
    /// How long it takes over each answer.
    #[arg(long, default_value_t = 0)]
    answer_ms: u64,
    /// Where a tachometer on the shaft of its drive listens.
    #[arg(long)]
    tachometer: Option<SocketAddr>,
    /// Write what it could boot into this file whenever that changes.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
}

pub(super) fn sim(v: &Sim) -> Result<Said, Failure> {
    let kind = Kind::for_profile(&v.profile)
        .ok_or_else(|| Failure::usage(format!("no simulated {:?}", v.profile)))?;
    let mut firmware = Vec::new();
    let (mut file, _) = open_image(&v.firmware)?;
    std::io::Read::read_to_end(&mut file, &mut firmware).map_err(|e| Failure::internal(e.to_string()))?;
    let mut controller = Controller::new(kind, v.unit, &firmware, Duration::from_millis(v.boot_ms));
    controller.faults().delay = Duration::from_millis(v.answer_ms);
    let controller = Arc::new(Mutex::new(controller));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::internal(e.to_string()))?;
    let clock = Clock::system(); // one machine, one time
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(v.listen).await;
        let listener = listener.map_err(|e| Failure::internal(format!("{}: {e}", v.listen)))?;
        if let Some(address) = v.tachometer {
            let listener = tokio::net::TcpListener::bind(address).await;
            let listener = listener.map_err(|e| Failure::internal(format!("{address}: {e}")))?;
            tokio::spawn(server::serve_tachometer(listener, controller.clone(), clock.clone()));
        }
        if let Some(path) = v.dump.clone() {
            tokio::spawn(dump(controller.clone(), path));
        }
        server::serve(listener, controller, clock).await.map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Said::Nothing)
    })
}

/// Writes the bootable firmware next to its name and renames it, so that a reader sees a whole file.
async fn dump(controller: Arc<Mutex<Controller>>, path: PathBuf) {
    let mut last: Option<Vec<u8>> = None;
    loop {
        let now = {
            let controller = controller.lock().unwrap_or_else(PoisonError::into_inner);
            controller.flash().bootable().map(<[u8]>::to_vec)
        };
        if now != last {
            let temporary = path.with_extension("new");
            let bytes = now.as_deref().unwrap_or_default();
            if std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &path)).is_ok() {
                last = now;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
