//! Ctrl-C, SIGTERM, and the end of the terminal.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first Ctrl-C, SIGTERM or SIGHUP cancels; the second one ends the process at once.
///
/// # Errors
/// If the system refuses to tell of signals.
pub fn stop_token() -> std::io::Result<CancellationToken> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup: signal(SignalKind::hangup())?,
    };
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        signals.next().await;
        cancelled.cancel();
        let number = signals.next().await;
        std::process::exit(128 + number);
    });
    Ok(token)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.hangup.recv() => SignalKind::hangup().as_raw_value(),
        }
    }
}
