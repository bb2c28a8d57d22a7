//! Times at which something has to be looked at.

use std::collections::BTreeSet;
use std::time::Instant;

/// Things with the time at which each is due. A time that has moved on since is found out when it comes: whoever takes
/// a thing looks whether it really is due, and puts it back if it is not. So what happens often moves nothing here.
#[derive(Debug)]
pub struct DueQueue<T> {
    times: BTreeSet<(Instant, T)>,
}

impl<T> Default for DueQueue<T> {
    fn default() -> Self {
        Self { times: BTreeSet::new() }
    }
}

impl<T: Ord> DueQueue<T> {
    /// Adds one. The same thing may be in it with several times.
    pub fn add(&mut self, at: Instant, thing: T) {
        self.times.insert((at, thing));
    }

    /// Takes one that is due out.
    pub fn take(&mut self, now: Instant) -> Option<T> {
        if self.times.first().is_some_and(|(at, _)| *at <= now) {
            return self.times.pop_first().map(|(_, thing)| thing);
        }
        None
    }

    /// Takes all out that are due.
    pub fn take_all(&mut self, now: Instant) -> Vec<T> {
        std::iter::from_fn(|| self.take(now)).collect()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.times.clear();
    }
}
