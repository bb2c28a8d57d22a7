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
        (r"rack:LIKE:\d\w\s", "1a ", &[], true),
        (r"rack:LIKE:\d", "\u{663}", &[], false),
        ("rack:LIKE:(?i)ü", "ü", &[], true),
        ("rack:LIKE:(?i)ü", "Ü", &[], false),
        ("rack:LIKE:.", "ü", &[], true),
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
        (r"rack:LIKE:\pL", "LIKE takes"),
        ("rack:LIKE:(a{1000}){1000}{1000}", "LIKE takes"),
        (&format!("rack:LIKE:{}a{}", "(".repeat(10_000), ")".repeat(10_000)), "LIKE takes"),
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
            Attribute { set: Some(value::Set { item: vec!["b".into(), "a".into()] }), ..attribute("set") },
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
    let nowhere = Place::of(&Offer { domain: Some(DomainInfo { fault_domain: None }), ..Offer::default() });
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
    // A task that one rule refuses does not count for the other rules.
    assert_eq!(allowed(&["rack:UNIQUE", "hostname:UNLIKE:a.host"], &["a", "b", "b"]), [false, true, false]);
    assert_eq!(allowed(&["rack:GROUP_BY"], &["a", "a", "a", "b"]), [true; 4], "it is for launches only");
}
