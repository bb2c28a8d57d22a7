//! The messages of Mesos' v1 API, generated from the crate's own .proto files.
//!
//! Everything that Mesos 1.11 says to schedulers and executors is here, under Mesos' own names and field
//! numbers; fields that a later Mesos adds are skipped. Enums are kept as `i32`, so that a value added later
//! does not spoil the message it is in; the accessor of the same name (`status.state()`) gives the enum, or
//! its first value where the number is not known.
#![allow(missing_docs, clippy::all, rustdoc::all)] // generated; what there is to say stands in the .proto files

include!(concat!(env!("OUT_DIR"), "/mesos.v1.rs"));

/// Calls and events of `/api/v1/scheduler`.
pub mod scheduler {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.scheduler.rs"));
}

/// Calls and events of `/api/v1/executor`.
pub mod executor {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.executor.rs"));
}
