//! Sends a program's figures to Graphite's carbon, by its plaintext protocol: lines of a name, a value and a time.
//!
//! The figures are those of `/metrics`. A name is the prefix, the name of the metric without `mesos_miner_`, and the name and value of
//! each label, joined by dots: `shares_total{verdict="accepted"}` is `PREFIX.shares_total.verdict.accepted`.
//!
//! What cannot be sent waits in a queue of bounded size.
//!
//! <https://graphite.readthedocs.io/en/stable/feeding-carbon.html>

mod lines;
mod notices;
mod prefix;
mod queue;
mod sender;

use net::HostPort;

pub use self::prefix::{Prefix, PrefixError};
pub use self::sender::send;

/// Where figures are sent, and under which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address of carbon's line receiver.
    pub address: HostPort,
    /// What all names begin with.
    pub prefix: Prefix,
}
