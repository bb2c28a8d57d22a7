//! What every program of the workspace does first and last: times on the command line, logs, runtime, signals,
//! exit status, and the summary at the end.

mod duration;
mod exit;
mod logs;
mod runtime;
mod signals;
mod summary;

pub use duration::{DurationError, duration};
pub use exit::{USAGE, exit, usage_error};
pub use logs::init_logs;
pub use runtime::block_on;
pub use signals::stop_token;
pub use summary::{Hashrate, Shares, Summary};
