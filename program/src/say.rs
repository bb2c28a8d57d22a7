//! Lines for people, which may have gone: `println!` panics where a pipe is closed or a terminal gone.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line to standard output. Who has closed it does not want to know.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Writes a line to standard error, likewise.
pub fn complain(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
