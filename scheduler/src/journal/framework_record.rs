//! The record of a framework, and of its removal by the master.

use serde::{Deserialize, Serialize};

/// A framework, present or past. Its JSON is part of the format of the tree in ZooKeeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkRecord {
    /// The framework's id.
    pub id: String,
    /// When the framework first subscribed, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The failover timeout that the master knows, in milliseconds; `None` in records of an earlier version of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover_ms: Option<u64>,
    /// Whether the scheduler was about to send TEARDOWN. If so, and if the master has removed the framework, the scheduler itself
    /// tore it down. Once TEARDOWN is known to have succeeded, the framework has no record any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tearing_down: bool,
    /// The record of the framework's removal by the master; `None` if the master has not removed it, or if the scheduler itself
    /// tore it down.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
}

/// Records that the master has removed the framework, either because an operator tore it down, or because no scheduler was
/// subscribed during the failover timeout. No scheduler begins another framework in its place unless it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// When the scheduler learned of the removal, milliseconds since the Unix epoch.
    pub removed_ms: u64,
    /// The time from the last known contact with the master until `removed_ms`, in milliseconds; `None` if no contact is known.
    /// The last known contact is the last event that the same run of the scheduler received or, if it received none, the last
    /// launch or report that an earlier run recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
}
