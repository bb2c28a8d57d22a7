//! The command line of `mesos-miner local`.

use crate::cluster::{Cluster, ClusterConfig, ClusterHandle};
use crate::work_dir::WorkDir;
use crate::{
    cpus,
    ports::{self, PortClaims},
};
use anyhow::{Context, ensure};
use clap::Parser;
use clap::builder::BoolishValueParser;
use command_line::{
    GraphiteArgs, HttpArgs, HttpSettings, LogArgs, RunEnd, UsageError, duration, pluralize, print_result,
    whole_number,
};
use scheduler::SchedulerEnd;
use scheduler::artifact::ArtifactAddress;
use scheduler::config::ExecutorSource;
use scheduler::options::{FrameworkOptions, TaskOptions};
use scheduler::task_info::Programs;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Run everything on this machine: an embedded Mesos cluster, and a pool server and workers as its tasks.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = command_line::EXIT_STATUS_HELP)]
pub struct Args {
    /// Number of workers, each on an embedded agent of its own.
    #[arg(long, visible_alias = "agents", value_name = "N", env = "MINER_WORKERS", default_value = "1")]
    #[arg(value_parser = whole_number::<u16>(1..=100))]
    pub workers: u16,
    /// Total CPUs of all agents [default: all that this process may use].
    #[arg(long, value_name = "CPUS", env = "MINER_CPUS", value_parser = parse_cpus)]
    pub cpus: Option<f64>,
    /// CPUs of the pool server's task; the workers share the rest.
    #[arg(long, value_name = "CPUS", env = "MINER_SERVER_CPUS", default_value = "0.1", value_parser = parse_cpus)]
    pub server_cpus: f64,
    /// Memory that each agent offers, in megabytes; it is not enforced.
    #[arg(long, value_name = "MB", env = "MINER_MEM", default_value = "1024")]
    #[arg(value_parser = whole_number::<u32>(1..=16_777_216))]
    pub mem: u32,
    /// End after this time, such as 30s, 5m or 12h [default: never].
    #[arg(long, value_name = "TIME", env = "MINER_DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// End when this many blocks have been accepted, or candidates at an external pool [default: never].
    #[arg(long, value_name = "N", env = "MINER_BLOCKS", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub blocks: Option<u64>,
    /// Print the summary as one line of JSON, and nothing else on standard output.
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// The scheduler's HTTP API.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Graphite.
    #[command(flatten)]
    pub graphite: GraphiteArgs,
    /// Target time between two shares of a worker.
    #[arg(long, value_name = "TIME", env = "MINER_SHARE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Target time between two blocks of the built-in chain.
    #[arg(long, value_name = "TIME", env = "MINER_BLOCK_INTERVAL", default_value = "20s", value_parser = duration)]
    pub block_interval: Duration,
    /// Hash backend of the workers, as named by `bench` [default: the fastest].
    #[arg(long, env = "MINER_BACKEND")]
    pub backend: Option<String>,
    /// The master's port on 127.0.0.1; the agents take the ports after it. 0: any free ports.
    #[arg(long, env = "MINER_PORT", default_value = "0", value_parser = whole_number::<u16>(0..=65535))]
    pub port: u16,
    /// Folder for sandboxes and the ledger; not removed at the end [default: a temporary folder, removed at the end].
    #[arg(long, value_name = "DIR", env = "MINER_WORK_DIR")]
    pub work_dir: Option<PathBuf>,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// Serve only the cluster, for any framework, until Ctrl-C or --duration.
    #[arg(long, env = "MINER_CLUSTER_ONLY", value_parser = BoolishValueParser::new())]
    #[arg(conflicts_with_all = ["blocks", "json", "http", "graphite"])]
    pub cluster_only: bool,
}

fn parse_cpus(text: &str) -> anyhow::Result<f64> {
    let cpus: f64 = text.parse().context("write a number of CPUs such as 2 or 0.5")?;
    ensure!((0.02..=1024.0).contains(&cpus), "must be from 0.02 to 1024");
    Ok(cpus)
}

/// Runs the command until it ends, and prints the summary, or the error with all its causes. `checked` is the result of earlier
/// checks of the options; if it is an error, nothing runs. `executable` returns the file that agents run as the executor.
pub fn main(
    args: Args,
    checked: anyhow::Result<()>,
    executable: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> ExitCode {
    if args.cluster_only {
        let served = checked.and_then(|()| command_line::block_on(2, serve(args)));
        return command_line::exit(served.map(|()| ExitCode::SUCCESS));
    }
    let (json, started) = (args.json, Instant::now());
    let end = checked.and_then(|()| command_line::block_on(2, execute(args, executable)));
    command_line::exit_with_summary(json, started, end)
}

/// Runs the command until Ctrl-C, SIGTERM or a limit, or until the reader of standard output closes the pipe. Needs a tokio
/// runtime.
///
/// # Errors
/// If the cluster cannot be started or the scheduler fails.
pub async fn execute(
    args: Args,
    executable: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<RunEnd> {
    let http = args.http.read().map_err(|error| UsageError(format!("{error:#}")))?;
    let (stop, second_signal, work_dir) = prepare(&args, http.clone())?;
    Ok(mine(&args, http, executable()?, &work_dir, stop, second_signal).await?.into())
}

/// Checks the options, and prepares signals and the work folder. Returns the token that the first signal cancels, and the future
/// of the second signal.
fn prepare(
    args: &Args,
    http: Option<HttpSettings>,
) -> anyhow::Result<(CancellationToken, impl Future<Output = i32> + Send + use<>, WorkDir)> {
    let most = u16::MAX - args.workers;
    if args.port > most {
        let (port, workers) = (args.port, pluralize(args.workers, "agent"));
        return Err(UsageError(format!(
            "--port {port} leaves no ports after it for {workers}: give at most {most}"
        ))
        .into());
    }
    let (stop, second_signal) =
        command_line::stop_token_and_second_signal().context("cannot wait for signals")?;
    let reread = move || http.iter().flat_map(HttpSettings::reread).collect();
    command_line::reread_on_hangup(reread).context("cannot wait for signals")?;
    Ok((stop, second_signal, WorkDir::new(args.work_dir.as_deref())?))
}

/// Starts the cluster. `server_cpus` are added to the CPUs of the first agent, for the pool server.
async fn start(args: &Args, server_cpus: f64, work_dir: PathBuf) -> anyhow::Result<(Cluster, PortClaims)> {
    let mut agents = cpus::agent_sizes(total_cpus(args), server_cpus, f64::from(args.mem), args.workers);
    let claims = ports::claim(&mut agents);
    let config = ClusterConfig { port: args.port, ..ClusterConfig::new(work_dir, agents) };
    Ok((Cluster::start(config).await?, claims))
}

/// Mines on a cluster until `stop` or a limit, then ends the cluster.
async fn mine(
    args: &Args,
    http: Option<HttpSettings>,
    executable: PathBuf,
    work_dir: &WorkDir,
    stop: CancellationToken,
    second_signal: impl Future<Output = i32> + Send + 'static,
) -> anyhow::Result<SchedulerEnd> {
    if let Some(reason) = cpus::shortage(total_cpus(args), args.server_cpus, args.workers) {
        logging::notice(logging::Level::WARN, reason);
    }
    let (cluster, _claims) = start(args, args.server_cpus, work_dir.path().join("mesos")).await?;
    let config = scheduler_config(args, http, cluster.address(), work_dir.path().join("state"), executable);
    tokio::spawn(kill_at_second_signal(second_signal, cluster.handle(), work_dir.temporary()));
    let stop_unread = stop.clone();
    let work = async {
        let end = scheduler::run(config, stop).await;
        cluster.stop().await;
        end
    };
    let unread = async {
        command_line::stdout_closed().await;
        stop_unread.cancel();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        end = work => end,
        never = unread => match never {},
    }
}

/// At the second signal, kills all executors and exits, without waiting for a process that hangs. `temporary` is the folder to
/// remove. Runs as a task of its own, so that nothing that blocks the program delays it.
async fn kill_at_second_signal(
    second_signal: impl Future<Output = i32>,
    cluster: ClusterHandle,
    temporary: Option<PathBuf>,
) {
    let number = second_signal.await;
    // SIGKILL does not end a process in uninterruptible sleep, so the wait is limited.
    let _ = tokio::time::timeout(Duration::from_secs(2), cluster.kill()).await;
    if let Some(folder) = temporary {
        // Ignore errors: the process is about to exit, and the next run tries again.
        let _ = std::fs::remove_dir_all(folder);
    }
    std::process::exit(128 + number)
}

fn scheduler_config(
    args: &Args,
    http: Option<HttpSettings>,
    master: SocketAddr,
    state_dir: PathBuf,
    executable: PathBuf,
) -> scheduler::Config {
    let address = ArtifactAddress::at(master.ip());
    scheduler::Config {
        state_dir,
        quiet: args.json,
        http,
        graphite: args.graphite.settings("scheduler"),
        new_cluster: true,
        framework: FrameworkOptions {
            teardown_on_exit: true,
            duration: args.duration,
            blocks: args.blocks,
            ..FrameworkOptions::default()
        },
        task: TaskOptions {
            server_cpus: args.server_cpus,
            report_interval: Duration::from_secs(1),
            live_interval: Duration::from_secs(1),
            share_interval: args.share_interval,
            backend: args.backend.clone(),
            ..TaskOptions::default()
        },
        programs: Programs::builtin(args.block_interval),
        executor: ExecutorSource::Serve { executable: executable.clone(), address },
        ..scheduler::Config::new(master, executable)
    }
}

/// Serves only the cluster, until a signal or `--duration`.
async fn serve(args: Args) -> anyhow::Result<()> {
    let (stop, second_signal, work_dir) = prepare(&args, None)?;
    // No CPUs are set aside for a pool server: frameworks of any kind may use all of them.
    let (cluster, _claims) = start(&args, 0.0, work_dir.path().to_owned()).await?;
    announce(&cluster, work_dir.path())?;
    tokio::spawn(kill_at_second_signal(second_signal, cluster.handle(), work_dir.temporary()));
    match args.duration {
        // It does not matter whether the time ran out or `stop` was cancelled.
        Some(duration) => drop(tokio::time::timeout(duration, stop.cancelled()).await),
        None => stop.cancelled().await,
    }
    cluster.stop().await;
    Ok(())
}

fn announce(cluster: &Cluster, work_dir: &Path) -> anyhow::Result<()> {
    let mut text = format!("master: http://{}\n", cluster.address());
    for agent in cluster.agents() {
        text += &format!("agent: http://{agent}\n");
    }
    print_result(format_args!("{text}work folder: {}\nready", work_dir.display()))
}

/// `--cpus`, or by default the CPUs that this process may use according to its CPU set and its cgroup quota.
fn total_cpus(args: &Args) -> f64 {
    let available = || std::thread::available_parallelism().map_or(1, |n| n.get());
    args.cpus.unwrap_or_else(|| available() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("local").chain(args.iter().copied()))
    }

    #[test]
    fn every_option_has_a_variable_and_help() {
        Args::command().debug_assert();
        for arg in Args::command().get_arguments() {
            assert!(arg.get_env().is_some_and(|name| name.to_string_lossy().starts_with("MINER_")), "{arg}");
            assert!(arg.get_help().is_some(), "{arg}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for args in [
            &["--workers", "0"][..],
            &["--workers", "101"],
            &["--cpus", "0"],
            &["--cpus", "nan"],
            &["--server-cpus", "-1"],
            &["--mem", "0"],
            &["--port", "65536"],
            &["--blocks", "0"],
            &["--cluster-only", "--json"],
            &["--cluster-only", "--graphite", "127.0.0.1:2003"],
            &["--no-such-flag"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
        assert_eq!(parse(&["--agents", "3"]).unwrap().workers, 3);
    }

    #[test]
    fn local_configures_the_scheduler() {
        let args = parse(&["--duration", "30s", "--json", "--http", "[::1]:8080"]).unwrap();
        let config = scheduler_config(
            &args,
            args.http.read().unwrap(),
            "127.0.0.1:5050".parse().unwrap(),
            "/s".into(),
            "/x".into(),
        );
        assert!(config.framework.teardown_on_exit && config.quiet);
        assert_eq!(config.http.map(|http| http.address), Some("[::1]:8080".parse().unwrap()));
        assert_eq!(config.task.server_cpus, 0.1);
        assert_eq!(config.task.report_interval, Duration::from_secs(1));
        assert_eq!(config.framework.duration, Some(Duration::from_secs(30)));
        assert_eq!(config.master.to_string(), "127.0.0.1:5050");
    }
}
