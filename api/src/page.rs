//! Lists, which are answered page by page.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use hyper::http::request::Parts;
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Required, Schema};
use utoipa::{IntoParams, ToSchema};

use crate::query::bad;
use crate::{Json, QueryParameters, RequestError};

/// The most items of a page.
const MAX_LIMIT: usize = 1000;
/// The number of items of a page without `limit`.
const DEFAULT_LIMIT: usize = 100;
/// The longest value of a parameter, in characters. Mesos limits ids to 255 bytes, because it uses them as file names.
const LONGEST_VALUE: usize = 255;
/// The longest `after`, in characters: a list's `next` may have the sort key of an item beside its id.
const LONGEST_AFTER: usize = 1024;

/// What a list can be sorted and filtered by.
pub trait Listing: 'static {
    /// What items can be sorted by.
    type Key: Copy + Send + Sync + 'static;
    /// The names of the keys in the parameter `sort`.
    const KEYS: &'static [(&'static str, Self::Key)];
    /// Further parameters of the list, and what each is for.
    const FILTERS: &'static [(&'static str, &'static str)] = &[];
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort<K> {
    /// What items are sorted by.
    pub key: K,
    /// Whether the greatest come first.
    pub descending: bool,
}

/// The page of a list that a client wants. As an extractor, it refuses parameters that the list does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageQuery<L: Listing> {
    /// The maximum number of items, from 1 to 1000.
    pub limit: usize,
    /// The page begins after this item: the `next` of the page before.
    pub after: Option<String>,
    /// The order; `None` for the list's own.
    pub sort: Option<Sort<L::Key>>,
    /// Only items that contain this text.
    pub search: Option<String>,
    pub(crate) filters: QueryParameters,
}

impl<L: Listing> PageQuery<L> {
    /// The value of one of the list's [`FILTERS`](Listing::FILTERS).
    pub fn filter(&self, name: &str) -> Option<&str> {
        self.filters.get(name)
    }

    /// Reads the parameters.
    ///
    /// # Errors
    /// With the parameter that is unknown or has a bad value.
    pub fn read(parameters: QueryParameters) -> Result<Self, RequestError> {
        let mut names = vec!["limit", "after", "search"];
        if !L::KEYS.is_empty() {
            names.push("sort");
        }
        names.extend(L::FILTERS.iter().map(|(name, _)| name));
        parameters.allow(&names)?;
        for name in &names {
            check_length(name, &parameters)?;
        }
        let after = parameters.get("after").map(str::to_owned);
        if after.as_deref() == Some("") {
            return Err(bad("after=\"\": give the \"next\" of the page before, or leave it out".to_owned()));
        }
        Ok(Self {
            limit: parameters.number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT)?,
            after,
            sort: parameters.get("sort").map(sort_by::<L>).transpose()?,
            search: parameters.get("search").filter(|text| !text.is_empty()).map(str::to_owned),
            filters: parameters,
        })
    }
}

fn check_length(name: &str, parameters: &QueryParameters) -> Result<(), RequestError> {
    let most = if name == "after" { LONGEST_AFTER } else { LONGEST_VALUE };
    match parameters.get(name) {
        Some(value) if value.chars().count() > most => {
            Err(bad(format!("{name} is too long: give at most {most} characters")))
        }
        _ => Ok(()),
    }
}

fn sort_by<L: Listing>(text: &str) -> Result<Sort<L::Key>, RequestError> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    match L::KEYS.iter().find(|(known, _)| *known == name) {
        Some((_, key)) => Ok(Sort { key: *key, descending }),
        None => {
            let keys: Vec<_> = L::KEYS.iter().map(|(name, _)| *name).collect();
            let keys = keys.join(", ");
            Err(bad(format!("sort={text:?}: give one of {keys}, with - before it for the greatest first")))
        }
    }
}

impl<L: Listing, S: Send + Sync> FromRequestParts<S> for PageQuery<L> {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RequestError> {
        Self::read(QueryParameters::from_request_parts(parts, state).await?)
    }
}

impl<L: Listing> IntoParams for PageQuery<L> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Integer))
            .minimum(Some(1))
            .maximum(Some(MAX_LIMIT))
            .default(Some(DEFAULT_LIMIT.into()));
        let after = string(LONGEST_AFTER).min_length(Some(1));
        let mut parameters = vec![
            parameter("limit", "The maximum number of items.", limit),
            parameter("after", "The page begins after this item: the `next` of the page before.", after),
            parameter("search", "Only items that contain this text.", string(LONGEST_VALUE)),
        ];
        if !L::KEYS.is_empty() {
            let values = L::KEYS.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("-{name}")]);
            let sort =
                ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(values));
            parameters.push(parameter("sort", "The order, with `-` before it for the greatest first.", sort));
        }
        parameters.extend(L::FILTERS.iter().map(|(name, what)| parameter(name, what, string(LONGEST_VALUE))));
        parameters
    }
}

fn string(longest: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).max_length(Some(longest))
}

fn parameter(name: &str, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(Schema::Object(schema.build())))
        .build()
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to give as `after` for the next page; `null` if this is the last one.
    pub next: Option<String>,
    /// The number of items on all pages.
    pub total: usize,
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Animals;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum By {
        Name,
        Weight,
    }

    impl Listing for Animals {
        type Key = By;
        const KEYS: &'static [(&'static str, By)] = &[("name", By::Name), ("weight", By::Weight)];
        const FILTERS: &'static [(&'static str, &'static str)] = &[("colour", "Only of this colour.")];
    }

    fn read(query: &str) -> Result<PageQuery<Animals>, RequestError> {
        PageQuery::read(QueryParameters::parse(query)?)
    }

    #[test]
    fn a_page_is_chosen_by_parameters() {
        let page = read("").unwrap();
        assert_eq!((page.limit, &page.after, page.sort, &page.search), (100, &None, None, &None));
        let page = read("limit=1000&after=a%2Fb&sort=-weight&search=cat&colour=red").unwrap();
        assert_eq!((page.limit, page.after.as_deref()), (1000, Some("a/b")));
        assert_eq!(page.sort, Some(Sort { key: By::Weight, descending: true }));
        assert_eq!((page.search.as_deref(), page.filter("colour")), (Some("cat"), Some("red")));
        assert_eq!(read("sort=name").unwrap().sort, Some(Sort { key: By::Name, descending: false }));
    }

    #[test]
    fn errors_name_the_parameter_and_what_is_allowed() {
        let long = format!("search={}", "x".repeat(256));
        let long_after = format!("after={}", "x".repeat(1025));
        for (query, expected) in [
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("after=", "\"next\" of the page before"),
            ("sort=size", "give one of name, weight"),
            ("sort=--name", "give one of name, weight"),
            ("order=name", "unknown parameter \"order\""),
            ("limit=1&limit=1", "more than once"),
            (&long, "search is too long: give at most 255 characters"),
            (&long_after, "after is too long: give at most 1024 characters"),
        ] {
            match read(query) {
                Err(RequestError::BadRequest(text)) => assert!(text.contains(expected), "{query}: {text}"),
                other => panic!("{query}: {other:?}"),
            }
        }
        assert!(read(&format!("search={}", "%C3%A4".repeat(255))).is_ok(), "characters are counted");
        assert!(read(&format!("after={}", "x".repeat(1024))).is_ok());
    }
}
