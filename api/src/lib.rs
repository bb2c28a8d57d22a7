//! The HTTP API that all programs have:
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 if the program is healthy, perhaps with a warning, else 503 with the problem |
//! | `/readyz` | 200 if the program can do its work, else 503 with what it waits for |
//! | `/metrics` | Prometheus' text format, version 0.0.4, or OpenMetrics for those who accept it |
//! | `/api/v1/events` | the log as server-sent events |
//! | `/api/v1/series` | figures over time, if the program records them |
//! | `/api/v1/openapi.json` | what there is, as OpenAPI 3.1 |
//! | `/api/v1/…` | the program's own resources, as JSON |
//!
//! Errors are problem details as RFC 9457 describes them (`application/problem+json`), also for paths and methods that there
//! are not.

mod common;
mod description;
mod error;
mod events;
mod json;
mod link;
pub mod list;
mod metrics;
mod page;
mod program;
mod query;
mod reasons;
mod resources;
mod router;
mod series;
mod server;
mod token;

pub use description::describe;
pub use error::RequestError;
pub use json::{Json, JsonText, off_runtime};
pub use metrics::{Histogram, Metrics};
pub use page::{Listing, Page, PageQuery, Sort};
pub use program::{MetricsSource, Program};
pub use query::QueryParameters;
pub use reasons::{PlacedProblem, Reason, reasons};
pub use resources::{Operation, Resources};
pub use server::{Options, Server};
pub use token::{Caller, TokenError, Tokens};
