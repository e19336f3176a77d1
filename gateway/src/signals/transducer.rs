//! A transducer with a Modbus address of its own: polled on a connection of ours, past no controller.

use std::net::SocketAddr;
use std::time::Duration;

use hal::clock::Clock;
use hal::sensor::{Block, Flaw, Quality};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_modbus::client::{Context, Reader, tcp};
use tokio_modbus::slave::Slave;

use super::{Mail, Mailbox};
use crate::config::Register;

/// What is asked, and how often.
pub(super) struct Ask {
    pub(super) target: SocketAddr,
    pub(super) unit: u8,
    pub(super) register: Register,
    pub(super) every: Duration,
}

/// Asks until nobody listens. A poll that fails is a block with nothing in it, never a made-up value.
pub(super) async fn run(number: usize, ask: Ask, clock: Clock, mailbox: Mailbox) {
    let mut connection: Option<Context> = None;
    let mut rhythm = interval(ask.every);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        rhythm.tick().await;
        let value = timeout(ask.every.max(SHORTEST_PATIENCE), poll(&mut connection, &ask)).await;
        let block = match value {
            Ok(Some(count)) => {
                Block::single(clock.mono(), f64::from(count) * ask.register.scale, Quality::Good)
            }
            Ok(None) => Block::nothing(clock.mono(), Flaw::SourceError),
            Err(_) => Block::nothing(clock.mono(), Flaw::Missing),
        };
        if block.samples.is_empty() {
            connection = None; // a late reply must not be taken for the next one
        }
        match mailbox.try_send(Mail::Block(number, block)) {
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return,
            // A full queue shows as samples lost where the thread counts them; one poll is one sample.
            Err(std::sync::mpsc::TrySendError::Full(_)) | Ok(()) => {}
        }
    }
}

async fn poll(connection: &mut Option<Context>, ask: &Ask) -> Option<u16> {
    if connection.is_none() {
        *connection = tcp::connect_slave(ask.target, Slave(ask.unit)).await.ok();
    }
    let context = connection.as_mut()?;
    let words = match ask.register.function {
        4 => context.read_input_registers(ask.register.address, 1).await,
        _ => context.read_holding_registers(ask.register.address, 1).await,
    };
    words.ok()?.ok()?.first().copied()
}

/// A poll gets at least this long.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(500);
