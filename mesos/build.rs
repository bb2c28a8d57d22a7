//! Compiles the .proto files without protoc.

use std::error::Error;

/// The roots; what they import comes with them. An operator API would be one more line here.
const ROOTS: [&str; 2] = ["mesos/v1/scheduler/scheduler.proto", "mesos/v1/executor/executor.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(ROOTS, ["proto"])?;
    prost_build::Config::new()
        // Mesos compares executor descriptions field by field, so the same description must always give the
        // same bytes: no hash maps.
        .btree_map(["."])
        .type_attribute(".mesos.v1.FrameworkID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.OfferID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.AgentID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.TaskID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.ExecutorID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.OperationID", "#[derive(PartialOrd, Ord)]")
        .compile_fds(descriptors)?;
    Ok(())
}
