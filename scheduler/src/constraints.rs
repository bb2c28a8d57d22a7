//! Where tasks may run, in Marathon's syntax: `FIELD:OPERATOR[:VALUE]`, where the field is `hostname` (or `@hostname`), `@region`,
//! `@zone` or an attribute of the agents. See "Constraints" in Marathon's documentation.
//!
//! | operator | a task may run where the field's value |
//! |---|---|
//! | `UNIQUE` | is not that of any other task |
//! | `CLUSTER` | is that of all other tasks |
//! | `CLUSTER:V` | is `V` |
//! | `GROUP_BY` | is new, or has the fewest tasks |
//! | `GROUP_BY:N` | is new, or has the fewest tasks once `N` values have tasks |
//! | `LIKE:R` | matches the regular expression as a whole |
//! | `UNLIKE:R` | does not match the regular expression, or there is no such attribute |
//! | `MAX_PER:N` | is that of fewer than `N` tasks |

mod groups;

use std::fmt;
use std::str::FromStr;

use mesos::v1::{Attribute, Offer};
use regex::Regex;

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
    /// The operator needs a regular expression as its value, but the value is missing or something else.
    #[error("{operator} takes a regular expression")]
    Regex {
        /// The constraint's operator.
        operator: &'static str,
        /// The regex parser's error.
        #[source]
        source: regex::Error,
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
    let error = |source| ConstraintError::Regex { operator, source };
    let value = value.ok_or_else(|| error(regex::Error::Syntax("there is none".to_owned())))?;
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

    /// Whether this constraint may allow a place that it has refused, after tasks were added elsewhere.
    pub fn waits_for_others(&self) -> bool {
        matches!(self.operator, Operator::GroupBy(_))
    }
}

/// Whether all constraints allow one more task here.
pub fn all_allow(constraints: &[Constraint], here: &Place, placed: &TentativeOccupancy<'_>) -> bool {
    constraints.iter().enumerate().all(|(index, constraint)| constraint.allows(here, index, placed))
}

/// For each place of a running task, in this order: whether the constraints allow a task there in addition to those that they
/// allow at the places before it. `GROUP_BY` is for launches only: a group that has become smaller than the others makes no
/// running task wrong.
pub fn allowed_in_turn(constraints: &[Constraint], places: impl IntoIterator<Item = Place>) -> Vec<bool> {
    let nobody = Occupancy::new(constraints);
    let mut placed = TentativeOccupancy::of(&nobody);
    let mut allows = |place: Place| {
        let mut each = constraints.iter().enumerate();
        let allowed = each.all(|(index, constraint)| {
            matches!(constraint.operator, Operator::GroupBy(_)) || constraint.allows(&place, index, &placed)
        });
        if allowed {
            placed.add(constraints, &place);
        }
        allowed
    };
    places.into_iter().map(|place| allows(place)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesos::v1::domain_info::fault_domain::{RegionInfo, ZoneInfo};
    use mesos::v1::{DomainInfo, domain_info, value};
    use proptest::prelude::*;

    use super::*;

    fn place(rack: &str) -> Place {
        let attributes = Attributes::from([("rack".to_owned(), rack.to_owned())]);
        Place { host: format!("{rack}.host"), attributes }
    }

    fn allows_beside(constraint: &Constraint, here: &Place, placed: &[Place]) -> bool {
        let constraints = std::slice::from_ref(constraint);
        let mut occupancy = Occupancy::new(constraints);
        placed.iter().for_each(|place| occupancy.add(constraints, place));
        constraint.allows(here, 0, &TentativeOccupancy::of(&occupancy))
    }

    /// Whether one more task may run on `rack`, in addition to one task on each rack in `placed`.
    fn allows(constraint: &str, rack: &str, placed: &[&str]) -> bool {
        let placed: Vec<_> = placed.iter().map(|rack| place(rack)).collect();
        allows_beside(&constraint.parse().unwrap(), &place(rack), &placed)
    }

    #[test]
    fn each_operator_does_what_marathon_says() {
        for (constraint, rack, placed, expected) in [
            ("rack:UNIQUE", "a", &["b", "c"][..], true),
            ("rack:UNIQUE", "a", &["b", "a"], false),
            ("hostname:UNIQUE", "a", &["a"], false),
            ("rack:CLUSTER:a", "a", &["b"], true),
            ("rack:CLUSTER:a", "b", &[], false),
            ("rack:CLUSTER", "b", &[], true),
            ("rack:CLUSTER:", "b", &["b"], true),
            ("rack:CLUSTER", "b", &["b", "b"], true),
            ("rack:CLUSTER", "a", &["b"], false),
            ("rack:GROUP_BY", "a", &["a", "a", "b"], false),
            ("rack:GROUP_BY", "b", &["a", "a", "b"], true),
            ("rack:GROUP_BY", "c", &["a", "a", "b"], true),
            ("rack:GROUP_BY", "a", &["a"], true),
            ("rack:GROUP_BY:3", "a", &["a"], false),
            ("rack:GROUP_BY:3", "a", &["a", "b", "c"], true),
            ("rack:LIKE:a[0-9]+", "a17", &[], true),
            ("rack:LIKE:a[0-9]", "a17", &[], false),
            ("rack:LIKE:a|b1", "b1", &[], true),
            ("rack:LIKE:(?i)A:.*", "a:b", &[], true),
            ("rack:UNLIKE:a", "ab", &[], true),
            ("rack:UNLIKE:a.", "ab", &[], false),
            ("rack:MAX_PER:2", "a", &["a", "b"], true),
            ("rack:MAX_PER:2", "a", &["a", "b", "a"], false),
        ] {
            assert_eq!(allows(constraint, rack, placed), expected, "{constraint} {rack} {placed:?}");
        }
    }

    #[test]
    fn without_the_attribute_only_unlike_is_met() {
        for operator in ["UNIQUE", "CLUSTER", "CLUSTER:a", "GROUP_BY", "LIKE:.*", "MAX_PER:9"] {
            assert!(!allows(&format!("zone:{operator}"), "a", &[]), "{operator}");
        }
        assert!(allows("zone:UNLIKE:.*", "a", &[]));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (text, part) in [
            ("", "FIELD:OPERATOR"),
            ("rack", "FIELD:OPERATOR"),
            (":UNIQUE", "FIELD:OPERATOR"),
            ("rack:unique", "\"unique\""),
            ("rack:UNIQUE:3", "\"3\""),
            ("rack:MAX_PER", "MAX_PER"),
            ("rack:MAX_PER:0", "\"0\""),
            ("rack:GROUP_BY:x", "\"x\""),
            ("rack:LIKE", "LIKE takes"),
            ("rack:UNLIKE:(", "UNLIKE takes"),
            ("rack:LIKE:a)(b", "LIKE takes"),
        ] {
            let error = text.parse::<Constraint>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!("rack:LIKE:a:b".parse::<Constraint>().unwrap().to_string(), "rack:LIKE:a:b");
    }

    #[test]
    fn attributes_of_all_types_become_text() {
        let attribute = |name: &str| Attribute { name: name.to_owned(), ..Attribute::default() };
        let range = |begin, end| value::Range { begin, end };
        let offer = Offer {
            hostname: "h".into(),
            attributes: vec![
                Attribute { text: Some(value::Text { value: "r1".into() }), ..attribute("text") },
                Attribute { scalar: Some(value::Scalar { value: 3.0 }), ..attribute("scalar") },
                Attribute {
                    ranges: Some(value::Ranges { range: vec![range(7, 9), range(1, 5)] }),
                    ..attribute("ranges")
                },
                Attribute {
                    set: Some(value::Set { item: vec!["b".into(), "a".into()] }),
                    ..attribute("set")
                },
                attribute("none"),
            ],
            ..Offer::default()
        };
        let place = Place::of(&offer);
        let values = ["hostname", "text", "scalar", "ranges", "set", "none"].map(|name| place.value(name));
        assert_eq!(values, ["h", "r1", "3", "[1-5,7-9]", "{a,b}", ""].map(Some));
    }

    #[test]
    fn regions_and_zones_are_fields() {
        let named = |name: &str| name.to_owned();
        let fault_domain = domain_info::FaultDomain {
            region: RegionInfo { name: named("r1") },
            zone: ZoneInfo { name: named("z1") },
        };
        let pretends = Attribute {
            name: named("@region"),
            text: Some(value::Text { value: named("r9") }),
            ..Attribute::default()
        };
        let offer = Offer {
            hostname: named("h"),
            domain: Some(DomainInfo { fault_domain: Some(fault_domain) }),
            attributes: vec![pretends],
            ..Offer::default()
        };
        let place = Place::of(&offer);
        let values = ["@hostname", "@region", "@zone"].map(|field| place.value(field));
        assert_eq!(values, ["h", "r1", "z1"].map(Some));
        let nowhere =
            Place::of(&Offer { domain: Some(DomainInfo { fault_domain: None }), ..Offer::default() });
        assert_eq!(nowhere.value("@region"), None);
        assert!(allows_beside(&"@region:CLUSTER:r1".parse().unwrap(), &place, &[]));
        assert!(!allows_beside(&"@zone:UNIQUE".parse().unwrap(), &place, std::slice::from_ref(&place)));
    }

    /// Tries to place one task on each of these racks, in this order. Returns the number of tasks on each rack.
    fn fill(constraint: &str, offers: &[u8]) -> BTreeMap<u8, usize> {
        let constraint: Constraint = constraint.parse().unwrap();
        let (mut placed, mut counts) = (Vec::new(), BTreeMap::new());
        for rack in offers {
            let here = place(&rack.to_string());
            if allows_beside(&constraint, &here, &placed) {
                placed.push(here);
                *counts.entry(*rack).or_default() += 1;
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn what_is_placed_keeps_to_the_rule(offers in prop::collection::vec(0u8..4, 0..40)) {
            let kinds = offers.iter().collect::<std::collections::BTreeSet<_>>().len();
            let unique = fill("rack:UNIQUE", &offers);
            prop_assert!(unique.len() == kinds && unique.values().all(|count| *count == 1));
            prop_assert!(fill("rack:CLUSTER", &offers).len() <= 1);
            prop_assert!(fill("rack:MAX_PER:3", &offers).values().all(|count| *count <= 3));
            let groups = fill(&format!("rack:GROUP_BY:{}", kinds.max(1)), &offers);
            let (least, most) = (groups.values().min(), groups.values().max());
            prop_assert!(most.unwrap_or(&0) - least.unwrap_or(&0) <= 1, "{:?}", groups);
        }

        #[test]
        fn no_text_is_a_panic(text in "[a-z:]{0,8}(UNIQUE|CLUSTER|GROUP_BY|LIKE|UNLIKE|MAX_PER)?:?\\PC{0,8}") {
            if let Ok(constraint) = text.parse::<Constraint>() {
                allows_beside(&constraint, &place("a"), &[place("a"), Place::default()]);
            }
        }
    }

    #[test]
    fn of_running_tasks_the_first_ones_are_allowed() {
        let allowed = |rules: &[&str], racks: &[&str]| {
            let rules: Vec<Constraint> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
            allowed_in_turn(&rules, racks.iter().map(|rack| place(rack)))
        };
        assert_eq!(allowed(&[], &["a", "a"]), [true, true]);
        assert_eq!(allowed(&["rack:UNIQUE"], &["a", "a", "b", "a"]), [true, false, true, false]);
        assert_eq!(allowed(&["rack:MAX_PER:2"], &["a", "a", "a", "b"]), [true, true, false, true]);
        assert_eq!(allowed(&["rack:CLUSTER"], &["b", "a", "b"]), [true, false, true]);
        assert_eq!(allowed(&["rack:LIKE:[bc]"], &["a", "b"]), [false, true]);
        // A place that one rule refuses takes no room in the others.
        assert_eq!(
            allowed(&["rack:UNIQUE", "hostname:UNLIKE:a.host"], &["a", "b", "b"]),
            [false, true, false]
        );
        assert_eq!(allowed(&["rack:GROUP_BY"], &["a", "a", "a", "b"]), [true; 4], "it is for launches only");
    }
}
