//! `make bench`: Headgate side by side with other proxies, everything on one CPU.
//!
//! On a virtual machine the wake-up of a second CPU costs more than a proxy does, so the load, the proxy
//! and the controller share one: what is measured is the work. Candidates take turns, and only ratios of
//! one round are compared. One line for each figure: `bench NAME ratio=R [lo..hi] bound=B ok|short`.

#![forbid(unsafe_code)]
// A measurement that cannot go on has no result.
#![allow(clippy::panic, clippy::unwrap_used)]

mod chunk;
mod copy;
mod figure;
mod load;
mod proxy;
mod server;
mod stand;

use std::process::ExitCode;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Rounds of every measurement.
const ROUNDS: usize = 15;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args.as_slice() {
        ["serve", listen] => stop(server::serve(address(listen))),
        ["copy", listen, target] => stop(copy::copy(address(listen), address(target))),
        [] => measure(&MEASUREMENTS),
        [name] => match MEASUREMENTS.iter().find(|(n, _)| *n == name) {
            Some(one) => measure(&[*one]),
            None => usage(),
        },
        _ => usage(),
    }
}

type Measurement = (&'static str, fn());

const MEASUREMENTS: [Measurement; 3] =
    [("proxy-depth1", proxy::depth1), ("proxy-pipelined", proxy::pipelined), ("match-chunk", chunk::measure)];

fn measure(which: &[Measurement]) -> ExitCode {
    let cpu = pin();
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("everything on CPU {cpu}; load average {}", load().trim());
    which.iter().for_each(|(_, measurement)| measurement());
    println!("load average {}", load().trim());
    ExitCode::SUCCESS
}

/// Keeps this process and all it starts on one CPU: the first it may use.
fn pin() -> usize {
    let may = sched_getaffinity(None).expect("an affinity");
    let cpu = (0..CpuSet::MAX_CPU).find(|cpu| may.is_set(*cpu)).expect("a CPU");
    let mut one = CpuSet::new();
    one.set(cpu);
    sched_setaffinity(None, &one).expect("a CPU that may be used");
    cpu
}

fn usage() -> ExitCode {
    let names: Vec<&str> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
    eprintln!("usage: headgate-bench [{}]", names.join(" | "));
    ExitCode::from(2)
}

fn stop(result: std::io::Result<()>) -> ExitCode {
    if let Err(e) = result {
        eprintln!("headgate-bench: {e}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn address(text: &str) -> std::net::SocketAddr {
    text.parse().expect("ADDRESS:PORT")
}
