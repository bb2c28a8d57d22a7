//! What every program of the workspace does first and last: times, difficulties and secrets on the command line, logs,
//! runtime, signals, exit status, errors with their causes, passwords in files, the summary at the end, and how many of
//! what.

mod access;
mod causes;
mod counted;
mod difficulty;
mod discreet;
mod duration;
mod exit;
mod logs;
mod password;
mod reader;
mod runtime;
mod say;
mod signals;
mod summary;

pub use access::{AccessArgs, access_of, spec_of};
pub use causes::chain;
pub use counted::counted;
pub use difficulty::difficulty;
pub use discreet::Discreet;
pub use duration::{DurationError, duration};
pub use exit::{USAGE, Usage, exit, usage_error};
pub use logs::{init_bounded_logs, init_logs};
pub use password::read_password;
pub use reader::reader_gone;
pub use runtime::block_on;
pub use say::{complain, say};
pub use signals::{Signals, stop_token, stop_token_and_again};
pub use summary::{Hashrate, Shares, Summary};
