//! The real peers: installed by `scripts/test` where `REQUIRE_PEERS=1`, never by `cargo test`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a missing peer is a failure.
fn required() -> bool {
    std::env::var("REQUIRE_PEERS").is_ok_and(|v| v == "1")
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The real Mesos' command, or `None`, said aloud, where it isn't installed.
pub fn mesos() -> Option<PathBuf> {
    let command = root().join("tests/mesos-box/mesos-box");
    let installed = Command::new(&command).arg("path").output().ok().filter(|o| o.status.success());
    let folder = installed.map(|o| PathBuf::from(String::from_utf8_lossy(&o.stdout).trim()));
    let there = folder.is_some_and(|folder| folder.join("stamp").exists());
    require("Mesos (tests/mesos-box)", there.then_some(command))
}

/// What mesos-box needs for elections, or `None`, said aloud, where it isn't installed.
pub fn zookeeper() -> Option<()> {
    let jar = Path::new("/usr/share/java/zookeeper.jar").exists();
    let java = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|p| p.join("java").exists()));
    require("ZooKeeper (Debian's libzookeeper-java and a Java)", (jar && java).then_some(()))
}

/// A folder with Python's protobuf and grpc_tools, to be put on `PYTHONPATH`, or `None`, said aloud.
pub fn python_protobuf() -> Option<PathBuf> {
    let folder = cache().map(|cache| cache.join("python")).filter(|f| f.join("grpc_tools").is_dir());
    require("grpcio-tools for Python", folder)
}

/// The packages of npm's stratum-client, to be put on `NODE_PATH`, or `None`, said aloud.
pub fn stratum_client() -> Option<PathBuf> {
    let folder = cache().map(|cache| cache.join("stratum-client")).filter(|f| f.join("installed").exists());
    require("stratum-client for Node.js", folder.map(|folder| folder.join("node_modules")))
}

/// Where `scripts/peers` installs.
fn cache() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache"))
    });
    cache.map(|cache| cache.join("mesos-miner"))
}

/// The one place that decides between a skipped test and a failed one.
pub fn require<T>(name: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        assert!(!required(), "REQUIRE_PEERS=1, but {name} is not installed; scripts/test installs it");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Not eprintln!, which the harness keeps from view in tests that pass.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: {name} is not installed");
    }
    found
}
