//! Containers: a sandbox, the files fetched into it, and a process in a group of its own.

mod fetcher;
mod output;

use crate::agent::{ContainerEvent, ContainerSpec};
pub use fetcher::FetchCache;
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

/// Time between two checks of the sizes of a container's output files.
const OUTPUT_CHECK: Duration = Duration::from_secs(1);

/// Maximum number of attempts to start a program whose file is still open for writing.
const BUSY_TRIES: u32 = 250;
/// The pause between two attempts to start a program whose file is still open for writing.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

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

/// Runs a container until its process has ended. Cancelling `kill` kills the process group by SIGKILL.
pub async fn run(
    spec: ContainerSpec,
    cache: Arc<FetchCache>,
    kill: CancellationToken,
    report: impl Fn(ContainerEvent),
) {
    let prepared = tokio::select! {
        () = kill.cancelled() => return report(ContainerEvent::Exited(Signal::KILL.as_raw())),
        prepared = prepare(&spec, &cache) => prepared,
    };
    let spawned = match prepared {
        Ok(()) => spawn_when_closed(&spec).await,
        Err(error) => Err(error),
    };
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return report(ContainerEvent::Failed(error.to_string())),
    };
    let pid = child.id().unwrap_or_default();
    let group = Group(i32::try_from(pid).ok().and_then(Pid::from_raw));
    report(ContainerEvent::Started(pid));
    info!(container = %spec.id, pid, sandbox = %spec.sandbox.display(), "started");
    let status = wait(&mut child, &group, &kill, &spec.sandbox).await;
    // Kills the remaining processes of the group.
    drop(group);
    debug!(container = %spec.id, pid, status, "ended");
    report(ContainerEvent::Exited(status));
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

/// A process group that is killed when this value is dropped.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(pid) = self.0 {
            // An error means that no process is left in the group.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn prepare(spec: &ContainerSpec, cache: &FetchCache) -> Result<(), StartError> {
    let sandbox = &spec.sandbox;
    let failed = |source| StartError::Sandbox { path: sandbox.clone(), source };
    tokio::fs::create_dir_all(sandbox).await.map_err(failed)?;
    if let Some(runs) = sandbox.parent() {
        let latest = runs.join("latest");
        // Ignore errors: the first run has no link to remove, and the container does not need the link.
        let _ = tokio::fs::remove_file(&latest).await;
        let _ = tokio::fs::symlink(sandbox, &latest).await;
    }
    fetcher::fetch_all(&spec.command.uris, sandbox, cache)
        .await
        .map_err(|source| StartError::Fetch { container: spec.id, source })
}

/// Starts the process; retries while the program's file is open for writing. A process that was just forked for another
/// container inherits the descriptor through which the fetcher wrote the file, and keeps it open until exec.
async fn spawn_when_closed(spec: &ContainerSpec) -> Result<Child, StartError> {
    for _ in 0..BUSY_TRIES {
        match spawn(spec) {
            Err(StartError::Spawn { source, .. }) if source.kind() == ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            spawned => return spawned,
        }
    }
    spawn(spec)
}

fn spawn(spec: &ContainerSpec) -> Result<Child, StartError> {
    let command = &spec.command;
    let (program, arguments) = if command.shell.unwrap_or(true) {
        let script = command.value.clone().ok_or(StartError::NoCommand)?;
        ("/bin/sh".to_owned(), vec!["sh".to_owned(), "-c".to_owned(), script])
    } else {
        let first = command.arguments.first().cloned();
        (command.value.clone().or(first).ok_or(StartError::NoCommand)?, command.arguments.clone())
    };
    let failed = |source| StartError::Spawn { program: program.clone(), source };
    let stdout = output::open(&spec.sandbox, "stdout").map_err(failed)?;
    let stderr = output::open(&spec.sandbox, "stderr").map_err(failed)?;
    let mut process = Command::new(&program);
    if let Some(name) = arguments.first() {
        process.arg0(name);
    }
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    process
        .args(arguments.iter().skip(1))
        .current_dir(&spec.sandbox)
        .env_clear()
        .envs(&spec.environment)
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
