//! The asynchronous runtime of a program.

use anyhow::Context;

/// Runs a future to its end on a runtime of so many worker threads.
///
/// What still runs then is left behind: a name lookup that hangs, or a peer that is slow to fetch something, is no
/// reason to keep the process alive.
///
/// # Errors
/// If threads can't be started, or the future's own.
pub fn block_on<T>(threads: usize, main: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(main);
    runtime.shutdown_background();
    result
}
