//! Messages of the operator API, generated from this crate's .proto files.
#![allow(missing_docs, clippy::all, rustdoc::all)] // generated; what there is to say stands in the .proto files

/// `mesos.v1.master`
pub mod master {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.master.rs"));
}

/// `mesos.v1.agent`
pub mod agent {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.agent.rs"));
}
