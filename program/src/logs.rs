//! Logs go to stderr, results to stdout.

mod bounded;

use std::io::IsTerminal;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use self::bounded::Bounded;

/// Sends logs to stderr, but no more than a file that nobody rotates should take: a burst,
/// then what a rate allows, and 32 MiB in all. What is left out is counted and said. `default` is as for [`init_logs`].
pub fn init_bounded_logs(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Mutex::new(Bounded::new(std::io::stderr())))
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .init();
}

/// Sends logs to stderr. `default` is a filter such as `info`; `RUST_LOG` overrides it. Colours only on a terminal
/// and without `NO_COLOR`.
pub fn init_logs(default: &str) {
    // What ZooKeeper's client warns of is told by those who use it.
    let default = format!("{default},zookeeper_client=error");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color && std::io::stderr().is_terminal())
        .with_target(false)
        .log_internal_errors(false)
        .init();
}
