//! What is wrong, the first in rank first: a list that several programs have.

use std::borrow::Cow;

use problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::list::{self, Key, KeyOf, Row, Search};
use crate::{JsonText, Listing, PageQuery, RequestError};

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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

/// A page of these problems, which come in the order of their ranks. There may be `more` than those that are listed.
///
/// # Errors
/// If `after` does not belong to the order that is asked for.
pub fn reasons(
    problems: &[Problem],
    more: usize,
    query: &PageQuery<PlacedProblem>,
) -> Result<JsonText, RequestError> {
    let placed = |(place, problem): (usize, &Problem)| PlacedProblem { place, problem: problem.clone() };
    let rows: Vec<_> = problems.iter().enumerate().map(placed).collect();
    let mut page = list::page(rows.iter(), query)?.into_page(|row| Reason::from(&row.problem));
    // A search finds only what is listed.
    page.total += if query.search.is_none() { more } else { 0 };
    Ok(JsonText::new(&page))
}

impl From<&Problem> for Reason {
    fn from(Problem { kind, text }: &Problem) -> Self {
        Reason { rank: kind.rank(), code: kind.code(), text: text.clone(), remedy: kind.remedy() }
    }
}

#[cfg(test)]
mod tests {
    use problem::ProblemKind;
    use serde_json::json;

    use super::*;
    use crate::QueryParameters;

    #[test]
    fn problems_are_searched_and_the_total_has_those_that_are_not_listed() {
        let problems =
            [ProblemKind::StateFolderFull, ProblemKind::AgentTooSmall].map(|kind| Problem::new(kind, "Help"));
        let ask = |query: &str| {
            let query = PageQuery::read(QueryParameters::parse(query).unwrap()).unwrap();
            reasons(&problems, 5, &query).unwrap().parse().unwrap()
        };
        let first = ask("limit=1");
        assert_eq!((&first["items"][0]["code"], &first["total"]), (&json!("state-folder-full"), &json!(7)));
        let second = ask("limit=1&after=0");
        assert_eq!((&second["items"][0]["code"], &second["next"]), (&json!("agent-too-small"), &json!(null)));
        let found = ask("search=TOO-small");
        assert_eq!((&found["items"][0]["text"], &found["total"]), (&json!("Help"), &json!(1)));
        assert_eq!(ask("sort=-rank")["items"][0]["code"], "agent-too-small");
    }
}
