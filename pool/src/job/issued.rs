//! A job as it was sent to one connection, with its id on this connection.

use std::fmt;
use std::sync::Arc;

use super::{HeaderBuilder, Job};

/// A job as it was sent to one connection.
#[derive(Clone, Debug)]
pub struct IssuedJob {
    /// The job's id on this connection.
    pub id: JobId,
    /// The job, which is the same for all connections.
    pub job: Arc<Job>,
    /// The header builder with this connection's coinbase.
    pub builder: HeaderBuilder,
    /// The difficulty that the connection had when the job was sent.
    pub difficulty: f64,
    /// The lowest difficulty that the connection has had since the job was sent. Some miners apply a new difficulty to the jobs
    /// that they already have, so shares of this difficulty count, too.
    pub lowest: f64,
}

/// A job's id on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The job's number in this pool.
    pub serial: u32,
    /// The number of the job on its connection. It starts at 0 on each tip, and is also part of the coinbase.
    pub issue: u16,
}

impl JobId {
    /// Reads what [`Display`](fmt::Display) writes. Case and leading zeros do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('+') {
            return None;
        }
        let number = u64::from_str_radix(text, 16).ok()?;
        Some(JobId { serial: u32::try_from(number >> 16).ok()?, issue: number as u16 })
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}{:04x}", self.serial, self.issue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        for (serial, issue) in [(1, 0), (0, 1), (0xabc, 0xffff), (u32::MAX, u16::MAX)] {
            let id = JobId { serial, issue };
            assert_eq!(JobId::parse(&id.to_string()), Some(id));
            assert_eq!(JobId::parse(&id.to_string().to_uppercase()), Some(id));
        }
        for text in ["", "x", "+10000", "-1", "1ffffffff0000", "ffffffffffffffffff"] {
            assert_eq!(JobId::parse(text), None, "{text:?}");
        }
    }
}
