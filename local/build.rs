//! Compiles the operator API's messages, and the descriptors of all messages for JSON.

use prost::Message;
use std::error::Error;
use std::path::PathBuf;

/// Ours, then those of the crate `mesos`, whose types are used as they are.
const ROOTS: [&str; 4] = [
    "mesos/v1/master/master.proto",
    "mesos/v1/agent/agent.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
];

/// The common messages that the operator API uses; they are the crate `mesos`' own types.
const COMMON: [&str; 18] = [
    "AgentID",
    "AgentInfo",
    "ContainerID",
    "ContainerInfo",
    "ContainerStatus",
    "DiscoveryInfo",
    "DurationInfo",
    "ExecutorID",
    "ExecutorInfo",
    "FrameworkID",
    "FrameworkInfo",
    "Labels",
    "MasterInfo",
    "Offer",
    "Resource",
    "TaskID",
    "TaskStatus",
    "TimeInfo",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folders = ["proto", "../mesos/proto"];
    for folder in folders {
        println!("cargo:rerun-if-changed={folder}");
    }
    let descriptors = protox::compile(ROOTS, folders)?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    for name in COMMON {
        let rust = name.strip_suffix("ID").map_or_else(|| name.to_owned(), |stem| format!("{stem}Id"));
        config.extern_path(format!(".mesos.v1.{name}"), format!("::mesos::v1::{rust}"));
    }
    config.extern_path(".mesos.v1.TaskState", "::mesos::v1::TaskState");
    // Writes mesos.v1.rs, too, which nobody includes: those types are the crate `mesos`'.
    config.compile_fds(descriptors)?;
    Ok(())
}
