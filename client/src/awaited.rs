//! What a silent pool owes.

use std::fmt;

/// What the client waits for, from a pool that is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The connection: its address does not answer at all.
    Connection,
    /// The first answer on an open connection.
    FirstAnswer,
    /// The answer to `mining.subscribe`.
    Subscription,
    /// The answer to `mining.authorize`.
    Authorization,
    /// The first job.
    Job,
    /// The verdicts on this number of shares.
    Verdicts(usize),
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Awaited::Connection => f.write_str("the connection"),
            Awaited::FirstAnswer => f.write_str("a first answer on the open connection"),
            Awaited::Subscription => f.write_str("the answer to mining.subscribe"),
            Awaited::Authorization => f.write_str("the answer to mining.authorize"),
            Awaited::Job => f.write_str("a first job"),
            Awaited::Verdicts(1) => f.write_str("the verdict on a share"),
            Awaited::Verdicts(shares) => write!(f, "the verdicts on {shares} shares"),
        }
    }
}
