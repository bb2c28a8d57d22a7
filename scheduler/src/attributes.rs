//! An agent's attributes as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Attributes, sorted by name. Clones share one allocation: every task stores the attributes of its agent, and there may be tens
/// of thousands of tasks. A map of strings for each task would take several times as much memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
pub struct Attributes(Arc<[(Box<str>, Box<str>)]>);

impl Attributes {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether there are no attributes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Serializes as a map.
impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl From<BTreeMap<String, String>> for Attributes {
    fn from(attributes: BTreeMap<String, String>) -> Self {
        Self(attributes.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// If several attributes have the same name, the last one is kept.
impl FromIterator<(String, String)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(attributes: I) -> Self {
        Self::from(attributes.into_iter().collect::<BTreeMap<_, _>>())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(String, String); N]> for Attributes {
    fn from(attributes: [(String, String); N]) -> Self {
        attributes.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_and_the_last_of_a_name_stays() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let attributes = Attributes::from([pair("rack", "a"), pair("gpu", "no"), pair("rack", "b")]);
        assert_eq!(attributes.iter().collect::<Vec<_>>(), [("gpu", "no"), ("rack", "b")]);
        assert_eq!((attributes.get("rack"), attributes.get("ra")), (Some("b"), None));
        assert_eq!(Attributes::default().iter().len(), 0);
    }
}
