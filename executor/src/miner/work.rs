//! What is searched, and which pool gave it.

use std::collections::VecDeque;
use std::sync::Arc;

use stratum::Job;

/// A job and its pool.
#[derive(Clone, Debug)]
pub struct Work {
    /// The job.
    pub job: Arc<Job>,
    /// The index of the pool in the settings.
    pub index: usize,
}

/// How many changes of pool are remembered. Shares are found a moment after their job was replaced, not several pools later.
const REMEMBERED: usize = 16;

/// Which pool gave the jobs of the engine's generations.
#[derive(Debug, Default)]
pub struct JobSources {
    /// The first generation with a job of a pool, and that pool's index; the newest last.
    changes: VecDeque<(u64, usize)>,
}

impl JobSources {
    /// This generation, which is a new one, searches a job of this pool.
    pub fn insert(&mut self, generation: u64, index: usize) {
        if self.changes.back().is_none_or(|(_, last)| *last != index) {
            self.changes.push_back((generation, index));
            let superfluous = self.changes.len().saturating_sub(REMEMBERED);
            self.changes.drain(..superfluous);
        }
    }

    /// The index of the pool that gave the job of this generation.
    pub fn of(&self, generation: u64) -> usize {
        let known = self.changes.iter().rev().find(|(since, _)| *since <= generation);
        known.or(self.changes.front()).map_or(0, |(_, index)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_belongs_to_the_pool_of_its_job() {
        let mut sources = JobSources::default();
        assert_eq!(sources.of(1), 0);
        for (generation, index) in [(1, 0), (2, 0), (5, 1), (6, 1), (8, 0)] {
            sources.insert(generation, index);
        }
        assert_eq!([1, 2, 4, 5, 7, 8, 9].map(|generation| sources.of(generation)), [0, 0, 0, 1, 1, 0, 0]);
        for generation in 0..100 {
            sources.insert(10 + generation, usize::try_from(generation).expect("small"));
        }
        assert_eq!((sources.changes.len(), sources.of(109)), (REMEMBERED, 99));
    }
}
