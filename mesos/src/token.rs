//! Keeps an executor's token out of the environment of its process.
//!
//! An agent passes the token in the environment. While the process runs, the environment can be read in `/proc/PID/environ`,
//! and child processes inherit it. Removing a variable at run time changes only the process's own copy, and is not safe with
//! threads. So [`hide`] executes the program again, in the same process and without the variable, and passes the token through
//! a pipe.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The environment variable in which agents pass the token to their executors.
pub const VARIABLE: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";
/// If this environment variable is set, the program reads the token from standard input.
const ON_STDIN: &str = "MESOS_EXECUTOR_TOKEN_ON_STDIN";
/// Maximum length of a token in bytes. The token must fit into a pipe's buffer, because it is written before it is read.
const LONGEST: usize = 4096;

/// Returns the token, if there is one, and removes it from this process's environment.
///
/// Call this first in `main`, before there are other threads or open files. If the environment has a token, this function does
/// not return: it executes the program again, with the same arguments and process id. In the second run, the function returns
/// the token, and standard input is at its end.
///
/// # Errors
/// If the program cannot be executed again. Then the token remains in the environment.
pub fn hide() -> io::Result<Option<String>> {
    if std::env::var_os(ON_STDIN).is_some() {
        return read_token(io::stdin()).map(Some);
    }
    match std::env::var_os(VARIABLE).filter(|token| !token.is_empty()) {
        Some(token) => Err(execute_again(token)),
        None => Ok(None),
    }
}

fn read_token(from: impl Read) -> io::Result<String> {
    let mut token = String::new();
    from.take(LONGEST as u64).read_to_string(&mut token)?;
    Ok(token)
}

/// Executes the program again. Returns only if that fails.
fn execute_again(token: OsString) -> io::Error {
    let pipe_with_token = || {
        let token = token.into_encoded_bytes();
        if token.len() > LONGEST {
            return Err(io::Error::other(format!("a token of more than {LONGEST} bytes")));
        }
        let (reader, mut writer) = io::pipe()?;
        // The writing end is close-on-exec. So after `exec`, the reader sees the end of the token.
        writer.write_all(&token)?;
        Ok((reader, writer))
    };
    let (reader, _writer) = match pipe_with_token() {
        Ok(pipe) => pipe,
        Err(error) => return error,
    };
    let mut words = std::env::args_os();
    let name = words.next();
    // Execute the program by its real path, because process lists show the path. /proc/self/exe also works if the program's
    // file has been deleted.
    let named = std::env::current_exe().ok().filter(|path| path.exists());
    let mut command = Command::new(named.unwrap_or_else(|| "/proc/self/exe".into()));
    if let Some(name) = name {
        command.arg0(name);
    }
    command.args(words).env_remove(VARIABLE).env(ON_STDIN, "1").stdin(Stdio::from(reader)).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_up_to_a_limit() {
        assert_eq!(read_token(&b"a.b.c"[..]).unwrap(), "a.b.c");
        assert_eq!(read_token(io::repeat(b'x')).unwrap().len(), LONGEST);
        assert!(read_token(&[0xff][..]).is_err());
    }

    #[test]
    fn a_token_that_does_not_fit_is_refused() {
        let error = execute_again("x".repeat(LONGEST + 1).into());
        assert!(error.to_string().contains("4096"), "{error}");
    }
}
