//! The query of a request: `after=miner-worker-7&limit=100`.

use net::percent_decode;

use crate::RequestError;

/// Names and values, decoded; each name is given once at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads what follows the `?` of a request's target.
    ///
    /// # Errors
    /// If it is not well-formed or gives a name twice.
    pub fn parse(query: &str) -> Result<Self, RequestError> {
        let mut parameters = Parameters::default();
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

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Checks that there are no names but these.
    ///
    /// # Errors
    /// If there is another one.
    pub fn allow(&self, names: &[&str]) -> Result<(), RequestError> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                Err(bad(format!("unknown parameter {name:?}: allowed are {}", names.join(" and "))))
            }
        }
    }

    /// A number in a range, or `default` if it is not given.
    ///
    /// # Errors
    /// If the value is no number or out of range.
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

fn bad(text: String) -> RequestError {
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
        let parameters = Parameters::parse("after=a%2Fb+c&limit=7&&flag").unwrap();
        assert_eq!(parameters.get("after"), Some("a/b c"));
        assert_eq!(parameters.get("flag"), Some(""));
        assert_eq!(parameters.get("other"), None);
        assert_eq!(parameters.number("limit", 1..=10, 5), Ok(7));
        assert_eq!(parameters.number("other", 1..=10, 5), Ok(5));
        assert_eq!(Parameters::parse(""), Ok(Parameters::default()));
    }

    #[test]
    fn a_wrong_query_is_refused_with_what_is_wrong() {
        let error = |query: &str| {
            let checked = Parameters::parse(query).and_then(|parameters| {
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
