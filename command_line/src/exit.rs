//! The exit status of a program, and what it prints when it ends.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use text::escape_json;

use crate::output::{print_line, print_result};
use crate::summary::Summary;

/// The exit status for bad usage (`EX_USAGE` of `sysexits.h`).
pub const EX_USAGE: u8 = 64;

/// The last paragraph of a program's help.
pub const EXIT_STATUS_HELP: &str = "Exit status: 0 when it ended as asked (Ctrl-C, SIGTERM, a limit) and its records and results \
                                    are written, 64 for bad usage, 1 for any other failure, 128 + the signal's number when a \
                                    second signal ends it at once.";

/// A user's error: options are valid one by one but contradict each other, or an option names a file with bad content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Returns the exit status of a program. Prints an error with its causes; the exit status is then [`EX_USAGE`] for a
/// [`UsageError`], else 1.
pub fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        logging::final_error(&format!("{error:#}"));
        if error.is::<UsageError>() { ExitCode::from(EX_USAGE) } else { ExitCode::FAILURE }
    })
}

/// Like [`exit`], for programs whose result is JSON: with `json`, an error is printed on standard output, too, as the object
/// `{"error": "…"}`, so that a script gets JSON in every case.
pub fn exit_with_json(json: bool, result: anyhow::Result<ExitCode>) -> ExitCode {
    if let (true, Err(error)) = (json, &result) {
        // The error may be that standard output cannot be written. `exit` prints it in any case.
        let _ = print_json_error(format!("{error:#}"));
    }
    exit(result)
}

/// Prints the object `{"error": "…"}` on standard output.
pub(crate) fn print_json_error(text: String) -> anyhow::Result<()> {
    print_result(escape_json(&json!({"error": text}).to_string()))
}

/// How a run ended that has a [`Summary`].
#[derive(Debug)]
pub struct RunEnd {
    /// The figures of the run.
    pub summary: Summary,
    /// Further lines for the user, printed after the summary.
    pub notes: Vec<String>,
    /// The failure that ended the run, if any.
    pub result: anyhow::Result<()>,
}

/// Prints the summary, the notes and the error of a run that began at `started`, and returns the exit status. A run that failed
/// before it had any figures is an `Err`. With `json`, the last line on standard output is the summary as JSON in every case;
/// after a failure the summary contains the error.
pub fn exit_with_summary(json: bool, started: Instant, end: anyhow::Result<RunEnd>) -> ExitCode {
    let (summary, notes, result) = match end {
        Ok(RunEnd { summary, notes, result }) => (Some(summary), notes, result),
        Err(error) => (None, Vec::new(), Err(error)),
    };
    let summary = match (summary, &result) {
        (Some(summary), Ok(())) => Some(summary),
        (None, _) if !json => None,
        (summary, result) => {
            let seconds = started.elapsed().as_secs_f64();
            let summary = summary.unwrap_or_else(|| Summary { seconds, ..Summary::default() });
            let error = result.as_ref().err().map(|error| format!("{error:#}"));
            Some(Summary { error, ..summary })
        }
    };
    let printed = summary.map_or(Ok(()), |summary| summary.print(json));
    for note in notes {
        if json { logging::notice(logging::Level::INFO, note) } else { print_line(note) }
    }
    match (result, printed) {
        (Err(failure), Err(unprinted)) => {
            logging::final_error(&format!("{unprinted:#}"));
            exit(Err(failure))
        }
        (result, printed) => exit(result.and(printed).map(|()| ExitCode::SUCCESS)),
    }
}
