//! Logs. They go to stderr; a program's results go to stdout.
//!
//! All lines have one style: events of `tracing`, which a filter selects, and [`notice`]s, which the user always sees.

mod bounded;
pub mod events;
mod filter;
mod layer;
mod line;
mod line_limit;
mod output;
mod repeats;

use std::io::IsTerminal;
use std::path::Path;

pub use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use self::filter::{FilterError, reread_filter};
use self::layer::Lines;
pub use self::line::Format;
use self::line::Style;
pub use self::line_limit::LineLimit;
pub use self::output::{Redirection, Sink, final_error, notice, notices, redirect, rendered_notice};
pub use self::repeats::Repeats;

/// Sends logs to stderr. A filter such as `info` decides what is logged. It is read from `file`, which [`reread_filter`] reads
/// again. Without a file, it is read from the environment variable `RUST_LOG`. Without this variable, it is `default`. Text has
/// colours on a terminal, unless `NO_COLOR` is set.
///
/// # Errors
/// If the file cannot be read, or the text in the file or in `RUST_LOG` is not a filter.
pub fn init(default: &str, file: Option<&Path>, format: Format) -> Result<(), FilterError> {
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    output::set_style(Style { format, color: color && std::io::stderr().is_terminal() });
    events::EVENTS.keep();
    tracing_subscriber::registry().with(filter::layer(default, file)?).with(Lines).init();
    Ok(())
}

/// Like [`init`], but limits the rate and the total size of the logs, for a stderr file that is never rotated. If `RUST_LOG` is
/// no valid filter, `default` is used.
pub fn init_bounded(default: &str, format: Format) {
    output::set_style(Style { format, color: false });
    output::bound();
    let filter = filter::from_variable().ok().flatten().unwrap_or_else(|| filter::by_default(default));
    tracing_subscriber::registry().with(filter).with(Lines).init();
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
