//! An executor's token, out of sight.
//!
//! An agent hands the token over in the environment, which everybody who may look at the process can read for as long
//! as it runs (`/proc/PID/environ`), and which its children inherit. Taking a variable out of the environment of a
//! running process changes only its own copy, and is not safe with threads; so [`hide`] has the program begin anew,
//! as the same process, without the variable, and hands the token over through a pipe.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Where agents put the token.
pub const VARIABLE: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";
/// Says that the token is to be read from standard input, which is of no use to an executor otherwise.
const ON_STDIN: &str = "MESOS_EXECUTOR_TOKEN_ON_STDIN";
/// More than any token has, and no more than fits in every pipe, since nobody reads while it is written.
const LONGEST: usize = 4096;

/// Takes the token, if there is one, and makes sure that it does not stand in this process's environment.
///
/// Call it first of all, before there are other threads or open files: where the environment has a token, this does not
/// return, but runs the same program again, with the same arguments and process id; there it returns the token. Its
/// standard input is at its end then.
///
/// # Errors
/// If the program can't be run again; the token is still in the environment then.
pub fn hide() -> io::Result<Option<String>> {
    if std::env::var_os(ON_STDIN).is_some() {
        return received(io::stdin()).map(Some);
    }
    match std::env::var_os(VARIABLE).filter(|token| !token.is_empty()) {
        Some(token) => Err(begin_anew(token)),
        None => Ok(None),
    }
}

fn received(from: impl Read) -> io::Result<String> {
    let mut token = String::new();
    from.take(LONGEST as u64).read_to_string(&mut token)?;
    Ok(token)
}

/// Returns only if that fails.
fn begin_anew(token: OsString) -> io::Error {
    let handed_over = || {
        let token = token.into_encoded_bytes();
        if token.len() > LONGEST {
            return Err(io::Error::other(format!("a token of more than {LONGEST} bytes")));
        }
        let (reader, mut writer) = io::pipe()?;
        // The end for writing closes by itself when the program begins anew, so the reader sees an end.
        writer.write_all(&token)?;
        Ok((reader, writer))
    };
    let (reader, _writer) = match handed_over() {
        Ok(pipe) => pipe,
        Err(error) => return error,
    };
    let mut words = std::env::args_os();
    let name = words.next();
    // By its name, which shows in lists of processes, unless it has none any more.
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
    fn a_token_is_read_to_its_end_but_not_for_ever() {
        assert_eq!(received(&b"a.b.c"[..]).unwrap(), "a.b.c");
        assert_eq!(received(io::repeat(b'x')).unwrap().len(), LONGEST);
        assert!(received(&[0xff][..]).is_err());
    }

    #[test]
    fn a_token_that_does_not_fit_is_refused() {
        let error = begin_anew("x".repeat(LONGEST + 1).into());
        assert!(error.to_string().contains("4096"), "{error}");
    }
}
