//! The thread of the driver.

use std::thread;

use anyhow::Context;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Driver, Inputs};
use crate::core::State;
use crate::election::TermError;
use crate::store::{Store, StoreEvent};

/// What a driver leaves.
pub(crate) struct Driven {
    pub state: State,
    pub store: Store,
    /// How it ended: as [`Driver::run`].
    pub ran: Result<Result<(), String>, TermError>,
}

/// Runs the driver to its end, on a thread with a runtime of its own. The event stream, the state machine and the
/// connections of its calls wake each other for every update: between threads each wake-up costs a system call and a
/// change of context, which is more than all the rest of the work.
///
/// Dropping the future ends the driver.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) async fn run_on_own_thread(
    driver: Driver,
    events: mpsc::UnboundedReceiver<StoreEvent>,
    stop: CancellationToken,
) -> anyhow::Result<Driven> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime of the driver")?;
    let (result, ended) = oneshot::channel();
    let abandoned = CancellationToken::new();
    let _guard = abandoned.clone().drop_guard();
    let run = move || {
        let driven = runtime.block_on(drive(driver, events, stop, abandoned));
        // Whoever waited may be gone.
        let _ = result.send(driven);
        runtime.shutdown_background();
    };
    thread::Builder::new()
        .name("driver".to_owned())
        .spawn(run)
        .context("cannot start the driver's thread")?;
    ended.await.ok().flatten().context("the driver has panicked")
}

async fn drive(
    mut driver: Driver,
    events: mpsc::UnboundedReceiver<StoreEvent>,
    stop: CancellationToken,
    abandoned: CancellationToken,
) -> Option<Driven> {
    let inputs = Inputs::new(events, stop);
    let ran = tokio::select! {
        ran = driver.run(inputs) => ran,
        () = abandoned.cancelled() => return None,
    };
    let Driver { state, store, display, .. } = driver;
    drop(display);
    Some(Driven { state, store, ran })
}
