//! Monitoring of a program over HTTP:
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 if the program is healthy, perhaps with a warning, else 503 with the problem |
//! | `/api/v1/summary` | JSON |
//! | `/metrics` | Prometheus' text format, version 0.0.4 |
//!
//! A program may add further paths. The server is read-only and has neither TLS nor authentication, so it should listen on an
//! address that only trusted clients reach.

mod metrics;
mod monitored;
mod query;
mod server;

pub use metrics::Metrics;
pub use monitored::{JsonText, Monitored, RequestError};
pub use query::QueryParameters;
pub use server::Server;
