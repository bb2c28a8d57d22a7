//! The query of a request, such as `after=miner-worker-7&limit=100`.

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;
use net::percent_decode;

use crate::RequestError;

/// The decoded parameters of a query. Each name appears at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryParameters(Vec<(String, String)>);

impl QueryParameters {
    /// Parses the text after the `?` of a request's target.
    ///
    /// # Errors
    /// If the query is malformed or repeats a name.
    pub fn parse(query: &str) -> Result<Self, RequestError> {
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                return Err(bad(format!(
                    "{pair:?} is not well-formed: % must be followed by two hex digits"
                )));
            };
            if parameters.get(&name).is_some() {
                return Err(bad(format!("{name:?} is given more than once")));
            }
            parameters.0.push((name, value));
        }
        Ok(parameters)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Checks that only these parameters are given.
    ///
    /// # Errors
    /// With the name of an unknown parameter.
    pub fn allow(&self, names: &[&str]) -> Result<(), RequestError> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => Err(bad(format!("unknown parameter {name:?}: {}", allowed(names)))),
        }
    }

    /// The value of a parameter that is a number within a range; `default` if the parameter is missing.
    ///
    /// # Errors
    /// If the value is not a number or is out of range.
    pub fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, RequestError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            bad(format!("{name}={text:?}: give a number from {} to {}", range.start(), range.end()))
        })
    }
}

fn allowed(names: &[&str]) -> String {
    match names {
        [] => "there are none".to_owned(),
        names => format!("allowed are {}", names.join(" and ")),
    }
}

/// All parameters of a request. The handler refuses those that it does not know, see [`QueryParameters::allow`].
impl<S: Send + Sync> FromRequestParts<S> for QueryParameters {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RequestError> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

pub(crate) fn bad(text: String) -> RequestError {
    RequestError::BadRequest(text)
}

/// Decodes `%XX` and `+`; `None` if the text is malformed.
fn decode(text: &str) -> Option<String> {
    percent_decode(&text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let parameters = QueryParameters::parse("after=a%2Fb+c&limit=7&&flag").unwrap();
        assert_eq!(parameters.get("after"), Some("a/b c"));
        assert_eq!(parameters.get("flag"), Some(""));
        assert_eq!(parameters.get("other"), None);
        assert_eq!(parameters.number("limit", 1..=10, 5), Ok(7));
        assert_eq!(parameters.number("other", 1..=10, 5), Ok(5));
        assert_eq!(QueryParameters::parse(""), Ok(QueryParameters::default()));
    }

    #[test]
    fn errors_name_the_bad_part_of_a_query() {
        let error = |query: &str| {
            let checked = QueryParameters::parse(query).and_then(|parameters| {
                parameters.allow(&["after", "limit"])?;
                parameters.number("limit", 1..=10, 5)
            });
            match checked {
                Err(RequestError::BadRequest(text)) => text,
                other => panic!("{query}: {other:?}"),
            }
        };
        for query in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", "%ff=1"] {
            assert!(error(query).contains("not well-formed"), "{query}");
        }
        assert!(error("limit=1&limit=2").contains("\"limit\" is given more than once"));
        assert_eq!(error("before=1"), "unknown parameter \"before\": allowed are after and limit");
        for value in ["", "0", "11", "-1", "x", "1.0", "99999999999999999999999"] {
            let text = error(&format!("limit={value}"));
            assert_eq!(text, format!("limit={value:?}: give a number from 1 to 10"));
        }
    }
}
