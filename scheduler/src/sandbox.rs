//! The sandbox of an executor: what is read of it, and where a browser shows it.

use text::printable_lines;

use crate::event::TaskEnd;

/// The file of a sandbox that is read.
pub const STDERR: &str = "stderr";
/// How much of the end of the file is read, in bytes.
pub const END: usize = 2048;
/// Maximum number of lines that are kept, and of characters in each.
const LINES: (usize, usize) = (15, 400);

/// The sandbox of an executor. Executor and task have the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The framework's id.
    pub framework: String,
    /// The task's id.
    pub task: String,
    /// The agent's id.
    pub agent: String,
    /// The host name of the agent.
    pub host: String,
    /// The agent's URL, as its offer gave it.
    pub agent_url: String,
}

impl Sandbox {
    /// The address at which a browser shows the sandbox. It belongs to the web pages of the master, which get the files from the
    /// agent. `web_ui` is the address of these pages, such as `http://master:5050`.
    pub fn url(&self, web_ui: &str) -> String {
        let Self { framework, task, agent, .. } = self;
        format!("{web_ui}/#/agents/{agent}/frameworks/{framework}/executors/{task}/browse")
    }
}

/// What was read of the standard error of an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StderrRead {
    /// The failure for which it was read.
    pub end: TaskEnd,
    /// The host name of the agent.
    pub host: String,
    /// The sandbox's address for a browser, if there is a sandbox and the master's address is known.
    pub url: Option<String>,
    /// What was read.
    pub outcome: StderrOutcome,
}

/// What became of reading the end of a standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StderrOutcome {
    /// The end of it, safe to show; empty if there is nothing.
    Read(String),
    /// The agent has no such file.
    NoFile,
    /// The agent refuses it. The text names the options to give.
    Refused(String),
    /// It could not be read, for this reason.
    Failed(String),
}

/// The end of a standard error as it is shown. A first line that is not whole is left out, and so is what Mesos' fetcher writes
/// about itself: it says nothing new, and URIs in it may have passwords. Other URIs lose theirs.
pub fn shown(end: &str, is_cut: bool) -> String {
    let whole = if is_cut { end.split_once('\n').map_or(end, |(_, rest)| rest) } else { end };
    let (most, longest) = LINES;
    let lines = whole.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines
        .filter(|line| !line.contains("Fetcher Info: "))
        .map(|line| shorten(&hide_passwords(line)))
        .collect();
    let last = &lines[lines.len().saturating_sub(most)..];
    printable_lines(&last.join("\n"), longest).into_owned()
}

/// Replaces the path of the sandbox, which has four long ids, by `SANDBOX`.
fn shorten(line: &str) -> String {
    let mut shown = line.to_owned();
    while let Some(middle) = shown.find("/executors/") {
        let is_outside = |c: char| c.is_whitespace() || "'\"".contains(c);
        let begin = shown[..middle].rfind(is_outside).map_or(0, |at| at + 1);
        let path = shown[begin..].split(is_outside).next().unwrap_or_default();
        let Some((before, run)) = path.split_once("/runs/") else { break };
        let end = begin + before.len() + "/runs/".len() + run.find('/').unwrap_or(run.len());
        shown.replace_range(begin..end, "SANDBOX");
    }
    shown
}

/// Replaces user and password in each URI of a line: `http://user:secret@host` becomes `http://…@host`.
fn hide_passwords(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority =
            after.split(|c: char| c.is_whitespace() || "/'\"<>?#".contains(c)).next().unwrap_or_default();
        rest = after;
        if let Some(at) = authority.rfind('@') {
            shown.push('…');
            rest = &after[at..];
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_finds_the_sandbox_on_the_masters_pages() {
        let sandbox = Sandbox {
            framework: "F-0000".into(),
            task: "miner-worker-2".into(),
            agent: "A-S0".into(),
            host: "a".into(),
            agent_url: "http://10.0.0.1:5051/slave(1)".into(),
        };
        let url = "http://master:5050/#/agents/A-S0/frameworks/F-0000/executors/miner-worker-2/browse";
        assert_eq!(sandbox.url("http://master:5050"), url);
    }

    #[test]
    fn what_is_shown_is_safe_and_bounded_and_has_no_passwords() {
        assert_eq!(shown("a\n\nb \u{1b}[31mred\u{202e}\n", false), "a\nb \\u{1b}[31mred\\u{202e}");
        assert_eq!(shown("lf of a line\nwhole\n", true), "whole");
        assert_eq!(shown("one long line", true), "one long line");
        assert_eq!(shown("", false), "");
        let fetcher = "I1 fetcher.cpp:559] Fetcher Info: {\"uri\":\"http://u:s3cret@h/x\"}\n\
                       failed to fetch 'http://u:s3@cret@h:1/x' or https://h/a@b: refused";
        assert_eq!(shown(fetcher, false), "failed to fetch 'http://…@h:1/x' or https://h/a@b: refused");
        let path =
            "/w/slaves/A-S0/frameworks/F-0000/executors/miner-server-1/runs/c7baee42-5640/./mesos-miner";
        let denied = format!("Failed to execute '{path}': Permission denied");
        assert_eq!(shown(&denied, false), "Failed to execute 'SANDBOX/./mesos-miner': Permission denied");
        assert_eq!(shown("/executors/ a /executors/b/runs/", false), "/executors/ a /executors/b/runs/");
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(shown(&many, false).lines().count(), 15);
        assert!(shown(&many, false).ends_with("line 99"));
        assert!(shown(&"x".repeat(2048), false).chars().count() <= 401);
    }
}
