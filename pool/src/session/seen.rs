//! Which accepted shares a connection has sent, so that each counts once.
//!
//! By job: a share of a job that is forgotten is stale whatever it is, so nobody need remember it. What is kept is
//! bounded all the same, and by the time that a job is given out, not by the time that a block takes.

use std::collections::HashSet;

use crate::job::JobId;

/// Digests of accepted shares, 32 bytes each.
#[derive(Debug, Default)]
pub struct Seen {
    jobs: Vec<(JobId, HashSet<[u8; 32]>)>,
    total: usize,
}

impl Seen {
    /// Whether this share has come before, of whichever job: an upstream pool may send the same work again where there is
    /// no room to tell its jobs apart.
    pub fn contains(&self, digest: &[u8; 32]) -> bool {
        self.jobs.iter().any(|(_, digests)| digests.contains(digest))
    }

    /// Remembers a share; returns how many of its job there are.
    pub fn insert(&mut self, job: JobId, digest: [u8; 32]) -> usize {
        let place = self.jobs.iter().position(|(id, _)| *id == job).unwrap_or(self.jobs.len());
        if place == self.jobs.len() {
            self.jobs.push((job, HashSet::new()));
        }
        let Some((_, digests)) = self.jobs.get_mut(place) else { return 0 };
        self.total += usize::from(digests.insert(digest));
        digests.len()
    }

    /// Shares of all jobs.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Remembers a job no more.
    pub fn forget(&mut self, job: JobId) {
        self.jobs.retain(|(id, digests)| {
            let kept = *id != job;
            self.total -= if kept { 0 } else { digests.len() };
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_known_by_job_and_forgotten_with_it() {
        let mut seen = Seen::default();
        let [first, second] = [1, 2].map(|serial| JobId { serial, issue: 0 });
        assert_eq!((seen.insert(first, [1; 32]), seen.insert(first, [2; 32])), (1, 2));
        assert_eq!((seen.insert(second, [1; 32]), seen.insert(second, [1; 32])), (1, 1));
        assert_eq!(seen.len(), 3);
        assert!(seen.contains(&[2; 32]) && !seen.contains(&[3; 32]));
        seen.forget(first);
        seen.forget(first);
        assert_eq!(seen.len(), 1);
        assert!(seen.contains(&[1; 32]) && !seen.contains(&[2; 32]));
    }
}
