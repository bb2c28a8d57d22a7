//! Why an executor could not run: what the words of Mesos, the exit status and the end of the executor's standard error most
//! likely mean. Each rule was seen with a real Mesos 1.11.
//!
//! The exit status alone is ambiguous. The agent's helper ends with status 1001, of which eight bits remain (233), if execvp(3)
//! fails, for whatever reason. A file that is no program of this machine is given to the shell instead, which fails in its own
//! way. So the standard error decides where it was read.

use mesos::v1::task_status::Reason;
use net::hide_credentials;
use problem::ProblemKind;

use crate::fleet::ExecutorStatus;
use crate::task_info::{Delivery, TaskTemplate};

/// The exit status of Mesos' helper if the program could not be executed: 1001, of which eight bits remain.
const NOT_EXECUTED: u8 = 233;
/// What this status may mean.
const ANY_CAUSE: &str = "most likely it is not there, may not be executed or is in a sandbox that is mounted noexec, or is for \
                         another architecture or another libc";
/// The exit status of shells for a file that was found and cannot be executed.
const SHELL_NOT_EXECUTABLE: u8 = 126;
/// The exit status of shells for a command that was not found, and of the dynamic linker for a missing library.
const SHELL_NOT_FOUND: u8 = 127;
/// The signal with which a program ends itself.
const SIGABRT: u8 = 6;

/// Why an executor does not run, as far as an operator would tell the causes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExecutorFault {
    /// The agent does not know the executor's user.
    UserUnknown,
    /// The agent could not fetch the executor.
    FetchFailed,
    /// The file may not be executed.
    NotExecutable,
    /// There is no such file.
    NotFound,
    /// The file is no program for the agent's machine, or lacks a library there.
    Incompatible,
    /// Mesos could not execute it, and it is not known which of the last three is the cause.
    NotExecuted,
    /// The agent could not start a container for it.
    NoContainer,
    /// It was started and has not registered with its agent.
    NotRegistered,
    /// It ended by itself, or was killed.
    Ended,
}

impl ExecutorFault {
    /// The kind of problem that it is for the user.
    pub fn kind(self) -> ProblemKind {
        match self {
            Self::UserUnknown => ProblemKind::ExecutorUserUnknown,
            Self::FetchFailed => ProblemKind::ExecutorFetchFailed,
            Self::NotExecutable => ProblemKind::ExecutorNotExecutable,
            Self::NotFound => ProblemKind::ExecutorNotFound,
            Self::Incompatible => ProblemKind::ExecutorIncompatible,
            Self::NotExecuted => ProblemKind::ExecutorNotExecuted,
            Self::NoContainer => ProblemKind::ExecutorNoContainer,
            Self::NotRegistered => ProblemKind::ExecutorNotRegistered,
            Self::Ended => ProblemKind::ExecutorEnded,
        }
    }
}

/// What is known of the end of an executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutorEnd<'a> {
    /// The reason that Mesos gave.
    pub reason: Option<Reason>,
    /// Mesos' message; empty if there is none.
    pub message: &'a str,
    /// How its process ended, if Mesos has said so.
    pub status: Option<ExecutorStatus>,
    /// The end of its standard error, if it was read.
    pub stderr: Option<&'a str>,
}

/// Why an executor does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The cause.
    pub fault: ExecutorFault,
    /// What is wrong.
    pub headline: String,
    /// The words of Mesos or of the executor, and the options to change, to follow the headline.
    pub details: String,
}

impl Explanation {
    /// All in one sentence.
    pub fn text(&self) -> String {
        format!("{}{}", self.headline, self.details)
    }
}

impl ExecutorEnd<'_> {
    /// Explains the end; `None` if Mesos does not say that the executor was to blame. `template` is that of the task if it runs
    /// our own program, and `None` for a user's image.
    pub fn explain(&self, template: Option<&TaskTemplate>) -> Option<Explanation> {
        use Reason::*;
        if !matches!(
            self.reason,
            Some(ExecutorTerminated | ContainerLaunchFailed | ExecutorRegistrationTimeout)
        ) {
            return None;
        }
        let fault = self.fault();
        let (headline, words) = match (self.words(fault), self.status) {
            // Without a status, the headline says less than the words.
            (Some(words), None) if fault == ExecutorFault::Ended => (words, None),
            (words, _) => (self.headline(fault).to_owned(), words),
        };
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        let advice = template.and_then(|template| self.advice(fault, template));
        let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        Some(Explanation { fault, headline, details: words + &advice })
    }

    fn fault(&self) -> ExecutorFault {
        use ExecutorFault::*;
        let says = |word: &str| self.message.contains(word);
        if says("No such user") || says("chown") || says("user '") {
            return UserUnknown;
        }
        if self.reason == Some(Reason::ContainerLaunchFailed) && says("fetch") {
            return FetchFailed;
        }
        if self.reason == Some(Reason::ExecutorRegistrationTimeout) {
            return NotRegistered;
        }
        if self.status == Some(ExecutorStatus::NeverStarted)
            || self.reason == Some(Reason::ContainerLaunchFailed)
        {
            return NoContainer;
        }
        self.last_words().and_then(fault_in_stderr).unwrap_or(match self.status {
            Some(ExecutorStatus::Exited(NOT_EXECUTED)) => NotExecuted,
            Some(ExecutorStatus::Exited(SHELL_NOT_EXECUTABLE)) => NotExecutable,
            Some(ExecutorStatus::Exited(SHELL_NOT_FOUND)) => Incompatible,
            _ => Ended,
        })
    }

    /// The end of the standard error, if it may say why the executor has ended: a program that was killed wrote nothing about that.
    /// SIGABRT is the program's own: it follows a panic. Mesos itself kills what it has not launched or what does not register.
    fn last_words(&self) -> Option<&str> {
        let killed_by_mesos =
            matches!(self.reason, Some(Reason::ContainerLaunchFailed | Reason::ExecutorRegistrationTimeout));
        let failed = !matches!(self.status, Some(ExecutorStatus::Exited(0) | ExecutorStatus::Signaled(_)));
        let aborted = self.status == Some(ExecutorStatus::Signaled(SIGABRT));
        self.stderr.filter(|_| killed_by_mesos || failed || aborted)
    }

    fn headline(&self, fault: ExecutorFault) -> &'static str {
        match fault {
            ExecutorFault::UserUnknown => "the executor's user is unknown",
            ExecutorFault::FetchFailed => "the executor could not be fetched",
            ExecutorFault::NotExecutable => "the executor may not be executed",
            ExecutorFault::NotFound => "the executor, or the interpreter that it needs, is not there",
            ExecutorFault::Incompatible => "the executor is no program that this agent can run",
            ExecutorFault::NotExecuted => "the executor could not be executed",
            ExecutorFault::NoContainer => "no container could be started for the executor",
            ExecutorFault::NotRegistered => "the executor did not register with its agent in time",
            ExecutorFault::Ended => match self.status {
                Some(ExecutorStatus::Signaled(4)) => {
                    "the executor was ended by an illegal instruction (this CPU lacks one that it uses)"
                }
                Some(ExecutorStatus::Signaled(9)) => {
                    "the executor was killed (by the kernel for lack of memory, or by somebody)"
                }
                Some(ExecutorStatus::Signaled(_)) => "the executor was ended by a signal",
                Some(ExecutorStatus::Exited(_)) => "the executor ended by itself",
                Some(ExecutorStatus::NeverStarted) | None => "the executor has ended",
            },
        }
    }

    /// The words of Mesos, or of the executor's standard error, that say more than the headline.
    fn words(&self, fault: ExecutorFault) -> Option<String> {
        let last = self.last_words().and_then(last_line);
        let message = match self.message.trim() {
            "" | "Executor terminated" => None,
            message => Some(message),
        };
        match fault {
            // Mesos' message repeats the path of the sandbox several times. Its end says what is wrong.
            ExecutorFault::UserUnknown => {
                message.map(|text| text.rsplit(": ").next().unwrap_or(text).to_owned())
            }
            // The message only says that the helper that fetches has failed. Its last words may be about its own end.
            ExecutorFault::FetchFailed => {
                let about = |line: &&str| line.contains("fetch") || line.contains("download");
                let lines = || self.stderr.unwrap_or_default().lines().rev();
                let line = lines().find(|line| is_of_full_disk(line)).or_else(|| lines().find(about));
                line.or(last).map(str::to_owned)
            }
            ExecutorFault::NotExecuted => Some(last.unwrap_or(ANY_CAUSE).to_owned()),
            ExecutorFault::NoContainer => message
                .map(|text| text.trim_start_matches("Failed to launch container: ").to_owned())
                .or(last.map(str::to_owned)),
            _ => last.or(message).map(str::to_owned),
        }
    }

    /// What to look at, and the options to change.
    fn advice(&self, fault: ExecutorFault, template: &TaskTemplate) -> Option<String> {
        use Delivery::*;
        let user = &template.user;
        if matches!(fault, ExecutorFault::FetchFailed | ExecutorFault::NoContainer)
            && [self.message, self.stderr.unwrap_or_default()].into_iter().any(is_of_full_disk)
        {
            return Some(
                "that agent's disk is full: make room in its --work_dir and its --fetcher_cache_dir"
                    .to_owned(),
            );
        }
        Some(match (fault, &template.delivery) {
            (ExecutorFault::UserUnknown, _) => {
                format!("create the user {user} on the agents, or give another one (--user)")
            }
            (ExecutorFault::FetchFailed, Fetch { uri, .. }) => {
                let uri = hide_credentials(uri);
                format!("does this agent reach {uri}? (--artifact-address, --executor-uri)")
            }
            (ExecutorFault::FetchFailed, _) => return None,
            (ExecutorFault::NotExecutable, Path(path)) => {
                format!("may {user} execute {path} there? (chmod, noexec, --executor-path)")
            }
            (ExecutorFault::NotExecutable, Fetch { .. }) => {
                "is that agent's --work_dir mounted noexec? Remount it, or install the executor on the agents \
                 (--executor-path)"
                    .to_owned()
            }
            (ExecutorFault::NotFound | ExecutorFault::NotExecuted, Path(path)) => {
                format!("is {path} on the agents, and can they run it? (--executor-path)")
            }
            (ExecutorFault::NoContainer, Image { image, .. }) => {
                format!("can agents run the image {image}? (their --containerizers and --image_providers, --executor-image)")
            }
            (ExecutorFault::NoContainer, _) => {
                format!("do the agents have the user {user} (--user), and room for a sandbox in their --work_dir?")
            }
            (ExecutorFault::NotRegistered, Image { .. }) => {
                "does it run in its image, and can it reach its agent? (--executor-image)".to_owned()
            }
            (ExecutorFault::NotRegistered, _) => {
                "do agents get the executor in time (--executor-uri, --executor-path), and can it reach them?".to_owned()
            }
            (ExecutorFault::Ended, _) => return None,
            (_, Image { image, .. }) => format!("can agents run the image {image}? (--executor-image)"),
            (_, Path(path)) => {
                format!("is {path} a program for the agents' machines and their libc? (--executor-path; scripts/static builds one for all)")
            }
            (_, Fetch { uri, .. }) => {
                let uri = hide_credentials(uri);
                format!("can agents run what they fetch from {uri}? (--executor-uri; scripts/static builds one for all)")
            }
        })
    }
}

/// What the last lines of a standard error say about a program that could not run. The words are those of Mesos' helper, of the
/// dynamic linkers of glibc and musl, and of shells, which get a file that the kernel does not know as a program.
fn fault_in_stderr(stderr: &str) -> Option<ExecutorFault> {
    let last = stderr.lines().rev().filter(|line| !line.trim().is_empty() && !is_of_routine(line)).take(3);
    last.into_iter().find_map(|line| {
        let has = |word: &str| line.contains(word);
        if has("Failed to execute '") {
            return Some(match line.rsplit(": ").next().unwrap_or_default() {
                "Permission denied" => ExecutorFault::NotExecutable,
                "No such file or directory" => ExecutorFault::NotFound,
                _ => ExecutorFault::Incompatible,
            });
        }
        let incompatible = [
            "Exec format error",
            "cannot execute binary file",
            "Syntax error: ",
            "syntax error near",
            "' not found (required by ",
            "error while loading shared libraries: ",
            "Error relocating ",
            "Error loading shared library ",
        ];
        if incompatible.into_iter().any(has) || has(": 1: ") && line.ends_with(": not found") {
            return Some(ExecutorFault::Incompatible);
        }
        None
    })
}

/// The last line that may name a cause.
fn last_line(stderr: &str) -> Option<&str> {
    stderr.lines().rev().map(str::trim).find(|line| !line.is_empty() && !is_of_routine(line))
}

/// Whether a line of a log says what a program does, and not what is wrong: a line of our own log at the level INFO or below
/// (`2026-11-30T12:14:37Z INFO  text`, or JSON), or of Mesos' helpers (`I1130 12:14:37.000000  4711 fetcher.cpp:167] text`).
fn is_of_routine(line: &str) -> bool {
    if line.starts_with("{\"time\":") {
        return ["info", "debug", "trace"]
            .iter()
            .any(|level| line.contains(&format!("\"level\":\"{level}\"")));
    }
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let is_time =
        first.ends_with('Z') && first.starts_with(|c: char| c.is_ascii_digit()) && first.contains('T');
    let mut is_quiet = || matches!(words.next(), Some("INFO" | "DEBUG" | "TRACE"));
    let of_helper = |date: &str| date.len() == 4 && date.bytes().all(|byte| byte.is_ascii_digit());
    is_time && is_quiet() || first.strip_prefix('I').is_some_and(of_helper)
}

/// Whether a text has the words of the operating system, or of the library with which agents fetch, for a full disk.
fn is_of_full_disk(text: &str) -> bool {
    let words = ["No space left on device", "Disk quota exceeded", "Failed writing received data to disk"];
    words.into_iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests;
