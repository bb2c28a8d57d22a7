//! What a program that runs for months tells of itself over HTTP:
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 if all is well, else 503 and what is wrong |
//! | `/api/v1/summary` | JSON |
//! | `/metrics` | Prometheus' text format, version 0.0.4 |
//!
//! A program may add paths of its own. The server is read-only, knows nothing of what it shows, and has neither TLS nor
//! authentication: listen where only those can connect who may read it.

mod json;
mod metrics;
mod parameters;
mod server;
mod subject;

pub use json::Json;
pub use metrics::{Kind, Metrics};
pub use parameters::Parameters;
pub use server::Server;
pub use subject::{RequestError, Subject};
