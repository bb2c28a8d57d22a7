//! Logs. They go to stderr; a program's results go to stdout.

mod bounded;

use std::io::IsTerminal;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use self::bounded::BoundedWriter;

/// Sends logs to stderr. `default` is a filter such as `info`; the environment variable `RUST_LOG` overrides it. Colours
/// are used on a terminal, unless `NO_COLOR` is set.
pub fn init(default: &str) {
    // Warnings of the ZooKeeper client are hidden, because the scheduler itself reports problems with ZooKeeper.
    let default = format!("{default},zookeeper_client=error");
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter(&default))
        .with_writer(std::io::stderr)
        .with_ansi(color && std::io::stderr().is_terminal())
        .with_target(false)
        .log_internal_errors(false)
        .init();
}

/// Like [`init`], but limits the rate and the total size of the logs, for a stderr file that is never rotated.
pub fn init_bounded(default: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_writer(Mutex::new(BoundedWriter::new(std::io::stderr())))
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .init();
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
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
