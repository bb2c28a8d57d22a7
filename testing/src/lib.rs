//! What the tests of several crates share: an HTTP peer with prepared replies, a Mesos master and agent that a test plays,
//! ports that stay reserved, and the programs of others that tests run.

pub mod http_peer;
#[cfg(feature = "mesos")]
pub mod mesos_peer;
pub mod ports;
pub mod third_party;

use std::time::Duration;

/// The deadline for everything that must happen. It is generous, so that only a hang meets it: an idle machine needs
/// milliseconds.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for `future`.
///
/// # Panics
/// When the future has not ended within [`DEADLINE`].
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}
