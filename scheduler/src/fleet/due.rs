//! Times at which something has to be looked at.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Things with the time at which each is due, one time for each thing. A deadline that has moved on since is found out
/// when the time comes: whoever takes a thing computes its deadline again, and adds it again if that is later. So what
/// happens often moves nothing here.
#[derive(Debug)]
pub struct DueQueue<T> {
    times: BTreeSet<(Instant, T)>,
    queued: HashMap<T, Instant>,
}

impl<T> Default for DueQueue<T> {
    fn default() -> Self {
        Self { times: BTreeSet::new(), queued: HashMap::new() }
    }
}

impl<T: Clone + Hash + Ord> DueQueue<T> {
    /// Adds a thing. One that is due earlier anyway stays where it is.
    pub fn add(&mut self, at: Instant, thing: T) {
        match self.queued.get_mut(&thing) {
            Some(queued) if *queued <= at => return,
            Some(queued) => {
                let before = std::mem::replace(queued, at);
                self.times.remove(&(before, thing.clone()));
            }
            None => drop(self.queued.insert(thing.clone(), at)),
        }
        self.times.insert((at, thing));
    }

    /// Takes one that is due out.
    pub fn take(&mut self, now: Instant) -> Option<T> {
        if self.times.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, thing) = self.times.pop_first()?;
        self.queued.remove(&thing);
        Some(thing)
    }

    /// Takes all out that are due.
    pub fn take_all(&mut self, now: Instant) -> Vec<T> {
        std::iter::from_fn(|| self.take(now)).collect()
    }

    /// Forgets all.
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
    fn a_thing_is_queued_once_for_its_earliest_time() {
        let (mut queue, now) = (DueQueue::default(), Instant::now());
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
