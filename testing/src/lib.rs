//! Helpers that the tests of several crates share: an HTTP peer with prepared replies, a Mesos master and agent that a test
//! controls, a real Bitcoin Core, reserved ports, descriptions of APIs, and third-party programs that tests run.

#[cfg(feature = "bitcoin-core")]
pub mod bitcoin_core;
#[cfg(feature = "bitcoin-core")]
pub mod bystander;
pub mod http_peer;
#[cfg(feature = "bitcoin-core")]
mod json_rpc;
#[cfg(feature = "mesos")]
pub mod mesos_peer;
pub mod openapi;
pub mod ports;
pub mod third_party;

use std::time::Duration;

/// The deadline for everything that must happen. An idle machine needs only milliseconds, so only a hang exceeds the deadline.
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
