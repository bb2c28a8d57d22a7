//! Values of options that may hold a password.

use std::ffi::OsStr;
use std::fmt::Display;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

/// Reads a value by this function. Unlike the function alone in its place, it does not show the value in errors, which
/// end up in logs: it may hold a password. What is safe to show, the function's error says.
#[derive(Clone, Debug)]
pub struct Discreet<F>(pub F);

impl<F, T, E> TypedValueParser for Discreet<F>
where
    F: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Display,
{
    type Value = T;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        (self.0)(&value.to_string_lossy()).map_err(|error| {
            let option = arg.map(|arg| format!(" for '{arg}'")).unwrap_or_default();
            let message = format!("invalid value{option}: {error:#}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(cmd)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn length(text: &str) -> Result<usize, String> {
        if text.starts_with("secret") { Ok(text.len()) } else { Err("it begins with another word".into()) }
    }

    #[derive(Debug, Parser)]
    struct Cli {
        #[arg(long, value_name = "WORD", value_parser = Discreet(length))]
        word: usize,
    }

    #[test]
    fn errors_name_the_option_and_not_the_value() {
        assert_eq!(Cli::try_parse_from(["x", "--word", "secrets"]).map(|cli| cli.word).ok(), Some(7));
        let error = Cli::try_parse_from(["x", "--word", "s3cret"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("'--word <WORD>': it begins with another word"), "{text}");
        assert!(!text.contains("s3cret") && error.exit_code() == 2, "{text}");
    }
}
