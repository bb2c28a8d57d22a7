//! The calls with which a node is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Network};
use net::HostPort;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::tip_watch::{BetterWay, WaitForm};
use super::{FetchedTemplate, TemplateFetchError, subscription};
use crate::clock::{BootTime, NodeClock};
use crate::min_difficulty;
use crate::network::{self, NetworkError};
use crate::rpc::{RpcClient, RpcError};
use crate::template::{self, HeaderAnswer, MiningInfoAnswer, TipFacts, Unchecked};

/// Time limit of a long poll. It is so high because nodes do not notice that a client has given up.
const LONG_POLL: Duration = Duration::from_secs(24 * 60 * 60);
/// The facts about a tip are worth nothing if they take longer than a template.
const FACTS: Duration = Duration::from_secs(1);
/// Time limit of the questions about the node itself. A node is not watched before they are answered.
const ABOUT: Duration = Duration::from_secs(2);
/// A plain call waits this long at most for another one to end.
const TURN: Duration = Duration::from_secs(1);
/// A `getblocktemplate` that has been active for longer, in microseconds, is a long poll.
const LONG: u64 = 1_000_000;
/// The first version of Bitcoin Core whose `waitfornewblock` takes the known tip.
const KNOWS_TIP: u64 = 300_000;

/// The calls to one node.
#[derive(Clone, Debug)]
pub struct Calls {
    pub client: Arc<RpcClient>,
    network: Network,
    /// Whether the user may not call `getmininginfo`.
    no_mining_info: Arc<AtomicBool>,
    /// Whether the user may not call `getbestblockhash`.
    no_best_hash: Arc<AtomicBool>,
    /// Held during a plain call, so that one watch never has two of them in the node's work queue.
    turn: Arc<Mutex<()>>,
}

/// A block's hash as the node writes it.
struct Hash(BlockHash);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Hash).map_err(D::Error::custom)
    }
}

impl Calls {
    /// The calls to a node that is to be on this network.
    pub fn new(client: Arc<RpcClient>, network: Network) -> Self {
        Calls {
            client,
            network,
            no_mining_info: Arc::default(),
            no_best_hash: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Waits until no other plain call of this watch is in progress. A call that lasts long is not waited for. The next call has
    /// its turn when the value is dropped.
    pub async fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        timeout(TURN, self.turn.clone().lock_owned()).await.ok()
    }

    /// The network that the node is to be on.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Checks the node's network.
    pub async fn check_network(&self) -> Result<(), TemplateFetchError> {
        let found = network::detect(&self.client).await?;
        if found == self.network {
            return Ok(());
        }
        let node = self.client.url().to_string();
        let (found, wanted) = (network::name(found), network::name(self.network));
        Err(NetworkError::Other { node, found, wanted }.into())
    }

    /// What is better than polls at the node, if it has it. A node that does not tell its version may be a Bitcoin Core.
    pub async fn better_way(&self, has_long_polls: bool) -> Option<BetterWay> {
        #[derive(Deserialize)]
        struct Info {
            version: u64,
            #[serde(default)]
            subversion: String,
        }
        let info: Result<Info, _> = self.client.call_within(ABOUT, "getnetworkinfo", json!([])).await;
        match info {
            // Bitcoin Core and what is derived from it, such as Bitcoin Knots.
            Ok(info) if info.subversion.contains("Satoshi") => {
                let knows_tip = info.version >= KNOWS_TIP;
                let form = if knows_tip { WaitForm::KnownTip } else { WaitForm::TimeLimit };
                Some(BetterWay::Waits(form))
            }
            Ok(_) | Err(RpcError::Refused { code: RpcError::METHOD_NOT_FOUND, .. }) => {
                has_long_polls.then_some(BetterWay::LongPolls)
            }
            Err(_) => Some(BetterWay::Waits(WaitForm::KnownTip)),
        }
    }

    /// Where the node publishes the hashes of new tips, if it does and the address can be reached from here.
    pub async fn publisher(&self) -> Option<HostPort> {
        #[derive(Deserialize)]
        struct Publisher {
            #[serde(rename = "type")]
            topic: String,
            address: String,
        }
        let publishers: Vec<Publisher> =
            self.client.call_within(ABOUT, "getzmqnotifications", json!([])).await.ok()?;
        let host = &self.client.url().address.host;
        publishers
            .into_iter()
            .filter(|publisher| publisher.topic == "pubhashblock")
            .find_map(|publisher| subscription::reachable(&publisher.address, host))
    }

    /// The node's tip. A user who may not call `getbestblockhash` may call `getblockchaininfo`, or there would be no template.
    pub async fn tip(&self) -> Result<BlockHash, RpcError> {
        #[derive(Deserialize)]
        struct Info {
            bestblockhash: Hash,
        }
        if !self.no_best_hash.load(Ordering::Relaxed) {
            match self.client.call("getbestblockhash", json!([])).await {
                Err(error) if RpcError::lacks_method(&error) => {
                    self.no_best_hash.store(true, Ordering::Relaxed);
                }
                answer => return answer.map(|Hash(tip)| tip),
            }
        }
        let info: Info = self.client.call("getblockchaininfo", json!([])).await?;
        Ok(info.bestblockhash.0)
    }

    /// Waits until the node's tip is another one than `tip`, but not longer than `limit`; returns the node's tip.
    pub async fn wait(&self, form: WaitForm, limit: Duration, tip: BlockHash) -> Result<BlockHash, RpcError> {
        #[derive(Deserialize)]
        struct Tip {
            hash: Hash,
        }
        let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let params = match form {
            WaitForm::KnownTip => json!([milliseconds, tip.to_string()]),
            WaitForm::TimeLimit => json!([milliseconds]),
        };
        let within = limit + self.client.limits().call;
        let tip: Tip = self.client.call_within(within, "waitfornewblock", params).await?;
        Ok(tip.hash.0)
    }

    /// How many calls wait at the node, those of other clients included.
    pub async fn active_waits(&self) -> Result<usize, RpcError> {
        #[derive(Deserialize)]
        struct Command {
            method: String,
            duration: u64,
        }
        #[derive(Deserialize)]
        struct Info {
            active_commands: Vec<Command>,
        }
        let info: Info = self.client.call("getrpcinfo", json!([])).await?;
        let waits = |command: &&Command| match command.method.as_str() {
            "waitfornewblock" | "waitforblock" | "waitforblockheight" => true,
            "getblocktemplate" => command.duration > LONG,
            _ => false,
        };
        Ok(info.active_commands.iter().filter(waits).count())
    }

    /// What an empty template on this tip is made of; `None` if the node does not tell it, or not soon.
    ///
    /// With `at_once`, both calls are sent together. A busy node gets one call at a time.
    pub async fn facts(&self, tip: BlockHash, at_once: bool) -> Option<TipFacts> {
        let _turn = self.turn().await;
        let header = async {
            let header = self.client.call("getblockheader", json!([tip.to_string(), true])).await;
            header.ok()
        };
        let facts = async {
            let (header, info): (HeaderAnswer, _) = if at_once {
                let (header, info) = tokio::join!(header, self.mining_info());
                (header?, info)
            } else {
                // A node that is too busy for the first call is not asked for more.
                (header.await?, self.mining_info().await)
            };
            TipFacts::read(&header, info.as_ref())
        };
        timeout(FACTS, facts).await.ok()?
    }

    /// What the node says about the next block.
    async fn mining_info(&self) -> Option<MiningInfoAnswer> {
        if self.no_mining_info.load(Ordering::Relaxed) {
            return None;
        }
        let answer = self.client.call("getmininginfo", json!([])).await;
        let is_missing = answer.as_ref().is_err_and(RpcError::lacks_method);
        self.no_mining_info.fetch_or(is_missing, Ordering::Relaxed);
        answer.ok()
    }

    /// The node's template.
    pub async fn template(
        &self,
        previous: Option<Arc<FetchedTemplate>>,
    ) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
        self.template_within(self.client.limits().call, None, previous).await
    }

    /// The node's template, as soon as it is another one than that with this id.
    pub async fn next_template(
        &self,
        longpoll_id: &str,
        previous: Arc<FetchedTemplate>,
    ) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
        self.template_within(LONG_POLL, Some(longpoll_id), Some(previous)).await
    }

    /// Gets a template and checks it, also its signet challenge. On networks where a block's bits depend on its parent's time,
    /// adds that time to the template.
    async fn template_within(
        &self,
        limit: Duration,
        longpoll_id: Option<&str>,
        previous: Option<Arc<FetchedTemplate>>,
    ) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
        let asked = Instant::now();
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
        let node = || self.client.url().to_string();
        let template = checked.map_err(|source| TemplateFetchError::Template { node: node(), source })?;
        let clock =
            NodeClock::read(&template, BootTime::now(), previous.as_ref().map(|previous| previous.clock));
        if let Some(challenge) = &template.signet_challenge {
            network::check_challenge(challenge)?;
        }
        let known = previous.filter(|previous| previous.template.prev_hash == template.prev_hash);
        let parent_time = match known {
            Some(previous) => previous.parent_time,
            None if min_difficulty::applies_to(self.network) => Some(self.time_of(template.prev_hash).await?),
            None => None,
        };
        Ok(Arc::new(FetchedTemplate { template: Arc::new(template), parent_time, clock, asked, full: true }))
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
