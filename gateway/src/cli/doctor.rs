//! `headgate doctor`: everything that could be wrong, on one page, with and without a gateway that runs.
//!
//! The gateway, or the data folder where none runs, says how it is ([`crate::judge::doctor`]). Here is what it
//! cannot say: whether its files can be read, and, while nobody holds the connections, whether controllers and the
//! broker answer.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::json;

use super::{Context, Said};
use crate::config::Config;
use crate::judge::doctor::{Check, Level};
use crate::judge::{Answered, Failure, Request};
use crate::socket;

pub(super) fn doctor(context: &Context) -> Result<Said, Failure> {
    let mut checks = vec![files(context)];
    let (mut running, mut who) = (false, FILES);
    if let Ok(config) = context.to_run() {
        who = FOLDER;
        match socket::ask_running(&config.socket, &Request::Doctor, None) {
            Some(reply) => {
                (running, who) = (true, GATEWAY);
                checks.extend(answered(reply));
            }
            None => {
                checks.push(Check::warn(
                    "gateway",
                    "it does not run",
                    "a gateway that runs",
                    "systemctl start headgate, or headgate run; what follows is what the data folder says",
                ));
                checks.extend(outside(&config));
                checks.extend(answered(offline(config)));
            }
        }
    }
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    let value = json!({ "schema": 1, "running": running, "checks": checks });
    Ok(Said::Judged(page(who, &checks), value, if failed { UNHEALTHY } else { 0 }))
}

/// What the gateway says, or its data folder.
pub(super) fn words(running: bool, checks: &[Check]) -> String {
    page(if running { GATEWAY } else { FOLDER }, checks)
}

/// One line for each check, and what to do where something is not as it should be.
fn page(who: &str, checks: &[Check]) -> String {
    let line = |check: &Check| {
        let Check { id, level, found, expected, next } = check;
        match level {
            Level::Ok => format!("ok    {id:16} {found}\n"),
            _ => format!(
                "{:5} {id:16} found {found}, expected {expected}\n{:22} next: {next}\n",
                level.word(),
                ""
            ),
        }
    };
    let count = |level: Level| checks.iter().filter(|check| check.level == level).count();
    format!(
        "{}{} ok, {} warn, {} fail, as told by {who}\n",
        checks.iter().map(line).collect::<String>(),
        count(Level::Ok),
        count(Level::Warn),
        count(Level::Fail)
    )
}

/// Whether the configuration is there and right, with all that it names.
fn files(context: &Context) -> Check {
    match context.load_whole() {
        Ok(config) if config.warnings.is_empty() => {
            Check::ok("config.files", format!("{} controllers", config.plcs.len()))
        }
        Ok(config) => Check::warn(
            "config.files",
            config.warnings.join("; "),
            "rules that do what they say",
            "headgate config check; correct the rules it names",
        ),
        Err(failure) => {
            let (text, next) = failure.told();
            Check::fail(
                "config.files",
                text,
                "files that can be read",
                next.unwrap_or("headgate config check"),
            )
        }
    }
}

fn answered(reply: Result<Answered, Failure>) -> Vec<Check> {
    match reply {
        Ok(Answered::Doctor { checks, .. }) => checks,
        Ok(_) => {
            vec![Check::fail("gateway", "another answer than asked for", "its checks", "look at the journal")]
        }
        Err(failure) => {
            let code = failure.code.and_then(crate::reasons::find);
            let (text, own) = failure.told();
            let next = own.or(code.map(|reason| reason.next)).unwrap_or("look at the journal");
            vec![Check::fail("gateway", text, "an answer", next)]
        }
    }
}

fn offline(config: Config) -> Result<Answered, Failure> {
    if !config.data.exists() {
        return Err(super::not_provisioned(&config));
    }
    super::judge(config)?.ask(Request::Doctor, None)
}

/// Whether somebody listens where controllers and the broker should be. A gateway that runs knows it itself.
fn outside(config: &Config) -> Vec<Check> {
    let routes = config.plcs.iter().flat_map(|plc| plc.routes.iter().map(move |route| (plc, route)));
    let mut checks: Vec<Check> = routes
        .map(|(plc, route)| {
            let id = format!("plc.{}", plc.slot.as_str());
            reachable(
                &id,
                &route.target.to_string(),
                "the controller: its power, its cable, target of the route",
            )
        })
        .collect();
    if let Some(mqtt) = &config.mqtt {
        let address = format!("{}:{}", mqtt.host, mqtt.port);
        checks.push(reachable("broker", &address, "the broker, and url of [mqtt]"));
    }
    checks
}

fn reachable(id: &str, address: &str, look_at: &str) -> Check {
    let connect = |to| TcpStream::connect_timeout(&to, PATIENCE).map(drop);
    let found = match address.to_socket_addrs().map(|mut all| all.next()) {
        Ok(Some(to)) => connect(to).map_err(|e| e.to_string()),
        Ok(None) => Err("no address".into()),
        Err(e) => Err(e.to_string()),
    };
    match found {
        Ok(()) => Check::ok(id, format!("{address} answers")),
        Err(e) => {
            Check::fail(id, format!("{address}: {e}"), "somebody who listens", &format!("check {look_at}"))
        }
    }
}

/// Who says so.
const GATEWAY: &str = "the gateway that runs";
const FOLDER: &str = "the data folder: no gateway runs";
const FILES: &str = "the files alone: nothing of them can be used";
/// The gateway is unhealthy.
const UNHEALTHY: u8 = 70;
/// How long a controller or the broker may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(2);
