//! How fast a node answers others while miners mine on it, are killed and start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bitcoin::script::Builder;
use bitcoin::{Address, Network, opcodes};
use testing::bitcoin_core::{BitcoinCore, Chain};
use testing::bystander::Bystander;

use crate::processes::Process;
use crate::suite::figure::{Bound, Figure, quantile};

/// The time in which the miners are killed one after the other.
const RESTARTS: Duration = Duration::from_secs(30);
/// Time limit for a call of the node, and for the start of all miners.
const DEADLINE: Duration = Duration::from_secs(120);

/// 32 miners and 50 restarts.
pub fn default_node() -> Vec<Figure> {
    each_chain("getblockcount beside 32 miners, p99", &[], 32, 50)
}

/// 8 miners and 12 restarts on a node with few threads, as before Bitcoin Core 29.
pub fn four_threads() -> Vec<Figure> {
    each_chain("the same, 8 miners and 4 threads", &["-rpcthreads=4", "-rpcworkqueue=16"], 8, 12)
}

/// A miner and 12 restarts on a node with one thread.
pub fn one_thread() -> Vec<Figure> {
    each_chain("the same, a miner and 1 thread", &["-rpcthreads=1"], 1, 12)
}

/// On a chain without blocks, where a wait for the next block lasts as long as it may, on one where the miners find some blocks,
/// and on regtest, where they find blocks faster than the node takes them.
fn each_chain(what: &'static str, options: &[&str], miners: usize, restarts: usize) -> Vec<Figure> {
    let on = |chain| measure(what, chain, options, miners, restarts);
    [Chain::Testnet4, Chain::OpenSignet, Chain::Regtest].into_iter().filter_map(on).collect()
}

struct Crowd<'a> {
    core: &'a BitcoinCore,
    address: String,
    /// Counts the starts of work of all miners.
    at_work: Arc<AtomicUsize>,
}

impl Crowd<'_> {
    fn miner(&self) -> Process {
        let mut miner = Process::start(self.core, &self.address, &["mine", "-t", "1"]);
        let at_work = self.at_work.clone();
        miner.read_errors(move |line| {
            if line.contains("mining on node") {
                at_work.fetch_add(1, Ordering::Relaxed);
            }
        });
        miner
    }

    fn wait_for(&self, starts: usize) {
        let limit = Instant::now() + DEADLINE;
        while self.at_work.load(Ordering::Relaxed) < starts && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn measure(
    what: &'static str,
    chain: Chain,
    options: &[&str],
    miners: usize,
    restarts: usize,
) -> Option<Figure> {
    let core = BitcoinCore::start(chain, options)?;
    let anyone = Builder::new().push_opcode(opcodes::OP_TRUE).into_script();
    let network = if chain == Chain::Regtest { Network::Regtest } else { Network::Signet };
    let address = Address::p2wsh(&anyone, network).to_string();
    let crowd = Crowd { core: &core, address, at_work: Arc::default() };
    let bystander = Bystander::start(&core, DEADLINE);
    let mut processes: Vec<Process> = (0..miners).map(|_| crowd.miner()).collect();
    crowd.wait_for(miners);
    let begin = Instant::now();
    for restart in 0..restarts {
        // The old one is killed before the new one starts, as by a supervisor.
        let place = restart % miners;
        drop(processes.remove(place));
        processes.insert(place, crowd.miner());
        let next = begin + RESTARTS * (restart as u32 + 1) / restarts as u32;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let at_work = crowd.at_work.load(Ordering::Relaxed);
    let answers = bystander.end();
    let times: Vec<f64> = answers.times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    drop(processes);
    let details = format!(
        "{chain:?}; median {:.1}, slowest {:.1} ms of {} calls, {} without an answer; {at_work} starts of work, {} blocks",
        quantile(&times, 0.5),
        quantile(&times, 1.0),
        times.len(),
        answers.failures.len(),
        core.height(),
    );
    // The miners themselves keep all CPUs busy.
    Some(Figure::steady(what, quantile(&times, 0.99), "ms", Bound::AtMost(250.0)).with(details))
}
