//! What a program tells of itself.

use crate::{Json, Metrics, Parameters};

/// Answers the requests. Each answer is made when it is asked for, so it must come soon: a subject that has to ask
/// others sets itself a deadline.
pub trait Subject: Clone + Send + Sync + 'static {
    /// The paths that [`get`](Subject::get) answers.
    const PATHS: &'static [&'static str] = &[];

    /// What is wrong, in one sentence; `None` if all is well.
    fn trouble(&self) -> impl Future<Output = Option<String>> + Send;

    /// The figures as JSON.
    fn summary(&self) -> impl Future<Output = Result<Json, RequestError>> + Send;

    /// The figures for Prometheus.
    fn metrics(&self) -> impl Future<Output = Result<Metrics, RequestError>> + Send;

    /// The answer, as JSON, to a GET of one of [`PATHS`](Subject::PATHS).
    fn get(
        &self,
        _path: &str,
        _parameters: &Parameters,
    ) -> impl Future<Output = Result<Json, RequestError>> + Send {
        async { Err(RequestError::NotFound) }
    }
}

/// Why a request gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// There is no such path: 404.
    NotFound,
    /// The request is wrong: 400, and what is wrong with it.
    BadRequest(String),
    /// There is no answer at present: 503, and why.
    Unavailable(String),
}
