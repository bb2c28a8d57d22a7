//! A real Bitcoin Core: bitcoind, which `scripts/peers` builds. `cargo test` never builds it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::DEADLINE;
use crate::json_rpc;
pub use crate::json_rpc::CallError;
use crate::ports::ReservedPorts;
use crate::third_party::{folder, require};

/// A P2WSH address of regtest. Anyone can spend what it gets: its script is OP_TRUE, so the witness is the script alone.
pub const ANYONE: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";

/// A network that has no peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Every second hash solves a block.
    Regtest,
    /// A signet whose blocks need no signature: its challenge is OP_TRUE. A block takes five million hashes.
    OpenSignet,
    /// testnet4. A block takes four billion hashes.
    Testnet4,
}

impl Chain {
    fn options(self) -> &'static [&'static str] {
        match self {
            Chain::Regtest => &["-chain=regtest"],
            Chain::OpenSignet => &["-chain=signet", "-signetchallenge=51"],
            Chain::Testnet4 => &["-chain=testnet4"],
        }
    }

    fn subfolder(self) -> &'static str {
        match self {
            Chain::Regtest => "regtest",
            Chain::OpenSignet => "signet",
            Chain::Testnet4 => "testnet4",
        }
    }
}

/// A bitcoind process with a data folder and ports of its own. It stays on 127.0.0.1 and looks no name up. Dropping it kills
/// the process.
pub struct BitcoinCore {
    child: Option<Child>,
    program: PathBuf,
    chain: Chain,
    options: Vec<String>,
    /// The first port is that of RPC, the second that of peers. The same ports are used after a restart.
    ports: ReservedPorts,
    folder: TempDir,
}

impl Drop for BitcoinCore {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.debug_log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the last lines of bitcoind's log, latest first:\n  {}", tail.join("\n  "));
        }
        self.kill();
    }
}

impl BitcoinCore {
    /// Starts bitcoind on a new chain with more options, and waits until it answers. It takes no connections of peers.
    ///
    /// Prints that the test is skipped and returns `None` if Bitcoin Core is not installed; panics then with
    /// `REQUIRE_PEERS=1`.
    pub fn start(chain: Chain, options: &[&str]) -> Option<Self> {
        Self::start_with(chain, options, false)
    }

    /// Like [`BitcoinCore::start`], but other nodes can connect to [`BitcoinCore::peer_option`].
    pub fn start_listening(chain: Chain, options: &[&str]) -> Option<Self> {
        Self::start_with(chain, options, true)
    }

    fn start_with(chain: Chain, options: &[&str], listening: bool) -> Option<Self> {
        let installed = folder("core").map(|folder| folder.join("bin/bitcoind"));
        let program = require("Bitcoin Core", installed)?;
        let ports = ReservedPorts::take(2);
        let mut all: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        if listening {
            all.extend([format!("-bind=127.0.0.1:{}", ports.first() + 1), "-listenonion=0".into()]);
        } else {
            all.push("-listen=0".into());
        }
        if !options.iter().any(|option| option.starts_with("-connect=")) {
            all.push("-connect=0".into());
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut core = BitcoinCore { child: None, program, chain, options: all, ports, folder };
        core.start_again();
        Some(core)
    }

    /// The option of another node that connects it to this one.
    pub fn peer_option(&self) -> String {
        format!("-connect=127.0.0.1:{}", self.ports.first() + 1)
    }

    /// Starts a node that has ended, with the same data folder and ports, and waits until it answers. Its cookie is new.
    pub fn start_again(&mut self) {
        self.spawn();
        let limit = Instant::now() + DEADLINE;
        while let Err(error) = self.call("getblockcount", json!([])) {
            let ended =
                self.child.as_mut().is_none_or(|child| child.try_wait().expect("our child").is_some());
            let output = || fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
            assert!(!ended, "bitcoind has ended: {}", output());
            assert!(
                Instant::now() < limit,
                "not within {DEADLINE:?}: bitcoind answers: {error:?} {}",
                output()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a node that has ended, and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "bitcoind runs");
        let output = File::create(self.folder.path().join("output")).expect("our folder");
        let errors = output.try_clone().expect("a file");
        let port = self.ports.first();
        let child = Command::new(&self.program)
            .arg(format!("-datadir={}", self.folder.path().display()))
            .args(self.chain.options())
            .args([format!("-rpcport={port}"), "-rpcbind=127.0.0.1".into(), "-rpcallowip=127.0.0.1".into()])
            .args(["-dns=0", "-dnsseed=0", "-fixedseeds=0", "-natpmp=0", "-discover=0"])
            .args(["-printtoconsole=0", "-dbcache=16"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        self.child = Some(child);
    }

    /// Ends the node as `bitcoin-cli stop` does, so that its chain is on disk.
    pub fn stop(&mut self) -> ExitStatus {
        let _: String = self.ask("stop", json!([]));
        let limit = Instant::now() + DEADLINE;
        let mut child = self.child.take().expect("bitcoind runs");
        loop {
            if let Some(status) = child.try_wait().expect("our child") {
                return status;
            }
            if Instant::now() >= limit {
                self.child = Some(child);
                panic!("not within {DEADLINE:?}: bitcoind stops");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the node (SIGKILL). What it has not written to its disk is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The address of the node's RPC.
    pub fn rpc_address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.first()).into()
    }

    /// The URL of the node's RPC, without credentials.
    pub fn url(&self) -> String {
        format!("http://{}", self.rpc_address())
    }

    /// The file with the user and the password of this start.
    pub fn cookie_file(&self) -> PathBuf {
        self.data_folder().join(".cookie")
    }

    /// The chain's part of the data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join(self.chain.subfolder())
    }

    /// The process id of a node that runs.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("bitcoind runs").id()
    }

    /// The node's log so far.
    pub fn debug_log(&self) -> String {
        read(&self.data_folder().join("debug.log"))
    }

    /// `USER:PASSWORD` of this start.
    pub fn credentials(&self) -> String {
        read(&self.cookie_file())
    }

    /// Calls a method.
    ///
    /// # Errors
    /// If the node does not answer within [`DEADLINE`], or answers with an error.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        self.call_within(DEADLINE, method, params)
    }

    /// Like [`BitcoinCore::call`], with another time limit.
    ///
    /// # Errors
    /// Those of [`BitcoinCore::call`].
    pub fn call_within(&self, within: Duration, method: &str, params: Value) -> Result<Value, CallError> {
        json_rpc::call(self.rpc_address(), &self.credentials(), within, method, &params)
    }

    /// Calls a method that must succeed, and parses its result.
    pub fn ask<T: DeserializeOwned>(&self, method: &str, params: Value) -> T {
        let answer = self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"));
        serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{method}: {error} in {answer}"))
    }

    /// Calls a method once for each of `params`, a few hundred at a time. All calls must succeed.
    pub fn ask_each(&self, method: &str, params: &[Value]) -> Vec<Value> {
        let some = params.chunks(250).map(|params| {
            json_rpc::batch(self.rpc_address(), &self.credentials(), DEADLINE, method, params)
                .unwrap_or_else(|error| panic!("{method}: {error:?}"))
        });
        some.flatten().collect()
    }

    /// The height of the chain.
    pub fn height(&self) -> u64 {
        self.ask("getblockcount", json!([]))
    }

    /// The hash of the chain's last block, as Core prints it.
    pub fn best_block(&self) -> String {
        self.ask("getbestblockhash", json!([]))
    }

    /// Lets the node mine on regtest, paying to [`ANYONE`]. Returns the blocks' hashes.
    pub fn generate(&self, blocks: u64) -> Vec<String> {
        self.ask("generatetoaddress", json!([blocks, ANYONE]))
    }

    /// The blocks above a height as `getblock HASH 2` shows them.
    pub fn blocks_above(&self, height: u64) -> Vec<Value> {
        let heights: Vec<Value> = (height + 1..=self.height()).map(|height| json!([height])).collect();
        let hashes = self.ask_each("getblockhash", &heights);
        let shown: Vec<Value> = hashes.into_iter().map(|hash| json!([hash, 2])).collect();
        self.ask_each("getblock", &shown)
    }

    /// How many blocks above a height pay to an address with the first output of their coinbase.
    pub fn blocks_paying(&self, address: &str, height: u64) -> u64 {
        let pays = |block: &&Value| block["tx"][0]["vout"][0]["scriptPubKey"]["address"] == address;
        self.blocks_above(height).iter().filter(pays).count() as u64
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
