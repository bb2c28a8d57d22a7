//! Runs a real Bitcoin node: bcoin. `scripts/peers` installs it where `REQUIRE_PEERS=1`; `cargo test` never does.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::{NodeCredentials, RpcClient, RpcLimits};
use serde_json::json;

/// Time limit for everything that a test waits for.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A bcoin process with a new regtest chain in memory. Dropping it kills the process.
pub struct Bcoin {
    child: Child,
    program: PathBuf,
    port: u16,
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

    /// Starts bcoin and waits until it answers. `None`, with a message, if it is not installed.
    pub async fn start() -> Option<Bcoin> {
        let program = require("bcoin", installed())?;
        // Another program may take the port first.
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let child = spawn(&program, port, folder.path());
            let mut bcoin = Bcoin { child, program: program.clone(), port, folder };
            if bcoin.answers().await {
                return Some(bcoin);
            }
        }
        panic!("bcoin does not start");
    }

    /// A client with this password.
    pub fn client_as(&self, password: &str) -> RpcClient {
        let credentials = NodeCredentials::Basic { user: "x".into(), password: password.into() };
        let url = format!("http://127.0.0.1:{}", self.port).parse().unwrap();
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
        self.child = spawn(&self.program, self.port, self.folder.path());
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
        // Its native parts are not compiled.
        .env("NODE_BACKEND", "js")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// bcoin's program, where `scripts/peers` puts it.
fn installed() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache"))
    });
    let folder = cache?.join("mesos-miner/bcoin");
    folder.join("installed").exists().then(|| folder.join("node_modules/bcoin/bin/node"))
}

/// Decides between a skipped test and a failed one.
fn require<T>(name: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        let required = std::env::var("REQUIRE_PEERS").is_ok_and(|v| v == "1");
        assert!(!required, "REQUIRE_PEERS=1, but {name} is not installed; scripts/test installs it");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // The harness hides what eprintln! prints in tests that pass.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: {name} is not installed");
    }
    found
}
