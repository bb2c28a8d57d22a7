//! `/api/v1/summary`: the figures, and the beginnings of the lists.

use api::Reason;
use problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::control::SteeringJson;
use super::failures::FailureJson;
use super::tasks::TaskJson;
use super::totals::TotalsJson;
use crate::core::{Overview, TaskPage};

/// The summary of a scheduler.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Summary)]
#[serde(untagged)]
pub(crate) enum SummaryJson<'a> {
    /// This scheduler runs the framework.
    Framework(Box<FrameworkJson<'a>>),
    /// It does not.
    Other(OtherJson<'a>),
}

/// The summary of a scheduler that runs the framework.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FrameworkSummary)]
pub(crate) struct FrameworkJson<'a> {
    /// Whether this scheduler runs the framework: true.
    leads: bool,
    #[serde(flatten)]
    totals: TotalsJson<'a>,
    /// What operators have said that holds now.
    steering: SteeringJson,
    /// The first 100 tasks that have not ended.
    tasks: Vec<TaskJson<'a>>,
    /// What to give as `after` to `/api/v1/tasks` for the next tasks; null if there are no more.
    tasks_next: Option<&'a str>,
    /// What is wrong, the first problem to care for first.
    reasons: Vec<Reason>,
    /// The texts of the reasons.
    remarks: Vec<&'a str>,
    /// How many further problems there are.
    remarks_more: u64,
    /// The last ten tasks that failed.
    failures: Vec<FailureJson<'a>>,
}

/// The summary of a scheduler that does not run the framework: another one leads, or it cannot go on yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OtherSummary)]
#[serde(deny_unknown_fields)]
pub(crate) struct OtherJson<'a> {
    /// Whether no other scheduler leads.
    leads: bool,
    /// What is wrong.
    reasons: Vec<Reason>,
    /// The texts of the reasons.
    remarks: Vec<&'a str>,
}

impl<'a> SummaryJson<'a> {
    /// The summary of a scheduler that runs the framework.
    pub fn framework(overview: &'a Overview, page: &'a TaskPage) -> Self {
        let problems = &overview.problems;
        SummaryJson::Framework(Box::new(FrameworkJson {
            leads: true,
            totals: overview.into(),
            steering: (&overview.steering).into(),
            tasks: page.tasks.iter().map(TaskJson::from).collect(),
            tasks_next: page.next.as_deref(),
            reasons: problems.first.iter().map(Reason::from).collect(),
            remarks: problems.texts().collect(),
            remarks_more: problems.more,
            failures: overview.failures.iter().map(FailureJson::from).collect(),
        }))
    }

    /// The summary of a scheduler that does not run the framework.
    pub fn other(leads: bool, problems: &'a [Problem]) -> Self {
        SummaryJson::Other(OtherJson {
            leads,
            reasons: problems.iter().map(Reason::from).collect(),
            remarks: problems.iter().map(|problem| &*problem.text).collect(),
        })
    }
}
