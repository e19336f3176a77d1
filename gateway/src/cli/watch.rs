//! `headgate plc|alarms`.

use clap::Subcommand;
use hal::reason::ReasonCode;

use super::{Context, Said};
use crate::judge::{Answered, Failure, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Plc {
    /// Every controller, what it said of itself, and its routes.
    List,
    /// One controller.
    Show {
        /// Controller id.
        plc: String,
    },
    /// Lift the lock of a controller whose signals changed after an update. What they do now is learned as usual.
    Unlock {
        /// Controller id.
        plc: String,
        /// Why; it is written into the case.
        #[arg(long, value_name = "TEXT", value_parser = super::typed::line)]
        reason: String,
    },
    /// Read a controller's identity now.
    Identify {
        /// Controller id.
        plc: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Alarms {
    /// Alarms that stand.
    List {
        /// Cleared ones too.
        #[arg(long)]
        all: bool,
    },
    /// Acknowledge an alarm.
    Ack {
        /// Controller, signal or bus, or the gateway's name, as `alarms list` has it.
        source: String,
        /// Reason code.
        code: ReasonCode,
    },
}

pub(super) fn plc(context: &Context, verb: Plc) -> Result<Said, Failure> {
    context.ask(&match verb {
        Plc::List => Request::PlcList,
        Plc::Show { plc } => return show(context, &plc),
        Plc::Unlock { plc, reason } => Request::PlcUnlock { plc, reason },
        Plc::Identify { plc } => Request::PlcIdentify { plc },
    })
}

fn show(context: &Context, plc: &str) -> Result<Said, Failure> {
    let Answered::Plcs { mut plcs } = context.answer(&Request::PlcList)? else {
        return Err(Failure::internal("another answer than asked for"));
    };
    plcs.retain(|p| p.id == plc);
    if plcs.is_empty() {
        return Err(Failure::not_found(format!("no controller {plc:?}; headgate plc list")));
    }
    Ok(Said::Answer(Box::new(Answered::Plcs { plcs })))
}

pub(super) fn alarms(context: &Context, verb: Alarms) -> Result<Said, Failure> {
    context.ask(&match verb {
        Alarms::List { all } => Request::Alarms { all },
        Alarms::Ack { source, code } => Request::AlarmAck { source, code },
    })
}
