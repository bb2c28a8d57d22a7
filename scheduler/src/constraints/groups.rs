//! The number of tasks for each value of a constraint's field.

use std::collections::{BTreeMap, HashMap};

use super::{Constraint, Place};

/// The number of tasks for each value of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Groups {
    sizes: HashMap<String, usize>,
    /// For each group size, the number of groups of this size. A group's size is its number of tasks.
    by_size: BTreeMap<usize, usize>,
    /// The number of all tasks, including tasks on agents that do not have the constraint's attribute.
    total: usize,
}

impl Groups {
    fn size(&self, value: &str) -> usize {
        self.sizes.get(value).copied().unwrap_or(0)
    }

    fn count(&mut self, size: usize, groups: isize) {
        if size == 0 {
            return;
        }
        let entry = self.by_size.entry(size).or_default();
        *entry = entry.saturating_add_signed(groups);
        if *entry == 0 {
            self.by_size.remove(&size);
        }
    }

    fn set(&mut self, value: &str, size: usize) {
        self.count(self.size(value), -1);
        self.count(size, 1);
        if size == 0 {
            self.sizes.remove(value);
        } else if let Some(known) = self.sizes.get_mut(value) {
            *known = size;
        } else {
            self.sizes.insert(value.to_owned(), size);
        }
    }

    fn change(&mut self, value: Option<&str>, tasks: isize) {
        self.total = self.total.saturating_add_signed(tasks);
        if let Some(value) = value {
            self.set(value, self.size(value).saturating_add_signed(tasks));
        }
    }
}

/// For each constraint, the number of workers for each value of its field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    groups: Vec<Groups>,
}

impl Occupancy {
    /// An occupancy without tasks, for these constraints.
    pub fn new(constraints: &[Constraint]) -> Self {
        Self { groups: vec![Groups::default(); constraints.len()] }
    }

    /// Adds a task. `constraints` must be those given to [`Self::new`].
    pub fn add(&mut self, constraints: &[Constraint], place: &Place) {
        for (groups, constraint) in self.groups.iter_mut().zip(constraints) {
            groups.change(constraint.value(place), 1);
        }
    }

    /// Removes a task.
    pub fn remove(&mut self, constraints: &[Constraint], place: &Place) {
        for (groups, constraint) in self.groups.iter_mut().zip(constraints) {
            groups.change(constraint.value(place), -1);
        }
    }
}

/// An occupancy with tentative changes. Only the changes are stored, so the occupancy is not copied.
#[derive(Clone, Debug)]
pub struct TentativeOccupancy<'a> {
    groups: Vec<TentativeGroups<'a>>,
}

impl<'a> TentativeOccupancy<'a> {
    /// Starts from `occupancy`, without any changes.
    pub fn of(occupancy: &'a Occupancy) -> Self {
        Self { groups: occupancy.groups.iter().map(TentativeGroups::of).collect() }
    }

    /// Adds a task.
    pub fn add(&mut self, constraints: &[Constraint], place: &Place) {
        for (groups, constraint) in self.groups.iter_mut().zip(constraints) {
            groups.change(constraint.value(place), 1);
        }
    }

    /// Removes a task.
    pub fn remove(&mut self, constraints: &[Constraint], place: &Place) {
        for (groups, constraint) in self.groups.iter_mut().zip(constraints) {
            groups.change(constraint.value(place), -1);
        }
    }

    /// The number of tasks for each value of one constraint's field; `None` if there is no constraint with this index.
    pub(super) fn groups(&self, index: usize) -> Option<&TentativeGroups<'a>> {
        self.groups.get(index)
    }

    /// A constraint groups tasks by the value of an attribute. Returns for each constraint the size of the smallest group, and
    /// the number of groups. While these numbers stay the same, each constraint still refuses the agents that it has refused.
    pub fn level(&self) -> Vec<(usize, usize)> {
        self.groups.iter().map(|groups| (groups.smallest().unwrap_or(0), groups.count())).collect()
    }
}

/// The number of tasks for each value of one field, including the tentative changes.
#[derive(Clone, Debug)]
pub(super) struct TentativeGroups<'a> {
    base: &'a Groups,
    /// The groups whose size was changed: the attribute value, and the new number of tasks.
    changed: HashMap<String, usize>,
    /// For each size of a group (its number of tasks): how many of the groups in `changed` had this size before the changes.
    before: BTreeMap<usize, usize>,
    /// For each size of a group (its number of tasks): how many of the groups in `changed` have this size now.
    now: BTreeMap<usize, usize>,
    total: usize,
}

impl<'a> TentativeGroups<'a> {
    fn of(base: &'a Groups) -> Self {
        let (changed, before, now) = Default::default();
        Self { base, changed, before, now, total: base.total }
    }

    /// The number of all tasks, including tasks on agents that do not have the constraint's attribute.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The number of tasks on agents where the constraint's field has this value.
    pub fn size(&self, value: &str) -> usize {
        self.changed.get(value).copied().unwrap_or_else(|| self.base.size(value))
    }

    fn change(&mut self, value: Option<&str>, tasks: isize) {
        self.total = self.total.saturating_add_signed(tasks);
        if let Some(value) = value {
            self.set(value, self.size(value).saturating_add_signed(tasks));
        }
    }

    fn set(&mut self, value: &str, size: usize) {
        match self.changed.get_mut(value) {
            Some(known) => {
                let old = std::mem::replace(known, size);
                if let Some(groups) = self.now.get_mut(&old) {
                    *groups -= 1;
                }
                self.now.retain(|_, groups| *groups > 0);
            }
            None => {
                self.changed.insert(value.to_owned(), size);
                *self.before.entry(self.base.size(value)).or_default() += 1;
            }
        }
        *self.now.entry(size).or_default() += 1;
    }

    /// The number of different attribute values among the agents of the tasks.
    pub fn count(&self) -> usize {
        let of = |sizes: &BTreeMap<usize, usize>| sizes.range(1..).map(|(_, groups)| groups).sum::<usize>();
        self.base.sizes.len() + of(&self.now) - of(&self.before)
    }

    /// The size of the smallest group of tasks with the same attribute value; `None` if there is no group.
    pub fn smallest(&self) -> Option<usize> {
        let unchanged =
            |(size, groups): &(&usize, &usize)| **groups > self.before.get(size).copied().unwrap_or(0);
        let base = self.base.by_size.iter().find(unchanged).map(|(size, _)| *size);
        let changed = self.now.range(1..).next().map(|(size, _)| *size);
        base.into_iter().chain(changed).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(rack: u8) -> Place {
        Place { host: format!("h{rack}"), attributes: [("rack".to_owned(), rack.to_string())].into() }
    }

    fn figures(trial: &TentativeOccupancy<'_>) -> (usize, usize, Option<usize>, Vec<usize>) {
        let groups = trial.groups(0).unwrap();
        let sizes = (0..5).map(|rack| groups.size(&rack.to_string())).collect();
        (groups.total(), groups.count(), groups.smallest(), sizes)
    }

    proptest! {
        /// After tentative changes, an occupancy has the same figures as after real changes.
        #[test]
        fn a_trial_is_what_would_be(
            there in prop::collection::vec(0u8..5, 0..30),
            tried in prop::collection::vec((any::<bool>(), 0u8..5), 0..30),
        ) {
            let constraints = ["rack:GROUP_BY".parse::<Constraint>().unwrap()];
            let mut base = Occupancy::new(&constraints);
            there.iter().for_each(|rack| base.add(&constraints, &place(*rack)));
            let mut real = base.clone();
            let mut trial = TentativeOccupancy::of(&base);
            for (more, rack) in tried {
                let there = trial.groups(0).unwrap().size(&rack.to_string());
                if more {
                    trial.add(&constraints, &place(rack));
                    real.add(&constraints, &place(rack));
                } else if there > 0 {
                    trial.remove(&constraints, &place(rack));
                    real.remove(&constraints, &place(rack));
                }
                prop_assert_eq!(figures(&trial), figures(&TentativeOccupancy::of(&real)));
            }
            for (rack, size) in figures(&TentativeOccupancy::of(&real)).3.into_iter().enumerate() {
                (0..size).for_each(|_| real.remove(&constraints, &place(rack as u8)));
            }
            prop_assert_eq!(real, Occupancy::new(&constraints));
        }
    }
}
