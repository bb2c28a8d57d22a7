//! Arithmetic on what agents have: scalars in thousandths (as Mesos rounds them) and ranges.
//!
//! A [`Bundle`] is a sum of resources. Kinds that must not be mixed (allocated to different roles,
//! revocable or not) are counted apart.

use mesos::v1::{self, Resource, resource, value};
use std::collections::BTreeMap;
use std::fmt;

/// What makes two resources addable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    name: String,
    /// The role it is allocated to; none for an agent's total.
    role: Option<String>,
    revocable: bool,
}

/// A sum of resources, never negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// In thousandths.
    scalars: BTreeMap<Kind, i64>,
    /// Sorted, disjoint, not adjacent.
    ranges: BTreeMap<Kind, Vec<(u64, u64)>>,
}

impl Bundle {
    /// Sums resources of a message; entries of types that no agent here has (sets) are ignored.
    pub fn from_resources<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Self {
        let mut sum = Self::default();
        for resource in resources {
            let kind = Kind {
                name: resource.name.clone(),
                role: resource.allocation_info.as_ref().and_then(|info| info.role.clone()),
                revocable: resource.revocable.is_some(),
            };
            if let Some(scalar) = &resource.scalar {
                // A cast saturates and makes NaN 0, which is what an absurd number deserves.
                let thousandths = (scalar.value * 1000.0).round() as i64;
                let entry = sum.scalars.entry(kind).or_default();
                *entry = entry.saturating_add(thousandths.max(0));
            } else if let Some(ranges) = &resource.ranges {
                let entry = sum.ranges.entry(kind).or_default();
                entry.extend(ranges.range.iter().filter(|r| r.begin <= r.end).map(|r| (r.begin, r.end)));
                normalise(entry);
            }
        }
        sum.drop_empty();
        sum
    }

    /// The agent's own description: `cpus`, `mem` and `disk` (MB) and a range of ports.
    pub fn of_agent(cpus: f64, mem: f64, disk: f64, ports: (u64, u64)) -> Self {
        let mut sum = Self::default();
        let kind = |name: &str| Kind { name: name.into(), role: None, revocable: false };
        for (name, value) in [("cpus", cpus), ("mem", mem), ("disk", disk)] {
            sum.scalars.insert(kind(name), (value * 1000.0).round() as i64);
        }
        sum.ranges.insert(kind("ports"), vec![ports]);
        sum.drop_empty();
        sum
    }

    /// With so many CPUs on top that may be taken back at any time.
    pub fn with_revocable_cpus(mut self, cpus: f64) -> Self {
        let kind = Kind { name: "cpus".into(), role: None, revocable: true };
        self.scalars.insert(kind, (cpus * 1000.0).round() as i64);
        self.drop_empty();
        self
    }

    /// What nobody takes back.
    pub fn without_revocable(mut self) -> Self {
        self.scalars.retain(|kind, _| !kind.revocable);
        self.ranges.retain(|kind, _| !kind.revocable);
        self
    }

    /// Whether some of it may be taken back.
    pub fn is_revocable(&self) -> bool {
        self.scalars.keys().chain(self.ranges.keys()).any(|kind| kind.revocable)
    }

    /// The same amounts, allocated to `role`.
    pub fn allocated_to(&self, role: &str) -> Self {
        self.with_role(Some(role))
    }

    /// The same amounts without their roles.
    pub fn unallocated(&self) -> Self {
        self.with_role(None)
    }

    fn with_role(&self, role: Option<&str>) -> Self {
        let mut sum = Self::default();
        let kind = |k: &Kind| Kind { role: role.map(str::to_owned), ..k.clone() };
        for (k, amount) in &self.scalars {
            let entry = sum.scalars.entry(kind(k)).or_default();
            *entry = entry.saturating_add(*amount);
        }
        for (k, ranges) in &self.ranges {
            let entry = sum.ranges.entry(kind(k)).or_default();
            entry.extend(ranges);
            normalise(entry);
        }
        sum
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.scalars.is_empty() && self.ranges.is_empty()
    }

    /// The amount of a scalar over all kinds, in its own unit.
    pub fn scalar(&self, name: &str) -> f64 {
        let sum: i64 = self.scalars.iter().filter(|(k, _)| k.name == name).map(|(_, v)| *v).sum();
        sum as f64 / 1000.0
    }

    /// Whether `other` fits in it.
    pub fn contains(&self, other: &Self) -> bool {
        let scalars = other.scalars.iter().all(|(k, v)| self.scalars.get(k).is_some_and(|have| have >= v));
        let holds = |have: &Vec<(u64, u64)>, part: &(u64, u64)| {
            have.iter().any(|range| range.0 <= part.0 && part.1 <= range.1)
        };
        scalars
            && other.ranges.iter().all(|(k, parts)| {
                self.ranges.get(k).is_some_and(|have| parts.iter().all(|part| holds(have, part)))
            })
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        for (k, v) in &other.scalars {
            let entry = self.scalars.entry(k.clone()).or_default();
            *entry = entry.saturating_add(*v);
        }
        for (k, ranges) in &other.ranges {
            let entry = self.ranges.entry(k.clone()).or_default();
            entry.extend(ranges);
            normalise(entry);
        }
    }

    /// Takes `other` away; what isn't there is not taken.
    pub fn subtract(&mut self, other: &Self) {
        for (k, v) in &other.scalars {
            if let Some(have) = self.scalars.get_mut(k) {
                *have = (*have - v).max(0);
            }
        }
        for (k, parts) in &other.ranges {
            if let Some(have) = self.ranges.get_mut(k) {
                for part in parts {
                    *have = have.iter().flat_map(|range| cut(*range, *part)).collect();
                }
            }
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        self.scalars.retain(|_, v| *v > 0);
        self.ranges.retain(|_, r| !r.is_empty());
    }

    /// As messages carry it.
    pub fn to_resources(&self) -> Vec<Resource> {
        let scalars = self.scalars.iter().map(|(kind, amount)| Resource {
            r#type: v1::value::Type::Scalar as i32,
            scalar: Some(value::Scalar { value: *amount as f64 / 1000.0 }),
            ..kind.resource()
        });
        let ranges = self.ranges.iter().map(|(kind, ranges)| Resource {
            r#type: v1::value::Type::Ranges as i32,
            ranges: Some(value::Ranges {
                range: ranges.iter().map(|&(begin, end)| value::Range { begin, end }).collect(),
            }),
            ..kind.resource()
        });
        scalars.chain(ranges).collect()
    }
}

impl Kind {
    fn resource(&self) -> Resource {
        Resource {
            name: self.name.clone(),
            role: Some("*".into()),
            allocation_info: self.role.clone().map(|role| resource::AllocationInfo { role: Some(role) }),
            revocable: self.revocable.then(resource::RevocableInfo::default),
            ..Default::default()
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(role) = &self.role {
            write!(f, "(allocated: {role})")?;
        }
        if self.revocable { f.write_str("{REV}") } else { Ok(()) }
    }
}

/// As Mesos writes it: `cpus(allocated: *):2; ports(allocated: *):[31000-31099]`.
impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scalars = self.scalars.iter().map(|(k, v)| format!("{k}:{}", *v as f64 / 1000.0));
        let ranges = self.ranges.iter().map(|(k, ranges)| {
            let parts: Vec<String> = ranges.iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
            format!("{k}:[{}]", parts.join(", "))
        });
        f.write_str(&scalars.chain(ranges).collect::<Vec<_>>().join("; "))
    }
}

/// Sorts ranges and joins those that touch.
fn normalise(ranges: &mut Vec<(u64, u64)>) {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for &(begin, end) in ranges.iter() {
        match joined.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => joined.push((begin, end)),
        }
    }
    *ranges = joined;
}

/// What remains of `range` without `part`.
fn cut(range: (u64, u64), part: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
    let outside = part.1 < range.0 || part.0 > range.1;
    let left = if outside {
        Some(range)
    } else {
        part.0.checked_sub(1).filter(|end| *end >= range.0).map(|end| (range.0, end))
    };
    let right = if outside {
        None
    } else {
        part.1.checked_add(1).filter(|begin| *begin <= range.1).map(|begin| (begin, range.1))
    };
    left.into_iter().chain(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ports(ranges: &[(u64, u64)]) -> Bundle {
        let range = ranges.iter().map(|&(begin, end)| value::Range { begin, end }).collect();
        Bundle::from_resources(&[Resource {
            name: "ports".into(),
            r#type: v1::value::Type::Ranges as i32,
            ranges: Some(value::Ranges { range }),
            ..Default::default()
        }])
    }

    #[test]
    fn roles_are_kept_apart() {
        let total = Bundle::of_agent(2.0, 2048.0, 0.0, (31000, 31099));
        let offer = total.allocated_to("*");
        assert!(offer.contains(&Bundle::of_agent(0.6, 96.0, 0.0, (31000, 31001)).allocated_to("*")));
        assert!(!offer.contains(&Bundle::of_agent(0.6, 96.0, 0.0, (31000, 31001)).allocated_to("other")));
        assert_eq!(
            offer.to_string(),
            "cpus(allocated: *):2; mem(allocated: *):2048; ports(allocated: *):[31000-31099]"
        );
        assert_eq!(offer.unallocated(), total);
    }

    #[test]
    fn what_may_be_taken_back_is_kept_apart() {
        let total = Bundle::of_agent(1.0, 64.0, 0.0, (1, 2)).with_revocable_cpus(2.0);
        assert_eq!(total.scalar("cpus"), 3.0);
        assert!(!total.contains(&Bundle::of_agent(1.5, 0.0, 0.0, (1, 1))));
        assert!(total.is_revocable() && !total.clone().without_revocable().is_revocable());
        assert_eq!(Bundle::from_resources(&total.to_resources()), total);
    }

    #[test]
    fn tenths_add_up_exactly() {
        let tenth = Bundle::of_agent(0.1, 0.0, 0.0, (0, 0));
        let mut sum = Bundle::default();
        (0..20).for_each(|_| sum.add(&tenth));
        assert_eq!(sum.scalar("cpus"), 2.0);
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        for value in [f64::NAN, f64::INFINITY, -5.0] {
            let resource =
                Resource { name: "cpus".into(), scalar: Some(value::Scalar { value }), ..Default::default() };
            let mut sum = Bundle::from_resources([&resource, &resource]);
            sum.add(&sum.clone());
            assert!(sum.scalar("cpus") >= 0.0);
        }
    }

    proptest! {
        #[test]
        fn taking_away_and_giving_back(parts in proptest::collection::vec((0u64..50, 0u64..10), 0..8)) {
            let parts: Vec<_> = parts.into_iter().map(|(begin, len)| (begin, begin + len)).collect();
            let taken = ports(&parts);
            let all = ports(&[(0, 100)]);
            let mut rest = all.clone();
            rest.subtract(&taken);
            for port in 0..=100 {
                let one = ports(&[(port, port)]);
                prop_assert_ne!(rest.contains(&one), taken.contains(&one));
            }
            rest.add(&taken);
            prop_assert_eq!(rest, all);
        }
    }
}
