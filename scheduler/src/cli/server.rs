//! Options for what server and workers are: our own, or other images.

use std::str::FromStr;

use clap::Args;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use command_line::{BlockSourceChoice, NodeArgs, UpstreamArgs, UsageError, read_cookie_file};
use task::{BlockSourceSpec, NodeCredentials, NodeSpec, Payout, PoolAccess, UpstreamSpec};

use crate::task_info::{Arguments, ImageTask, Programs, ServerProgram};

/// The names that may stand in --server-arguments: those of the node, and those of the task.
const NODE_WORDS: [&str; 4] = ["bitcoind_address", "bitcoind_port", "rpc_user", "rpc_password"];
const TASK_WORDS: [&str; 3] = ["p2pool_port", "worker_port", "task_id"];

/// What server and workers are.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server and workers")]
pub struct ServerArgs {
    /// What the server is: builtin, our pool server; or docker:IMAGE, such as docker:derekchiang/p2pool, run by Mesos'
    /// own executor, of whose work nothing is accounted.
    #[arg(
        long,
        value_name = "KIND",
        env = "MINER_SERVER",
        default_value = "builtin",
        conflicts_with = "pool"
    )]
    pub server: Kind,
    /// Where the built-in server's blocks come from; the server's agent must reach a node.
    #[arg(long, value_enum, env = "MINER_CHAIN", default_value = "builtin", conflicts_with = "pool")]
    pub chain: BlockSourceChoice,
    /// Folder on the server's agent, named from its root, for accounts and found blocks that no node has judged yet: a
    /// path of the host or of a shared or persistent volume, which the task's user may write to. Without it, they are in
    /// the task's sandbox and go with it.
    #[arg(long, value_name = "DIR", env = "MINER_DATA_DIR", conflicts_with = "pool")]
    pub data_dir: Option<String>,
    /// Arguments of the image of --server, words with spaces between, in which {bitcoind_address}, {bitcoind_port},
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
    /// Show user and password of --rpc-user to all who can see the master's state or the agents' processes, where
    /// --server-arguments name them.
    #[arg(long, env = "MINER_ALLOW_CREDENTIALS_IN_ARGUMENTS", value_parser = BoolishValueParser::new())]
    pub allow_credentials_in_arguments: bool,
    /// Docker image to run as worker instead of our own, such as derekchiang/cpuminer; nothing of its work is accounted
    /// but what our own server sees.
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
    /// Nodes.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Pools.
    #[command(flatten)]
    pub upstream: UpstreamArgs,
}

/// What the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Our pool server under our executor.
    Builtin,
    /// This image.
    Docker(String),
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Kind> {
        match (text, text.strip_prefix("docker:")) {
            ("builtin", _) => Ok(Kind::Builtin),
            (_, Some(image)) if !image.is_empty() => Ok(Kind::Docker(image.to_owned())),
            _ => anyhow::bail!("write builtin or docker:IMAGE"),
        }
    }
}

impl ServerArgs {
    /// What to run, with the credentials read from where they are.
    ///
    /// # Errors
    /// If options contradict each other, or a file cannot be read.
    pub(super) fn check(
        &self,
        block_interval: std::time::Duration,
        access: &PoolAccess,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Programs> {
        let upstream = self.upstream(access, &env)?;
        let server = match (&self.server, upstream) {
            (_, Some(spec)) => ServerProgram::Builtin(BlockSourceSpec::Upstream(spec)),
            (Kind::Docker(image), _) => ServerProgram::Image(self.server_image(image, env)?),
            (Kind::Builtin, _) if self.chain == BlockSourceChoice::Node => {
                ServerProgram::Builtin(BlockSourceSpec::Node(self.spec(env)?))
            }
            (Kind::Builtin, _) => {
                if let Some(option) = self.node.given() {
                    return Err(
                        UsageError(format!("{option} needs --chain node or --server docker:IMAGE")).into()
                    );
                }
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
        Ok(Programs { server, worker, data_dir: self.data_dir()? })
    }

    /// The server's folder, which must mean the same wherever the task runs.
    fn data_dir(&self) -> anyhow::Result<Option<String>> {
        let Some(folder) = &self.data_dir else { return Ok(None) };
        if self.server != Kind::Builtin {
            return Err(
                UsageError("--data-dir is for our own server, not for --server docker:IMAGE".into()).into()
            );
        }
        if !std::path::Path::new(folder).is_absolute() {
            return Err(UsageError(format!(
                "--data-dir {folder:?} is on the server's agent: name it from the root, such as /var/lib/mesos-miner"
            ))
            .into());
        }
        Ok(Some(folder.clone()))
    }

    /// The pools whose work the server is to share out, if that is what it is to do.
    fn upstream(
        &self,
        access: &PoolAccess,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<UpstreamSpec>> {
        let Some(option) = self.upstream.given() else { return Ok(None) };
        let other = [
            ("--server docker:IMAGE", self.server != Kind::Builtin),
            ("--chain node", self.chain == BlockSourceChoice::Node),
        ];
        let other = other.into_iter().find_map(|(other, given)| given.then_some(other)).or(self.node.given());
        if let Some(other) = other {
            let text = format!("{option} and {other} exclude each other: work comes from one of them");
            return Err(UsageError(text).into());
        }
        self.upstream.spec(access.clone(), env)
    }

    /// The nodes to mine on. A cookie file is on this machine, and the server on another one: its content goes along.
    fn spec(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<NodeSpec> {
        let payout = self.node.payout().map_err(|text| UsageError(text.to_owned()))?;
        if payout == Payout::WorkerName {
            let text = "--payout user pays the addresses in the workers' names, but tasks' names are their ids: use \
                        --address";
            return Err(UsageError(text.to_owned()).into());
        }
        let mut spec = self.node.spec(payout, env)?;
        for node in &mut spec.nodes {
            node.credentials = read_cookie_file(std::mem::take(&mut node.credentials))?;
        }
        Ok(spec)
    }

    fn server_image(&self, image: &str, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<ImageTask> {
        let all = [&NODE_WORDS[..], &TASK_WORDS[..]].concat();
        let mut arguments = Arguments::parse(&self.server_arguments, &all)
            .map_err(|error| UsageError(format!("--server-arguments: {error}")))?;
        let secret = ["rpc_user", "rpc_password"].into_iter().find(|name| arguments.name(name));
        if let (Some(name), false) = (secret, self.allow_credentials_in_arguments) {
            return Err(UsageError(format!(
                "{{{name}}} in --server-arguments is shown to all who can see the master's state or the agents' \
                 processes: add --allow-credentials-in-arguments if that may be, or use other --server-arguments"
            ))
            .into());
        }
        let nodes = self.node.nodes(env)?;
        let Some((url, credentials)) = nodes.into_iter().next() else {
            if let Some(name) = NODE_WORDS.into_iter().find(|name| arguments.name(name)) {
                return Err(UsageError(format!("{{{name}}} in --server-arguments needs --bitcoind")).into());
            }
            return Ok(ImageTask { image: image.to_owned(), arguments });
        };
        arguments.fill("bitcoind_address", &url.address.host);
        arguments.fill("bitcoind_port", &url.address.port.to_string());
        match (read_cookie_file(credentials)?, secret) {
            (NodeCredentials::Basic { user, password }, _) => {
                arguments.fill("rpc_user", &user);
                arguments.fill("rpc_password", &password);
            }
            (_, None) => {}
            (_, Some(name)) => {
                let text = format!("{{{name}}} in --server-arguments needs --rpc-user or --cookie-file");
                return Err(UsageError(text).into());
            }
        }
        Ok(ImageTask { image: image.to_owned(), arguments })
    }
}
