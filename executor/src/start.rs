//! The command line of a main whose `mine` and `executor` are subcommands.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// Reads a command line that has subcommands, `mine` and `executor` among them.
///
/// A line that begins with an option belongs to `mine`, so that the command lines of `minerd` work as they stand. No
/// words at all mean `executor` where a Mesos agent has set the environment for one.
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
    fn subcommands_and_help_stay() {
        for words in ["m", "m mine -o x:1", "m local", "m --help", "m -V", "m executor"] {
            assert_eq!(line(words, false), words);
        }
    }

    #[test]
    fn an_agent_needs_no_words() {
        assert_eq!(line("m", true), "m executor");
        assert_eq!(line("m bench", true), "m bench");
    }
}
