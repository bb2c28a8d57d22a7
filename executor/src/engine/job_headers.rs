//! The block headers of a job: makes the header that a backend searches from a unit of the job's search space, and a share from a
//! hit of the backend.

use std::sync::Arc;

use hasher::{Header, Hit, Work, WorkError};

use super::search_space::Unit;
use super::{FoundShare, ThreadJob};

/// A unit, and the header whose version and nonce the search varies.
pub(super) struct UnitWork<'a> {
    pub thread_job: &'a Arc<ThreadJob>,
    extranonce2: Vec<u8>,
    unit: &'a Unit,
    header: Header,
}

impl<'a> UnitWork<'a> {
    pub fn new(thread_job: &'a Arc<ThreadJob>, unit: &'a Unit) -> Self {
        let extranonce2 = thread_job.search.space().extranonce2(unit);
        let header = thread_job.job.header(&extranonce2, unit.ntime, thread_job.job.version);
        UnitWork { thread_job, extranonce2, unit, header }
    }

    pub fn work(&self) -> Result<Work, WorkError> {
        let versions: Vec<u32> = self.thread_job.search.space().versions(self.unit).collect();
        Work::new(&self.header, &versions, &self.thread_job.job.target)
    }

    pub fn found(&self, hit: Hit) -> FoundShare {
        let header = Header { version: hit.version, nonce: hit.nonce, ..self.header };
        FoundShare {
            job: self.thread_job.job.clone(),
            generation: self.thread_job.generation,
            extranonce2: self.extranonce2.clone(),
            header,
            digest: header.digest(),
        }
    }
}
