//! Apache Mesos v1 scheduler and executor HTTP API for any framework.

pub mod backoff;
pub mod duration;
pub mod recordio;
pub mod v1;
