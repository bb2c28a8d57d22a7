//! The miner finds a historical block again. A script that shares no code with this project has turned the block into
//! Stratum lines.
//!
//! Our pool and our miner could share an error of byte order that cancels out. Block 100000 of the main chain, with four
//! transactions, reveals such an error. See `tests/fixtures/block-100000/cut.py`.

use serde_json::Value;

use crate::support::process::mesos_miner;
use crate::support::scripted_pool::{Script, ScriptedPool};
use crate::support::{DEADLINE, LONG_DEADLINE};

const LINES: &str = include_str!("../fixtures/block-100000/job.jsonl");

/// The script of the pool, and the expected parameters of `mining.submit` after the user's name.
fn fixture() -> (Script, Vec<Value>) {
    let lines: Vec<&str> = LINES.lines().collect();
    let [subscribed, difficulty, notify, submit] = lines[..] else { panic!("four lines: {LINES}") };
    let parse = |line: &str| -> Value { serde_json::from_str(line).expect("the script writes JSON") };
    let script = Script {
        subscribed: parse(subscribed)["result"].clone(),
        notifications: vec![difficulty.to_owned(), notify.to_owned()],
    };
    (script, parse(submit)["submit"].as_array().expect("a list").clone())
}

#[test]
fn mine_finds_block_100000_again() {
    let (script, expected) = fixture();
    let pool = ScriptedPool::start(script);
    let address = pool.address.to_string();
    let mut miner = mesos_miner(["mine", "-o", &address, "-u", "satoshi", "-p", "x", "-t", "1"]);
    let limit = std::time::Instant::now() + LONG_DEADLINE;
    // At difficulty 1, other shares may come first. The search starts at nonce 0, and the block's nonce is 274,148,111.
    loop {
        let left = limit.saturating_duration_since(std::time::Instant::now());
        let submit = pool.submits.recv_timeout(left).unwrap_or_else(|e| panic!("{e}: {:?}", miner.stderr()));
        assert_eq!(submit[0], "satoshi", "{submit:?}");
        if submit[1..] == expected[..] {
            break;
        }
        let nonce =
            |value: &Value| u32::from_str_radix(value.as_str().unwrap_or(""), 16).expect("a nonce in hex");
        let passed = submit[2] != expected[1] || nonce(&submit[4]) > nonce(&expected[3]);
        assert!(!passed, "{submit:?} came, but not {expected:?}");
    }
    miner.interrupt(DEADLINE);
}
