//! `mesos-miner pool`: the pool server alone.

pub mod accounts;
mod data;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use api::MetricsSource;
use command_line::{
    BlockSourceChoice, ConnectionArgs, CookieFiles, GraphiteArgs, HttpArgs, HttpSettings, LogArgs, NodeArgs,
    UpstreamArgs, UsageError, dial_options, listen_address, pool_access, print_line, print_result,
};
use net::DialOptions;
use task::{BlockSourceSpec, Totals};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::data::DataArgs;
use crate::config::{BlockLimits, Config};
use crate::handle::PoolSummary;
use crate::server::{ServerError, ServerOptions, StartingServer};
use crate::share::UpstreamSummary;
use crate::source::SourceChanges;

/// Options of `mesos-miner pool`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = command_line::EXIT_STATUS_HELP)]
pub struct Args {
    /// Address for miners to connect to; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", env = "MINER_LISTEN", default_value = "0.0.0.0:3333", value_parser = listen_address)]
    pub listen: SocketAddr,
    /// The HTTP API.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Graphite.
    #[command(flatten)]
    pub graphite: GraphiteArgs,
    /// Where blocks come from
    #[arg(long, value_enum, env = "MINER_CHAIN", default_value = "builtin")]
    pub chain: BlockSourceChoice,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// The pool's settings for its miners.
    #[command(flatten)]
    pub config: Config,
    /// Options of the data folder.
    #[command(flatten)]
    pub data: DataArgs,
    /// Options for Bitcoin nodes.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Options for upstream pools.
    #[command(flatten)]
    pub upstream: UpstreamArgs,
    /// How to connect to the upstream pools.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl Args {
    /// Checks what clap cannot check.
    fn check(&self) -> Result<(), String> {
        let lowest = self.config.vardiff.minimum_difficulty;
        if let Some(highest) = self.config.vardiff.maximum_difficulty.filter(|highest| *highest < lowest) {
            return Err(format!(
                "--maximum-difficulty {highest} is less than --minimum-difficulty {lowest}: raise the one or lower the other"
            ));
        }
        if let (None, Some(option)) = (self.upstream.given(), self.connection.given()) {
            return Err(format!("{option} needs --upstream URL"));
        }
        if let Some(upstream) = self.upstream.given() {
            let node = (self.chain == BlockSourceChoice::Node).then_some("--chain node");
            // An upstream pool does not tell of blocks.
            let other = node.or(self.node.given()).or(self.config.blocks.given());
            return match other {
                None => Ok(()),
                Some(other) => {
                    Err(format!("{upstream} and {other} exclude each other: work comes from one of them"))
                }
            };
        }
        match (self.chain, self.node.given()) {
            (BlockSourceChoice::Node, _) => Ok(self.node.check()?),
            (BlockSourceChoice::Builtin, None) => Ok(()),
            (BlockSourceChoice::Builtin, Some(option)) => Err(format!("{option} needs --chain node")),
        }
    }

    fn options(&self, http: Option<&HttpSettings>) -> anyhow::Result<ServerOptions> {
        self.check().map_err(UsageError)?;
        let block_interval = self.config.blocks.interval.unwrap_or(BlockLimits::BUILTIN_INTERVAL);
        let env = |name: &str| std::env::var(name).ok();
        let access = pool_access(&self.connection.dial_options(env)?, self.connection.rules());
        let mut cookies = CookieFiles::default();
        let source = match (self.chain, self.upstream.spec(access, env)?) {
            (_, Some(upstream)) => BlockSourceSpec::Upstream(upstream),
            (BlockSourceChoice::Builtin, None) => BlockSourceSpec::Builtin { block_interval },
            (BlockSourceChoice::Node, None) => {
                let (spec, files) = self.node.spec(env)?;
                cookies = files;
                BlockSourceSpec::Node(spec)
            }
        };
        Ok(ServerOptions {
            stratum: vec![self.listen],
            http: http.map(|http| vec![http.address]),
            api: http.map(|http| http.options.clone()).unwrap_or_default(),
            config: self.config,
            data: self.data.options(&source),
            source,
            cookies,
        })
    }
}

/// Runs a pool until Ctrl-C or SIGTERM. Prints the addresses on which it listens, and its counts at the end.
///
/// # Errors
/// If the server cannot listen on an address or get work, or if the system refuses threads or signal handlers.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let usage = |error| UsageError(format!("{error:#}"));
    let http = args.http.read().map_err(usage)?;
    let options = args.options(http.as_ref()).map_err(usage)?;
    command_line::block_on(2, serve(options, http, args)).map(|()| ExitCode::SUCCESS)
}

/// Reads the files of the options again on SIGHUP. Returns the changes for the nodes or the upstream pools.
fn reread_on_hangup(
    options: &ServerOptions,
    http: Option<HttpSettings>,
    args: Args,
) -> std::io::Result<SourceChanges> {
    let (mut source, mut cookies) = (options.source.clone(), options.cookies.clone());
    let (sender, changes) = watch::channel((source.clone(), cookies.clone()));
    let mut options = match &source {
        BlockSourceSpec::Upstream(spec) => dial_options(&spec.access),
        _ => DialOptions::default(),
    };
    command_line::reread_on_hangup(move || {
        let read = match &mut source {
            BlockSourceSpec::Builtin { .. } => Vec::new(),
            BlockSourceSpec::Node(spec) => args.node.reread(&mut spec.nodes, &mut cookies),
            BlockSourceSpec::Upstream(spec) => {
                let read: Vec<_> = args
                    .connection
                    .reread(&mut options)
                    .into_iter()
                    .chain(args.upstream.reread(spec))
                    .collect();
                spec.access = pool_access(&options, args.connection.rules());
                read
            }
        };
        if read.iter().any(|file| file.outcome == Ok(true)) {
            sender.send_replace((source.clone(), cookies.clone()));
        }
        read.into_iter().chain(http.iter().flat_map(HttpSettings::reread)).collect()
    })?;
    Ok(changes)
}

async fn serve(options: ServerOptions, http: Option<HttpSettings>, args: Args) -> anyhow::Result<()> {
    let count = options.config.blocks.count;
    let stop = command_line::stop_token().context("cannot wait for signals")?;
    let graphite = args.graphite.settings("pool");
    let changes = reread_on_hangup(&options, http.clone(), args).context("cannot wait for signals")?;
    let starting = StartingServer::open(options).await?;
    if let (Some(http), Some(address)) = (http, starting.http_addr()) {
        print_line(format_args!("HTTP on {}", http.url(address)));
        if let Some(warning) = http.open_listener(address) {
            logging::notice(logging::Level::WARN, warning);
        }
    }
    let _graphite_ends = graphite.map(|settings| {
        let ended = CancellationToken::new();
        tokio::spawn(graphite::send(settings, MetricsSource::new(&starting.handle()), ended.clone()));
        ended.drop_guard()
    });
    let server = tokio::select! {
        server = starting.start(Some(changes)) => server.map_err(ServerError::with_remedy)?,
        // The pool is stopped while it waits for a node or an upstream pool.
        () = stop.cancelled() => return Ok(()),
    };
    print_line(format_args!("listening on {}", server.stratum_addr()));
    let handle = server.handle();
    if let Some(count) = count {
        handle.stop_at_blocks(count, stop.clone());
    }
    let ended = server.run(stop).await;
    let PoolSummary { totals, upstream, .. } = handle.summary();
    let mut text = result(&totals);
    if let Some(UpstreamSummary { counts, .. }) = upstream {
        text += &format!(
            "\nfor the upstream pool: {} shares, {} accepted, {} rejected, {} stale, {} unanswered; candidates: {}",
            counts.forwarded,
            counts.accepted,
            counts.rejected,
            counts.stale,
            counts.unanswered,
            counts.candidates
        );
    }
    let printed = print_result(text);
    if let (Err(_), Err(error)) = (&ended, &printed) {
        tracing::error!("{error:#}");
    }
    // The loss of accounts is the worse news, so it comes first.
    ended?;
    printed
}

/// What the pool has counted, for its last line.
fn result(totals: &Totals) -> String {
    let Totals { accepted, rejected, stale, blocks, candidates, orphaned, .. } = totals;
    let orphaned = if *orphaned == 0 { String::new() } else { format!(" ({orphaned} orphaned)") };
    format!(
        "shares: {accepted} accepted, {rejected} rejected, {stale} stale; blocks: {blocks}{orphaned}; candidates: {candidates}"
    )
}
