//! What every scan does around a backend's search: the ends of the space, the exact check, a full buffer.

use super::Entry;
use crate::{Cursor, Hit, HitBuffer, MAX_VERSIONS, Progress, Work};

/// Upper bound of items × versions in a chunk, for any backend.
pub(super) const MAX_CANDIDATES: usize = 1024;
const _: () = assert!(MAX_CANDIDATES >= 6 * MAX_VERSIONS);

pub(super) fn scan(entry: &Entry, work: &Work, from: Cursor, hits: &mut HitBuffer) -> Progress {
    let versions = work.versions().len();
    if u64::from(from.nonce) >= work.end() {
        return Progress { hashes: 0, next: None };
    }
    // A cursor of another work may name a version that this one has not: the next nonce follows.
    let start = Cursor { version: from.version.min(versions as u32), ..from }.position(versions);
    if hits.is_full() {
        return Progress { hashes: 0, next: Some(from) };
    }
    let items = (entry.items)(versions);
    let mut candidates = [0; MAX_CANDIDATES];
    let candidates = &mut candidates[..items * versions];
    // SAFETY: an entry is only reachable through a `Backend`, which is made after `available` said yes.
    #[allow(unsafe_code)]
    let any = unsafe { (entry.search)(work, from.nonce, hits.memory(), candidates) };

    let mut end = (u64::from(from.nonce) + (items * entry.lanes) as u64).min(work.end()) * versions as u64;
    if any {
        let chunk = Chunk { work, lanes: entry.lanes, first: from.nonce, candidates };
        end = chunk.collect(start, end, hits);
    }
    Progress { hashes: end - start, next: Cursor::from_position(end, versions, work.end()) }
}

/// A chunk that was searched.
struct Chunk<'a> {
    work: &'a Work,
    lanes: usize,
    first: u32,
    candidates: &'a [u16],
}

impl Chunk<'_> {
    /// Puts the hits between two positions into the buffer and returns the position up to which that is done.
    #[cold]
    fn collect(&self, start: u64, end: u64, hits: &mut HitBuffer) -> u64 {
        let versions = self.work.versions();
        let first = u64::from(self.first);
        for (i, item) in self.candidates.chunks_exact(versions.len()).enumerate() {
            if item.iter().all(|lanes| *lanes == 0) {
                continue;
            }
            // The order of the space: nonces first, then versions.
            for lane in 0..self.lanes {
                let nonce = first + (i * self.lanes + lane) as u64;
                for (v, version) in versions.iter().enumerate() {
                    let position = nonce * versions.len() as u64 + v as u64;
                    if item[v] >> lane & 1 == 0 || position < start || position >= end {
                        continue;
                    }
                    let hit = Hit { version: *version, nonce: nonce as u32 };
                    if self.work.target().is_met_by(&self.work.digest(hit)) {
                        hits.push(hit);
                        if hits.is_full() {
                            return position + 1;
                        }
                    }
                }
            }
        }
        end
    }
}
