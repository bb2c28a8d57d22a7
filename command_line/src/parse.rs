//! Parsing the command line.

use std::any::TypeId;
use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, Parser};

use crate::exit::{EX_USAGE, exit, print_json_error};
use crate::output::written;

/// Parses a command line, whose first word is the program's name. Prints help, or the error.
///
/// # Errors
/// With the exit status of the program: 0 after help, [`EX_USAGE`] if the command line is invalid.
pub fn parse<T: Parser>(words: impl IntoIterator<Item = OsString>) -> Result<T, ExitCode> {
    let words: Vec<OsString> = words.into_iter().collect();
    let json = asks_for_json(&words, std::env::var_os("MINER_JSON"));
    let parsed = command::<T>().try_get_matches_from(words).and_then(|mut matches| {
        T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command::<T>()))
    });
    parsed.map_err(|error| {
        // Help goes to stdout, errors to stderr.
        let printed = error.print();
        if error.use_stderr() {
            if json {
                // The exit status is the same if standard output cannot be written.
                let _ = print_json_error(text_of(&error));
            }
            return ExitCode::from(EX_USAGE);
        }
        exit(written(printed).map(|()| ExitCode::SUCCESS))
    })
}

/// Whether an invalid command line asks for JSON. An unset, empty or false variable does not, as with clap.
fn asks_for_json(words: &[OsString], variable: Option<OsString>) -> bool {
    let variable = variable.and_then(|value| value.into_string().ok()).unwrap_or_default();
    let set = !["", "n", "no", "f", "false", "off", "0"].contains(&variable.to_ascii_lowercase().as_str());
    set || words.iter().any(|word| word == "--json")
}

/// The error without its first word, which says that it is one, and without the usage that follows.
fn text_of(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\n").next().unwrap_or_default().trim().to_owned()
}

fn command<T: Parser>() -> Command {
    let options = |command: Command| command.mut_args(allow_negative_numbers);
    options(T::command()).mut_subcommands(options)
}

/// Lets clap accept `-1` as the value of a number or duration, so that the error names the invalid value; otherwise clap would
/// report an unknown option.
fn allow_negative_numbers(arg: Arg) -> Arg {
    let numbers = [
        TypeId::of::<Duration>(),
        TypeId::of::<f64>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<NonZeroU64>(),
        TypeId::of::<NonZeroUsize>(),
    ];
    let is_number = arg.get_action().takes_values() && {
        let kind = arg.get_value_parser().type_id();
        numbers.iter().any(|number| kind == *number)
    };
    if is_number { arg.allow_hyphen_values(true) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration;

    #[test]
    fn json_is_asked_for_by_option_or_variable() {
        let asks = |words: &[&str], variable: Option<&str>| {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            asks_for_json(&words, variable.map(OsString::from))
        };
        assert!(
            asks(&["x", "mine", "--json"], None) && asks(&["x"], Some("1")) && asks(&["x"], Some("True"))
        );
        assert!(!asks(&["x", "mine"], None) && !asks(&["x"], Some("")) && !asks(&["x"], Some("False")));
    }

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Run {
            #[arg(long, value_parser = duration)]
            time: Option<Duration>,
            #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
            number: Option<u32>,
            #[arg(short)]
            quiet: bool,
            #[arg(long)]
            text: Option<String>,
        },
    }

    #[test]
    fn errors_name_negative_numbers() {
        let error = |line: &str| {
            let words = line.split(' ').map(OsString::from);
            command::<Cli>().try_get_matches_from(words).unwrap_err().to_string()
        };
        assert!(error("x run --time -5s").contains("'-5s' for '--time <TIME>'"));
        assert!(error("x run -n -1").contains("'-1' for '--number <NUMBER>'"));
        assert!(error("x run --text -q").contains("'--text <TEXT>'"));
    }

    #[test]
    fn valid_lines_are_parsed() {
        let words = "x run --time 5s -n 3 -q --text a".split(' ').map(OsString::from);
        let Sub::Run { time, number, quiet, text } = parse::<Cli>(words).unwrap().command;
        assert_eq!(
            (time, number, quiet, text.as_deref()),
            (Some(Duration::from_secs(5)), Some(3), true, Some("a"))
        );
    }
}
