//! Parsers of option values. Their errors show what a valid value looks like.

use std::ffi::OsStr;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

use crate::exposed::warn_if_exposed;

/// The largest password file, in bytes. A password file holds one line.
const MAX_PASSWORD_FILE: u64 = 4096;

/// The shortest duration that options accept, unless they say otherwise.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest duration, 10,000 days in seconds. A longer one is probably a typo, and adding it to a time could overflow.
const LONGEST_SECONDS: f64 = 864_000_000.0;

/// Parses a duration: `250ms`, `30s`, `1.5m`, `12h` or `7d`; a bare number is in seconds.
///
/// # Errors
/// If the text has another form, or the duration is shorter than 1 ms or longer than 10,000 days.
pub fn duration(text: &str) -> Result<Duration, String> {
    duration_from(SHORTEST)(text)
}

/// Returns a parser of durations that are at least this long.
///
/// # Errors
/// The parser fails, and names the range, if the text is not a duration in the range.
pub fn duration_from(
    shortest: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| parse_duration(text, shortest)
}

fn parse_duration(text: &str, shortest: Duration) -> Result<Duration, String> {
    let malformed = || format!("{text:?} is not a duration: write it like 250ms, 30s, 1.5m, 12h or 7d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(malformed()),
    };
    let seconds = digits.parse::<f64>().map_err(|_| malformed())? * unit;
    if !(shortest.as_secs_f64()..=LONGEST_SECONDS).contains(&seconds) {
        return Err(format!("{text:?} is out of range: write a duration from {shortest:?} to 10000d"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Parses a share difficulty, a finite number above zero.
///
/// # Errors
/// If the text is not such a number.
pub fn difficulty(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is not a difficulty; it must be a number above zero"))
}

/// Returns a parser of whole numbers in this range.
///
/// # Errors
/// The parser fails, and names the range, if the text is not a whole number in the range.
pub fn whole_number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let most = if *range.end() == u64::MAX { String::new() } else { format!(" to {}", range.end()) };
            format!("write a whole number from {}{most}", range.start())
        })
    }
}

/// Parses an address to listen on. Host names are not allowed: one name may have several addresses.
///
/// # Errors
/// If the text is not an IP address and a port.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not an address to listen on: write ADDRESS:PORT, such as 127.0.0.1:8080, [::1]:8080, or \
             0.0.0.0:8080 for all of this machine's IPv4 addresses"
        )
    })
}

/// Reads the single line of the password file that `option` gives. A password in a file is visible neither in the process list
/// nor in the environment.
///
/// # Errors
/// If the file cannot be read, or does not contain exactly one non-empty line.
pub fn read_password(option: &str, path: &Path) -> anyhow::Result<String> {
    warn_if_exposed(option, path);
    read_line(path).with_context(|| format!("cannot read {option} {}", path.display()))
}

fn read_line(path: &Path) -> anyhow::Result<String> {
    let size = std::fs::metadata(path)?.len();
    anyhow::ensure!(size <= MAX_PASSWORD_FILE, "it is longer than {MAX_PASSWORD_FILE} bytes");
    let text = std::fs::read_to_string(path)?;
    let line = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !line.is_empty() && !line.contains('\n'),
        "the file must contain exactly one non-empty line"
    );
    Ok(line.to_owned())
}

/// The password in the file that `option` gives; without a file, the password in the environment variable, which `environment`
/// looks up.
pub(crate) fn password(
    option: &str,
    file: &Option<PathBuf>,
    variable: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<String>> {
    match file {
        Some(path) => read_password(option, path).map(Some),
        None => Ok(environment(variable)),
    }
}

/// The name of the first of these options that is given.
pub(crate) fn first_given<const N: usize>(options: [(&'static str, bool); N]) -> Option<&'static str> {
    options.into_iter().find_map(|(option, given)| given.then_some(option))
}

/// Makes a parser from a function, for values that may contain a password. clap repeats an invalid value in its error, and
/// errors end up in logs; this parser shows only the function's error.
#[derive(Clone, Debug)]
pub struct RedactedParser<F>(pub F);

impl<F, T, E> TypedValueParser for RedactedParser<F>
where
    F: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Display,
{
    type Value = T;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        (self.0)(&value.to_string_lossy()).map_err(|error| redacted(cmd, arg, &error))
    }
}

/// clap's error for an invalid value, without the value.
fn redacted(cmd: &Command, arg: Option<&Arg>, error: &dyn Display) -> clap::Error {
    let option = arg.map(|arg| format!(" for '{arg}'")).unwrap_or_default();
    let message = format!("invalid value{option}: {error:#}\n");
    clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(cmd)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_in_seconds() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1.5m", 90_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
            ("7", 7000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn duration_errors_name_the_range_of_the_option() {
        let at_least_1s = duration_from(Duration::from_secs(1));
        assert_eq!(at_least_1s("1s"), Ok(Duration::from_secs(1)));
        for text in ["0s", "999ms", "10001d", "-1s"] {
            let error = at_least_1s(text).unwrap_err();
            assert_eq!(error, format!("{text:?} is out of range: write a duration from 1s to 10000d"));
        }
        assert!(duration("0s").unwrap_err().ends_with("from 1ms to 10000d"));
    }

    #[test]
    fn duration_errors_name_the_text() {
        for text in ["", "s", "5y", "1é", "-1s", "0s", "0", "nan", "inf", "1e99d", "3 s", "0.1ms", "1m30s"] {
            let error = duration(text).unwrap_err();
            assert!(error.starts_with(&format!("{text:?} is ")), "{error}");
        }
    }

    #[test]
    fn whole_number_errors_name_the_range() {
        assert_eq!(whole_number::<u16>(0..=65535)("65535"), Ok(65535));
        assert_eq!(whole_number::<u64>(1..=u64::MAX)("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "0", "101", "-1", "x", "1s", "1.5", "18446744073709551616"] {
            assert_eq!(
                whole_number::<u32>(1..=100)(text),
                Err("write a whole number from 1 to 100".into()),
                "{text}"
            );
        }
        assert_eq!(whole_number::<u64>(1..=u64::MAX)("0"), Err("write a whole number from 1".into()));
    }

    #[test]
    fn listen_address_errors_show_a_valid_address() {
        for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:65535"] {
            assert_eq!(listen_address(text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "nowhere", "localhost:80", ":8080", "8080", "::1:80", "1.2.3.4", "1.2.3.4:65536"] {
            let error = listen_address(text).unwrap_err();
            assert!(
                error.starts_with(&format!("{text:?} is no")) && error.contains("127.0.0.1:8080"),
                "{error}"
            );
        }
    }

    fn length(text: &str) -> Result<usize, String> {
        if text.starts_with("secret") { Ok(text.len()) } else { Err("it begins with another word".into()) }
    }

    #[derive(Debug, Parser)]
    struct Cli {
        #[arg(long, value_name = "WORD", value_parser = RedactedParser(length))]
        word: usize,
    }

    #[test]
    fn redacted_errors_name_the_option_and_not_the_value() {
        assert_eq!(Cli::try_parse_from(["x", "--word", "secrets"]).map(|cli| cli.word).ok(), Some(7));
        let error = Cli::try_parse_from(["x", "--word", "s3cret"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("'--word <WORD>': it begins with another word"), "{text}");
        assert!(!text.contains("s3cret") && error.exit_code() == 2, "{text}");
    }
}
