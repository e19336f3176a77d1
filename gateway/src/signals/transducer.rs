//! A transducer with a Modbus address of its own: polled on a connection of ours, past no controller.

use std::net::SocketAddr;
use std::time::Duration;

use hal::clock::Clock;
use hal::sensor::{Block, Flaw, Quality};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_modbus::client::{Context, Reader, tcp};
use tokio_modbus::slave::Slave;

use super::Mailbox;
use super::input::Out;
use crate::config::Register;

/// What is asked, and how often.
pub(super) struct Ask {
    pub(super) target: SocketAddr,
    pub(super) unit: u8,
    pub(super) register: Register,
    pub(super) every: Duration,
}

/// Asks until nobody listens. A poll that fails is a block with nothing in it, never a made-up value.
pub(super) async fn run(number: usize, id: String, ask: Ask, clock: Clock, mailbox: Mailbox) {
    let mut connection: Option<Context> = None;
    let mut rhythm = interval(ask.every);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut out = Out::new(number, &mailbox);
    let mut told = String::new();
    loop {
        rhythm.tick().await;
        let patience = ask.every.max(SHORTEST_PATIENCE);
        let polled = match timeout(patience, poll(&mut connection, &ask)).await {
            Ok(Ok(count)) => Ok(f64::from(count) * ask.register.scale),
            Ok(Err(why)) => Err((why, Flaw::SourceError)),
            Err(_) => Err((format!("no answer within {} ms", patience.as_millis()), Flaw::Missing)),
        };
        let block = match polled {
            Ok(value) => {
                told.clear();
                Block::single(clock.mono(), value, Quality::Good)
            }
            Err((why, flaw)) => {
                connection = None; // a late reply must not be taken for the next one
                let why = format!("{} unit {}: {why}", ask.target, ask.unit);
                out.fail(&id, &mut told, &why);
                Block::nothing(clock.mono(), flaw)
            }
        };
        if !out.send(block) {
            return;
        }
    }
}

async fn poll(connection: &mut Option<Context>, ask: &Ask) -> Result<u16, String> {
    let context = match connection {
        Some(context) => context,
        None => {
            let new = tcp::connect_slave(ask.target, Slave(ask.unit)).await.map_err(|e| e.to_string())?;
            connection.insert(new)
        }
    };
    let words = match ask.register.function {
        4 => context.read_input_registers(ask.register.address, 1).await,
        _ => context.read_holding_registers(ask.register.address, 1).await,
    };
    let words = words.map_err(|e| e.to_string())?.map_err(|exception| exception.to_string())?;
    words.first().copied().ok_or_else(|| "an answer without a register".to_string())
}

/// A poll gets at least this long.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(500);
