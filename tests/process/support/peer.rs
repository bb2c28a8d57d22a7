//! The real peers. A test whose peer is not installed prints that it is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use testing::third_party::folder;
pub use testing::third_party::{require, root};

/// The command that runs a real Mesos. If the sources of mesos-box have changed, it is compiled again, which takes seconds, but
/// it is never downloaded.
pub fn mesos() -> Option<PathBuf> {
    let command = root().join("tests/mesos-box/mesos-box");
    let install = Command::new(&command).args(["install", "--no-download"]).output();
    let installed = install.is_ok_and(|output| output.status.success());
    require("Mesos (tests/mesos-box)", installed.then_some(command))
}

/// The static build that `scripts/static` has made. `scripts/test` makes it anew; otherwise it may be older than the program
/// under test.
pub fn static_build() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_mesos-miner")).ancestors().nth(2)?;
    let program = target.join(format!("{}-unknown-linux-gnu/dist/mesos-miner", std::env::consts::ARCH));
    require("a static build (scripts/static)", program.exists().then_some(program))
}

/// Checks that ZooKeeper is installed, which mesos-box needs for elections.
pub fn zookeeper() -> Option<()> {
    let jar = Path::new("/usr/share/java/zookeeper.jar").exists();
    let java = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("java").exists()));
    require("ZooKeeper (Debian's libzookeeper-java and a Java)", (jar && java).then_some(()))
}

/// A folder for `PYTHONPATH` that contains Python's protobuf and grpc_tools.
pub fn python_protobuf() -> Option<PathBuf> {
    require("grpcio-tools for Python", folder("python"))
}

/// A folder for `NODE_PATH` that contains npm's stratum-client.
pub fn stratum_client() -> Option<PathBuf> {
    let packages = folder("stratum-client").map(|folder| folder.join("node_modules"));
    require("stratum-client for Node.js", packages)
}
