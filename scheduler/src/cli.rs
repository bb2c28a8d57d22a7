//! The command line: [`Args`] (the options as typed) → [`Config`] (checked).

mod executor;
mod masters;
mod placement;
mod server;
mod size;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{Parser, ValueEnum};
use command_line::{
    ConnectionArgs, GraphiteArgs, HttpArgs, HttpSettings, LogArgs, Reread, RunEnd, UsageError, duration,
    pool_access,
};
use task::PoolAccess;

pub use self::executor::ExecutorArgs;
pub(crate) use self::masters::ensemble;
pub use self::masters::{MasterArgs, ZkArgs};
pub use self::placement::PlacementArgs;
pub use self::server::{PoolArgs, ServerArgs, ServerKind};
pub use self::size::{SizeError, SizeLimit, size_limit};
use crate::config::Config;
use crate::dry_run;
use crate::options::{FrameworkOptions, OnServerLoss, TaskOptions};
use crate::store::{self, ShareLimits};
use crate::task_info::EXECUTABLE;
use crate::webui_url;

/// The shortest allowed `--silence-timeout` for tasks. While the master is silent, all tasks seem silent. A silent master is
/// noticed after 30 s, when two heartbeats are missing.
const SHORTEST_SILENCE: Duration = Duration::from_secs(30);

/// The shortest allowed `--launch-timeout`. An agent needs some seconds to start even an executor that need not be fetched.
const SHORTEST_LAUNCH: Duration = Duration::from_secs(10);

/// What the program does instead of running the framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Print what would be launched.
    Plan,
}

/// Run the framework on a Mesos master: one pool server, and workers wherever there is CPU.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = command_line::EXIT_STATUS_HELP)]
pub struct Args {
    /// `plan` launches nothing. It holds the present offers for at most 5 s. It prints which tasks would be launched on which
    /// agents, and why none would be launched on the other agents. All options are checked; those for a run, such as --state-dir,
    /// --zk and --http, have no effect. It ends with status 3 if nothing would be launched.
    #[arg(value_name = "plan", hide_possible_values = true)]
    pub action: Option<Action>,
    /// The masters.
    #[command(flatten)]
    pub master: MasterArgs,
    /// The election among several schedulers.
    #[command(flatten)]
    pub zk: ZkArgs,
    /// Folder for the framework's id, launches and ledger; a restart with the same folder continues.
    #[arg(long, value_name = "DIR", env = "MINER_STATE_DIR", default_value = "mesos-miner-state")]
    pub state_dir: PathBuf,
    /// How long rows of single shares are kept; totals are kept for ever.
    #[arg(long, value_name = "TIME", env = "MINER_LEDGER_RETENTION", default_value = "7d", value_parser = duration)]
    pub ledger_retention: Duration,
    /// Maximum size of the ledger, such as 500MiB or 20GiB, or none. Beyond it, the oldest single shares are removed, whatever
    /// --ledger-retention says; 0 removes all of them. Totals are kept for ever.
    #[arg(long, value_name = "SIZE", env = "MINER_LEDGER_MAX_SIZE", default_value = "4GiB", value_parser = size_limit)]
    pub ledger_max_size: SizeLimit,
    /// The settings of the framework as a whole.
    #[command(flatten)]
    pub framework: FrameworkOptions,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// Print the summary as one line of JSON, and nothing else on standard output.
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// The HTTP API.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Graphite.
    #[command(flatten)]
    pub graphite: GraphiteArgs,
    /// Have the hashrate of every worker and every host in the metrics, not only those of the 20 slowest and the 20 fastest hosts
    #[arg(long, env = "MINER_METRICS_PER_WORKER")]
    pub metrics_per_worker: bool,
    /// Address for browsers, to which Mesos' page of frameworks links [default: that of --http, if other machines can reach it].
    #[arg(long, value_name = "URL", env = "MINER_WEBUI_URL", value_parser = webui_url::parse)]
    pub webui_url: Option<String>,
    /// The framework's name.
    #[arg(long, env = "MINER_NAME", default_value = "mesos-miner")]
    pub name: String,
    /// Unix user that runs the executors; it must exist on the agents [default: the user who runs the scheduler].
    #[arg(long, env = "MINER_USER", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Mesos role that gets the offers.
    #[arg(long, env = "MINER_ROLE", default_value = "*", value_parser = NonEmptyStringValueParser::new())]
    pub role: String,
    /// The resources and settings of each task.
    #[command(flatten)]
    pub task: TaskOptions,
    /// Exit with status 1 when the master cannot be reached.
    #[arg(long, env = "MINER_NO_RETRY", value_parser = BoolishValueParser::new())]
    pub no_retry: bool,
    /// Where agents get the executor.
    #[command(flatten)]
    pub executor: ExecutorArgs,
    // Flattened options with their own heading come last, because any options after them would be listed under that heading, too.
    /// Where tasks may run, and with how much CPU.
    #[command(flatten)]
    pub placement: PlacementArgs,
    /// What the server and the workers run.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Where workers mine, if not at a server task.
    #[command(flatten)]
    pub pool: PoolArgs,
    /// How to connect to pools (workers to --pool, the server to --upstream).
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the scheduler and prints the summary, or does what [`Args::action`] says. Prints an error with all its causes. `checked`
/// is the result of earlier checks of the options; if it is an error, nothing runs.
pub fn main(
    args: Args,
    checked: anyhow::Result<()>,
    executable: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> ExitCode {
    let (json, started) = (args.json, Instant::now());
    if args.action == Some(Action::Plan) {
        let planned = checked.and_then(|()| command_line::block_on(2, plan(args, executable)));
        return command_line::exit_with_json(json, planned);
    }
    let end = checked.and_then(|()| command_line::block_on(2, execute(args, executable)));
    command_line::exit_with_summary(json, started, end)
}

async fn plan(args: Args, executable: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let config = args.into_config(executable).map_err(|error| UsageError(format!("{error:#}")))?;
    dry_run::execute(&config, json).await
}

/// Runs the scheduler until Ctrl-C or SIGTERM. It needs a tokio runtime.
///
/// # Errors
/// The errors of [`run`](crate::run).
pub async fn execute(
    args: Args,
    executable: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<RunEnd> {
    let of_tasks = args.files_of_tasks();
    let config = args.into_config(executable).map_err(|error| UsageError(format!("{error:#}")))?;
    let (state_dir, zk) = (config.state_dir.clone(), config.zk.clone());
    let stop = command_line::stop_token().context("cannot wait for signals")?;
    let (access, agents) = (config.master_access.clone(), config.agent_access.clone());
    let http = config.http.clone();
    let reread = move || {
        let of_http = http.iter().flat_map(HttpSettings::reread);
        access.reread().into_iter().chain(agents.reread()).chain(of_http).chain(of_tasks.clone()).collect()
    };
    command_line::reread_on_hangup(reread).context("cannot wait for signals")?;
    let end = crate::run(config, stop).await?;
    let shares_complete_since = store::rows_since(&state_dir);
    let notes = end.exit_messages(&state_dir, zk.as_ref().map(|zk| &zk.ensemble), shares_complete_since);
    Ok(RunEnd { notes, ..end.into() })
}

/// The `mesos-miner` in this program's folder, which contains the executor.
///
/// # Errors
/// If there is no such file.
pub fn sibling_executable() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find the path of this program")?;
    let sibling = this.with_file_name(EXECUTABLE);
    ensure!(
        sibling.is_file(),
        "there is no {}, which agents need as the executor: build it (cargo build, with --release if this is a release \
         build), or give another source (--executor-uri, --executor-path, --executor-image)",
        sibling.display()
    );
    Ok(sibling)
}

impl Args {
    /// Checks all options. `executable` returns the path of the file to serve to the agents. It is called only if such a file is
    /// needed.
    ///
    /// # Errors
    /// If a file cannot be read, or a value is invalid.
    pub fn into_config(self, executable: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<Config> {
        let env = |name: &str| std::env::var(name).ok();
        let access = self.access(env)?;
        let executor = self.executor.source(executable)?;
        let (silence, live) = (self.framework.silence_timeout, self.task.live_interval);
        ensure!(
            silence >= SHORTEST_SILENCE.max(3 * live),
            "--silence-timeout {silence:?} is too short: give at least {SHORTEST_SILENCE:?}, because the master itself may \
             send nothing for half of that, and at least three times the --live-interval of {live:?}"
        );
        let launch = self.framework.launch_timeout;
        ensure!(
            launch >= SHORTEST_LAUNCH,
            "--launch-timeout {launch:?} is too short: give at least {SHORTEST_LAUNCH:?}, because agents need some seconds \
             to start a task"
        );
        ensure!(!self.name.trim().is_empty(), "--name must not be empty");
        let programs = self.server.check(&access, env)?;
        ensure!(
            self.framework.on_server_loss != OnServerLoss::Repoint || programs.worker.is_none(),
            "--on-server-loss=repoint needs our own workers: the program of --worker-image cannot be redirected"
        );
        let server_cpus = self.pool.pool.is_none().then_some(self.task.server_cpus);
        let (master, master_access, agent_access) = self.master.check()?;
        Ok(Config {
            zk: self.zk.check(&master)?,
            master,
            master_access,
            agent_access,
            state_dir: self.state_dir,
            share_limits: ShareLimits { age: self.ledger_retention, size: self.ledger_max_size.bytes },
            name: self.name,
            user: self.user.unwrap_or_else(current_user),
            role: self.role,
            quiet: self.json,
            http: self.http.read()?,
            graphite: self.graphite.settings("scheduler"),
            metrics_per_worker: self.metrics_per_worker,
            webui_url: self.webui_url,
            retry: !self.no_retry,
            new_cluster: false,
            framework: self.framework,
            task: self.task,
            placement: self.placement.check(server_cpus)?,
            programs,
            pool: self.pool.check(access)?,
            executor,
        })
    }

    /// The files whose content is passed to tasks.
    fn files_of_tasks(&self) -> Vec<Reread> {
        let files = [
            ("--tls-ca", &self.connection.tls_ca),
            ("--proxy-password-file", &self.connection.proxy_password_file),
            ("--upstream-password-file", &self.server.upstream.upstream_password_file),
            ("--pool-password-file", &self.pool.pool_password_file),
            ("--rpc-password-file", &self.server.node.rpc_password_file),
        ];
        files.into_iter().filter_map(|(option, file)| Reread::only_at_start(option, file.as_ref())).collect()
    }

    /// How to connect to pools.
    fn access(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<PoolAccess> {
        if let (None, None, Some(option)) =
            (&self.pool.pool, self.server.upstream.given(), self.connection.given())
        {
            let text = format!("{option} is for pools: it needs --pool URL or --upstream URL");
            return Err(UsageError(text).into());
        }
        Ok(pool_access(&self.connection.dial_options(env)?, self.connection.rules()))
    }
}

/// The name of the user who runs this process. It must be the name, not the number, because agents look users up by name.
fn current_user() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    };
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd.lines().find_map(named).or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".to_owned())
}
