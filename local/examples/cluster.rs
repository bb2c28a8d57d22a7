//! Serves an embedded cluster until Ctrl-C: `cluster PORT WORK_DIR [AGENTS]`.

use local::cluster::{AgentSize, Cluster, ClusterConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().as_deref().unwrap_or("5050").parse()?;
    let work_dir = arguments.next().unwrap_or_else(|| "/tmp/mesos".into()).into();
    let agents: usize = arguments.next().as_deref().unwrap_or("2").parse()?;
    let sizes = (0..agents).map(|index| AgentSize::new(index, 2.0, 2048.0)).collect();
    let cluster = Cluster::start(ClusterConfig { port, ..ClusterConfig::new(work_dir, sizes) }).await?;
    println!("ready: master {}, agents {:?}", cluster.address(), cluster.agents());
    tokio::signal::ctrl_c().await?;
    cluster.stop().await;
    Ok(())
}
