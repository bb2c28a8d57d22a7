//! `mesos-miner pool` on real Bitcoin nodes, and what a data folder's accounts say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testing::bitcoin_core::BitcoinCore;

use super::http::{get_json, get_text};
use super::process::{Ended, Process, mesos_miner};
use super::{DEADLINE, LONG_DEADLINE, until};

/// An address of regtest that only our blocks pay to.
pub const PAYOUT: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// The options that name a node and its cookie.
pub fn node_options(core: &BitcoinCore) -> Vec<String> {
    ["--bitcoind".into(), core.url(), "--cookie-file".into(), core.cookie_file().display().to_string()].into()
}

/// A pool of regtest's blocks, with accounts on disk.
pub struct NodePool {
    pub process: Process,
    pub stratum: String,
    pub http: SocketAddr,
}

impl NodePool {
    /// Starts a pool that pays to [`PAYOUT`].
    pub fn start(node: &[String], more: &[&str]) -> Self {
        Self::start_in(Path::new("data"), node, more)
    }

    /// Starts a pool with this data folder.
    pub fn start_in(data: &Path, node: &[String], more: &[&str]) -> Self {
        let data = data.display().to_string();
        let mut arguments =
            vec!["pool", "--chain", "node", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        arguments.extend(["--address", PAYOUT, "--data-dir", &data]);
        arguments.extend(node.iter().map(String::as_str));
        arguments.extend(more);
        let mut process = mesos_miner(arguments);
        let after = |prefix: &'static str| move |line: &str| line.strip_prefix(prefix).map(str::to_owned);
        let stratum = process.wait_for_output(DEADLINE, after("listening on "));
        let http = process.wait_for_output(DEADLINE, after("HTTP on http://"));
        NodePool { process, stratum, http: http.parse().expect("an address") }
    }

    pub fn summary(&self) -> Value {
        get_json(self.http, "/api/v1/summary").expect("it answers")
    }

    pub fn blocks(&self) -> u64 {
        number(&self.summary()["totals"]["blocks"])
    }

    pub fn health(&self) -> String {
        get_text(self.http, "/healthz").expect("it answers")
    }

    pub fn miner(&self, more: &[&str]) -> Process {
        mesos_miner([&["mine", "-o", &self.stratum, "-u", "rig", "-t", "1", "--json"], more].concat())
    }

    /// Waits until neither the pool's totals nor a node's height changes any more. Returns the number of blocks.
    pub fn at_rest(&self, core: &BitcoinCore) -> u64 {
        let (mut last, mut same) = ((Value::Null, 0), 0);
        until("pool and node are at rest", LONG_DEADLINE, || {
            let now = (self.summary()["totals"].clone(), core.height());
            same = if now == last { same + 1 } else { 0 };
            last = now;
            (same >= 20).then(|| self.blocks())
        })
    }

    /// The pool's data folder.
    pub fn data(&self) -> PathBuf {
        self.process.folder().join("data")
    }

    pub fn end(&mut self) -> Ended {
        self.process.interrupt(DEADLINE)
    }
}

/// What `mesos-miner accounts --json` says about a data folder.
pub fn accounts(data: &Path) -> Value {
    let ended =
        mesos_miner(["accounts".as_ref(), "--json".as_ref(), "--data-dir".as_ref(), data.as_os_str()])
            .wait(DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    serde_json::from_str(&ended.stdout.join("")).expect("JSON")
}

pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}
