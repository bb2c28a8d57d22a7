//! What a program that runs for months shows of itself, over HTTP:
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 if all is well, else 503 and what is wrong |
//! | `/api/v1/summary` | JSON |
//! | `/metrics` | Prometheus' text format, version 0.0.4 |
//!
//! It is read-only, knows nothing of what it shows, and has neither TLS nor authentication: listen where only those can
//! connect who may read it.

mod metrics;
mod server;

pub use metrics::{Kind, Metrics};
pub use server::Server;

/// What is shown: each answer is made when it is asked for, so these must be quick.
pub trait Subject: Clone + Send + Sync + 'static {
    /// What is wrong, in one sentence; `None` if all is well.
    fn trouble(&self) -> Option<String>;

    /// All there is to tell.
    fn summary(&self) -> serde_json::Value;

    /// The figures.
    fn metrics(&self, metrics: &mut Metrics);
}
