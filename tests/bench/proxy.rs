//! Process traffic through Headgate and through proxies that look at nothing.

use std::net::SocketAddr;
use std::time::Duration;

use crate::ROUNDS;
use crate::figure::{Bound, figure, median, quantile, ratios};
use crate::load::{self, Ask, Run};
use crate::stand::{Candidate, Stand};

/// What was measured of one candidate, a value for each round.
#[derive(Default)]
struct Row {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    p999: Vec<f64>,
    cpu: Vec<f64>,
}

/// One connection, one request at a time.
pub(crate) fn depth1() {
    let stand = Stand::new(|_| ()).with_others();
    for ask in [Ask::read(), Ask::write()] {
        let rows = interleave(&stand.candidates, |to, begin| load::depth1(to, &ask, SLICE, begin));
        table("proxy-depth1", &ask, &stand.candidates, &rows);
        let of = |name| &rows[place(&stand.candidates, name)];
        let (ours, copy, haproxy) = (of("headgate"), of("tokio copy"), of("haproxy"));
        let say = |what: &str, ratios: &[f64], bound| {
            figure(&format!("proxy-depth1-{}-{what}", ask.name), "ratio", ratios, bound);
        };
        say("p50", &ratios(&ours.p50, &copy.p50), Bound::AtMost(1.10));
        say("p99", &ratios(&ours.p99, &copy.p99), Bound::AtMost(1.20));
        say("cpu", &ratios(&ours.cpu, &copy.cpu), Bound::AtMost(1.10));
        say("cpu-haproxy", &ratios(&ours.cpu, &haproxy.cpu), Bound::AtMost(1.0));
    }
}

/// 16 connections with 8 requests under way on each.
pub(crate) fn pipelined() {
    let stand = Stand::new(|_| ()).with_others();
    for ask in [Ask::read(), Ask::write()] {
        let rows = interleave(&stand.candidates, |to, begin| load::pipelined(to, &ask, SLICE, begin));
        table("proxy-pipelined", &ask, &stand.candidates, &rows);
        let of = |name| &rows[place(&stand.candidates, name)].rate;
        let rates = ratios(of("headgate"), of("tokio copy"));
        figure(&format!("proxy-pipelined-{}-rate", ask.name), "ratio", &rates, Bound::AtLeast(0.85));
    }
}

/// Every candidate in turn, `ROUNDS` times.
fn interleave(candidates: &[Candidate], run: impl Fn(SocketAddr, &mut dyn FnMut()) -> Run) -> Vec<Row> {
    let mut rows: Vec<Row> = candidates.iter().map(|_| Row::default()).collect();
    for _ in 0..ROUNDS {
        for (candidate, row) in candidates.iter().zip(&mut rows) {
            let mut before = 0;
            let mut measured = run(candidate.address, &mut || before = candidate.cpu());
            let cpu = (candidate.cpu() - before) as f64;
            let count = measured.latencies.len() as f64;
            measured.latencies.sort_unstable();
            row.rate.push(count / measured.took.as_secs_f64());
            row.p50.push(quantile(&measured.latencies, 0.5) / 1e3);
            row.p99.push(quantile(&measured.latencies, 0.99) / 1e3);
            row.p999.push(quantile(&measured.latencies, 0.999) / 1e3);
            row.cpu.push(cpu / count / 1e3);
        }
    }
    rows
}

fn table(name: &str, ask: &Ask, candidates: &[Candidate], rows: &[Row]) {
    println!("{name}, {}: medians of {ROUNDS} rounds of {SLICE:?}", ask.name);
    println!(
        "  {:<12}{:>10}{:>10}{:>10}{:>10}{:>12}",
        "", "req/s", "p50 us", "p99 us", "p99.9 us", "CPU us/req"
    );
    for (candidate, row) in candidates.iter().zip(rows) {
        let [rate, p50, p99, p999, cpu] =
            [&row.rate, &row.p50, &row.p99, &row.p999, &row.cpu].map(|values| median(values));
        println!("  {:<12}{rate:>10.0}{p50:>10.1}{p99:>10.1}{p999:>10.1}{cpu:>12.2}", candidate.name);
    }
}

fn place(candidates: &[Candidate], name: &str) -> usize {
    candidates.iter().position(|c| c.name == name).expect("on the stand")
}

/// How long one candidate is measured before it is the next one's turn.
const SLICE: Duration = Duration::from_millis(400);
