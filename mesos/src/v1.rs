//! The messages of Mesos' v1 API, generated from the crate's own .proto files.
//!
//! These are all messages that Mesos 1.11 exchanges with schedulers and executors, and a part of those of the master's operator API,
//! with Mesos' names and field numbers. Fields
//! that later versions of Mesos have added are skipped. Enums are `i32`, so that an unknown value does not make its message
//! unreadable. The accessor of the same name (`status.state()`) returns the enum, or its first value if the number is unknown.
#![allow(missing_docs, clippy::all, rustdoc::all)] // generated; the .proto files have the documentation

include!(concat!(env!("OUT_DIR"), "/mesos.v1.rs"));

/// Calls and events of `/api/v1/scheduler`.
pub mod scheduler {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.scheduler.rs"));
}

/// Calls and events of `/api/v1/executor`.
pub mod executor {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.executor.rs"));
}

/// Calls and answers of the master's operator API, `/api/v1`.
pub mod master {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.master.rs"));
}

/// Quotas of roles.
pub mod quota {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.quota.rs"));
}
