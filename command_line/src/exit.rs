//! The exit status of a program.

use std::process::ExitCode;

/// The exit status for bad usage (`EX_USAGE` of `sysexits.h`).
pub const EX_USAGE: u8 = 64;

/// The last paragraph of a program's help.
pub const EXIT_STATUS_HELP: &str = "Exit status: 0 when it ended as asked (Ctrl-C, SIGTERM, a limit), 64 for bad usage, 1 for any \
                                    other failure, 128 + the signal's number when a second signal ends it at once.";

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
