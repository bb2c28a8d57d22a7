//! The command line of `mesos-miner local`.

use crate::cluster::{Cluster, ClusterConfig, ClusterHandle};
use crate::folder::Folder;
use crate::{ports, shares};
use anyhow::{Context, ensure};
use clap::Parser;
use clap::builder::BoolishValueParser;
use command_line::{UsageError, duration, listen_address, pluralize, print_error_line, whole_number};
use scheduler::SchedulerEnd;
use scheduler::config::ExecutorSource;
use scheduler::task_info::Programs;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Run everything on this machine: an embedded Mesos cluster, a pool server and workers under it.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = command_line::EXIT_STATUS_HELP)]
pub struct Args {
    /// Number of workers, each on an embedded agent of its own.
    #[arg(long, visible_alias = "agents", value_name = "N", env = "MINER_WORKERS", default_value = "1")]
    #[arg(value_parser = whole_number::<u16>(1..=100))]
    pub workers: u16,
    /// CPUs of all agents together [default: all that this process may use].
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
    /// End when so many blocks have been found [default: never].
    #[arg(long, value_name = "N", env = "MINER_BLOCKS", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub blocks: Option<u64>,
    /// Print the summary as one line of JSON, and nothing else on standard output.
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Address for the scheduler's /healthz, /api/v1/summary, /api/v1/tasks and /metrics; without it, there is no HTTP server.
    #[arg(long, value_name = "ADDRESS:PORT", env = "MINER_HTTP", value_parser = listen_address)]
    pub http: Option<SocketAddr>,
    /// Wanted time between two shares of a worker.
    #[arg(long, value_name = "TIME", env = "MINER_SHARE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Wanted time between two blocks of the built-in chain.
    #[arg(long, value_name = "TIME", env = "MINER_BLOCK_INTERVAL", default_value = "20s", value_parser = duration)]
    pub block_interval: Duration,
    /// Hash backend of the workers, by its name in `bench` [default: the fastest].
    #[arg(long, env = "MINER_BACKEND")]
    pub backend: Option<String>,
    /// The master's port on 127.0.0.1; the agents take the ports after it. 0: any free ports.
    #[arg(long, env = "MINER_PORT", default_value = "0", value_parser = whole_number::<u16>(0..=65535))]
    pub port: u16,
    /// Folder for sandboxes and the ledger; it is kept [default: a temporary one, removed at the end].
    #[arg(long, value_name = "DIR", env = "MINER_WORK_DIR")]
    pub work_dir: Option<PathBuf>,
    /// Serve only the cluster, for any framework, until Ctrl-C or --duration.
    #[arg(long, env = "MINER_CLUSTER_ONLY", value_parser = BoolishValueParser::new())]
    #[arg(conflicts_with_all = ["blocks", "json", "http"])]
    pub cluster_only: bool,
}

fn parse_cpus(text: &str) -> anyhow::Result<f64> {
    let cpus: f64 = text.parse().context("write a number of CPUs such as 2 or 0.5")?;
    ensure!((0.02..=1024.0).contains(&cpus), "must be from 0.02 to 1024");
    Ok(cpus)
}

/// Runs it to its end and prints the summary, or the error with all its causes. `executable` gives the file
/// that is to run as the executor.
pub fn main(args: Args, executable: impl FnOnce() -> anyhow::Result<PathBuf>) -> ExitCode {
    command_line::exit(command_line::block_on(2, execute(args, executable)).map(|()| ExitCode::SUCCESS))
}

/// Runs it until Ctrl-C, SIGTERM or a limit, or nobody reads what it prints any more; needs a tokio runtime.
///
/// # Errors
/// If the cluster can't be started or the scheduler fails.
pub async fn execute(args: Args, executable: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<()> {
    let most = u16::MAX - args.workers;
    if args.port > most {
        let (port, workers) = (args.port, pluralize(args.workers, "agent"));
        return Err(UsageError(format!(
            "--port {port} leaves no ports after it for {workers}: give at most {most}"
        ))
        .into());
    }
    let (stop, again) = command_line::stop_token_and_second_signal().context("cannot wait for signals")?;
    let folder = Folder::of(args.work_dir.as_deref())?;
    if args.cluster_only {
        return serve(&args, &folder, stop, again).await;
    }
    let end = mine(&args, executable()?, &folder, stop, again).await?;
    end.summary().print(args.json)?;
    match end.failure() {
        None => Ok(()),
        Some(failure) => anyhow::bail!(failure.to_owned()),
    }
}

/// Mines on a cluster until `stop` or a limit; nothing is left running then.
async fn mine(
    args: &Args,
    executable: PathBuf,
    folder: &Folder,
    stop: CancellationToken,
    again: impl Future<Output = i32>,
) -> anyhow::Result<SchedulerEnd> {
    let cpus = total_cpus(args);
    if let Some(reason) = shares::shortage(cpus, args.server_cpus, args.workers) {
        print_error_line(format_args!("note: {reason}"));
    }
    let mut agents = shares::agents(cpus, args.server_cpus, f64::from(args.mem), args.workers);
    let _claims = ports::claim(&mut agents);
    let cluster = Cluster::start(ClusterConfig {
        port: args.port,
        ..ClusterConfig::new(folder.path().join("mesos"), agents)
    })
    .await?;
    let config = config(args, cluster.address(), folder.path().join("state"), executable);
    let handle = cluster.handle();
    let unheard = stop.clone();
    let work = async {
        let ran = scheduler::run(config, stop).await;
        cluster.stop().await;
        ran
    };
    let unheard = async {
        command_line::stdout_closed().await;
        unheard.cancel();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        ran = work => ran,
        never = at_once(again, &handle, folder) => match never {},
        never = unheard => match never {},
    }
}

/// At the second signal: kills everything, and ends the process. Nothing that hangs is waited for.
async fn at_once(again: impl Future<Output = i32>, cluster: &ClusterHandle, folder: &Folder) -> Infallible {
    let number = again.await;
    // A process that even SIGKILL does not end at once is not worth waiting for.
    let _ = tokio::time::timeout(Duration::from_secs(2), cluster.kill()).await;
    folder.remove();
    std::process::exit(128 + number)
}

fn config(args: &Args, master: SocketAddr, state_dir: PathBuf, executable: PathBuf) -> scheduler::Config {
    let address = Some(master.ip().to_string());
    scheduler::Config {
        state_dir,
        teardown_on_exit: true,
        duration: args.duration,
        blocks: args.blocks,
        quiet: args.json,
        http: args.http,
        server_cpus: args.server_cpus,
        report_interval: Duration::from_secs(1),
        live_interval: Duration::from_secs(1),
        share_interval: args.share_interval,
        programs: Programs::builtin(args.block_interval),
        backend: args.backend.clone(),
        executor: ExecutorSource::Serve { executable: executable.clone(), address },
        ..scheduler::Config::new(master, executable)
    }
}

/// The cluster alone, until `stop` or `--duration`.
async fn serve(
    args: &Args,
    folder: &Folder,
    stop: CancellationToken,
    again: impl Future<Output = i32>,
) -> anyhow::Result<()> {
    // No share is set aside for a server: whatever comes may use all of it.
    let mut agents = shares::agents(total_cpus(args), 0.0, f64::from(args.mem), args.workers);
    let _claims = ports::claim(&mut agents);
    let cluster = Cluster::start(ClusterConfig {
        port: args.port,
        ..ClusterConfig::new(folder.path().to_owned(), agents)
    })
    .await?;
    announce(&cluster, folder.path())?;
    let limit = async {
        match args.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let handle = cluster.handle();
    let work = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = limit => {}
        }
        cluster.stop().await;
    };
    tokio::select! {
        () = work => Ok(()),
        never = at_once(again, &handle, folder) => match never {},
    }
}

fn announce(cluster: &Cluster, work_dir: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "master: http://{}", cluster.address())?;
    for agent in cluster.agents() {
        writeln!(out, "agent: http://{agent}")?;
    }
    writeln!(out, "work folder: {}", work_dir.display())?;
    writeln!(out, "ready")?;
    Ok(out.flush()?)
}

/// What this process may use: its CPU set, and its share of a container's.
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
            &["--no-such-flag"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
        assert_eq!(parse(&["--agents", "3"]).unwrap().workers, 3);
    }

    #[test]
    fn the_scheduler_is_told_what_local_means() {
        let args = parse(&["--duration", "30s", "--json", "--http", "[::1]:8080"]).unwrap();
        let config = config(&args, "127.0.0.1:5050".parse().unwrap(), "/s".into(), "/x".into());
        assert!(config.teardown_on_exit && config.quiet);
        assert_eq!(config.http, Some("[::1]:8080".parse().unwrap()));
        assert_eq!(config.server_cpus, 0.1);
        assert_eq!(config.report_interval, Duration::from_secs(1));
        assert_eq!(config.duration, Some(Duration::from_secs(30)));
        assert_eq!(config.master.to_string(), "127.0.0.1:5050");
    }
}
