//! Ctrl-C, SIGTERM, and the end of the terminal.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// So soon after the first signal another one is the same wish, told twice: `timeout` signals its child and then the
/// whole group, and Ctrl-C reaches a program and also the wrapper that passes it on.
const SAME: Duration = Duration::from_millis(300);

/// A token that the first Ctrl-C, SIGTERM or SIGHUP cancels; the second one ends the process at once.
///
/// # Errors
/// If the system refuses to tell of signals.
pub fn stop_token() -> std::io::Result<CancellationToken> {
    let (token, again) = stop_token_and_again()?;
    tokio::spawn(async move { std::process::exit(128 + again.await) });
    Ok(token)
}

/// The same for those who have something to clear away even then: with a future that is ready when the process is to end
/// at once, and gives the second one's number.
///
/// # Errors
/// If the system refuses to tell of signals.
pub fn stop_token_and_again() -> std::io::Result<(CancellationToken, impl Future<Output = i32>)> {
    let mut signals = Signals::new()?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let again = tokio::spawn(async move {
        signals.next().await;
        cancelled.cancel();
        let first = Instant::now();
        loop {
            let number = signals.next().await;
            if first.elapsed() >= SAME {
                return number;
            }
        }
    });
    let again = async move {
        match again.await {
            Ok(number) => number,
            // The runtime is ending.
            Err(_) => std::future::pending().await,
        }
    };
    Ok((token, again))
}

/// What asks a process to end: Ctrl-C, SIGTERM and SIGHUP.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on; none of them ends the process by itself any more. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the system refuses to tell of signals.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the next one. Cancelling loses nothing.
    pub async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.hangup.recv() => SignalKind::hangup().as_raw_value(),
        }
    }
}
