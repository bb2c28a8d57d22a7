//! A process: its runtime, and the signals that stop it.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::hangup::Hangup;

/// Signals that follow the first one within this time are ignored as repetitions. `timeout` signals its child and then the whole
/// process group, and Ctrl-C reaches both a program and a wrapper that forwards the signal to the program.
const REPEATED_WITHIN: Duration = Duration::from_millis(300);

/// Runs a future to completion on a runtime with `threads` worker threads.
///
/// Does not wait for other tasks of the runtime: neither a name lookup that hangs nor a slow HTTP client may keep the
/// process alive.
///
/// # Errors
/// If threads cannot be started, or with the future's error.
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

/// Returns a token that the first Ctrl-C or SIGTERM cancels. If the process has a terminal, SIGHUP cancels the token, too. The
/// second signal ends the process immediately.
///
/// # Errors
/// If the system refuses the signal handlers.
pub fn stop_token() -> std::io::Result<CancellationToken> {
    let (token, second) = stop_token_and_second_signal()?;
    tokio::spawn(async move { std::process::exit(128 + second.await) });
    Ok(token)
}

/// Like [`stop_token`], for programs that clean up before an immediate end: the future resolves to the second signal's number,
/// and the caller ends the process.
///
/// # Errors
/// If the system refuses the signal handlers.
pub fn stop_token_and_second_signal()
-> std::io::Result<(CancellationToken, impl Future<Output = i32> + Send + use<>)> {
    let mut signals = Signals::new()?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let second = tokio::spawn(async move {
        signals.next().await;
        cancelled.cancel();
        let first = Instant::now();
        loop {
            let number = signals.next().await;
            if first.elapsed() >= REPEATED_WITHIN {
                return number;
            }
        }
    });
    let second = async move {
        match second.await {
            Ok(number) => number,
            // The runtime is shutting down.
            Err(_) => std::future::pending().await,
        }
    };
    Ok((token, second))
}

/// The signals that ask a process to end: Ctrl-C (SIGINT), SIGTERM and, if the process has a terminal, SIGHUP.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if SIGHUP does not ask this process to end.
    hangup: Option<Signal>,
}

impl Signals {
    /// Installs the handlers, so that these signals no longer end the process by themselves. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the system refuses the signal handlers.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match Hangup::of_this_process() {
                Hangup::Ends => Some(signal(SignalKind::hangup())?),
                Hangup::Ignored => None,
                // tokio keeps this handler although the `Signal` is dropped here. So SIGHUP does not end the process.
                Hangup::Rereads => signal(SignalKind::hangup()).map(|_| None)?,
            },
        })
    }

    /// Waits for the next signal and returns its number. Safe to cancel: no signal is lost.
    pub async fn next(&mut self) -> i32 {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = hangup => SignalKind::hangup().as_raw_value(),
        }
    }
}
