//! The numbers in task ids: each is used once, so a set of them says in little space which tasks are meant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const SERVER: &str = "miner-server-";
const WORKER: &str = "miner-worker-";

/// The number of a task whose id is one of ours.
pub fn number(id: &str) -> Option<u64> {
    let digits = id.strip_prefix(SERVER).or_else(|| id.strip_prefix(WORKER))?;
    digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
}

/// A set of numbers that takes little space when they are dense: first → last of each run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct TaskNumberSet(BTreeMap<u64, u64>);

impl From<Vec<(u64, u64)>> for TaskNumberSet {
    fn from(runs: Vec<(u64, u64)>) -> TaskNumberSet {
        TaskNumberSet(runs.into_iter().collect())
    }
}

impl From<TaskNumberSet> for Vec<(u64, u64)> {
    fn from(numbers: TaskNumberSet) -> Vec<(u64, u64)> {
        numbers.0.into_iter().collect()
    }
}

impl TaskNumberSet {
    /// Whether it is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// Whether the number of this task is in the set.
    pub fn contains_task(&self, id: &str) -> bool {
        number(id).is_some_and(|number| self.contains(number))
    }

    /// The highest one.
    pub fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, last)| *last)
    }

    /// Adds one.
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
            prop_assert_eq!(numbers.0.len(), runs, "dense runs take one place");
        }
    }

    #[test]
    fn only_ids_of_our_making_have_numbers() {
        assert_eq!(number("miner-worker-7"), Some(7));
        assert_eq!(number("miner-server-1"), Some(1));
        for id in ["miner-worker-07", "miner-worker-+7", "miner-worker-", "worker-7", "miner-worker-7x"] {
            assert_eq!(number(id), None, "{id}");
        }
        let mut numbers = TaskNumberSet::default();
        numbers.insert(u64::MAX);
        assert!(numbers.contains(u64::MAX) && !numbers.contains(0));
    }
}
