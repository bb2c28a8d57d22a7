//! The option for logs.

use std::path::PathBuf;

use clap::Args;
use logging::FilterError;

use crate::exit::UsageError;

/// What is logged.
#[derive(Args, Clone, Debug, Default)]
pub struct LogArgs {
    /// File with what to log: a level (error, warn, info, debug or trace), or a filter such as warn,scheduler=debug. It overrides
    /// RUST_LOG and is read again on SIGHUP [default: none]
    #[arg(long, env = "MINER_LOG_FILTER_FILE", value_name = "FILE")]
    pub log_filter_file: Option<PathBuf>,
}

impl LogArgs {
    /// Sends logs to stderr. The filter `default` is used if there is neither a file nor `RUST_LOG`.
    ///
    /// # Errors
    /// [`UsageError`] if the file cannot be read, or the text in the file or in `RUST_LOG` is not a filter.
    pub fn init(&self, default: &str) -> Result<(), UsageError> {
        logging::init(default, self.log_filter_file.as_deref()).map_err(|error| match error {
            FilterError::Variable { .. } => UsageError(error.to_string()),
            error => UsageError(format!("--log-filter-file {error}")),
        })
    }
}
