//! The time from a node's new block to the first job at a miner. The node's blocks are full, and so is its mempool.
//!
//! `BLOCKS=10` in the environment measures fewer blocks than a hundred.
//!
//! The clock starts with the node's own line about its new tip. The line comes when the node has validated the block.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use testing::bitcoin_core::{ANYONE, BitcoinCore, Chain};

use crate::blocks::{Lanes, TRANSACTIONS};
use crate::processes::Process;
use crate::stratum::{Listener, Notify};
use crate::suite::figure::{Bound, Figure, quantile};
use crate::suite::machine::Watch;

/// Time limit for a job. The pool exceeds it only if it is broken.
const DEADLINE: Duration = Duration::from_secs(30);
/// The pause before each block. Node and pool are at rest by then, and the blocks are no flood (three in two seconds), in which
/// only some tips get an empty job.
const REST: Duration = Duration::from_secs(1);

/// Only on regtest, a node checks its whole mempool and all blocks at each new tip, before it answers anybody. These checks are
/// off here, as they are on all other networks.
const OPTIONS: [&str; 4] = ["-logtimemicros", "-debug=bench", "-checkmempool=0", "-checkblockindex=0"];

pub fn measure() -> Vec<Figure> {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &OPTIONS) else {
        return Vec::new();
    };
    let mut lanes = Lanes::fund(&core);
    let mut pool = Process::start(
        &core,
        ANYONE,
        &["pool", "--chain", "node", "--listen", "127.0.0.1:0", "--share-interval", "10s"],
    );
    pool.read_errors(|_| ());
    let miner = Listener::start(&pool.output("listening on "));
    // While a block is mined, the mempool has the transactions of the next block, too.
    lanes.send(&core);
    let (mut jobs, mut watch) = (Vec::new(), None);
    let blocks = std::env::var("BLOCKS").map_or(100, |blocks| blocks.parse().expect("BLOCKS is a number"));
    for _ in 0..blocks {
        lanes.send(&core);
        std::thread::sleep(REST);
        watch.get_or_insert_with(|| Watch::start(&[core.id(), pool.id(), std::process::id()]));
        let block = core.generate(1).remove(0);
        let full = wait(|| miner.first_full(&block));
        jobs.push((block.clone(), miner.first(&block).expect("not after the full one"), full));
    }
    let load = watch.expect("at least one block").load();
    let transactions = core.blocks_above(102).iter().map(|b| b["nTx"].as_u64().expect("a number")).min();
    assert_eq!(transactions, Some(TRANSACTIONS as u64 + 1), "each block is full");

    let log = NodeLog::read(&core.debug_log());
    let since = |block: &str, job: &Notify| milliseconds(job.time.saturating_sub(log.tips[block]));
    let first: Vec<f64> = jobs.iter().map(|(block, job, _)| since(block, job)).collect();
    let full: Vec<f64> = jobs.iter().map(|(block, _, job)| since(block, job)).collect();
    let validation: Vec<f64> = jobs.iter().map(|(block, ..)| log.validation[block]).collect();
    let details = format!(
        "median {:.1}, slowest {:.1} ms; job with transactions {}; the node's validation before that {}",
        quantile(&first, 0.5),
        quantile(&first, 1.0),
        both(&full),
        both(&validation),
    );
    let p99 = quantile(&first, 0.99);
    vec![Figure::new("new block to first job, p99", p99, "ms", Bound::AtMost(15.0), load).with(details)]
}

/// Median and p99 in words.
fn both(values: &[f64]) -> String {
    format!("median {:.1}, p99 {:.1} ms", quantile(values, 0.5), quantile(values, 0.99))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn wait<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < limit, "no job within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the node's log says about its blocks.
#[derive(Default)]
struct NodeLog {
    /// The time of day (UTC) of the line about each new tip.
    tips: HashMap<String, Duration>,
    /// How long the node took to connect each block, in milliseconds.
    validation: HashMap<String, f64>,
}

impl NodeLog {
    fn read(text: &str) -> Self {
        let mut log = NodeLog::default();
        let mut last = String::new();
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("UpdateTip: new best=") {
                last = rest.split(' ').next().unwrap_or_default().to_owned();
                log.tips.insert(last.clone(), time_of_day(line).expect("a time"));
            } else if let Some((_, rest)) = line.split_once(" - Connect block: ") {
                let time = rest.split("ms").next().and_then(|time| time.parse().ok()).expect("a number");
                log.validation.insert(last.clone(), time);
            }
        }
        log
    }
}

/// The time of day of a line of the log, such as `2026-01-01T12:34:56.123456Z`.
fn time_of_day(line: &str) -> Option<Duration> {
    let time = line.split_once('T')?.1.split_once('Z')?.0;
    let mut parts = time.split(':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some(Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_secs_f64(seconds))
}
