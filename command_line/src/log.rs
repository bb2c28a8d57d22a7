//! The options for logs.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use logging::{FilterError, Format};

use crate::exit::UsageError;
use crate::exposed;

/// What is logged, and how.
#[derive(Args, Clone, Debug, Default)]
pub struct LogArgs {
    /// File with what to log: a level (error, warn, info, debug or trace), or a filter such as warn,scheduler=debug. It overrides
    /// RUST_LOG and is read again on SIGHUP [default: none]
    #[arg(long, env = "MINER_LOG_FILTER_FILE", value_name = "FILE")]
    pub log_filter_file: Option<PathBuf>,
    /// How lines on standard error are written: text for people, or json for one object a line
    #[arg(long, env = "MINER_LOG_FORMAT", value_name = "FORMAT", default_value = "text", value_parser = format())]
    pub log_format: Format,
}

fn format() -> impl TypedValueParser<Value = Format> {
    let names = PossibleValuesParser::new(Format::ALL.map(Format::name));
    names.map(|name| Format::from_name(&name).unwrap_or_default())
}

impl LogArgs {
    /// Sends logs to stderr. The filter `default` is used if there is neither a file nor `RUST_LOG`.
    ///
    /// # Errors
    /// [`UsageError`] if the file cannot be read, or the text in the file or in `RUST_LOG` is not a filter.
    pub fn init(&self, default: &str) -> Result<(), UsageError> {
        logging::init(default, self.log_filter_file.as_deref(), self.log_format).map_err(
            |error| match error {
                FilterError::Variable { .. } => UsageError(error.to_string()),
                error => UsageError(format!("--log-filter-file {error}")),
            },
        )?;
        exposed::log_started();
        Ok(())
    }
}
