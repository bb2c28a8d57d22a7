//! Writes the descriptors of the scheduler's and the executor's messages, which the JSON encoding needs.

use prost::Message;
use std::error::Error;
use std::path::PathBuf;

const ROOTS: [&str; 2] = ["mesos/v1/scheduler/scheduler.proto", "mesos/v1/executor/executor.proto"];
const PROTOS: &str = "../mesos/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTOS}");
    let descriptors = protox::compile(ROOTS, [PROTOS])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    Ok(std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?)
}
