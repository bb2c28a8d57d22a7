//! The program whose API it is.

use std::fmt;
use std::sync::Arc;

use ::series::SeriesHandle;
use futures_util::future::{BoxFuture, FutureExt};

use crate::{Metrics, RequestError, Resources};

/// A program with an API. Answers are computed on request and should be quick: an implementation that waits for other tasks
/// must set a deadline.
pub trait Program: Clone + Send + Sync + 'static {
    /// The problem, in one sentence; `None` if the program is healthy.
    fn problem(&self) -> impl Future<Output = Option<String>> + Send;

    /// What is wrong although the program does its work, in one line; `None` if nothing is. It is shown while there is no
    /// [`problem`](Program::problem).
    fn warning(&self) -> impl Future<Output = Option<String>> + Send {
        async { None }
    }

    /// What the program waits for before it can do its work, in one line; `None` if it is ready.
    fn not_ready(&self) -> impl Future<Output = Option<String>> + Send;

    /// The figures for Prometheus.
    fn metrics(&self) -> impl Future<Output = Result<Metrics, RequestError>> + Send;

    /// The figures over time, if the program records them.
    fn series(&self) -> Option<SeriesHandle> {
        None
    }

    /// The program's own resources, below `/api/v1/`, with their description.
    fn resources(&self) -> Resources;
}

/// A [`Program`] of any type, for handlers that are compiled once.
pub(crate) type AnyProgram = Arc<dyn DynProgram>;

/// A program's figures, for those who take them without HTTP.
#[derive(Clone)]
pub struct MetricsSource(AnyProgram);

impl MetricsSource {
    /// The figures of a program.
    pub fn new<P: Program>(program: &P) -> Self {
        crate::metrics::started();
        MetricsSource(Arc::new(program.clone()))
    }

    /// The present figures; `None` if the program has none now.
    pub async fn metrics(&self) -> Option<Metrics> {
        self.0.metrics().await.ok()
    }
}

impl fmt::Debug for MetricsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsSource")
    }
}

/// The methods of [`Program`] that handlers need.
pub(crate) trait DynProgram: Send + Sync {
    fn problem(&self) -> BoxFuture<'_, Option<String>>;
    fn warning(&self) -> BoxFuture<'_, Option<String>>;
    fn not_ready(&self) -> BoxFuture<'_, Option<String>>;
    fn metrics(&self) -> BoxFuture<'_, Result<Metrics, RequestError>>;
}

impl<P: Program> DynProgram for P {
    fn problem(&self) -> BoxFuture<'_, Option<String>> {
        Program::problem(self).boxed()
    }

    fn warning(&self) -> BoxFuture<'_, Option<String>> {
        Program::warning(self).boxed()
    }

    fn not_ready(&self) -> BoxFuture<'_, Option<String>> {
        Program::not_ready(self).boxed()
    }

    fn metrics(&self) -> BoxFuture<'_, Result<Metrics, RequestError>> {
        Program::metrics(self).boxed()
    }
}
