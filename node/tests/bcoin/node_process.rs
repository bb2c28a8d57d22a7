//! Runs a real Bitcoin node: bcoin. `scripts/peers` installs bcoin if `REQUIRE_PEERS=1`; `cargo test` never installs
//! anything.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::{Credentials, RpcClient, RpcLimits};
use serde_json::json;
use testing::ports::ReservedPorts;
use testing::third_party::{folder, require};

/// Time limit for everything that a test waits for.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A bcoin process with a new regtest chain in memory. Dropping it kills the process.
pub struct Bcoin {
    child: Child,
    program: PathBuf,
    port: ReservedPorts,
    folder: tempfile::TempDir,
}

impl Drop for Bcoin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bcoin {
    pub const PASSWORD: &str = "s3cret-k3y-of-a-node";

    /// Starts bcoin and waits until it answers. Prints a message and returns `None` if bcoin is not installed.
    pub async fn start() -> Option<Self> {
        let installed = folder("bcoin").map(|folder| folder.join("node_modules/bcoin/bin/node"));
        let program = require("bcoin", installed)?;
        let (folder, port) = (tempfile::tempdir().unwrap(), ReservedPorts::take(1));
        let child = spawn(&program, port.first(), folder.path());
        let mut bcoin = Bcoin { child, program, port, folder };
        assert!(bcoin.answers().await, "bcoin does not start");
        Some(bcoin)
    }

    /// A client with this password.
    pub fn client_as(&self, password: &str) -> RpcClient {
        let credentials = Credentials::Basic { user: "x".into(), password: password.into() };
        let url = format!("http://127.0.0.1:{}", self.port.first()).parse().unwrap();
        RpcClient::new(url, credentials, RpcLimits::default()).unwrap()
    }

    pub fn client(&self) -> RpcClient {
        self.client_as(Self::PASSWORD)
    }

    /// Kills the process; the chain is lost.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts bcoin again at the same address.
    pub async fn start_again(&mut self) {
        self.child = spawn(&self.program, self.port.first(), self.folder.path());
        assert!(self.answers().await, "bcoin does not start again");
    }

    async fn answers(&mut self) -> bool {
        let client = self.client();
        let start = Instant::now();
        while start.elapsed() < DEADLINE && self.child.try_wait().unwrap().is_none() {
            if client.call::<u32>("getblockcount", json!([])).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

fn spawn(program: &Path, port: u16, folder: &Path) -> Child {
    Command::new("node")
        .arg(program)
        .args([
            "--network",
            "regtest",
            "--memory",
            "--no-wallet",
            "--listen",
            "false",
            "--log-level",
            "error",
        ])
        .args(["--api-key", Bcoin::PASSWORD, "--http-port", &port.to_string(), "--prefix"])
        .arg(folder)
        // bcoin is installed without its native parts, so it must use its JavaScript ones.
        .env("NODE_BACKEND", "js")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
