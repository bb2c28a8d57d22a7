//! What is wrong with the pool, the first in rank first.

use std::borrow::Cow;

use api::list::{self, Key, KeyOf, Row, Search};
use api::{JsonText, Listing, Page, PageQuery, RequestError};
use axum::extract::State;
use problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::handle::PoolHandle;

/// A problem.
#[derive(Serialize, ToSchema)]
pub struct Reason {
    /// The place of its kind in the catalogue of problems: the lower, the sooner a user should know.
    rank: usize,
    /// The name of its kind.
    code: &'static str,
    /// What is wrong.
    text: String,
    /// What to do about it.
    remedy: &'static str,
}

/// A problem, and its place in the list.
#[derive(Clone, Debug)]
pub struct PlacedProblem {
    place: usize,
    problem: Problem,
}

impl Listing for PlacedProblem {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("rank", |row| Key::Number(row.problem.kind.rank() as f64)),
        ("code", |row| row.problem.kind.code().into()),
    ];
}

impl Row for PlacedProblem {
    fn id(&self) -> Cow<'_, str> {
        self.place.to_string().into()
    }

    fn is_after(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: usize| self.place > id)
    }

    fn has(&self, search: Search<'_>) -> bool {
        search.is_in(self.problem.kind.code()) || search.is_in(&self.problem.text)
    }
}

/// What is wrong at present, the first in rank first unless asked otherwise.
#[utoipa::path(
    get,
    path = "/api/v1/reasons",
    tag = "pool",
    params(PageQuery<PlacedProblem>),
    responses((status = 200, description = "A page of the problems.", body = Page<Reason>), RequestError)
)]
pub async fn reasons(
    State(pool): State<PoolHandle>,
    query: PageQuery<PlacedProblem>,
) -> Result<JsonText, RequestError> {
    let problems = pool.problems().into_iter().enumerate();
    let rows: Vec<_> = problems.map(|(place, problem)| PlacedProblem { place, problem }).collect();
    let page = list::page(rows.iter(), &query)?.into_page(|row| Reason::from(&row.problem));
    Ok(JsonText::new(&page))
}

impl From<&Problem> for Reason {
    fn from(Problem { kind, text }: &Problem) -> Self {
        Reason { rank: kind.rank(), code: kind.code(), text: text.clone(), remedy: kind.remedy() }
    }
}
