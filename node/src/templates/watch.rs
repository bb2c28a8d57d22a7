//! Watches one node: a long poll waits for the next tip, and an occasional plain request picks up higher fees.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{BlockHash, Network};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::{FetchedTemplate, NodeState, TemplateFetchError, TemplateTiming};
use crate::clock::{BootTime, NodeClock};
use crate::min_difficulty;
use crate::network::{self, NetworkError};
use crate::rpc::{RpcClient, RpcError};
use crate::template::{self, Template, Unchecked};
use logging::{Repeats, error_chain};
use net::Backoff;

/// Time limit of a long poll. It is so high because each abandoned poll blocks a thread of Bitcoin Core until Core answers the
/// poll, and Core has few threads. Meanwhile the template is also requested at shorter intervals. These requests detect a node
/// that is gone.
const LONG_POLL: Duration = Duration::from_secs(24 * 60 * 60);
/// If a node does not support long polls, its tip is requested at this interval.
const POLL: Duration = Duration::from_secs(1);

/// Watches a node; never returns.
pub(super) async fn watch(
    client: Arc<RpcClient>,
    network: Network,
    timing: TemplateTiming,
    publish: impl Fn(NodeState) + Send + Sync,
) {
    let mut backoff = Backoff::new(timing.retry.0, timing.retry.1);
    let mut repeats = Repeats::default();
    loop {
        let node_watch = NodeWatch { client: &client, network, timing, publish: &publish };
        let Err((error, worked)) = node_watch.run().await;
        if worked {
            backoff.reset();
            repeats.clear();
        }
        let text = error_chain(&error);
        if repeats.print(&text, std::time::Instant::now()).is_some() {
            tracing::warn!(error = text, "no templates from this node");
        }
        publish(NodeState::Down(Arc::new(error)));
        sleep(backoff.delay()).await;
    }
}

/// Watches a node until the node fails.
struct NodeWatch<'a, P> {
    client: &'a RpcClient,
    network: Network,
    timing: TemplateTiming,
    publish: &'a P,
}

impl<P: Fn(NodeState)> NodeWatch<'_, P> {
    /// Runs until the node fails. Returns the error, and whether the node gave a template before it failed.
    async fn run(&self) -> Result<Infallible, (TemplateFetchError, bool)> {
        let mut current = self.start().await.map_err(|error| (error, false))?;
        tracing::info!(node = %self.client.url(), height = current.template.height, "node works");
        let mut moved = true;
        loop {
            (self.publish)(NodeState::Up(current.clone()));
            let next = self.next(&mut current, moved).await.map_err(|error| (error, true))?;
            moved = next.template.prev_hash != current.template.prev_hash;
            current = next;
        }
    }

    async fn start(&self) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
        let found = network::detect(self.client).await?;
        if found != self.network {
            let node = self.client.url().to_string();
            let (found, wanted) = (network::name(found), network::name(self.network));
            return Err(NetworkError::Other { node, found, wanted }.into());
        }
        self.fetch(None).await
    }

    /// Waits for the template after `current` with one long poll. Meanwhile, refreshed templates on the same tip are
    /// published and replace `current`.
    async fn next(
        &self,
        current: &mut Arc<FetchedTemplate>,
        moved: bool,
    ) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
        let not_before = Instant::now() + if moved { Duration::ZERO } else { self.timing.pause };
        let asked = std::time::Instant::now();
        let mut poll = pin!(self.poll(current.template.clone(), not_before));
        loop {
            let refresh = async {
                sleep(self.timing.refresh).await;
                self.fetch(Some(current)).await
            };
            tokio::select! {
                // A refresh in progress is dropped: its template may be older than the poll's.
                polled = &mut poll => {
                    let fault = match polled {
                        Ok(template) => return self.complete(template, asked, Some(current)).await,
                        Err(fault) => fault,
                    };
                    // Perhaps only the long poll has failed, for example at a proxy with a short time limit, so a plain
                    // request follows.
                    tracing::debug!(%fault, "long poll failed");
                    return self.fetch(Some(current)).await;
                }
                refreshed = refresh => {
                    let refreshed = refreshed?;
                    if refreshed.template.prev_hash != current.template.prev_hash {
                        return Ok(refreshed);
                    }
                    *current = refreshed;
                    (self.publish)(NodeState::Up(current.clone()));
                }
            }
        }
    }

    /// Waits until the node has a newer template.
    async fn poll(
        &self,
        template: Arc<Template>,
        not_before: Instant,
    ) -> Result<Template, TemplateFetchError> {
        sleep_until(not_before).await;
        if let Some(id) = &template.longpoll_id {
            return self.get(LONG_POLL, Some(id)).await;
        }
        let tip = template.prev_hash.to_string();
        loop {
            sleep(POLL).await;
            let now: String = self.client.call("getbestblockhash", json!([])).await?;
            if !now.eq_ignore_ascii_case(&tip) {
                return self.get(self.client.limits().call, None).await;
            }
        }
    }

    async fn fetch(
        &self,
        previous: Option<&FetchedTemplate>,
    ) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
        let asked = std::time::Instant::now();
        let template = self.get(self.client.limits().call, None).await?;
        self.complete(template, asked, previous).await
    }

    async fn get(&self, limit: Duration, longpoll_id: Option<&str>) -> Result<Template, TemplateFetchError> {
        let request = template::request(longpoll_id);
        let unchecked: Unchecked = self.client.call_within(limit, "getblocktemplate", request).await?;
        // Decoding and hashing megabytes would block the runtime's other tasks.
        let checked = match tokio::task::spawn_blocking(|| unchecked.check()).await {
            Ok(checked) => checked,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => std::future::pending().await,
            },
        };
        checked.map_err(|source| TemplateFetchError::Template { node: self.client.url().to_string(), source })
    }

    /// Checks the signet challenge. On networks where a block's bits depend on its parent's time, adds that time to the
    /// template.
    async fn complete(
        &self,
        template: Template,
        asked: std::time::Instant,
        previous: Option<&FetchedTemplate>,
    ) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
        let clock = NodeClock::read(&template, BootTime::now(), previous.map(|previous| previous.clock));
        if let Some(challenge) = &template.signet_challenge {
            network::check_challenge(challenge)?;
        }
        let known = previous.filter(|previous| previous.template.prev_hash == template.prev_hash);
        let parent_time = match known {
            Some(previous) => previous.parent_time,
            None if min_difficulty::applies_to(self.network) => Some(self.time_of(template.prev_hash).await?),
            None => None,
        };
        Ok(Arc::new(FetchedTemplate { template: Arc::new(template), parent_time, clock, asked }))
    }

    async fn time_of(&self, block: BlockHash) -> Result<u32, RpcError> {
        #[derive(Deserialize)]
        struct Header {
            time: u32,
        }
        let header: Header = self.client.call("getblockheader", json!([block.to_string(), true])).await?;
        Ok(header.time)
    }
}
