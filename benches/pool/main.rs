//! The requirements of the pool server: 10,000 miners, 2,000 shares a second, a limit on the memory for each miner, and pages of the
//! HTTP API.
//!
//! `cargo bench --bench pool [-- --check] [--only NAME]…`
//!
//! `--check` exits with 1 if a figure misses its bound, and with 2 if a figure cannot be judged because other
//! processes (or other guests of the same host) used too much CPU time during the measurement. NAME is the name of a
//! measurement, as in the output.
//!
//! The pool is the real binary, on one core. The miners run on the other cores, in a second process of this program,
//! because the number of file descriptors is limited for each process.

mod miners;
mod processes;
#[allow(dead_code, reason = "shared with another bench")]
#[path = "../suite/suite.rs"]
mod suite;

use std::process::ExitCode;
use std::time::Duration;

use processes::{Miners, Pool};
use suite::Measurement;
use suite::figure::{Bound, Figure, quantile};
use suite::machine::{self, Watch};

/// This bench starts a second process of its own program with this option. The second process simulates the miners.
const PLAY_MINERS: &str = "--play-miners";
/// The number of authorized miners in the measurement `crowd`.
const MINERS: usize = 10_000;
/// The number of blocks that one miner finds in the measurement `crowd`. For each block, the bench measures how long the other
/// miners wait for the next job.
const BLOCKS: usize = 5;
/// In the measurement `shares`, `SHARE_MINERS` miners together submit `SHARES` shares per second, for `SECONDS` seconds.
const SHARES: usize = 2_000;
const SHARE_MINERS: usize = 1_000;
const SECONDS: usize = 20;
/// The pages that the measurement `pages` asks for, `ROUNDS` times.
const PAGES: [&str; 4] = [
    "/api/v1/miners?limit=1000&sort=-hashrate",
    "/api/v1/miners?limit=1000&search=rig.99",
    "/api/v1/addresses?sort=-hashrate_1h",
    "/metrics",
];
const ROUNDS: usize = 50;
/// If other processes used more than this fraction of the machine's CPU time during a measurement, its figures are not judged.
const NOISE: f64 = 0.25;

const MEASUREMENTS: [Measurement; 3] = [("crowd", crowd), ("shares", shares), ("pages", pages)];

/// 10,000 miners: the pool's memory, and the time until the miners get the job of a new block.
fn crowd() -> Vec<Figure> {
    let pool = Pool::start(&[
        "--start-difficulty",
        "1e-9",
        "--minimum-difficulty",
        "1e-9",
        "--block-interval",
        "20s",
    ]);
    // Connect a few miners first, because the first connections cause one-time allocations in the pool.
    Miners::start(&["crowd", &pool.address, "10", "0"]).end();
    let before = pool.resident();
    let mut miners = Miners::start(&["crowd", &pool.address, &MINERS.to_string(), &BLOCKS.to_string()]);
    miners.wait_for("ready");
    std::thread::sleep(Duration::from_secs(2));
    let after = pool.resident();
    let watch = Watch::start(&[pool.id(), miners.id()]);
    miners.go();
    let rounds: Vec<Vec<f64>> = (0..BLOCKS).map(|_| miners.numbers()).collect();
    let load = watch.load();
    miners.end();
    let each = (after as f64 - before as f64) / MINERS as f64 / 1e3;
    let all: Vec<f64> = rounds.concat();
    let worst = rounds.iter().map(|round| quantile(round, 0.99)).fold(0.0, f64::max);
    let details = format!(
        "median {:.0} ms, last of all {:.0} ms, worst block's p99 {worst:.0} ms; {BLOCKS} blocks, {MINERS} miners",
        quantile(&all, 0.5),
        quantile(&all, 1.0)
    );
    vec![
        Figure::new("new block's job, p99", quantile(&all, 0.99), "ms", Bound::AtMost(500.0), load)
            .refused_above(NOISE)
            .with(details),
        Figure::steady("resident memory per miner", each, "kB", Bound::AtMost(20.0)).with(format!(
            "{:.1} MB with {MINERS} authorized miners, {:.1} MB with none",
            after as f64 / 1e6,
            before as f64 / 1e6
        )),
    ]
}

/// 2,000 shares a second, which must all be counted and written to disk.
fn shares() -> Vec<Figure> {
    let pool = Pool::start(&[
        "--minimum-difficulty",
        "1e-12",
        "--start-difficulty",
        "1e-12",
        "--block-interval",
        "100h",
    ]);
    let numbers = [SHARE_MINERS, SHARES, SECONDS].map(|number| number.to_string());
    let mut miners = Miners::start(&["shares", &pool.address, &numbers[0], &numbers[1], &numbers[2]]);
    miners.wait_for("ready");
    let watch = Watch::start(&[pool.id(), miners.id()]);
    let before = machine::process(pool.id());
    miners.go();
    let times = miners.numbers();
    let load = watch.load();
    let core = (machine::process(pool.id()) - before).as_secs_f64() / SECONDS as f64;
    miners.end();
    assert_eq!(times.len(), SHARES * SECONDS, "every share is accepted");
    let books = pool.end();
    assert_eq!(books, times.len() as u64, "every share is in the database");
    let details = format!(
        "median {:.2} ms, longest {:.1} ms; {} shares, all accepted and on disk; the pool took {:.0} % of a core",
        quantile(&times, 0.5),
        quantile(&times, 1.0),
        times.len(),
        core * 100.0
    );
    vec![
        Figure::new(
            "answer at 2000 shares/s on one core, p99",
            quantile(&times, 0.99),
            "ms",
            Bound::AtMost(20.0),
            load,
        )
        .refused_above(NOISE)
        .with(details),
    ]
}

/// Pages of the list of 10,000 miners that have an account each.
fn pages() -> Vec<Figure> {
    let pool = Pool::start(&[
        "--minimum-difficulty",
        "1e-12",
        "--start-difficulty",
        "1e-12",
        "--block-interval",
        "100h",
    ]);
    let numbers = [MINERS, SHARES, MINERS / SHARES].map(|number| number.to_string());
    let mut miners = Miners::start(&["shares", &pool.address, &numbers[0], &numbers[1], &numbers[2]]);
    miners.wait_for("ready");
    miners.go();
    assert_eq!(miners.numbers().len(), MINERS, "each has a share");
    let watch = Watch::start(&[pool.id(), miners.id()]);
    let mut times = Vec::new();
    for path in PAGES.iter().cycle().take(PAGES.len() * ROUNDS) {
        let (answer, time) = pool.get(path);
        assert!(answer.contains(" 200 OK"), "{path}: {answer}");
        times.push(time.as_secs_f64() * 1e3);
    }
    let load = watch.load();
    let (page, _) = pool.get(PAGES[0]);
    assert!(page.contains(&format!("\"total\":{MINERS}")), "all miners are listed");
    miners.end();
    let details = format!(
        "median {:.0} ms, longest {:.0} ms; {} pages of {MINERS} miners, on the pool's one core",
        quantile(&times, 0.5),
        quantile(&times, 1.0),
        times.len()
    );
    vec![
        Figure::new("page of the miners, p99", quantile(&times, 0.99), "ms", Bound::AtMost(100.0), load)
            .refused_above(NOISE)
            .with(details),
    ]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some(PLAY_MINERS) {
        miners::play(&arguments[2..]);
        return ExitCode::SUCCESS;
    }
    suite::run(&MEASUREMENTS, machine::describe)
}
