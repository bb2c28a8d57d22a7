//! Finds the processes that belong to a test.
//!
//! A process belongs to a test if it descends from the test's child, or if the test's temporary folder is in its
//! environment or contains its working directory. The second rule also finds orphans, because the sandboxes of executors
//! are in that folder. Names of programs are not used, because other tests run the same programs concurrently.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Identifies a process, even if its process id is reused later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: i32,
    /// The start time, in clock ticks since boot.
    started: u64,
    /// The command line, for messages.
    pub command: String,
}

struct Stat {
    parent: i32,
    state: char,
    started: u64,
}

/// Reads `/proc/PID/stat`. The second field, the name in parentheses, may itself contain spaces and parentheses, so parsing
/// starts after the last parenthesis.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: rest.first()?.chars().next()?,
        parent: rest.get(1)?.parse().ok()?,
        started: rest.get(19)?.parse().ok()?,
    })
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The process with this id, if it runs.
pub fn identity(pid: i32) -> Option<ProcessIdentity> {
    let stat = stat(pid)?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    // A zombie does not count as running. It waits for its parent, which may be the test itself.
    (stat.state != 'Z').then_some(ProcessIdentity { pid, started: stat.started, command })
}

/// Whether this process still runs.
pub fn alive(process: &ProcessIdentity) -> bool {
    identity(process.pid).is_some_and(|now| now.started == process.started)
}

/// All descendants of `root`.
pub fn descendants(root: i32) -> HashSet<ProcessIdentity> {
    let parents: Vec<(i32, i32)> = pids().into_iter().filter_map(|p| Some((p, stat(p)?.parent))).collect();
    let mut family = HashSet::from([root]);
    loop {
        let before = family.len();
        for (pid, parent) in &parents {
            if family.contains(parent) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            break;
        }
    }
    family.into_iter().filter(|p| *p != root).filter_map(identity).collect()
}

/// The processes with `folder` in their environment, or with a working directory in `folder`.
pub fn marked(folder: &Path) -> HashSet<ProcessIdentity> {
    let mark = folder.to_str().expect("temporary folders are plain text").as_bytes();
    let own = std::process::id() as i32;
    let is_marked = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|w| w == mark)
            || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    pids().into_iter().filter(|p| *p != own).filter(is_marked).filter_map(identity).collect()
}

/// A running executor.
#[derive(Clone, Debug)]
pub struct Executor {
    /// The executor's id, which is also the task's id.
    pub id: String,
    /// The executor's process.
    pub process: ProcessIdentity,
}

/// The executors whose sandboxes are in `folder`.
pub fn executors(folder: &Path) -> Vec<Executor> {
    let mut found: Vec<Executor> = marked(folder).into_iter().filter_map(executor).collect();
    // If a shell started the executor, both have the same environment. The executor is the younger process.
    found.sort_by_key(|e| (e.id.clone(), std::cmp::Reverse((e.process.started, e.process.pid))));
    found.dedup_by(|a, b| a.id == b.id);
    found
}

fn executor(process: ProcessIdentity) -> Option<Executor> {
    let environment = fs::read(format!("/proc/{}/environ", process.pid)).ok()?;
    let id = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"MESOS_EXECUTOR_ID="))?;
    Some(Executor { id: String::from_utf8_lossy(id).into_owned(), process })
}
