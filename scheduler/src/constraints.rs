//! Where tasks may run, in Marathon's syntax: `FIELD:OPERATOR[:VALUE]`, where the field is `hostname` (or `@hostname`), `@region`,
//! `@zone` or an attribute of the agents. See "Constraints" in Marathon's documentation.
//!
//! | operator | a task may run where the field's value |
//! |---|---|
//! | `UNIQUE` | is not that of any other task |
//! | `CLUSTER` | is that of all other tasks |
//! | `CLUSTER:V` | is `V` |
//! | `GROUP_BY` | is new, or has the fewest tasks |
//! | `GROUP_BY:N` | is new or, if `N` values have tasks already, has the fewest tasks |
//! | `LIKE:R` | matches the regular expression as a whole |
//! | `UNLIKE:R` | does not match the regular expression, or there is no such attribute |
//! | `MAX_PER:N` | is that of fewer than `N` tasks |
//!
//! Regular expressions are those of the crate regex-lite: `\d`, `\w`, `\s` and `(?i)` know ASCII alone, and there is no `\p`.

mod groups;

use std::fmt;
use std::str::FromStr;

use mesos::v1::{Attribute, Offer};
use regex_lite::Regex;

pub use self::groups::{Occupancy, TentativeOccupancy};
use crate::attributes::Attributes;

/// In a constraint, these field names stand for the agent's host name. Any other field name is that of an attribute.
const HOSTNAME: [&str; 2] = ["hostname", "@hostname"];
/// The names under which the region and the zone of an agent's fault domain are kept with its attributes.
const REGION: &str = "@region";
const ZONE: &str = "@zone";

/// One constraint. Its `Display` is the text from which it was parsed.
#[derive(Clone, Debug)]
pub struct Constraint {
    text: String,
    field: String,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Operator {
    Unique,
    Cluster(Option<String>),
    GroupBy(usize),
    Like(Regex),
    Unlike(Regex),
    MaxPer(usize),
}

/// The properties of an agent that constraints check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The agent's host name.
    pub host: String,
    /// The agent's attributes, with their values as text. If the agent has a fault domain, `@region` and `@zone` are among
    /// them.
    pub attributes: Attributes,
}

/// Why a text is not a constraint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// The text has no field, or no operator after the field.
    #[error("{0:?} is not FIELD:OPERATOR[:VALUE], such as rack:UNIQUE or hostname:LIKE:node[0-9]+")]
    Shape(String),
    /// The operator after the field is none that this program knows.
    #[error("{0:?} is none of UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE and MAX_PER")]
    Operator(String),
    /// The constraint has a value, but its operator takes none.
    #[error("{operator} takes no value, but {value:?} is given")]
    Superfluous {
        /// The constraint's operator.
        operator: &'static str,
        /// The value, which must be left out.
        value: String,
    },
    /// The operator needs a number of at least 1 as its value, but the value is missing or something else.
    #[error("{operator} takes a number of at least 1, not {value:?}")]
    Number {
        /// The constraint's operator.
        operator: &'static str,
        /// The text in place of the number; empty if the value is missing.
        value: String,
    },
    /// The operator needs a regular expression as its value, but there is none.
    #[error("{operator} takes a regular expression, but none is given")]
    NoRegex {
        /// The constraint's operator.
        operator: &'static str,
    },
    /// The operator needs a regular expression as its value, but the value is something else, or too large a one.
    #[error("{operator} takes a regular expression, not {value:?}")]
    Regex {
        /// The constraint's operator.
        operator: &'static str,
        /// The text in place of the regular expression.
        value: String,
        /// The regex parser's error.
        #[source]
        source: regex_lite::Error,
    },
}

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        let mut parts = text.splitn(3, ':');
        let (field, operator) = match (parts.next(), parts.next()) {
            (Some(field), Some(operator)) if !field.is_empty() => (field, operator),
            _ => return Err(ConstraintError::Shape(text.to_owned())),
        };
        let value = parts.next();
        let operator = match operator {
            "UNIQUE" => match value {
                None => Operator::Unique,
                Some(value) => {
                    return Err(ConstraintError::Superfluous { operator: "UNIQUE", value: value.to_owned() });
                }
            },
            "CLUSTER" => Operator::Cluster(value.filter(|value| !value.is_empty()).map(str::to_owned)),
            "GROUP_BY" => Operator::GroupBy(value.map_or(Ok(1), |value| number("GROUP_BY", value))?),
            "LIKE" => Operator::Like(regex("LIKE", value)?),
            "UNLIKE" => Operator::Unlike(regex("UNLIKE", value)?),
            "MAX_PER" => Operator::MaxPer(number("MAX_PER", value.unwrap_or_default())?),
            other => return Err(ConstraintError::Operator(other.to_owned())),
        };
        Ok(Self { text: text.to_owned(), field: field.to_owned(), operator })
    }
}

fn number(operator: &'static str, value: &str) -> Result<usize, ConstraintError> {
    let number = value.parse().ok().filter(|number| *number >= 1);
    number.ok_or_else(|| ConstraintError::Number { operator, value: value.to_owned() })
}

/// Compiles the value of a constraint as a regular expression that is anchored at both ends, as in Marathon.
fn regex(operator: &'static str, value: Option<&str>) -> Result<Regex, ConstraintError> {
    let value = value.ok_or(ConstraintError::NoRegex { operator })?;
    let error = |source| ConstraintError::Regex { operator, value: value.to_owned(), source };
    // The value must be valid by itself, so that a stray parenthesis in it cannot close the group that is put around it below.
    Regex::new(value).map_err(error)?;
    Regex::new(&format!("^(?:{value})$")).map_err(error)
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Place {
    /// The place of the agent that an offer is for.
    pub fn of(offer: &Offer) -> Self {
        let attribute = |attribute: &Attribute| (attribute.name.clone(), text(attribute));
        let domain =
            offer.domain.iter().filter_map(|domain| domain.fault_domain.as_ref()).flat_map(|domain| {
                [(REGION.to_owned(), domain.region.name.clone()), (ZONE.to_owned(), domain.zone.name.clone())]
            });
        let attributes = offer.attributes.iter().map(attribute).chain(domain).collect();
        Self { host: offer.hostname.clone(), attributes }
    }

    fn value(&self, field: &str) -> Option<&str> {
        if HOSTNAME.contains(&field) { Some(&self.host) } else { self.attributes.get(field) }
    }
}

/// An attribute's value in the syntax of agents' options: `3.5`, `[1-5,7-9]`, `{a,b}`, `text`. Ranges and sets are sorted, as in
/// Marathon, so that equal ones have the same text, in whatever order an agent lists them.
fn text(attribute: &Attribute) -> String {
    if let Some(scalar) = &attribute.scalar {
        return scalar.value.to_string();
    }
    if let Some(ranges) = &attribute.ranges {
        let mut ranges: Vec<_> = ranges.range.iter().map(|it| (it.begin, it.end)).collect();
        ranges.sort_unstable();
        let ranges: Vec<_> = ranges.iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
        return format!("[{}]", ranges.join(","));
    }
    if let Some(set) = &attribute.set {
        let mut items: Vec<_> = set.item.iter().map(String::as_str).collect();
        items.sort_unstable();
        return format!("{{{}}}", items.join(","));
    }
    attribute.text.as_ref().map(|text| text.value.clone()).unwrap_or_default()
}

impl Constraint {
    /// The value of the constraint's field for an agent; `None` if the agent has no such attribute.
    pub fn value<'a>(&self, place: &'a Place) -> Option<&'a str> {
        place.value(&self.field)
    }

    /// Whether one more task may run here, in addition to the tasks in `placed`. `index` is the position of this constraint among
    /// those for which `placed` was created. If the agent does not have the constraint's field, only UNLIKE is met.
    pub fn allows(&self, here: &Place, index: usize, placed: &TentativeOccupancy<'_>) -> bool {
        let Some(value) = here.value(&self.field) else {
            return matches!(self.operator, Operator::Unlike(_));
        };
        let groups = placed.groups(index);
        let size = groups.map_or(0, |groups| groups.size(value));
        match &self.operator {
            Operator::Unique => size == 0,
            Operator::Cluster(Some(wanted)) => value == wanted,
            Operator::Cluster(None) => groups.is_none_or(|groups| groups.total() == size),
            Operator::GroupBy(least) => {
                size == 0
                    || groups.is_none_or(|groups| groups.count() >= *least && groups.smallest() == Some(size))
            }
            Operator::Like(regex) => regex.is_match(value),
            Operator::Unlike(regex) => !regex.is_match(value),
            Operator::MaxPer(most) => size < *most,
        }
    }

    /// Whether this constraint may refuse an agent at first, and allow it when tasks have been placed on other agents.
    pub fn waits_for_others(&self) -> bool {
        matches!(self.operator, Operator::GroupBy(_))
    }
}

/// Whether all constraints allow one more task here.
pub fn all_allow(constraints: &[Constraint], here: &Place, placed: &TentativeOccupancy<'_>) -> bool {
    constraints.iter().enumerate().all(|(index, constraint)| constraint.allows(here, index, placed))
}

/// Checks the places of running tasks one after the other. Returns for each place whether the constraints allow a task there. A
/// task that is not allowed does not count when later places are checked. `GROUP_BY` is not checked, because it restricts only
/// launches.
pub fn allowed_in_turn(constraints: &[Constraint], places: impl IntoIterator<Item = Place>) -> Vec<bool> {
    let nobody = Occupancy::new(constraints);
    let mut placed = TentativeOccupancy::of(&nobody);
    let allows = |place: Place| {
        let mut each = constraints.iter().enumerate();
        let allowed = each.all(|(index, constraint)| {
            matches!(constraint.operator, Operator::GroupBy(_)) || constraint.allows(&place, index, &placed)
        });
        if allowed {
            placed.add(constraints, &place);
        }
        allowed
    };
    places.into_iter().map(allows).collect()
}

#[cfg(test)]
mod tests;
