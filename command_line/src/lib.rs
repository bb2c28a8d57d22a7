//! The command-line behaviour that all programs of the workspace share: parsing options, printing lines, stopping on signals,
//! the exit status, and the final summary. The options that several programs share are here, too: those for connections to
//! pools, for the source of work, for the HTTP API and for Graphite.

mod connection;
mod exit;
mod exposed;
mod graphite;
mod hangup;
mod http;
mod log;
mod output;
mod parse;
mod process;
mod source;
mod summary;
mod values;

pub use self::graphite::GraphiteArgs;
pub use connection::{ConnectionArgs, dial_options, pool_access};
pub use exit::{EX_USAGE, EXIT_STATUS_HELP, RunEnd, UsageError, exit, exit_with_json, exit_with_summary};
pub use exposed::{warn_if_exposed, warn_if_password_exposed};
pub use hangup::{Hangups, Reread, reread_on_hangup, reread_text};
pub use http::{HttpArgs, HttpSettings};
pub use log::LogArgs;
pub use output::{output_closed, pluralize, print_line, print_result, stdout_closed, written};
pub use parse::parse;
pub use process::{Signals, block_on, stop_token, stop_token_and_second_signal};
pub use source::{
    BlockSourceChoice, CookieError, CookieFiles, NodeArgs, PayoutKind, TAG, UpstreamArgs, pool_url,
};
pub use summary::{Hashrate, ShareCounts, SharesSoFar, Summary};
pub use values::{
    RedactedParser, difficulty, duration, duration_from, listen_address, read_password, whole_number,
};
