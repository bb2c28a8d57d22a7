//! Reading the command line.

use std::any::TypeId;
use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, Parser};

use crate::exit::USAGE;

/// Reads a command line, the program's name in front; prints help, or what is wrong.
///
/// # Errors
/// The exit status, if the program is to end now: [`USAGE`] if the line is no good.
pub fn parse<T: Parser>(words: impl IntoIterator<Item = OsString>) -> Result<T, ExitCode> {
    let read = command::<T>().try_get_matches_from(words).and_then(|mut found| {
        T::from_arg_matches_mut(&mut found).map_err(|error| error.format(&mut command::<T>()))
    });
    read.map_err(|error| {
        // Help goes to stdout, errors to stderr; a terminal that is gone needs neither.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
    })
}

fn command<T: Parser>() -> Command {
    let options = |command: Command| command.mut_args(with_negative_values);
    options(T::command()).mut_subcommands(options)
}

/// A number or time below zero is a bad value, which can be named; clap would take it for an unknown option.
fn with_negative_values(arg: Arg) -> Arg {
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
    fn values_below_zero_are_named() {
        let error = |line: &str| {
            let words = line.split(' ').map(OsString::from);
            command::<Cli>().try_get_matches_from(words).unwrap_err().to_string()
        };
        assert!(error("x run --time -5s").contains("'-5s' for '--time <TIME>'"));
        assert!(error("x run -n -1").contains("'-1' for '--number <NUMBER>'"));
        assert!(error("x run --text -q").contains("'--text <TEXT>'"));
    }

    #[test]
    fn good_lines_are_read() {
        let words = "x run --time 5s -n 3 -q --text a".split(' ').map(OsString::from);
        let Sub::Run { time, number, quiet, text } = parse::<Cli>(words).unwrap().command;
        assert_eq!(
            (time, number, quiet, text.as_deref()),
            (Some(Duration::from_secs(5)), Some(3), true, Some("a"))
        );
    }
}
