//! Serves an embedded cluster until it is killed or interrupted. The options for time limits are named after Mesos' flags.

use anyhow::Context;
use clap::Parser;
use local::cluster::{AgentSize, Cluster, ClusterConfig};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
struct Args {
    /// The master's port; the agents take the ports after it.
    #[arg(long, default_value = "5050")]
    port: u16,
    /// Sandboxes are below this folder.
    #[arg(long, default_value = "/tmp/mesos")]
    work_dir: PathBuf,
    /// Number of agents, each with 2 CPUs and 2048 MB.
    #[arg(long, default_value = "2")]
    agents: usize,
    /// Like mesos-master's flag, such as 3secs.
    #[arg(long, value_parser = duration)]
    offer_timeout: Option<Duration>,
    /// Like mesos-agent's flag.
    #[arg(long, value_parser = duration, default_value = "1mins")]
    executor_registration_timeout: Duration,
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    mesos::duration::parse(text).context("not a duration as Mesos writes it")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let sizes = (0..args.agents).map(|index| AgentSize::new(index, 2.0, 2048.0)).collect();
    let config = ClusterConfig {
        port: args.port,
        offer_timeout: args.offer_timeout,
        registration_timeout: args.executor_registration_timeout,
        ..ClusterConfig::new(args.work_dir, sizes)
    };
    let cluster = Cluster::start(config).await?;
    println!("ready: master {}, agents {:?}", cluster.address(), cluster.agents());
    tokio::signal::ctrl_c().await?;
    cluster.stop().await;
    Ok(())
}
