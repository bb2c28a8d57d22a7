//! How a program ends.

use std::fmt;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::say::complain;

/// Exit status for bad usage (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;

/// The end of a program's help.
pub const EXIT_STATUS: &str = "Exit status: 0 when it ended as asked (Ctrl-C, SIGTERM, a limit), 64 for bad usage, 1 for any \
                               other failure, 128 + the signal's number when a second signal ends it at once.";

/// Options that are well-formed one by one, but make no sense together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints an error with all its causes, once, and turns the end into an exit status: [`USAGE`] for [`Usage`].
pub fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        complain(format_args!("error: {error:#}"));
        if error.is::<Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

/// Prints a usage error in clap's form and gives its exit status.
pub fn usage_error<T: CommandFactory>(message: &str) -> ExitCode {
    // A terminal that is gone needs no error.
    let _ = T::command().error(ErrorKind::ValueValidation, message).print();
    ExitCode::from(USAGE)
}
