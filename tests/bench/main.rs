//! `make bench`: Headgate side by side with other programs.
//!
//! On a virtual machine the wake-up of a second CPU costs more than a proxy does, so the load, the proxy
//! and the controller share one: what is measured is the work. Checking an image may use them all. Candidates
//! take turns, and only ratios of one round are compared. What is simulated comes from seeded generators and
//! is the same on every run. One line for each figure: `bench NAME ratio=R [lo..hi] bound=B ok|short|noisy`.

#![forbid(unsafe_code)]
// A measurement that cannot go on has no result.
#![allow(clippy::panic, clippy::unwrap_used)]

mod advisories;
mod audit;
mod chunk;
mod copy;
mod figure;
mod load;
mod proxy;
mod server;
mod signals;
mod stand;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Rounds of every measurement.
const ROUNDS: usize = 15;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args.as_slice() {
        ["serve", listen] => stop(server::serve(address(listen))),
        ["copy", listen, target] => stop(copy::copy(address(listen), address(target))),
        ["match", database, sbom] => {
            advisories::child(Path::new(database), Path::new(sbom));
            ExitCode::SUCCESS
        }
        [] => measure(&MEASUREMENTS),
        [name] => match MEASUREMENTS.iter().find(|(n, ..)| *n == name) {
            Some(one) => measure(&[*one]),
            None => usage(),
        },
        _ => usage(),
    }
}

/// A name, on which CPUs, and what to run.
type Measurement = (&'static str, Cpus, fn());

const MEASUREMENTS: [Measurement; 12] = [
    ("proxy-depth1", Cpus::One, proxy::depth1),
    ("proxy-pipelined", Cpus::One, proxy::pipelined),
    ("match-chunk", Cpus::One, chunk::measure),
    ("verify-64m", Cpus::All, verify::measure),
    ("audit-append", Cpus::One, audit::append),
    ("audit-verify-100k", Cpus::One, audit::verify),
    ("advisories", Cpus::One, advisories::measure),
    ("signal-tone", Cpus::All, signals::tone::measure),
    ("signal-mains", Cpus::All, signals::mains::measure),
    ("signal-delay", Cpus::All, signals::delay::measure),
    ("signal-false-alarms", Cpus::All, signals::false_alarms::measure),
    ("signal-speed", Cpus::One, signals::speed::measure),
];

/// CPUs that a measurement and all it starts are kept on.
#[derive(Clone, Copy)]
enum Cpus {
    /// The first this process may use.
    One,
    /// Those it may use.
    All,
}

fn measure(which: &[Measurement]) -> ExitCode {
    let all = sched_getaffinity(None).expect("an affinity");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("a CPU");
    let mut one = CpuSet::new();
    one.set(first);
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{}", figure::RULE);
    let began = Instant::now();
    for (name, cpus, measurement) in which {
        let start = Instant::now();
        let (set, words) = match cpus {
            Cpus::One => (&one, format!("everything on CPU {first}")),
            Cpus::All => (&all, format!("{} CPUs", all.count())),
        };
        sched_setaffinity(None, set).expect("CPUs that may be used");
        println!("{name}: {words}; load average {}", load().trim());
        measurement();
        println!("{name}: {:.0} s", start.elapsed().as_secs_f64());
    }
    println!("{:.0} s in all; load average {}", began.elapsed().as_secs_f64(), load().trim());
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    let names: Vec<&str> = MEASUREMENTS.iter().map(|(name, ..)| *name).collect();
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
