//! Peak resident memory of a miner after a minute.

use std::thread;
use std::time::Duration;

use crate::mining::{Miner, Pool};
use crate::suite::figure::{Bound, Figure};
use crate::suite::machine::memory;

const TIME: Duration = Duration::from_secs(60);
const THREADS: usize = 2;
const MB: f64 = 1e6;

pub fn measure() -> Vec<Figure> {
    let pool = Pool::start();
    let miner = Miner::start(&pool.address, THREADS, &[]);
    thread::sleep(TIME);
    let (peak, own) = memory(miner.id()).expect("the miner runs");
    miner.interrupt();
    let shares = miner.summary().shares.accepted;
    let details =
        format!("{:.1} MB of it now its own, the rest mapped from files; {shares} shares", own as f64 / MB);
    vec![
        Figure::steady("peak resident memory of mine -t 2", peak as f64 / MB, "MB", Bound::AtMost(24.0))
            .with(details),
    ]
}
