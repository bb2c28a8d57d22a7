//! The program that is monitored, and its answers.

use hyper::body::Bytes;
use serde_json::Value;
use text::escape_json;

use crate::{Metrics, QueryParameters};

/// A program that is monitored. Answers are computed on request and should be quick: an implementation that waits for other
/// tasks must set a deadline.
pub trait Monitored: Clone + Send + Sync + 'static {
    /// The paths that [`get`](Monitored::get) answers.
    const PATHS: &'static [&'static str] = &[];

    /// The problem, in one sentence; `None` if the program is healthy.
    fn problem(&self) -> impl Future<Output = Option<String>> + Send;

    /// What is wrong although the program does its work, in one line; `None` if nothing is. It is shown while there is no
    /// [`problem`](Monitored::problem).
    fn warning(&self) -> impl Future<Output = Option<String>> + Send {
        async { None }
    }

    /// The figures as JSON.
    fn summary(&self) -> impl Future<Output = Result<JsonText, RequestError>> + Send;

    /// The figures for Prometheus.
    fn metrics(&self) -> impl Future<Output = Result<Metrics, RequestError>> + Send;

    /// The answer to a GET of one of [`PATHS`](Monitored::PATHS).
    fn get(
        &self,
        _path: &str,
        _parameters: &QueryParameters,
    ) -> impl Future<Output = Result<JsonText, RequestError>> + Send {
        async { Err(RequestError::NotFound) }
    }
}

/// JSON text that ends with a line feed. Clones share the text, so that many clients can get the same answer cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Bytes);

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self(escape_json(&format!("{value}\n")).into_owned().into())
    }
}

impl JsonText {
    /// The text.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Parses the text.
    ///
    /// # Errors
    /// Never: the text was serialized from a value.
    pub fn parse(&self) -> serde_json::Result<Value> {
        serde_json::from_slice(&self.0)
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// There is no such path: 404.
    NotFound,
    /// The request is invalid, for this reason: 400.
    BadRequest(String),
    /// The program cannot answer now, for this reason: 503.
    Unavailable(String),
}
