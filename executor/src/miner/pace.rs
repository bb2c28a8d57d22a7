//! Not more shares than the pool keeps up with.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::engine::Found;

/// Answers that may be outstanding before sending slows down. Where nearly every hash is a share, as on regtest, all that
/// is sent beyond what the pool keeps up with would be stale when it is read.
const MAX_OUTSTANDING: usize = 64;
/// The pause before each share then: pools that never answer still get some.
const CROWDED_PAUSE: Duration = Duration::from_millis(100);

/// The next find, after a pause if the pool does not keep up. Cancel-safe.
pub(super) async fn next_find(finds: &mut mpsc::Receiver<Found>, outstanding: usize) -> Option<Found> {
    if outstanding >= MAX_OUTSTANDING {
        sleep(CROWDED_PAUSE).await;
    }
    finds.recv().await
}
