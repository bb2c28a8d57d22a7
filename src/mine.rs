//! `mesos-miner mine`: mines for pools, or on Bitcoin nodes. For nodes, it runs a pool server in the same process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use command_line::{NodeArgs, RunEnd, Summary, UsageError};
use executor::cli::MineArgs;
use executor::standalone::{self, MiningResult, MiningStatus, Observers, OwnBlocks, OwnServer};
use logging::Level;
use pool::cli::DataArgs;
use pool::{BlockLimits, Config, PoolCounters, PoolHandle, ServerError, ServerOptions, StartingServer};
use stratum::PoolUrl;
use task::BlockSourceSpec;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Options of `mine`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = command_line::EXIT_STATUS_HELP)]
pub struct Args {
    /// Options of the miner.
    #[command(flatten)]
    mine: MineArgs,
    /// Options for mining on a node.
    #[command(flatten)]
    node: NodeArgs,
    /// Options for the data folder of the pool server.
    #[command(flatten)]
    data: DataArgs,
    /// How many blocks there may be, and how often.
    #[command(flatten)]
    blocks: BlockLimits,
}

impl Args {
    /// Whether the summary is printed as JSON.
    pub fn json(&self) -> bool {
        self.mine.json
    }
}

/// Mines until Ctrl-C, SIGTERM or `--duration`.
///
/// # Errors
/// If no search backend works on this machine, or the pools or nodes cannot be used.
pub fn run(args: &Args) -> anyhow::Result<RunEnd> {
    args.mine.log.init(args.mine.log_filter())?;
    for note in args.mine.ignored.notes() {
        logging::notice(logging::Level::WARN, note);
    }
    if args.node.bitcoind.is_empty() {
        if let Some(option) = args.node.given().or(args.data.given()).or(args.blocks.given()) {
            return Err(
                UsageError(format!("{option} is for mining on a node: name it with --bitcoind URL")).into()
            );
        }
        return executor::run_mine(&args.mine);
    }
    if let Some(instead) = args.mine.refused.instead() {
        return Err(UsageError(instead.to_owned()).into());
    }
    if !args.mine.urls.is_empty() {
        return Err(UsageError("either a pool, --url, or a node, --bitcoind, but not both".to_owned()).into());
    }
    // Refuse options for connections to remote pools, because the only pool is in this process.
    let for_pools = args.mine.connection.given().or(args.mine.retries().map(|_| "--no-retry (or --retries)"));
    if let Some(option) = for_pools {
        return Err(UsageError(format!("{option} is for pools, not for the nodes of --bitcoind")).into());
    }
    let options = options(args)?;
    // Without an address, each miner's user name is the address to pay.
    let paid = args.node.address.clone().unwrap_or_else(|| args.mine.credentials().0);
    command_line::block_on(2, on_node(&args.mine, options, paid))
}

fn options(args: &Args) -> anyhow::Result<ServerOptions> {
    args.node.check().map_err(|text| UsageError(text.to_owned()))?;
    let spec = args.node.spec(|name| std::env::var(name).ok());
    let (spec, cookies) = spec.map_err(|error| UsageError(format!("{error:#}")))?;
    Ok(ServerOptions {
        // Only the miner in this process connects.
        stratum: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        http: None,
        api: api::Options::default(),
        config: Config { blocks: args.blocks, ..Config::with_share_interval(args.mine.share_interval) },
        source: BlockSourceSpec::Node(spec),
        cookies,
        data: Some(args.data.for_real_blocks()),
    })
}

async fn on_node(args: &MineArgs, options: ServerOptions, paid: String) -> anyhow::Result<RunEnd> {
    let (started, count) = (Instant::now(), options.config.blocks.count);
    let stop = standalone::stop_after(args.duration)?;
    standalone::stop_when_unread(stop.clone());
    if let BlockSourceSpec::Node(spec) = &options.source {
        let nodes: Vec<_> = spec.nodes.iter().map(|node| node.url.as_str()).collect();
        logging::notice(Level::INFO, format_args!("connecting to node {}", nodes.join(", ")));
    }
    const CANNOT: &str = "cannot mine on the node";
    let starting = StartingServer::open(options).await.map_err(ServerError::with_remedy).context(CANNOT)?;
    let pool = starting.handle();
    let status = MiningStatus::new(Some(own_server(&pool, paid)));
    let observers = Observers::start(args, &status).await?;
    let server = tokio::select! {
        server = starting.start(None) => server.map_err(ServerError::with_remedy).context(CANNOT)?,
        // The program was stopped while the server was still waiting for a node.
        () = stop.cancelled() => {
            let summary = Summary { seconds: started.elapsed().as_secs_f64(), ..Summary::default() };
            return Ok(MiningResult { summary, ended: Ok(()) }.end());
        }
    };
    let url: PoolUrl = server.stratum_addr().to_string().parse().context("the pool server's own address")?;
    let args = MineArgs { urls: vec![url.into()], ..args.clone() };
    if let Some(count) = count {
        pool.stop_at_blocks(count, stop.clone());
    }
    // The server outlives the miner, because it has to check the miner's last shares.
    let serving = CancellationToken::new();
    let mining = async {
        let mined = standalone::mine(&args, &status, &observers, stop).await;
        serving.cancel();
        mined
    };
    let (mined, served) = tokio::join!(mining, server.run(serving.clone()));
    observers.end().await;
    let mut mined = mined?;
    // The miner knows only its candidates. Which of them became blocks, the server knows.
    let PoolCounters { blocks, orphaned, .. } = *pool.counters().borrow();
    (mined.summary.blocks, mined.summary.orphaned) = (Some(blocks), orphaned);
    let end = mined.end();
    Ok(RunEnd { result: end.result.and(served.map_err(Into::into)), ..end })
}

/// The server in this process, as the miner tells of it. It pays to the address `paid`.
fn own_server(pool: &PoolHandle, paid: String) -> OwnServer {
    let (working, refused, troubled, problems) = (pool.clone(), pool.clone(), pool.clone(), pool.clone());
    OwnServer {
        work: Arc::new(move || format!("{}, paying to {paid}", working.work_from().unwrap_or_default())),
        blocks: accepted_blocks(pool),
        rejected_blocks: Arc::new(move || refused.rejected_blocks()),
        trouble: Arc::new(move || troubled.trouble()),
        problems: Arc::new(move || problems.problems()),
        resources: pool.block_resources(),
    }
}

/// The blocks that the pool's nodes accept, for the terminal. They are followed until the pool is gone.
fn accepted_blocks(pool: &PoolHandle) -> watch::Receiver<OwnBlocks> {
    let (sender, blocks) = watch::channel(OwnBlocks::default());
    let mut counters = pool.counters();
    tokio::spawn(async move {
        while counters.changed().await.is_ok() {
            let PoolCounters { blocks: count, orphaned, last_block, .. } = *counters.borrow_and_update();
            let last =
                last_block.map(|(height, hash)| format!("height {height}, {hash}")).unwrap_or_default();
            sender.send_if_modified(|blocks| {
                let more = count > blocks.count;
                *blocks = OwnBlocks { count, orphaned, last };
                more
            });
        }
    });
    blocks
}
