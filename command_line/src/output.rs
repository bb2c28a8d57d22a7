//! Lines on standard output and standard error. Unlike with `println!`, a closed pipe or terminal is not a panic.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::thread;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use text::printable_lines;
use tokio::sync::oneshot;

/// The longest line that [`print_line`] writes, in characters.
const LONGEST_LINE: usize = 8192;

/// Writes a result, and the end of its line, to standard output. A closed pipe is not an error, because its reader wants no more
/// output.
///
/// # Errors
/// If standard output cannot be written to, for example because the disk is full.
pub fn print_result(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Checks that a result was written to standard output. A closed pipe is not an error.
///
/// # Errors
/// If `result` is any other error.
pub fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Writes a line to standard output, with escapes for what is not printable; ignores errors, since a reader that has closed the
/// pipe needs no more lines.
pub fn print_line(line: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{}", printable_lines(&line.to_string(), LONGEST_LINE));
}

/// Formats a count with its noun: `1 task`, `2 tasks`. The plural of `noun` must end in a plain s.
pub fn pluralize(count: impl Display + PartialEq + From<u8>, noun: &str) -> String {
    let plural = if count == 1.into() { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Completes when standard output is a pipe or a socket and its reader closes it, as in `… | head`. Never completes for files
/// and terminals; a terminal that closes sends SIGHUP instead.
pub async fn stdout_closed() {
    closed("stdout", || wait_until_closed(&[io::stdout().as_fd()])).await
}

/// Like [`stdout_closed`], for programs that write to standard error for most of their time: completes when either of the two is
/// a pipe or a socket and its reader closes it, as in `… 2>&1 | head`.
pub async fn output_closed() {
    closed("output", || {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let has_reader = |stream: &BorrowedFd<'_>| is_pipe_or_socket(*stream).unwrap_or(false);
        let streams: Vec<_> = [stdout.as_fd(), stderr.as_fd()].into_iter().filter(has_reader).collect();
        if streams.is_empty() { Err(io::ErrorKind::Unsupported.into()) } else { wait_until_closed(&streams) }
    })
    .await
}

/// Completes when `wait` does. Never completes if it fails.
async fn closed(name: &str, wait: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let (closed, receiver) = oneshot::channel();
    // Use a thread, because the runtime cannot poll every kind of standard output. The thread ends with the process.
    let watch = thread::Builder::new().name(name.to_owned()).spawn(move || {
        if wait().is_ok() {
            // The send fails if the caller has stopped waiting.
            let _ = closed.send(());
        }
    });
    if watch.is_err() || receiver.await.is_err() {
        std::future::pending().await
    }
}

fn wait_until_closed(streams: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut watched: Vec<_> = streams.iter().map(|stream| PollFd::new(stream, PollFlags::empty())).collect();
    loop {
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

fn is_pipe_or_socket(stream: BorrowedFd<'_>) -> io::Result<bool> {
    let kind = File::from(stream.try_clone_to_owned()?).metadata()?.file_type();
    Ok(kind.is_fifo() || kind.is_socket())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        assert_eq!(pluralize(0u64, "task"), "0 tasks");
        assert_eq!(pluralize(1usize, "task"), "1 task");
        assert_eq!(pluralize(2u32, "worker"), "2 workers");
    }
}
