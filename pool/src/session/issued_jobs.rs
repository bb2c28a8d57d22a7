//! The jobs for which one connection may still submit shares, with the accepted shares of each job.

use std::collections::{HashMap, HashSet};

use stratum::Reason;

use crate::job::{IssuedJob, Job, JobId};

/// Maximum number of jobs of one connection for which shares are accepted. Older jobs of this connection are stale.
pub(super) const MAX_ISSUED: usize = 32;
/// Maximum number of accepted shares of one connection that are remembered to recognize duplicates. At this limit, the
/// oldest jobs become stale.
pub(super) const MAX_ACCEPTED: usize = 1 << 14;
/// After this number of accepted shares of one job, the miner gets another job, because at most [`MAX_ACCEPTED`] shares are
/// remembered. Some jobs last for hours.
pub(super) const RENEW_AFTER: usize = MAX_ACCEPTED / 2;
/// A share of an earlier job of this connection is rejected with this text. For an unknown job, the text is "job not found".
const STALE: &str = "stale";

/// The jobs of one connection.
#[derive(Debug, Default)]
pub struct IssuedJobs {
    /// Jobs for which shares are accepted, oldest first.
    pub(super) jobs: Vec<IssuedJob>,
    /// The first and the last job id ever issued on this connection. Ids between them that are not in `jobs` are stale.
    range: Option<(JobId, JobId)>,
    /// Whether this connection has got a job on the current tip.
    pub(super) on_tip: bool,
    pub(super) accepted: AcceptedShares,
}

/// Whether a share was rejected only because its job is outdated, which is no fault of the miner.
pub(super) fn is_outdated(reason: &Reason) -> bool {
    reason.code == Reason::JOB_NOT_FOUND && reason.message == STALE
}

impl IssuedJobs {
    /// Makes all jobs stale, because the tip has changed.
    pub fn outdate(&mut self) {
        self.forget_jobs();
        self.on_tip = false;
    }

    /// Drops the jobs and their shares. Shares of these jobs are stale from now on.
    pub fn forget_jobs(&mut self) {
        self.jobs = Vec::new();
        self.accepted = AcceptedShares::default();
    }

    /// Whether `job` can be issued on this connection, even if it was issued before.
    pub fn can_issue(&self, job: &Job) -> bool {
        // Only a misbehaving miner is sent the same job so often that the job's ids are used up. From then on, the miner keeps
        // the job under its last id. The ids of a job differ in a number that takes bytes from the upstream pool's extranonce2.
        // If no bytes are left for this number, each job has only one id.
        self.range.is_none_or(|(_, last)| !job.is_exhausted_after(last))
    }

    /// The id under which `job` can be issued next; `None` if no id is left for this job.
    pub fn next_id(&self, job: &Job) -> Option<JobId> {
        // `issue` counts all jobs on one tip. It is part of the coinbase, so the coinbases of two jobs differ even if
        // nothing else does.
        let issue = match self.range {
            Some((_, last)) if self.on_tip => last.issue.wrapping_add(1) & job.layout.last_issue(),
            _ => 0,
        };
        self.can_issue(job).then_some(JobId { serial: job.serial, issue })
    }

    /// Adds an issued job. Its id must be from [`IssuedJobs::next_id`].
    pub fn push(&mut self, issued: IssuedJob) {
        self.on_tip = true;
        self.range = Some((self.range.map_or(issued.id, |(first, _)| first), issued.id));
        if self.jobs.len() >= MAX_ISSUED {
            self.retire(0);
        }
        self.jobs.push(issued);
    }

    /// Lowers [`IssuedJob::lowest`] of all jobs to the difficulty of the next job, because the miner may apply that
    /// difficulty to earlier jobs, too.
    pub fn lower_difficulty(&mut self, difficulty: f64) {
        for issued in &mut self.jobs {
            issued.lowest = issued.lowest.min(difficulty);
        }
    }

    /// Finds the job that a share names.
    ///
    /// # Errors
    /// If the job is stale or unknown.
    pub fn find(&self, name: &str) -> Result<&IssuedJob, Reason> {
        let id = JobId::parse(name);
        if let Some(issued) = self.jobs.iter().find(|issued| Some(issued.id) == id) {
            return Ok(issued);
        }
        let was_issued = |id: JobId| self.range.is_some_and(|(first, last)| (first..=last).contains(&id));
        let text = if id.is_some_and(was_issued) { STALE } else { "job not found" };
        Err(Reason::new(Reason::JOB_NOT_FOUND, text))
    }

    /// Remembers an accepted share by its digest.
    ///
    /// # Errors
    /// If the share is a duplicate, or the job has more shares than can be remembered.
    pub fn accept(&mut self, job: JobId, digest: [u8; 32]) -> Result<(), Reason> {
        if self.accepted.contains(&digest) {
            return Err(Reason::new(Reason::DUPLICATE, "duplicate share"));
        }
        while self.accepted.len() >= MAX_ACCEPTED {
            let Some(oldest) = self.jobs.iter().position(|other| other.id != job) else {
                return Err(Reason::new(Reason::OTHER, "too many shares for one job"));
            };
            self.retire(oldest);
        }
        self.accepted.insert(job, digest);
        Ok(())
    }

    /// Whether this job is the last one sent to the miner and has so many shares that the miner should get a new job.
    pub fn needs_renewal(&self, job: JobId) -> bool {
        self.range.is_some_and(|(_, last)| last == job) && self.accepted.count(job) >= RENEW_AFTER
    }

    /// Makes the shares of one job stale.
    fn retire(&mut self, index: usize) {
        let retired = self.jobs.remove(index);
        self.accepted.forget(retired.id);
    }
}

/// The accepted shares of one connection, grouped by job. They are remembered so that each share counts only once. When a
/// job is forgotten, its shares are stale and need not be remembered.
#[derive(Debug, Default)]
pub struct AcceptedShares(HashMap<JobId, HashSet<[u8; 32]>>);

impl AcceptedShares {
    /// Whether a share with this digest was accepted for any job. All jobs are searched, because two jobs may have the same
    /// headers. This happens if the upstream pool's extranonce2 has no byte left for a job number.
    pub fn contains(&self, digest: &[u8; 32]) -> bool {
        self.0.values().any(|digests| digests.contains(digest))
    }

    /// Remembers a share of a job, and returns the number of the job's shares.
    pub fn insert(&mut self, job: JobId, digest: [u8; 32]) -> usize {
        let digests = self.0.entry(job).or_default();
        digests.insert(digest);
        digests.len()
    }

    /// The number of shares of one job.
    pub fn count(&self, job: JobId) -> usize {
        self.0.get(&job).map_or(0, HashSet::len)
    }

    /// The number of shares of all jobs.
    pub fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }

    /// Forgets the shares of a job.
    pub fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_known_by_job_and_forgotten_with_it() {
        let mut accepted = AcceptedShares::default();
        let [first, second] = [1, 2].map(|serial| JobId { serial, issue: 0 });
        assert_eq!((accepted.insert(first, [1; 32]), accepted.insert(first, [2; 32])), (1, 2));
        assert_eq!((accepted.insert(second, [1; 32]), accepted.insert(second, [1; 32])), (1, 1));
        assert_eq!(accepted.len(), 3);
        assert!(accepted.contains(&[2; 32]) && !accepted.contains(&[3; 32]));
        accepted.forget(first);
        accepted.forget(first);
        assert_eq!(accepted.len(), 1);
        assert!(accepted.contains(&[1; 32]) && !accepted.contains(&[2; 32]));
    }
}
