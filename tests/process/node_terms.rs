//! A pool on a real Bitcoin Core whose clock or whose access is not what one would wish.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use node::rpc::methods::METHODS;
use serde_json::json;
use testing::bitcoin_core::{ANYONE, BitcoinCore, Chain};

use crate::support::node_pool::{NodePool, node_options};
use crate::support::process::{Process, mesos_miner};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// The user `pool` with the password `secret`.
const USER: &str = "-rpcauth=pool:5a17$186d27da765fc107362bda677e1d4073e77a39eda39dad03a3d18d04364bd015";

/// What logs and health checks say of the clocks.
const CLOCK: &str = "this machine's clock is";

fn end(mut process: Process) -> crate::support::process::Ended {
    process.interrupt(DEADLINE)
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// The node's clock is three hours behind ours. A block with our time would be "time-too-new".
#[test]
fn a_clock_three_hours_ahead_of_the_node_s_costs_no_block() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let set_clock = |time: u64| core.ask::<Option<()>>("setmocktime", json!([time]));
    set_clock(unix_time() - (3 * 60 + 5) * 60);
    core.generate(1);
    let mut pool = NodePool::start(&node_options(&core), &[]);
    let health = pool.health();
    // The node's time is earlier than the chain allows, so its templates do not show it.
    assert!(health.starts_with(&format!("ok\nwarning: {CLOCK} at least 3 h")), "{health}");
    assert!(health.ends_with(&format!(" ahead of that of node {}\n", core.url())), "{health}");
    assert_eq!(pool.summary()["reasons"][0]["code"], "clock-skew");
    let miner = pool.miner(&[]);
    until("blocks", LONG_DEADLINE, || (core.height() >= 10).then_some(()));
    end(miner);

    // The node's clock is set right, and runs. A block of somebody else brings the next template.
    set_clock(0);
    core.generate(1);
    until("the clocks agree", LONG_DEADLINE, || (pool.health() == "ok\n").then_some(()));
    assert_eq!(pool.summary()["rejected_blocks"], 0);
    let ended = pool.end();
    let lines = |text: &str| ended.stderr.iter().filter(|line| line.contains(text)).count();
    assert_eq!((lines(CLOCK), lines("agree again"), lines("REJECTED")), (1, 1, 0), "{ended:#?}");
}

fn mine(core: &BitcoinCore, folder: &std::path::Path) -> Process {
    let password = folder.join("password");
    std::fs::write(&password, "secret\n").expect("a file");
    let (url, password, data) = (core.url(), password.to_string_lossy(), folder.join("data"));
    let access = ["--bitcoind", &url, "--rpc-user", "pool", "--rpc-password-file", &password];
    let line = ["mine", "-t", "1", "--json", "--address", ANYONE, "--data-dir", &data.to_string_lossy()];
    mesos_miner([line.as_slice(), &access].concat())
}

#[test]
fn the_documented_whitelist_is_enough_and_a_missing_method_is_named() {
    let names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
    let start = |names: &[&str]| {
        let whitelist = format!("-rpcwhitelist=pool:{}", names.join(","));
        BitcoinCore::start(Chain::Regtest, &[USER, &whitelist, "-rpcwhitelistdefault=0"])
    };
    let Some(core) = start(&names) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let miner = mine(&core, folder.path());
    until("blocks", LONG_DEADLINE, || (core.height() >= 10).then_some(()));
    let ended = end(miner);
    assert!(Summary::of(&ended).blocks >= 10, "{ended:#?}");
    assert!(!core.debug_log().contains("not allowed to call method"), "{}", core.debug_log());

    let without = |name: &str| names.iter().copied().filter(|other| *other != name).collect::<Vec<_>>();
    for name in ["getblocktemplate", "getblockchaininfo"] {
        let Some(core) = start(&without(name)) else { return };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut miner = mine(&core, folder.path());
        let said = format!("does not allow user pool to call {name}: add it to the node's rpcwhitelist");
        let line = miner.wait_for_error(DEADLINE, |line| line.contains(&said).then(|| line.to_owned()));
        assert!(!line.contains("rpcallowip") && !line.contains("secret"), "{line}");
        // Asking again is in vain. Only the network is asked for at the start; a template may be waited for.
        if name == "getblockchaininfo" {
            let ended = miner.wait(DEADLINE + Duration::from_secs(30));
            assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        }
    }
}
