//! The real peers. A test whose peer is not installed prints that it is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testing::third_party::{folder, usable};
pub use testing::third_party::{require, root};

/// The command that runs a real Mesos. If the sources of mesos-box have changed, it is compiled again, which takes seconds, but
/// it is never downloaded.
pub fn mesos() -> Option<PathBuf> {
    let command = root().join("tests/mesos-box/mesos-box");
    let install = Command::new(&command).args(["install", "--no-download"]).output();
    let installed = install.is_ok_and(|output| output.status.success());
    require("Mesos (tests/mesos-box)", installed.then_some(command))
}

/// The static build of the current sources, which `scripts/static` makes.
pub fn static_build() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_mesos-miner")).ancestors().nth(2)?;
    let program = target.join(format!("{}-unknown-linux-gnu/dist/mesos-miner", std::env::consts::ARCH));
    let current = is_current(&program).map(|()| program);
    usable(current.map_err(|why| format!("{why}: build what agents fetch with scripts/static")))
}

/// Checks that a program is not older than the sources that cargo lists beside it (`mesos-miner.d`).
fn is_current(program: &Path) -> Result<(), String> {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let built = changed(program).map_err(|_| "there is no static build".to_owned())?;
    let listed = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    // `PROGRAM: SOURCE SOURCE`, where a space in a path is written as a backslash and a space.
    let listed = listed.replace("\\ ", "\0");
    let listed = listed.split_whitespace().skip(1).map(|path| PathBuf::from(path.replace('\0', " ")));
    let (main, listed) = (root().join("src/main.rs").canonicalize(), listed.collect::<Vec<_>>());
    if !main.is_ok_and(|main| listed.contains(&main)) {
        return Err("the static build is of another checkout".to_owned());
    }
    let more = ["Cargo.toml", "Cargo.lock", "scripts/static"].map(|file| root().join(file));
    match listed.iter().chain(&more).find(|path| changed(path).map_or(true, |time| time > built)) {
        Some(newer) => Err(format!("the static build is older than {}", newer.display())),
        None => Ok(()),
    }
}

/// The script that runs a program in a restricted environment. Its options: an empty file system, only the system calls of Linux
/// 3.10, a network namespace.
pub fn bare_machine() -> Option<PathBuf> {
    let command = root().join("tests/bare-machine");
    let check = Command::new(&command).arg("--check").output();
    let answer = check.map_err(|error| error.to_string()).and_then(|output| match output.status.success() {
        true => Ok(command.clone()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    });
    usable(answer.map_err(|why| format!("{} --check: {why}", command.display())))
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
