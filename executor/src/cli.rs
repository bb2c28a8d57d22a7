//! The command line of `mine`, `bench` and `executor`.

mod clusters;
mod mine;
mod minerd;
mod values;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser};
use command_line::{LogArgs, duration};

pub use self::mine::MineArgs;
use self::values::threads;
pub use self::values::{PoolAddress, known_backend};

/// Options of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Print one line of JSON: an array with an object for each row
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Number of threads to run in parallel
    #[arg(short, long, env = "MINER_THREADS", value_name = "N", default_value = "1", value_parser = threads)]
    pub threads: NonZeroUsize,
    /// Time to measure each row
    #[arg(long, env = "MINER_TIME", value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub time: Duration,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Parses a command line with subcommands, `mine` and `executor` among them.
///
/// A command line that begins with an option belongs to `mine`, so that command lines of `minerd` work unchanged. An empty
/// command line means `executor` if a Mesos agent has set the environment of an executor.
///
/// # Errors
/// The exit status, after help or an error was printed.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    let under_mesos = std::env::var_os("MESOS_EXECUTOR_ID").is_some();
    command_line::parse(with_subcommand(std::env::args_os().collect(), under_mesos))
}

fn with_subcommand(mut words: Vec<OsString>, under_mesos: bool) -> Vec<OsString> {
    let first = words.get(1).and_then(|word| word.to_str());
    let default = match first {
        None if words.len() < 2 && under_mesos => Some("executor"),
        Some("-h" | "--help" | "-V" | "--version") => None,
        Some(option) if option.starts_with('-') => Some("mine"),
        _ => None,
    };
    if let Some(default) = default {
        words.insert(1, default.into());
    }
    if words.get(1).is_some_and(|word| word == "mine") {
        let options = clusters::split(words.split_off(2));
        words.extend(options);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str, under_mesos: bool) -> String {
        let words = words.split_whitespace().map(OsString::from).collect();
        let words = with_subcommand(words, under_mesos);
        words.iter().filter_map(|word| word.to_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_belong_to_mine() {
        assert_eq!(line("m -o pool:1", false), "m mine -o pool:1");
        assert_eq!(line("m --url=pool:1", true), "m mine --url=pool:1");
    }

    #[test]
    fn subcommands_and_help_are_unchanged() {
        for words in ["m", "m mine -o x:1", "m local", "m --help", "m -V", "m executor"] {
            assert_eq!(line(words, false), words);
        }
    }

    #[test]
    fn an_agent_starts_the_executor_without_arguments() {
        assert_eq!(line("m", true), "m executor");
        assert_eq!(line("m bench", true), "m bench");
    }
}
