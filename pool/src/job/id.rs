//! What jobs are called on the wire.

use std::fmt;

/// A job's id on one connection: the job's serial number, and which time the connection got this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId {
    /// Serial number of the job.
    pub serial: u32,
    /// Counts from 0 for each job.
    pub issue: u16,
}

impl JobId {
    /// Reads what [`Display`](fmt::Display) writes; case and leading zeros don't matter.
    pub fn parse(text: &str) -> Option<JobId> {
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
    fn ids_survive_the_trip() {
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
