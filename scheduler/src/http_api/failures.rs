//! The tasks that failed most recently.

use std::borrow::Cow;

use api::Listing;
use api::list::{Key, KeyOf, Row, Search};
use serde::Serialize;
use utoipa::ToSchema;

use crate::history::TaskFailure;

/// A task that failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct FailureJson<'a> {
    /// The number of the failure in this run of the scheduler.
    number: u64,
    /// How long ago the task failed.
    seconds_ago: u64,
    /// The task's id.
    task: &'a str,
    /// The host name of the task's agent.
    host: &'a str,
    /// The state in which the task ended, or why the scheduler gave up on it.
    text: &'a str,
    /// The end of the executor's standard error, if it was read for this failure.
    stderr: Option<&'a str>,
    /// The address of the executor's sandbox for a browser, if it is known.
    sandbox: Option<&'a str>,
}

impl<'a> From<&'a TaskFailure> for FailureJson<'a> {
    fn from(failure: &'a TaskFailure) -> Self {
        Self {
            number: failure.number,
            seconds_ago: failure.ago.as_secs(),
            task: &failure.task,
            host: &failure.host,
            text: &failure.text,
            stderr: failure.stderr.as_deref(),
            sandbox: failure.sandbox.as_deref(),
        }
    }
}

impl Listing for TaskFailure {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("number", |failure| Key::Number(failure.number as f64)),
        ("task", |failure| failure.task.as_str().into()),
        ("host", |failure| failure.host.as_str().into()),
    ];
}

/// The newest is first.
impl Row for TaskFailure {
    fn id(&self) -> Cow<'_, str> {
        self.number.to_string().into()
    }

    fn is_after(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: u64| self.number < id)
    }

    fn has(&self, search: Search<'_>) -> bool {
        [&self.task, &self.host, &self.text].into_iter().any(|text| search.is_in(text))
    }
}
