//! Child processes of the real binary, on a node.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use testing::bitcoin_core::BitcoinCore;

/// A child that is killed when this value is dropped.
pub struct Process {
    child: Child,
    /// The folder that the process works in.
    _folder: tempfile::TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub fn start(core: &BitcoinCore, address: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let child = Command::new(env!("CARGO_BIN_EXE_mesos-miner"))
            .args(arguments)
            .args(["--address", address, "--bitcoind", &core.url(), "--cookie-file"])
            .arg(core.cookie_file())
            .env_remove("RUST_LOG")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was just built");
        Process { child, _folder: folder }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output that begins with `prefix`, and returns the rest of the line.
    pub fn output(&mut self, prefix: &str) -> String {
        let stdout = self.child.stdout.as_mut().expect("piped");
        let line = BufReader::new(stdout).lines().map_while(Result::ok).find(|line| line.starts_with(prefix));
        line.expect("the process says so")[prefix.len()..].to_owned()
    }

    /// Reads standard error to its end in another thread, so that the pipe never fills. Calls `with` with each line.
    pub fn read_errors(&mut self, mut with: impl FnMut(&str) + Send + 'static) {
        let stderr = self.child.stderr.take().expect("taken once");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                with(&line);
            }
        });
    }
}
