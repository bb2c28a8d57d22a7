//! SIGHUP: what it means for this process, and the files that are read again when it arrives.
//!
//! | started | SIGHUP |
//! |---|---|
//! | with SIGHUP ignored, as `nohup` does | stays ignored |
//! | with a terminal as standard input, output or error | the terminal was closed: the program ends as on SIGTERM |
//! | otherwise, as by systemd or in a container | files with secrets, certificates and the log filter are read again |

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What SIGHUP means for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Nothing: the process was started with the signal ignored.
    Ignored,
    /// End the process, because the terminal was closed.
    Ends,
    /// Read files again.
    Rereads,
}

impl Hangup {
    /// What SIGHUP means for this process. The first call must come before any handler for SIGHUP is installed; the answer
    /// stays the same afterwards.
    pub fn of_this_process() -> Self {
        static MEANING: OnceLock<Hangup> = OnceLock::new();
        *MEANING.get_or_init(|| {
            let ignored = fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status));
            let terminal =
                io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
            Self::of(ignored, terminal)
        })
    }

    fn of(ignored: bool, terminal: bool) -> Self {
        match (ignored, terminal) {
            (true, _) => Hangup::Ignored,
            (false, true) => Hangup::Ends,
            (false, false) => Hangup::Rereads,
        }
    }
}

/// Whether a process ignores SIGHUP, by its `/proc/PID/status`. There is no safe function for this in the libraries at hand.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // Signal 1 is bit 0.
    let bit = SignalKind::hangup().as_raw_value() - 1;
    mask >> bit & 1 == 1
}

/// What became of one file that was to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reread {
    /// The option and the file, such as `--secret-file /etc/miner/secret`.
    pub what: String,
    /// Whether the content has changed, or why the content that was read before stays in use.
    pub outcome: Result<bool, String>,
}

impl Reread {
    /// A file that is not read again; `None` if the option is not given.
    pub fn only_at_start(option: &str, file: Option<&PathBuf>) -> Option<Self> {
        let what = format!("{option} {}", file?.display());
        Some(Self { what, outcome: Err("it is read only at a start".to_owned()) })
    }
}

/// On each SIGHUP, calls `reread`, reads the log filter again, and says in the log what was read. If SIGHUP has another
/// meaning for this process, this function does nothing. Needs a tokio runtime.
///
/// # Errors
/// If the system refuses the signal handler.
pub fn reread_on_hangup(reread: impl FnMut() -> Vec<Reread> + Send + 'static) -> io::Result<()> {
    if let Some(hangups) = Hangups::new()? {
        tokio::spawn(reread_on_each(hangups, Box::new(reread)));
    }
    Ok(())
}

/// Takes a function in a box, so that this task is compiled once.
async fn reread_on_each(mut hangups: Hangups, mut reread: Box<dyn FnMut() -> Vec<Reread> + Send>) {
    loop {
        hangups.next().await;
        let files: Vec<_> = reread().into_iter().chain(reread_log_filter()).collect();
        logging::notice(logging::Level::INFO, reread_text(&files));
    }
}

/// The SIGHUPs of a process that reads files again on each of them.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Installs the handler; `None` if SIGHUP has another meaning for this process. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the system refuses the signal handler.
    pub fn new() -> io::Result<Option<Self>> {
        match Hangup::of_this_process() {
            Hangup::Rereads => Ok(Some(Self(signal(SignalKind::hangup())?))),
            Hangup::Ignored | Hangup::Ends => Ok(None),
        }
    }

    /// Waits for the next SIGHUP. Safe to cancel: no signal is lost.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime is shutting down.
            std::future::pending().await
        }
    }
}

fn reread_log_filter() -> Option<Reread> {
    let (file, outcome) = logging::reread_filter()?;
    Some(Reread { what: format!("--log-filter-file {}", file.display()), outcome })
}

/// Says what was read again.
pub fn reread_text(files: &[Reread]) -> String {
    if files.is_empty() {
        return "SIGHUP: there is nothing to read again: no option names a file with a secret, a certificate or the log filter"
            .to_owned();
    }
    let files: Vec<_> = files
        .iter()
        .map(|Reread { what, outcome }| match outcome {
            Ok(true) => format!("{what} (changed)"),
            Ok(false) => format!("{what} (unchanged)"),
            Err(why) => format!("{what} (what was read before stays in use: {why})"),
        })
        .collect();
    format!("SIGHUP: read again: {}", files.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_comes_before_the_terminal_and_the_terminal_before_reading() {
        assert_eq!(Hangup::of(true, true), Hangup::Ignored);
        assert_eq!(Hangup::of(true, false), Hangup::Ignored);
        assert_eq!(Hangup::of(false, true), Hangup::Ends);
        assert_eq!(Hangup::of(false, false), Hangup::Rereads);
    }

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status =
            |mask: &str| format!("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0\n");
        assert!(ignores_hangup(&status("0000000000000001")));
        assert!(ignores_hangup(&status("0000000000001007")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(!ignores_hangup(&status("what")) && !ignores_hangup(""));
    }

    #[test]
    fn the_line_says_what_was_read_and_what_was_not() {
        let file = |what: &str, outcome| Reread { what: what.to_owned(), outcome };
        let files =
            [file("--a", Ok(true)), file("--b", Ok(false)), file("--c", Err("no such file".to_owned()))];
        assert_eq!(
            reread_text(&files),
            "SIGHUP: read again: --a (changed), --b (unchanged), --c (what was read before stays in use: no such file)"
        );
        assert!(reread_text(&[]).contains("nothing to read again"));
    }
}
