//! A queue of deadlines that may change.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Items with one deadline each. If the deadline of an item is postponed, the queue is not changed: the caller that takes the
/// item computes its deadline again, and adds the item again if the deadline has not passed. So frequent postponements cost
/// nothing.
#[derive(Debug)]
pub struct DeadlineQueue<T> {
    times: BTreeSet<(Instant, T)>,
    queued: HashMap<T, Instant>,
}

impl<T> Default for DeadlineQueue<T> {
    fn default() -> Self {
        Self { times: BTreeSet::new(), queued: HashMap::new() }
    }
}

impl<T: Clone + Hash + Ord> DeadlineQueue<T> {
    /// Adds an item. If the item is queued with an earlier deadline, the earlier deadline is kept.
    pub fn add(&mut self, at: Instant, item: T) {
        match self.queued.get_mut(&item) {
            Some(queued) if *queued <= at => return,
            Some(queued) => {
                let before = std::mem::replace(queued, at);
                self.times.remove(&(before, item.clone()));
            }
            None => drop(self.queued.insert(item.clone(), at)),
        }
        self.times.insert((at, item));
    }

    /// Takes out an item that is due.
    fn take(&mut self, now: Instant) -> Option<T> {
        if self.times.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, item) = self.times.pop_first()?;
        self.queued.remove(&item);
        Some(item)
    }

    /// Takes out all items that are due.
    pub fn take_all(&mut self, now: Instant) -> Vec<T> {
        std::iter::from_fn(|| self.take(now)).collect()
    }

    /// Takes out all items whose deadline, as `deadline` computes it now, has passed. Items with a later deadline are queued
    /// again, and items without a deadline are dropped.
    pub fn take_expired(&mut self, now: Instant, deadline: impl Fn(&T) -> Option<Instant>) -> Vec<T> {
        let mut expired = Vec::new();
        for item in self.take_all(now) {
            match deadline(&item) {
                Some(at) if at > now => self.add(at, item),
                Some(_) => expired.push(item),
                None => {}
            }
        }
        expired
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        self.times.clear();
        self.queued.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_item_is_queued_once_for_its_earliest_time() {
        let (mut queue, now) = (DeadlineQueue::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        for seconds in [5, 9, 3, 4] {
            queue.add(at(seconds), "a");
        }
        queue.add(at(4), "b");
        assert_eq!((queue.times.len(), queue.queued.len()), (2, 2));
        assert_eq!(queue.take(at(2)), None);
        assert_eq!(queue.take_all(at(3)), ["a"]);
        queue.add(at(6), "a");
        assert_eq!(queue.take_all(at(6)), ["b", "a"]);
        assert_eq!((queue.times.len(), queue.queued.len()), (0, 0));
    }
}
