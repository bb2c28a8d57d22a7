//! Logs. They go to stderr; a program's results go to stdout.

mod bounded;
mod filter;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::bounded::BoundedWriter;
pub use self::filter::{FilterError, reread_filter};

/// Sends logs to stderr. A filter such as `info` decides what is logged. It is read from `file`, which [`reread_filter`] reads
/// again. Without a file, it is read from the environment variable `RUST_LOG`. Without this variable, it is `default`. Colours
/// are used on a terminal, unless `NO_COLOR` is set.
///
/// # Errors
/// If the file cannot be read, or the text in the file or in `RUST_LOG` is not a filter.
pub fn init(default: &str, file: Option<&Path>) -> Result<(), FilterError> {
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(color && std::io::stderr().is_terminal())
        .with_target(false)
        .log_internal_errors(false);
    tracing_subscriber::registry().with(filter::layer(default, file)?).with(lines).init();
    Ok(())
}

/// Like [`init`], but limits the rate and the total size of the logs, for a stderr file that is never rotated. If `RUST_LOG` is
/// no valid filter, `default` is used.
pub fn init_bounded(default: &str) {
    let filter = filter::from_variable().ok().flatten().unwrap_or_else(|| filter::by_default(default));
    let lines = fmt::layer()
        .with_writer(Mutex::new(BoundedWriter::new(std::io::stderr())))
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// Formats an error and all its causes on one line: `no work: no node: connection refused`.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_in_order() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let error = anyhow::Error::new(refused).context("no node").context("no work");
        assert_eq!(error_chain(&*error), "no work: no node: connection refused");
    }
}
