//! `headgate plc|conduit|alarms`.

use clap::Subcommand;
use hal::reason::ReasonCode;

use super::{Context, Said};
use crate::judge::{Answered, Failure, Request};
use crate::shield::learn;

#[derive(Debug, Subcommand)]
pub(super) enum Plc {
    /// Every controller, what it said of itself, and its routes.
    List,
    /// One controller.
    Show {
        /// Controller id.
        plc: String,
    },
    /// Lift the lock of a controller whose signals changed after an update.
    Unlock {
        /// Controller id.
        plc: String,
        /// Why; it is written into the case.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Read a controller's identity now.
    Identify {
        /// Controller id.
        plc: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConduitVerb {
    /// Propose an allow-list from what stations did while the controller was in `observe`.
    Learn {
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
        /// Controller id, or the gateway's name.
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

/// Prints `[[plc.allow]]` tables to paste into the configuration: one for each unit, function and station.
pub(super) fn conduit(context: &Context, verb: &ConduitVerb) -> Result<Said, Failure> {
    let ConduitVerb::Learn { plc } = verb;
    let Answered::Learned { habits } = context.answer(&Request::Learned { plc: plc.clone() })? else {
        return Err(Failure::internal("another answer than asked for"));
    };
    let mut keys: Vec<(u8, u8, String)> =
        habits.iter().map(|h| (h.unit, h.function, h.station.clone())).collect();
    keys.sort();
    keys.dedup();
    let mut words = format!("# learned for {plc} in observe; read it before you accept it\n");
    for (unit, function, station) in &keys {
        let mine = habits.iter().filter(|h| (h.unit, h.function, &h.station) == (*unit, *function, station));
        let seen: u64 = mine.clone().map(|h| h.seen).sum();
        let spans = learn::join(mine.filter(|h| h.count > 0).map(|h| h.start..h.start + h.count).collect());
        let addresses: Vec<String> = spans.iter().map(|s| format!("\"{}-{}\"", s.start, s.end - 1)).collect();
        words += &format!("[[plc.allow]]   # seen {seen} times\nunit = {unit}\nfunctions = [{function}]\n");
        if !addresses.is_empty() {
            words += &format!("addresses = [{}]\n", addresses.join(", "));
        }
        words += &format!("stations = [\"{station}\"]\n");
    }
    let json = serde_json::json!({ "schema": 1, "plc": plc, "habits": habits, "proposal": words });
    Ok(Said::Words(words, json))
}
