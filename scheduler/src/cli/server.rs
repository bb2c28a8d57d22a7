//! Options for what the server and the workers run, and where workers mine.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use command_line::{
    BlockSourceChoice, CookieFiles, NodeArgs, RedactedParser, UpstreamArgs, UsageError, duration, pool_url,
    read_password,
};
use net::NodeUrl;
use task::{BlockSourceSpec, NodeAccess, NodeSpec, PoolAccess, UpstreamSpec};

use crate::task_info::{Arguments, ExternalPool, ImageTask, Programs, ServerProgram};

/// The placeholders that --server-arguments may contain: those for the node's values, and those for the task's values.
const NODE_WORDS: [&str; 4] = ["bitcoind_address", "bitcoind_port", "rpc_user", "rpc_password"];
const TASK_WORDS: [&str; 3] = ["p2pool_port", "worker_port", "task_id"];

/// The time between two blocks of the built-in chain if the user gives none.
const BLOCK_INTERVAL: Duration = Duration::from_secs(20);

/// What the server and the workers run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server and workers")]
pub struct ServerArgs {
    /// The server: builtin (our pool server), or docker:IMAGE, such as docker:derekchiang/p2pool. Mesos' own executor runs the
    /// image, and the ledger does not record the work of such a server.
    #[arg(
        long,
        value_name = "KIND",
        env = "MINER_SERVER",
        default_value = "builtin",
        conflicts_with = "pool"
    )]
    pub server: ServerKind,
    /// Where the built-in server's blocks come from; the server's agent must be able to reach a node.
    #[arg(long, value_enum, env = "MINER_CHAIN", default_value = "builtin", conflicts_with = "pool")]
    pub chain: BlockSourceChoice,
    /// Target time between two blocks of the built-in chain, only for --server builtin with --chain builtin [default: 20s].
    #[arg(long, value_name = "TIME", env = "MINER_BLOCK_INTERVAL", value_parser = duration, conflicts_with = "pool")]
    pub block_interval: Option<Duration>,
    /// Absolute path of a folder on the server's agent. The server keeps its accounts there, and the found blocks that no node
    /// has judged yet. The folder is on the host or on a shared or persistent volume, and the task's user must be able to write
    /// to it. Without this option, the data are in the task's sandbox and are deleted with it.
    #[arg(long, value_name = "DIR", env = "MINER_DATA_DIR", conflicts_with = "pool")]
    pub data_dir: Option<String>,
    /// Arguments for the container image that --server names, separated by spaces. {bitcoind_address}, {bitcoind_port},
    /// {p2pool_port}, {worker_port}, {rpc_user}, {rpc_password} and {task_id} are filled in.
    #[arg(
        long,
        value_name = "TEXT",
        env = "MINER_SERVER_ARGUMENTS",
        allow_hyphen_values = true,
        default_value = "--bitcoind-address {bitcoind_address} --p2pool-port {p2pool_port} -w {worker_port} \
                         {rpc_user} {rpc_password}"
    )]
    pub server_arguments: String,
    /// Allow {rpc_user} and {rpc_password} in --server-arguments, although everybody who can see the master's state or the
    /// agents' processes can then read them.
    #[arg(long, env = "MINER_ALLOW_CREDENTIALS_IN_ARGUMENTS", value_parser = BoolishValueParser::new())]
    pub allow_credentials_in_arguments: bool,
    /// Docker image to run as the worker instead of our own, such as derekchiang/cpuminer; only the shares that our own server
    /// receives are recorded in the ledger.
    #[arg(long, value_name = "IMAGE", env = "MINER_WORKER_IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub worker_image: Option<String>,
    /// Arguments of --worker-image, in which {server_host}, {worker_port} and {task_id} are filled in.
    #[arg(
        long,
        value_name = "TEXT",
        env = "MINER_WORKER_ARGUMENTS",
        allow_hyphen_values = true,
        default_value = "-o {server_host}:{worker_port}"
    )]
    pub worker_arguments: String,
    /// The Bitcoin nodes.
    #[command(flatten)]
    pub node: NodeArgs,
    /// The upstream pools.
    #[command(flatten)]
    pub upstream: UpstreamArgs,
}

/// What the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// Our pool server under our executor.
    Builtin,
    /// A Docker image.
    Docker(String),
}

impl FromStr for ServerKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match (text, text.strip_prefix("docker:")) {
            ("builtin", _) => Ok(ServerKind::Builtin),
            (_, Some(image)) if !image.is_empty() => Ok(ServerKind::Docker(image.to_owned())),
            _ => anyhow::bail!("write builtin or docker:IMAGE"),
        }
    }
}

impl ServerArgs {
    /// What to run, with the credentials read from their files.
    ///
    /// # Errors
    /// If options contradict each other, or a file cannot be read.
    pub(super) fn check(
        &self,
        access: &PoolAccess,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Programs> {
        let upstream = self.upstream(access, &env)?;
        self.check_block_interval()?;
        let mut cookies = CookieFiles::default();
        let server = match (&self.server, upstream) {
            (_, Some(spec)) => ServerProgram::Builtin(BlockSourceSpec::Upstream(spec)),
            (ServerKind::Docker(image), _) => ServerProgram::Image(self.server_image(image, env)?),
            (ServerKind::Builtin, _) if self.chain == BlockSourceChoice::Node => {
                let spec;
                (spec, cookies) = self.spec(env)?;
                ServerProgram::Builtin(BlockSourceSpec::Node(spec))
            }
            (ServerKind::Builtin, _) => {
                if let Some(option) = self.node.given() {
                    return Err(
                        UsageError(format!("{option} needs --chain node or --server docker:IMAGE")).into()
                    );
                }
                let block_interval = self.block_interval.unwrap_or(BLOCK_INTERVAL);
                ServerProgram::Builtin(BlockSourceSpec::Builtin { block_interval })
            }
        };
        let worker = match &self.worker_image {
            None => None,
            Some(image) => {
                let arguments =
                    Arguments::parse(&self.worker_arguments, &["server_host", "worker_port", "task_id"])
                        .map_err(|error| UsageError(format!("--worker-arguments: {error}")))?;
                Some(ImageTask { image: image.clone(), arguments })
            }
        };
        Ok(Programs { server, worker, data_dir: self.data_dir()?, cookies })
    }

    /// Only the built-in chain has blocks at an interval: a server task on a node submits each block at once.
    fn check_block_interval(&self) -> Result<(), UsageError> {
        let (source, instead) = match (&self.server, self.chain, self.upstream.given()) {
            _ if self.block_interval.is_none() => return Ok(()),
            (_, _, Some(upstream)) => (upstream, ""),
            (ServerKind::Docker(_), ..) => ("--server docker:IMAGE", ""),
            (_, BlockSourceChoice::Node, _) => {
                ("--chain node", ", or mine on the node with `pool` or `mine`")
            }
            (_, BlockSourceChoice::Builtin, None) => return Ok(()),
        };
        let text =
            format!("--block-interval is for the built-in chain, not for {source}: leave it out{instead}");
        Err(UsageError(text))
    }

    /// The folder of `--data-dir`. Its path must be absolute, since the working directory of the server task is not known.
    fn data_dir(&self) -> anyhow::Result<Option<String>> {
        let Some(folder) = &self.data_dir else { return Ok(None) };
        if self.server != ServerKind::Builtin {
            return Err(
                UsageError("--data-dir is for our own server, not for --server docker:IMAGE".into()).into()
            );
        }
        if !Path::new(folder).is_absolute() {
            return Err(UsageError(format!(
                "--data-dir {folder:?} is on the server's agent: give an absolute path, such as /var/lib/mesos-miner"
            ))
            .into());
        }
        Ok(Some(folder.clone()))
    }

    /// The upstream pools of the server, if it has any.
    fn upstream(
        &self,
        access: &PoolAccess,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<UpstreamSpec>> {
        let Some(option) = self.upstream.given() else { return Ok(None) };
        let other = [
            ("--server docker:IMAGE", self.server != ServerKind::Builtin),
            ("--chain node", self.chain == BlockSourceChoice::Node),
        ];
        let other = other.into_iter().find_map(|(other, given)| given.then_some(other)).or(self.node.given());
        if let Some(other) = other {
            let text = format!("{option} and {other} exclude each other: work has only one source");
            return Err(UsageError(text).into());
        }
        self.upstream.spec(access.clone(), env)
    }

    /// The nodes to mine on, and their cookie files. A cookie file exists only on this machine, so the task's specification gets the
    /// content of the file.
    fn spec(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<(NodeSpec, CookieFiles)> {
        self.node.check().map_err(|text| UsageError(text.to_owned()))?;
        let (mut spec, cookies) = self.node.spec(env)?;
        if spec.address.is_none() {
            let text = "--payout user pays the addresses in the workers' names, but a task's name is its id: use --address";
            return Err(UsageError(text.to_owned()).into());
        }
        read_cookies(&cookies, &mut spec.nodes)?;
        Ok((spec, cookies))
    }

    fn server_image(&self, image: &str, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<ImageTask> {
        let all = [&NODE_WORDS[..], &TASK_WORDS[..]].concat();
        let mut arguments = Arguments::parse(&self.server_arguments, &all)
            .map_err(|error| UsageError(format!("--server-arguments: {error}")))?;
        let secret = ["rpc_user", "rpc_password"].into_iter().find(|name| arguments.name(name));
        if let (Some(name), false) = (secret, self.allow_credentials_in_arguments) {
            return Err(UsageError(format!(
                "everybody who can see the master's state or the agents' processes can read {{{name}}} in \
                 --server-arguments: add --allow-credentials-in-arguments if you accept that, or use other \
                 --server-arguments"
            ))
            .into());
        }
        let (mut nodes, cookies) = self.node.nodes(env)?;
        nodes.truncate(1);
        read_cookies(&cookies, &mut nodes)?;
        let Some(NodeAccess { url, user, password }) = nodes.into_iter().next() else {
            if let Some(name) = NODE_WORDS.into_iter().find(|name| arguments.name(name)) {
                return Err(UsageError(format!("{{{name}}} in --server-arguments needs --bitcoind")).into());
            }
            return Ok(ImageTask { image: image.to_owned(), arguments });
        };
        let url: NodeUrl = url.parse()?;
        arguments.fill("bitcoind_address", &url.address.host);
        arguments.fill("bitcoind_port", &url.address.port.to_string());
        match (user.zip(password), secret) {
            (Some((user, password)), _) => {
                arguments.fill("rpc_user", &user);
                arguments.fill("rpc_password", &password);
            }
            (None, None) => {}
            (None, Some(name)) => {
                let text = format!("{{{name}}} in --server-arguments needs --rpc-user or --cookie-file");
                return Err(UsageError(text).into());
            }
        }
        Ok(ImageTask { image: image.to_owned(), arguments })
    }
}

/// Reads the nodes' cookie files.
fn read_cookies(cookies: &CookieFiles, nodes: &mut [NodeAccess]) -> anyhow::Result<()> {
    match cookies.read(nodes).1.into_iter().next() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Where workers mine, if not at a server task.
#[derive(Clone, Debug, Args)]
pub struct PoolArgs {
    /// Have workers mine at this pool, [stratum+tcp://]HOST:PORT or stratum+ssl://HOST:PORT; no server is launched.
    #[arg(long, value_name = "URL", env = "MINER_POOL", hide_env_values = true, value_parser = RedactedParser(parse_url), conflicts_with_all = ["server_constraint", "upstreams"])]
    pub pool: Option<String>,
    /// Account at --pool; workers log in as USER.TASK, or as TASK if no account is given.
    #[arg(long, value_name = "USER", env = "MINER_POOL_USER", requires = "pool")]
    pub pool_user: Option<String>,
    /// File with the password for --pool [default: the password is x].
    #[arg(long, value_name = "FILE", env = "MINER_POOL_PASSWORD_FILE", requires = "pool")]
    pub pool_password_file: Option<PathBuf>,
}

impl PoolArgs {
    /// The pool, with the password from its file. `access` is how to connect to it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn check(self, access: PoolAccess) -> anyhow::Result<Option<ExternalPool>> {
        let Some(url) = self.pool else { return Ok(None) };
        let password = match &self.pool_password_file {
            None => "x".to_owned(),
            Some(path) => read_password("--pool-password-file", path)?,
        };
        Ok(Some(ExternalPool { url, user: self.pool_user, password, access }))
    }
}

/// Checks the URL here, so that an error is found before a worker is launched.
fn parse_url(text: &str) -> Result<String, String> {
    pool_url(text).map(|url| url.to_string()).map_err(|error| error.to_string())
}
