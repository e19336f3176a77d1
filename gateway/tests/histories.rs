//! Wire histories against the promise: whatever happens, flash holds verified bytes at their own place,
//! the controller boots, every request gets its own reply in order, and a delivery past the point of no
//! return ends by itself.
//!
//! `HEADGATE_HISTORIES=n` plays n of them; `HEADGATE_HISTORY=seed` plays one and shows its trace.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bench;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::plan::Plan;
use bench::world::{Tally, World};

fn play(plan: &Plan, trace: bool) -> (Result<(), String>, Tally, Vec<String>) {
    let plan = plan.clone();
    let run = std::panic::catch_unwind(move || {
        let mut world = World::new(plan, trace);
        let result = world.play();
        (result, world.tally.clone(), world.trace.take().unwrap_or_default())
    });
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| t.to_string()));
        (Err(format!("panic: {}", text.unwrap_or_default())), Tally::default(), Vec::new())
    })
}

/// The smallest plan that still breaks the same part of the invariant.
fn shrink(mut plan: Plan, what: &str) -> Plan {
    let kind =
        |text: &str| text.split(" (at").next().unwrap_or_default().chars().take(30).collect::<String>();
    'again: loop {
        for smaller in plan.smaller() {
            if play(&smaller, false).0.is_err_and(|e| kind(&e) == kind(what)) {
                plan = smaller;
                continue 'again;
            }
        }
        return plan;
    }
}

fn show(plan: Plan, what: &str) -> String {
    let small = shrink(plan, what);
    let (result, _, trace) = play(&small, true);
    let skip = trace.len().saturating_sub(150);
    format!(
        "history {}: {}\nplan: {small:?}\n{}",
        small.seed,
        result.err().unwrap_or_default(),
        trace[skip..].join("\n")
    )
}

#[test]
fn no_history_breaks_the_promise() {
    if let Ok(seed) = std::env::var("HEADGATE_HISTORY") {
        let plan = Plan::new(seed.parse().unwrap());
        let (result, tally, trace) = play(&plan, true);
        println!("{plan:?}\n{}\n{result:?}\n{tally:#?}", trace.join("\n"));
        if let Err(what) = result {
            panic!("{}", show(plan, &what));
        }
        return;
    }
    let count: u64 = std::env::var("HEADGATE_HISTORIES").map_or(100_000, |n| n.parse().unwrap());
    let next = AtomicU64::new(0);
    let (total, broken) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Tally::default();
                while broken.lock().unwrap().len() < 5 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        break;
                    }
                    let plan = Plan::new(seed);
                    let (result, tally, _) = play(&plan, false);
                    mine.add(&tally);
                    if let Err(what) = result {
                        broken.lock().unwrap().push((plan, what));
                    }
                }
                total.lock().unwrap().add(&mine);
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{total:#?}");
    let mut broken = broken.into_inner().unwrap();
    broken.sort_by_key(|(plan, _)| plan.stations.iter().map(|s| s.acts.len()).sum::<usize>());
    let list: Vec<String> =
        broken.iter().map(|(p, w)| format!("{} {:?} {:?}: {w}", p.seed, p.kind, p.way)).collect();
    if let Some((plan, what)) = broken.into_iter().next() {
        panic!("{}\n{}", show(plan, &what), list.join("\n"));
    }
    let at_least = |what: &str, found: u64, of: u64| {
        let wanted = count / of;
        assert!(found >= wanted, "the generator reached {what} {found} times, of {wanted} at least");
    };
    at_least("a commit", total.commits, 20);
    at_least("a delivery", total.delivered, 10);
    at_least("a sealed image", total.sealed, 10);
    at_least("a resumed delivery", total.resumed, 1000);
    at_least("a controller that runs the new image", total.booted_new, 10);
    at_least("a watched image", total.watched, 500);
    at_least("a process read", total.positive_reads, 1);
    for code in
        ["HG-4001", "HG-4005", "HG-6003", "HG-6004", "HG-6005", "HG-6006", "HG-6008", "HG-6009", "HG-6014"]
    {
        at_least(code, total.refusals.get(code).copied().unwrap_or(0), 2000);
    }
}
