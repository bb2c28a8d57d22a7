//! What every program of the workspace does first and last: the command line with its times, numbers, addresses and
//! secrets, logs, runtime, signals, exit status, errors with their causes, passwords in files, the summary at the end, and
//! how many of what.

mod access;
mod causes;
mod command_line;
mod counted;
mod difficulty;
mod discreet;
mod duration;
mod exit;
mod listen;
mod logs;
mod numbers;
mod password;
mod reader;
mod runtime;
mod say;
mod signals;
mod summary;

pub use access::{AccessArgs, access_of, spec_of};
pub use causes::chain;
pub use command_line::parse;
pub use counted::counted;
pub use difficulty::difficulty;
pub use discreet::Discreet;
pub use duration::{DurationError, duration};
pub use exit::{EXIT_STATUS, USAGE, Usage, exit, usage_error};
pub use listen::listen_address;
pub use logs::{init_bounded_logs, init_logs};
pub use numbers::whole;
pub use password::read_password;
pub use reader::reader_gone;
pub use runtime::block_on;
pub use say::{complain, say};
pub use signals::{Signals, stop_token, stop_token_and_again};
pub use summary::{Hashrate, Shares, Summary};
