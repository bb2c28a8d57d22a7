//! Compact sets of tasks, stored as the numbers in their ids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::task_id::task_number;

/// A set of task numbers, stored as runs of consecutive numbers: the first number of each run → its last number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct TaskNumberSet(BTreeMap<u64, u64>);

impl From<Vec<(u64, u64)>> for TaskNumberSet {
    fn from(runs: Vec<(u64, u64)>) -> Self {
        TaskNumberSet(runs.into_iter().collect())
    }
}

impl From<TaskNumberSet> for Vec<(u64, u64)> {
    fn from(numbers: TaskNumberSet) -> Self {
        numbers.0.into_iter().collect()
    }
}

impl TaskNumberSet {
    /// Whether this number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// Whether the number of this task is in the set.
    pub fn contains_task(&self, id: &str) -> bool {
        task_number(id).is_some_and(|number| self.contains(number))
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, last)| *last)
    }

    /// Adds a number.
    pub fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let before = self.0.range(..number).next_back().map(|(first, last)| (*first, *last));
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(number) => first,
            _ => number,
        };
        let after = number.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(first, after.unwrap_or(number));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_a_set(inserted in prop::collection::vec(0u64..40, 0..60)) {
            let mut numbers = TaskNumberSet::default();
            let mut set = BTreeSet::new();
            for number in inserted {
                numbers.insert(number);
                set.insert(number);
                prop_assert!((0..42).all(|number| numbers.contains(number) == set.contains(&number)));
            }
            let runs = set.iter().filter(|number| **number == 0 || !set.contains(&(**number - 1))).count();
            prop_assert_eq!(numbers.0.len(), runs, "a run takes one entry");
        }
    }

    #[test]
    fn the_highest_number_is_kept() {
        let mut numbers = TaskNumberSet::default();
        numbers.insert(u64::MAX);
        assert!(numbers.contains(u64::MAX) && !numbers.contains(0));
    }
}
