//! Many miners on one real Bitcoin Core, which get killed and start again: the node keeps answering others, and takes the miners'
//! blocks. How fast it answers is measured by `cargo bench --bench node`.

use std::time::Duration;

use bitcoin::script::Builder;
use bitcoin::{Address, Network, opcodes};
use rustix::process::Signal;
use serde_json::{Value, json};
use testing::bitcoin_core::{BitcoinCore, Chain};
use testing::bystander::Bystander;

use crate::support::node_pool::{node_options, number};
use crate::support::process::{Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// Nobody may keep one of the node's threads for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Miners of one thread, each on the node itself.
struct Crowd {
    node: Vec<String>,
    address: String,
    miners: Vec<Process>,
}

impl Crowd {
    fn start(core: &BitcoinCore, miners: usize) -> Self {
        let anyone = Builder::new().push_opcode(opcodes::OP_TRUE).into_script();
        let address = Address::p2wsh(&anyone, Network::Signet).to_string();
        let mut crowd = Crowd { node: node_options(core), address, miners: Vec::new() };
        for _ in 0..miners {
            crowd.miners.push(crowd.miner());
        }
        crowd
    }

    fn miner(&self) -> Process {
        let fixed = ["mine", "-t", "1", "--address", &self.address];
        mesos_miner([fixed.map(str::to_owned).as_slice(), &self.node].concat())
    }

    /// Kills each miner in turn, and starts another in its place.
    fn restart_each(&mut self, restarts: usize) {
        for restart in 0..restarts {
            let place = restart % self.miners.len();
            self.miners[place].signal(Signal::KILL);
            self.miners[place] = self.miner();
        }
    }

    /// Waits until all miners have work.
    fn wait_for_work(&mut self) {
        for miner in &mut self.miners {
            miner.wait_for_error(LONG_DEADLINE, |line| line.contains("mining on node").then_some(()));
        }
    }

    /// Waits until the node has more blocks, all of them the miners'.
    fn wait_for_blocks(&mut self, core: &BitcoinCore, blocks: u64) {
        let height = core.height() + blocks;
        until(&format!("height {height}"), LONG_DEADLINE, || {
            for miner in &mut self.miners {
                assert!(miner.is_running(), "{:#?}", miner.stderr());
            }
            (core.height() >= height).then_some(())
        });
        // The chain may have grown in between.
        assert!(core.blocks_paying(&self.address, 0) >= height);
    }
}

/// Checks that a node with `options` answers others while `miners` mine on it and `restarts` of them are killed, that no wait of
/// a dead miner keeps one of its threads, that it takes blocks, and that it can be stopped.
fn node_answers(chain: Chain, options: &[&str], miners: usize, restarts: usize) {
    let Some(mut core) = BitcoinCore::start(chain, options) else { return };
    let bystander = Bystander::start(&core, DEADLINE);
    let mut crowd = Crowd::start(&core, miners);
    crowd.wait_for_work();
    crowd.restart_each(restarts);
    crowd.wait_for_work();
    if chain == Chain::OpenSignet {
        crowd.wait_for_blocks(&core, 5);
    }
    let answers = bystander.end();
    assert!(!answers.times.is_empty() && answers.failures.is_empty(), "{:?}", answers.failures);
    let shown: Value = core.ask("getrpcinfo", json!([]));
    let calls = shown["active_commands"].as_array().expect("a list");
    let longest = calls.iter().map(|call| Duration::from_micros(number(&call["duration"]))).max();
    assert!(longest.is_none_or(|longest| longest < LONGEST_WAIT), "{calls:#?}");
    assert!(core.stop().success());
}

#[test]
fn a_quiet_node_serves_others_beside_32_miners_that_restart() {
    node_answers(Chain::Testnet4, &[], 32, 50);
}

#[test]
fn a_quiet_node_with_four_threads_serves_others_beside_eight_miners() {
    node_answers(Chain::Testnet4, &["-rpcthreads=4", "-rpcworkqueue=16"], 8, 8);
}

#[test]
fn a_quiet_node_with_one_thread_serves_others_beside_a_miner() {
    node_answers(Chain::Testnet4, &["-rpcthreads=1"], 1, 3);
}

#[test]
fn a_node_with_four_threads_takes_the_blocks_of_eight_miners() {
    node_answers(Chain::OpenSignet, &["-rpcthreads=4", "-rpcworkqueue=16"], 8, 8);
}
