//! The thread of the driver.

use std::thread;

use anyhow::Context;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Driver, InternalEvents};
use crate::core::State;
use crate::election::RunError;
use crate::store::Store;

/// What a driver returns when it ends.
pub(crate) struct DriverExit {
    pub state: State,
    pub store: Store,
    /// The result of [`Driver::run`]. The inner result is an error if the master did not accept all calls.
    pub result: Result<Result<(), String>, RunError>,
}

/// Runs the driver to its end on a thread with its own runtime. The event stream, the state machine and the connections of its
/// calls wake each other for every update. On different threads, each wake-up would cost a system call and a context switch:
/// more than all other work for an update.
///
/// Dropping the future ends the driver. `events` is called on the thread, because the timers belong to that thread's runtime.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) async fn run_on_own_thread(
    driver: Driver,
    events: impl FnOnce() -> InternalEvents + Send + 'static,
) -> anyhow::Result<DriverExit> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime of the driver")?;
    let (sender, exited) = oneshot::channel();
    let abandoned = CancellationToken::new();
    let _guard = abandoned.clone().drop_guard();
    let run = move || {
        let exit = runtime.block_on(async move { drive(driver, events(), abandoned).await });
        // If the caller has dropped the future, nobody receives the result.
        let _ = sender.send(exit);
        runtime.shutdown_background();
    };
    thread::Builder::new()
        .name("driver".to_owned())
        .spawn(run)
        .context("cannot start the driver's thread")?;
    exited.await.ok().flatten().context("the driver has panicked")
}

async fn drive(
    mut driver: Driver,
    events: InternalEvents,
    abandoned: CancellationToken,
) -> Option<DriverExit> {
    let result = tokio::select! {
        result = driver.run(events) => result,
        () = abandoned.cancelled() => return None,
    };
    let Driver { state, store, display, .. } = driver;
    drop(display);
    Some(DriverExit { state, store, result })
}
