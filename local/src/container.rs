//! Containers: a sandbox, the files fetched into it, and a process in a group of its own.

mod fetcher;
mod output;

use crate::agent::Start;
pub use fetcher::Cache;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// How often the size of the output files is looked at.
const OUTPUT_CHECK: Duration = Duration::from_secs(1);

/// How often, and with which pause, a program is tried that is busy.
const BUSY_TRIES: u32 = 250;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What happens to a container.
#[derive(Debug)]
pub enum Event {
    /// Its process has this id.
    Started(u32),
    /// There will be no process; why.
    Failed(String),
    /// Its process has ended; as wait(2) gives it. Nothing of its group is left.
    Exited(i32),
}

#[derive(Debug, Error)]
enum StartError {
    #[error("cannot make the sandbox {path}: {source}")]
    Sandbox { path: PathBuf, source: std::io::Error },
    #[error("Failed to fetch all URIs for container '{container}': {source}")]
    Fetch { container: uuid::Uuid, source: fetcher::FetchError },
    #[error("cannot run {program:?}: {source}")]
    Spawn { program: String, source: std::io::Error },
    #[error("the command has neither a value nor arguments")]
    NoCommand,
}

/// Runs a container until its process has ended. `kill` ends it by SIGKILL.
pub async fn run(start: Start, cache: Arc<Cache>, kill: CancellationToken, report: impl Fn(Event)) {
    let prepared = tokio::select! {
        () = kill.cancelled() => return report(Event::Exited(Signal::KILL.as_raw())),
        prepared = prepare(&start, &cache) => prepared,
    };
    let spawned = match prepared {
        Ok(()) => spawn_when_closed(&start).await,
        Err(error) => Err(error),
    };
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return report(Event::Failed(error.to_string())),
    };
    let pid = child.id().unwrap_or_default();
    let group = Group(i32::try_from(pid).ok().and_then(Pid::from_raw));
    report(Event::Started(pid));
    info!(container = %start.container, pid, sandbox = %start.sandbox.display(), "started");
    let status = wait(&mut child, &group, &kill, &start.sandbox).await;
    // What the process left behind in its group.
    drop(group);
    debug!(container = %start.container, pid, status, "ended");
    report(Event::Exited(status));
}

async fn wait(child: &mut Child, group: &Group, kill: &CancellationToken, sandbox: &Path) -> i32 {
    let mut check = tokio::time::interval(OUTPUT_CHECK);
    let mut killed = false;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_or(-1, ExitStatusExt::into_raw),
            () = kill.cancelled(), if !killed => {
                killed = true;
                group.kill();
            }
            _ = check.tick() => output::bound(sandbox),
        }
    }
}

/// A process group that ends with this value.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(pid) = self.0 {
            // It fails if nobody is left, which is what is wanted.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn prepare(start: &Start, cache: &Cache) -> Result<(), StartError> {
    let sandbox = &start.sandbox;
    let failed = |source| StartError::Sandbox { path: sandbox.clone(), source };
    tokio::fs::create_dir_all(sandbox).await.map_err(failed)?;
    if let Some(runs) = sandbox.parent() {
        let latest = runs.join("latest");
        // There is none at the first run; that the link is missing harms nobody.
        let _ = tokio::fs::remove_file(&latest).await;
        let _ = tokio::fs::symlink(sandbox, &latest).await;
    }
    fetcher::fetch_all(&start.command.uris, sandbox, cache)
        .await
        .map_err(|source| StartError::Fetch { container: start.container, source })
}

/// A program that was just written is busy as long as a process that was forked at that moment, for another container, has
/// not begun its own program: the descriptor is inherited until then.
async fn spawn_when_closed(start: &Start) -> Result<Child, StartError> {
    for _ in 0..BUSY_TRIES {
        match spawn(start) {
            Err(StartError::Spawn { source, .. }) if source.kind() == ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            spawned => return spawned,
        }
    }
    spawn(start)
}

fn spawn(start: &Start) -> Result<Child, StartError> {
    let command = &start.command;
    let (program, arguments) = if command.shell.unwrap_or(true) {
        let script = command.value.clone().ok_or(StartError::NoCommand)?;
        ("/bin/sh".to_owned(), vec!["sh".to_owned(), "-c".to_owned(), script])
    } else {
        let first = command.arguments.first().cloned();
        (command.value.clone().or(first).ok_or(StartError::NoCommand)?, command.arguments.clone())
    };
    let failed = |source| StartError::Spawn { program: program.clone(), source };
    let stdout = output::open(&start.sandbox, "stdout").map_err(failed)?;
    let stderr = output::open(&start.sandbox, "stderr").map_err(failed)?;
    let mut process = Command::new(&program);
    if let Some(name) = arguments.first() {
        process.arg0(name);
    }
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    process
        .args(arguments.iter().skip(1))
        .current_dir(&start.sandbox)
        .env_clear()
        .envs(&start.environment)
        .envs(variables.map(|variable| (&variable.name, variable.value.as_deref().unwrap_or(""))))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(true);
    process.spawn().map_err(failed)
}

#[cfg(test)]
mod tests;
