//! Apache Mesos v1 scheduler and executor HTTP API for any framework.

pub mod v1;
