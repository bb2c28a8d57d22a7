//! `mesos-miner pool`: the pool server alone.

pub mod accounts;
mod data;
mod limits;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use command_line::{
    BlockSourceChoice, ConnectionArgs, NodeArgs, UpstreamArgs, difficulty, duration, listen_address,
    pool_access, print_line,
};
use task::{BlockSourceSpec, Payout};

pub use self::data::DataArgs;
pub use self::limits::LimitArgs;
use crate::config::Config;
use crate::handle::PoolSummary;
use crate::serve::{Listen, ServeOptions, Server};
use crate::share::UpstreamSummary;

/// Options of `mesos-miner pool`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = command_line::EXIT_STATUS_HELP)]
pub struct Args {
    /// Address for miners to connect to; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", env = "MINER_LISTEN", default_value = "0.0.0.0:3333", value_parser = listen_address)]
    pub listen: SocketAddr,
    /// Address for /healthz, /api/v1/summary and /metrics; without it, there is no HTTP server
    #[arg(long, value_name = "ADDRESS:PORT", env = "MINER_HTTP", value_parser = listen_address)]
    pub http: Option<SocketAddr>,
    /// Where blocks come from
    #[arg(long, value_enum, env = "MINER_CHAIN", default_value = "builtin")]
    pub chain: BlockSourceChoice,
    /// Time between two blocks of the built-in chain, whose difficulty follows the miners' hashrate
    #[arg(long, value_name = "TIME", env = "MINER_BLOCK_INTERVAL", default_value = "20s", value_parser = duration)]
    pub block_interval: Duration,
    /// Time between two shares of one miner, whose difficulty follows its hashrate
    #[arg(long, value_name = "TIME", env = "MINER_SHARE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Difficulty for a miner that suggests none
    #[arg(long, value_name = "DIFFICULTY", env = "MINER_START_DIFFICULTY", default_value = "0.001", value_parser = difficulty)]
    pub start_difficulty: f64,
    /// Lowest difficulty, unless the chain's is lower
    #[arg(long, value_name = "DIFFICULTY", env = "MINER_MINIMUM_DIFFICULTY", default_value = "0.000001", value_parser = difficulty)]
    pub minimum_difficulty: f64,
    /// Highest difficulty, unless a miner itself wants a higher one; without it, there is none but the chain's
    #[arg(long, value_name = "DIFFICULTY", env = "MINER_MAXIMUM_DIFFICULTY", value_parser = difficulty)]
    pub maximum_difficulty: Option<f64>,
    /// What outlives the process.
    #[command(flatten)]
    pub data: DataArgs,
    /// Limits for miners.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// What only a node needs.
    #[command(flatten)]
    pub node: NodeArgs,
    /// What only an upstream pool needs.
    #[command(flatten)]
    pub upstream: UpstreamArgs,
    /// How to connect to the upstream pools.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl Args {
    /// Checks what clap can't.
    fn payout(&self) -> Result<Option<Payout>, String> {
        let lowest = self.minimum_difficulty;
        if let Some(highest) = self.maximum_difficulty.filter(|highest| *highest < lowest) {
            return Err(format!(
                "--maximum-difficulty {highest} is less than --minimum-difficulty {lowest}: raise the one or lower the other"
            ));
        }
        if let (None, Some(option)) = (self.upstream.given(), self.connection.given()) {
            return Err(format!("{option} needs --upstream URL"));
        }
        if let Some(upstream) = self.upstream.given() {
            let other =
                (self.chain == BlockSourceChoice::Node).then_some("--chain node").or(self.node.given());
            return match other {
                None => Ok(None),
                Some(other) => {
                    Err(format!("{upstream} and {other} exclude each other: work comes from one of them"))
                }
            };
        }
        match (self.chain, self.node.given()) {
            (BlockSourceChoice::Node, _) => Ok(Some(self.node.payout()?)),
            (BlockSourceChoice::Builtin, None) => Ok(None),
            (BlockSourceChoice::Builtin, Some(option)) => Err(format!("{option} needs --chain node")),
        }
    }

    fn options(&self, payout: Option<Payout>) -> anyhow::Result<ServeOptions> {
        let block_interval = self.block_interval;
        let env = |name: &str| std::env::var(name).ok();
        let access = pool_access(&self.connection.dial_options(env)?);
        let source = match (payout, self.upstream.spec(access, env)?) {
            (_, Some(upstream)) => BlockSourceSpec::Upstream(upstream),
            (None, None) => BlockSourceSpec::Builtin { block_interval },
            (Some(payout), None) => BlockSourceSpec::Node(self.node.spec(payout, env)?),
        };
        Ok(ServeOptions {
            stratum: Listen::At(self.listen),
            http: self.http.map(Listen::At),
            config: Config {
                share_interval: self.share_interval,
                start_difficulty: self.start_difficulty,
                minimum_difficulty: self.minimum_difficulty,
                maximum_difficulty: self.maximum_difficulty.unwrap_or(f64::INFINITY),
                limits: self.limits.limits(),
                bans: self.limits.bans(),
            },
            data: self.data.options(&source),
            source,
        })
    }
}

/// Runs a pool until Ctrl-C or SIGTERM. Prints where it listens, and at the end what it has counted.
///
/// # Errors
/// If an address can't be listened on, the nodes can't be mined on, or the system refuses what every program needs.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let payout = match args.payout() {
        Ok(payout) => payout,
        Err(text) => {
            let _ = clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{text}\n")).print();
            return Ok(ExitCode::from(command_line::EX_USAGE));
        }
    };
    let options = args.options(payout).map_err(|error| command_line::UsageError(format!("{error:#}")))?;
    command_line::block_on(2, serve(options)).map(|()| ExitCode::SUCCESS)
}

async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let stop = command_line::stop_token().context("cannot wait for signals")?;
    let server = tokio::select! {
        server = Server::bind(options) => server?,
        // While it waits for a node or an upstream pool.
        () = stop.cancelled() => return Ok(()),
    };
    print_line(format_args!("listening on {}", server.stratum_addr()));
    if let Some(http) = server.http_addr() {
        print_line(format_args!("HTTP on http://{http}"));
    }
    let handle = server.handle();
    server.run(stop).await;
    let PoolSummary { totals, upstream, .. } = handle.summary();
    print_line(format_args!(
        "shares: {} accepted, {} rejected, {} stale; blocks: {}",
        totals.accepted, totals.rejected, totals.stale, totals.blocks
    ));
    if let Some(UpstreamSummary { counts, .. }) = upstream {
        print_line(format_args!(
            "for the upstream pool: {} shares, {} accepted, {} rejected, {} stale, {} unanswered; blocks: {}",
            counts.forwarded,
            counts.accepted,
            counts.rejected,
            counts.stale,
            counts.unanswered,
            counts.blocks
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use task::{NodeAccess, NodeCredentials, PoolAccess};

    use super::*;
    use crate::store::StoreOptions;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let args = Cli::parse_from(["pool"]).args;
        let options = args.options(args.payout().unwrap()).unwrap();
        assert_eq!(options.config, Config::default());
        assert_eq!(options.source, BlockSourceSpec::Builtin { block_interval: Duration::from_secs(20) });
        assert_eq!((options.http, options.data), (None, None));
    }

    const NODE: [&str; 5] = ["pool", "--chain", "node", "--bitcoind", "http://127.0.0.1:18443"];
    const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

    fn with(more: &[&str]) -> Result<Args, clap::Error> {
        Cli::try_parse_from(NODE.iter().chain(more)).map(|cli| cli.args)
    }

    #[test]
    fn reads_nodes_and_their_credentials() {
        let more = ["--bitcoind", "http://a:b@[::1]", "--cookie-file", "/x/.cookie", "--address", ADDRESS];
        let args = with(&more).unwrap();
        let payout = args.payout().unwrap();
        assert_eq!(payout, Some(Payout::Address(ADDRESS.into())));
        let BlockSourceSpec::Node(options) = args.options(payout).unwrap().source else { panic!() };
        let cookie = NodeCredentials::CookieFile("/x/.cookie".into());
        assert_eq!(
            options.nodes[0],
            NodeAccess { url: "http://127.0.0.1:18443".into(), credentials: cookie }
        );
        let own = NodeCredentials::Basic { user: "a".into(), password: "b".into() };
        assert_eq!(options.nodes[1], NodeAccess { url: "http://[::1]:8332".into(), credentials: own });
        assert_eq!(options.tag, b"/mesos-miner/");

        let args = with(&["--rpc-user", "me", "--payout", "user"]).unwrap();
        assert_eq!(args.payout(), Ok(Some(Payout::WorkerName)));
        let options = args.node.spec(Payout::WorkerName, |name| Some(format!("value of {name}"))).unwrap();
        let basic =
            NodeCredentials::Basic { user: "me".into(), password: "value of MINER_RPC_PASSWORD".into() };
        assert_eq!(options.nodes[0].credentials, basic);
        let error = args.node.spec(Payout::WorkerName, |_| None).unwrap_err().to_string();
        assert!(error.contains("MINER_RPC_PASSWORD") && error.contains("--rpc-password-file"), "{error}");
        let args =
            with(&["--rpc-user", "me", "--rpc-password-file", "/no/such/file", "--payout", "user"]).unwrap();
        let error = format!("{:#}", args.node.spec(Payout::WorkerName, |_| None).unwrap_err());
        assert!(error.contains("/no/such/file") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn node_options_hang_together() {
        assert!(with(&[]).unwrap().payout().unwrap_err().contains("--address"));
        let both = with(&["--payout", "user", "--address", ADDRESS]).unwrap();
        assert!(both.payout().unwrap_err().contains("leave out --address"));
        let builtin = Cli::parse_from(["pool", "--address", ADDRESS]).args;
        assert_eq!(builtin.payout().unwrap_err(), "--address needs --chain node");
        let crossed = ["pool", "--minimum-difficulty", "5", "--maximum-difficulty", "1"];
        let crossed = Cli::parse_from(crossed).args.payout().unwrap_err();
        assert!(crossed.contains("--maximum-difficulty 1 is less than --minimum-difficulty 5"), "{crossed}");
        for more in
            [&["--cookie-file", "x", "--rpc-user", "y"][..], &["--address", "satoshi"], &["--payout", "x"]]
        {
            assert!(with(more).is_err(), "{more:?}");
        }
        let nowhere = Cli::parse_from(["pool", "--chain", "node"]).args.payout().unwrap_err();
        assert!(nowhere.contains("--bitcoind URL"), "{nowhere}");
        let error = with(&["--min-difficulty-time", "late"]).unwrap_err().to_string();
        assert!(error.contains("late"), "{error}");
    }

    #[test]
    fn real_blocks_are_kept_and_others_where_asked_for() {
        let folder = |args: Args| {
            let payout = args.payout().unwrap();
            args.options(payout).unwrap().data.map(|options| options.folder)
        };
        let node = with(&["--address", ADDRESS]).unwrap();
        assert_eq!(node.data.retention, StoreOptions::RETENTION);
        assert_eq!(folder(node), Some("mesos-miner-pool".into()));
        let elsewhere = with(&["--address", ADDRESS, "--data-dir", "/x"]).unwrap();
        assert_eq!(folder(elsewhere), Some("/x".into()));
        let upstream = Cli::parse_from(["pool", "--upstream", "a:1", "-u", "me"]).args;
        assert_eq!(folder(upstream), Some("mesos-miner-pool".into()));
        assert_eq!(folder(Cli::parse_from(["pool"]).args), None);
        assert_eq!(folder(Cli::parse_from(["pool", "--data-dir", "x"]).args), Some("x".into()));
    }

    #[test]
    fn an_upstream_pool_stands_alone() {
        let parse = |more: &[&str]| Cli::parse_from([&["pool", "--upstream", "a:1,b:2"], more].concat()).args;
        let args = parse(&["-u", "me"]);
        let BlockSourceSpec::Upstream(options) = args.options(args.payout().unwrap()).unwrap().source else {
            panic!()
        };
        assert_eq!((options.pools.len(), options.access), (2, PoolAccess::default()));
        let idle = Cli::parse_from(["pool", "--proxy", "socks5://h:1"]).args.payout().unwrap_err();
        assert_eq!(idle, "--proxy needs --upstream URL");
        let error = parse(&["-u", "me", "--address", ADDRESS]).payout().unwrap_err();
        assert!(error.contains("--upstream") && error.contains("--address"), "{error}");
        let nobody = parse(&[]);
        assert!(nobody.options(nobody.payout().unwrap()).unwrap_err().is::<command_line::UsageError>());
    }

    #[test]
    fn refuses_bad_values_by_name() {
        for (flag, value) in [
            ("--listen", "localhost"),
            ("--listen", "1.2.3.4:99999"),
            ("--http", "localhost:80"),
            ("--start-difficulty", "0"),
            ("--chain", "x"),
        ] {
            let error = Cli::try_parse_from(["pool", flag, value]).err().map(|error| error.to_string());
            assert!(
                error.is_some_and(|error| error.contains(value) && error.contains(flag)),
                "{flag} {value}"
            );
        }
    }
}
