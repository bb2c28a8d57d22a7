//! Asks the master's operator API for its agents and quotas.

use std::time::Duration;

use mesos::address::Endpoint;
use mesos::operator;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{ClusterView, Question};

/// The time limit for all questions together.
const LIMIT: Duration = Duration::from_secs(3);
/// At most this much of the answer about agents is read, in bytes. There is room for some 8,000 agents.
const AGENTS: usize = 16 << 20;

/// What the master says of its agents and quotas. `None` if its operator API does not answer in time, or does not allow the question
/// about its agents: it may be closed to frameworks.
pub(crate) async fn ask(
    config: &mesos::Config,
    master: &Endpoint,
    question: Question,
) -> Option<ClusterView> {
    let questions = async {
        tokio::join!(
            operator::agents(config, master, AGENTS),
            operator::quotas(config, master),
            operator::region(config, master),
        )
    };
    let (agents, quotas, region) = timeout(LIMIT, questions).await.ok()?;
    let agents = agents.inspect_err(|error| tracing::debug!(%error, "the master's operator API")).ok()?;
    let (quotas, region) = (quotas.unwrap_or_default(), region.unwrap_or_default());
    // Decoding thousands of agents takes long, so it is not done on the driver's thread.
    let view =
        spawn_blocking(move || ClusterView::new(&agents.decode(), &quotas, region.as_deref(), &question));
    view.await.ok()
}
