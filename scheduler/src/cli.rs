//! The command line: [`Args`] (what was typed) → [`Config`] (checked).

mod placement;
mod pool;
mod server;
mod size;
#[cfg(test)]
mod tests;
mod tls;
mod zk;

use std::fs;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use command_line::{
    ConnectionArgs, RedactedParser, UsageError, duration, listen_address, pool_access, print_error_line,
    print_line, whole_number,
};
use mesos::masters::Masters;
use task::PoolAccess;

pub use self::placement::PlacementArgs;
pub use self::pool::PoolArgs;
pub use self::server::{Kind as ServerKind, ServerArgs};
pub use self::size::{SizeError, SizeLimit, size_limit};
pub use self::tls::TlsArgs;
pub use self::zk::ZkArgs;
pub(crate) use self::zk::ensemble;
use self::zk::parse_masters;
use crate::artifact::checked_address;
use crate::config::{Config, ExecutorSource};
use crate::master_access::MasterAccess;
use crate::server_size::{SERVER_MEM, SERVER_MEM_RANGE};
use crate::settings::OnServerLoss;
use crate::task_info::{Containerizer, EXECUTABLE};

/// The shortest silence timeout. The master sends a heartbeat every 15 s; within less than two of them a silent task
/// cannot be told from a master that forwards nothing.
const SHORTEST_SILENCE: Duration = Duration::from_secs(30);

/// Run the framework on a Mesos master: one pool server, and workers wherever there is CPU.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = command_line::EXIT_STATUS_HELP)]
pub struct Args {
    /// The Mesos master: HOST:PORT, https://HOST:PORT, several with commas between; or zk://HOST:PORT,…/PATH, also with
    /// USER:PASSWORD@ in front; or file:///PATH of a file that says so, which keeps the password from the list of processes.
    #[arg(long, value_name = "ADDRESS", env = "MINER_MASTER", hide_env_values = true)]
    #[arg(default_value = "127.0.0.1:5050", value_parser = RedactedParser(parse_masters))]
    pub master: Masters,
    /// The election among several schedulers.
    #[command(flatten)]
    pub zk: ZkArgs,
    /// Folder for the framework's id, launches and ledger; a restart with the same folder goes on.
    #[arg(long, value_name = "DIR", env = "MINER_STATE_DIR", default_value = "mesos-miner-state")]
    pub state_dir: PathBuf,
    /// How long rows of single shares are kept; totals are kept for ever.
    #[arg(long, value_name = "TIME", env = "MINER_LEDGER_RETENTION", default_value = "7d", value_parser = duration)]
    pub ledger_retention: Duration,
    /// Largest size of the ledger, such as 500MiB or 20GiB, or none: beyond it the oldest single shares go, whatever
    /// --ledger-retention says, with 0 all of them; totals are kept for ever.
    #[arg(long, value_name = "SIZE", env = "MINER_LEDGER_MAX_SIZE", default_value = "4GiB", value_parser = size_limit)]
    pub ledger_max_size: SizeLimit,
    /// At the end, end all tasks and the framework; otherwise the tasks keep mining.
    #[arg(long, env = "MINER_TEARDOWN_ON_EXIT", value_parser = BoolishValueParser::new())]
    pub teardown_on_exit: bool,
    /// End after this time, such as 30s, 5m or 12h [default: never].
    #[arg(long, value_name = "TIME", env = "MINER_DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// End when so many blocks have been found [default: never].
    #[arg(long, value_name = "N", env = "MINER_BLOCKS", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub blocks: Option<u64>,
    /// Print the summary as one line of JSON, and nothing else on standard output.
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Address for /healthz, /api/v1/summary, /api/v1/tasks and /metrics; without it, there is no HTTP server.
    #[arg(long, value_name = "ADDRESS:PORT", env = "MINER_HTTP", value_parser = listen_address)]
    pub http: Option<SocketAddr>,
    /// The framework's name.
    #[arg(long, env = "MINER_NAME", default_value = "mesos-miner")]
    pub name: String,
    /// Unix user that runs the executors; it must exist on the agents [default: the one who runs the scheduler].
    #[arg(long, env = "MINER_USER", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Mesos role that gets the offers.
    #[arg(long, env = "MINER_ROLE", default_value = "*", value_parser = NonEmptyStringValueParser::new())]
    pub role: String,
    /// Principal that the framework authenticates as [default: none].
    #[arg(long, env = "MINER_PRINCIPAL", value_parser = NonEmptyStringValueParser::new())]
    pub principal: Option<String>,
    /// File with the principal's secret; it is read again for each subscription [default: no authentication].
    #[arg(long, value_name = "FILE", env = "MINER_SECRET_FILE", requires = "principal")]
    pub secret_file: Option<PathBuf>,
    /// TLS to masters.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// CPUs of the pool server's task.
    #[arg(long, value_name = "CPUS", env = "MINER_SERVER_CPUS", default_value = "1", value_parser = parse_cpus)]
    pub server_cpus: f64,
    /// Memory of the pool server's task, MB, which decides how many workers it admits: some 16,000 with 256 MB, 75 with each
    /// MB more.
    #[arg(long, value_name = "MB", env = "MINER_SERVER_MEM", value_parser = whole_number::<u64>(SERVER_MEM_RANGE))]
    #[arg(default_value_t = SERVER_MEM)]
    pub server_mem: u64,
    /// What becomes of the workers when their server is gone.
    #[arg(long, env = "MINER_ON_SERVER_LOSS", value_enum, default_value = "kill")]
    pub on_server_loss: OnServerLoss,
    /// Shortest time between two reports of a task; agents keep every report of a live task.
    #[arg(long, value_name = "TIME", env = "MINER_REPORT_INTERVAL", default_value = "60s", value_parser = duration)]
    pub report_interval: Duration,
    /// Shortest time between two live messages of a task, which are shown but never accounted.
    #[arg(long, value_name = "TIME", env = "MINER_LIVE_INTERVAL", default_value = "5s", value_parser = duration)]
    pub live_interval: Duration,
    /// Live messages of all workers together, each second: of so many workers that it would be more, each one sends its own
    /// at a longer interval.
    #[arg(long, value_name = "N", env = "MINER_LIVE_MESSAGES_PER_SECOND", default_value = "500", value_parser = rate)]
    pub live_messages_per_second: NonZeroU32,
    /// Reports of all workers together, each second, likewise; blocks are reported at once.
    #[arg(long, value_name = "N", env = "MINER_REPORTS_PER_SECOND", default_value = "200", value_parser = rate)]
    pub reports_per_second: NonZeroU32,
    /// Renew a task after so many updates, up to a tenth fewer lest all are renewed at once; at least 10.
    #[arg(long, value_name = "N", env = "MINER_UPDATES_PER_TASK", default_value = "100000", value_parser = updates)]
    pub updates_per_task: NonZeroU64,
    /// A task that runs but sends no live message for so long, or for three of its intervals, is ended and replaced. Longer than an agent may be away:
    /// Mesos' agents need up to 75 s to find a restarted master; 30 s at least.
    #[arg(long, value_name = "TIME", env = "MINER_SILENCE_TIMEOUT", default_value = "120s", value_parser = duration)]
    pub silence_timeout: Duration,
    /// Wanted time between two shares of a worker.
    #[arg(long, value_name = "TIME", env = "MINER_SHARE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Wanted time between two blocks of the built-in chain.
    #[arg(long, value_name = "TIME", env = "MINER_BLOCK_INTERVAL", default_value = "20s", value_parser = duration)]
    pub block_interval: Duration,
    /// Hash backend of the workers, by its name in `bench` [default: the fastest].
    #[arg(long, env = "MINER_BACKEND")]
    pub backend: Option<String>,
    /// Give up, with exit status 1, when the master cannot be reached.
    #[arg(long, env = "MINER_NO_RETRY", value_parser = BoolishValueParser::new())]
    pub no_retry: bool,
    /// HOST or HOST:PORT under which agents fetch the executor from this scheduler
    /// [default: this machine as the master sees it, any port].
    #[arg(long, value_name = "ADDRESS", env = "MINER_ARTIFACT_ADDRESS", value_parser = checked_address)]
    pub artifact_address: Option<String>,
    /// Serve this file to agents as the executor, instead of this program: a build for their machines, or a stripped one.
    #[arg(long, value_name = "FILE", env = "MINER_EXECUTOR_FILE", group = "source")]
    pub executor_file: Option<PathBuf>,
    /// Have agents fetch the executor from here instead; what ends in .tar.gz, .tgz, .tar, .tar.bz2, .tar.xz or .zip is
    /// unpacked, and has mesos-miner at its top.
    #[arg(
        long,
        value_name = "URI",
        env = "MINER_EXECUTOR_URI",
        value_parser = NonEmptyStringValueParser::new(),
        hide_env_values = true,
        group = "source",
        conflicts_with = "artifact_address"
    )]
    pub executor_uri: Option<String>,
    /// The executor's path on every agent; nothing is fetched.
    #[arg(
        long,
        value_name = "PATH",
        env = "MINER_EXECUTOR_PATH",
        value_parser = NonEmptyStringValueParser::new(),
        group = "source",
        conflicts_with = "artifact_address"
    )]
    pub executor_path: Option<String>,
    /// Container image with the executor as its entry point; nothing is fetched.
    #[arg(
        long,
        value_name = "IMAGE",
        env = "MINER_EXECUTOR_IMAGE",
        value_parser = NonEmptyStringValueParser::new(),
        group = "source",
        conflicts_with = "artifact_address"
    )]
    pub executor_image: Option<String>,
    /// Who runs the container of --executor-image.
    #[arg(long, env = "MINER_CONTAINERIZER", value_enum, default_value = "docker")]
    pub containerizer: Containerizer,
    // Flattened options with a heading of their own come last: options after them would stand under that heading, too.
    /// Where tasks may run, and with how much CPU.
    #[command(flatten)]
    pub placement: PlacementArgs,
    /// What server and workers are.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Where workers mine, if not at a server task.
    #[command(flatten)]
    pub pool: PoolArgs,
    /// How to connect to pools: workers to that of --pool, the server to those of --upstream.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs the scheduler and prints the summary, or the error with all its causes.
pub fn main(args: Args, executable: impl FnOnce() -> anyhow::Result<PathBuf>) -> ExitCode {
    command_line::exit(command_line::block_on(2, execute(args, executable)).map(|()| ExitCode::SUCCESS))
}

/// Runs the scheduler until Ctrl-C or SIGTERM and prints the summary; needs a tokio runtime.
///
/// # Errors
/// As [`run`](crate::run); and if the framework could not be ended as wished.
pub async fn execute(args: Args, executable: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<()> {
    let json = args.json;
    let config = args.into_config(executable).map_err(|error| UsageError(format!("{error:#}")))?;
    let (state_dir, zk) = (config.state_dir.clone(), config.zk.clone());
    let stop = command_line::stop_token().context("cannot wait for signals")?;
    let end = crate::run(config, stop).await?;
    end.summary().print(json)?;
    for text in end.exit_messages(&state_dir, zk.as_ref().map(|zk| &zk.ensemble)) {
        if json { print_error_line(text) } else { print_line(text) }
    }
    match end.failure() {
        None => Ok(()),
        Some(failure) => bail!(failure.to_owned()),
    }
}

/// The `mesos-miner` in this program's folder: it contains the executor.
///
/// # Errors
/// If there is no such file.
pub fn sibling_executable() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let sibling = this.with_file_name(EXECUTABLE);
    ensure!(
        sibling.is_file(),
        "there is no {}, which agents are to run: build it (cargo build, with --release if this is), or say where \
         they find it (--executor-uri, --executor-path, --executor-image)",
        sibling.display()
    );
    Ok(sibling)
}

impl Args {
    /// Checks everything; `executable` is the file to serve to the agents, asked for only if it is needed.
    ///
    /// # Errors
    /// If a file cannot be read, or a value is no good.
    pub fn into_config(self, executable: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<Config> {
        let env = |name: &str| std::env::var(name).ok();
        let access = self.access(env)?;
        let executor = match (self.executor_uri, self.executor_path, self.executor_image) {
            (Some(uri), _, _) => ExecutorSource::Uri(uri),
            (_, Some(path), _) => ExecutorSource::Path(path),
            (_, _, Some(image)) => ExecutorSource::Image { image, containerizer: self.containerizer },
            _ => ExecutorSource::Serve {
                executable: self.executor_file.map_or_else(executable, Ok)?,
                address: self.artifact_address,
            },
        };
        ensure!(
            self.silence_timeout >= SHORTEST_SILENCE.max(3 * self.live_interval),
            "--silence-timeout {:?} is too short: give at least {SHORTEST_SILENCE:?}, as the master itself may have \
             nothing to say for half of that, and three times the --live-interval of {:?}",
            self.silence_timeout,
            self.live_interval
        );
        ensure!(!self.name.trim().is_empty(), "--name must not be empty");
        let programs = self.server.check(self.block_interval, &access, env)?;
        if self.on_server_loss == OnServerLoss::Repoint {
            let theirs = programs.worker.is_some();
            ensure!(
                !theirs,
                "--on-server-loss=repoint is for our own workers: others do not take another server"
            );
        }
        Ok(Config {
            master_access: MasterAccess::read(
                self.principal,
                self.secret_file,
                self.tls.check(&self.master)?,
            )?,
            zk: self.zk.check(&self.master)?,
            master: self.master,
            state_dir: self.state_dir,
            ledger_retention: self.ledger_retention,
            ledger_max_size: self.ledger_max_size.bytes,
            name: self.name,
            user: self.user.unwrap_or_else(current_user),
            role: self.role,
            teardown_on_exit: self.teardown_on_exit,
            duration: self.duration,
            blocks: self.blocks,
            quiet: self.json,
            http: self.http,
            retry: !self.no_retry,
            server_cpus: self.server_cpus,
            server_mem: self.server_mem,
            placement: self.placement.check(if self.pool.pool.is_some() { 0.0 } else { self.server_cpus })?,
            pool: self.pool.check(access)?,
            on_server_loss: self.on_server_loss,
            report_interval: self.report_interval,
            live_interval: self.live_interval,
            live_messages_per_second: self.live_messages_per_second,
            reports_per_second: self.reports_per_second,
            updates_per_task: self.updates_per_task,
            silence_timeout: self.silence_timeout,
            share_interval: self.share_interval,
            programs,
            backend: self.backend,
            executor,
        })
    }

    /// How to connect to pools.
    fn access(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<PoolAccess> {
        if let (None, None, Some(option)) =
            (&self.pool.pool, self.server.upstream.given(), self.connection.given())
        {
            let text = format!("{option} is for pools: it needs --pool URL or --upstream URL");
            return Err(UsageError(text).into());
        }
        Ok(pool_access(&self.connection.dial_options(env)?))
    }
}

/// The name of the user who runs this process. A number would not do: agents know users by name.
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

fn rate(text: &str) -> anyhow::Result<NonZeroU32> {
    text.parse().context("write a number of messages each second, from 1")
}

fn updates(text: &str) -> anyhow::Result<NonZeroU64> {
    let updates: NonZeroU64 = text.parse().context("write a number of updates such as 100000")?;
    ensure!(updates.get() >= 10, "must be at least 10: a task needs some to start and to end");
    Ok(updates)
}

fn parse_cpus(text: &str) -> anyhow::Result<f64> {
    let cpus: f64 = text.parse().context("write a number of CPUs such as 1 or 0.5")?;
    ensure!((0.02..=1024.0).contains(&cpus), "must be from 0.02 to 1024");
    Ok(cpus)
}
