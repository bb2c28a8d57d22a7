//! Fake nodes of several kinds and versions, whose chain a test changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Network};
use serde_json::{Value, json};
use tokio::sync::watch as latest;
use tokio::time::{sleep, timeout};

use crate::testing;
use crate::testing::fake::{Call, FakeNode, Reply};

/// Which node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bitcoin Core of this version.
    Core(u64),
    /// bcoin, which has long polls and no `waitfornewblock`.
    Bcoin,
    /// A node that answers long polls at once.
    Hasty,
}

/// The state of a fake node.
#[derive(Clone, Debug)]
pub struct Chain {
    pub kind: Kind,
    pub name: &'static str,
    pub tip: u8,
    /// The value of the coinbase in satoshi. It increases when transactions enter the memory pool.
    pub fees: u64,
    pub longpoll: bool,
    pub up: bool,
    pub challenge: Option<&'static str>,
    /// Whether the answer to `getblockchaininfo` contains the signet challenge. The answer to `getblocktemplate` always does.
    pub has_challenge_in_info: bool,
    /// Whether the answer to `getblockchaininfo` contains the tip.
    pub has_best_hash_in_info: bool,
    /// Whether headers have all that an empty template is made of.
    pub has_facts: bool,
    /// How long each plain call takes.
    pub delay: Duration,
    /// How many calls of other clients wait.
    pub other_waits: usize,
    /// The methods for which the node is too busy.
    pub busy: &'static [&'static str],
    /// Whether the node hangs: it takes calls and does not answer.
    pub hangs: bool,
    /// The methods that the user may not call.
    pub forbidden: &'static [&'static str],
    /// The publishers of ZeroMQ messages.
    pub publishers: Value,
}

impl Default for Chain {
    fn default() -> Self {
        Chain {
            kind: Kind::Core(310_000),
            name: "regtest",
            tip: 1,
            fees: 1,
            longpoll: true,
            up: true,
            challenge: None,
            has_challenge_in_info: false,
            has_best_hash_in_info: true,
            has_facts: false,
            delay: Duration::ZERO,
            other_waits: 0,
            busy: &[],
            hangs: false,
            forbidden: &[],
            publishers: json!([]),
        }
    }
}

/// A plain call in progress.
struct Present(Arc<Load>);

impl Present {
    fn new(load: Arc<Load>) -> Self {
        let present = load.present.fetch_add(1, Ordering::SeqCst) + 1;
        load.most.fetch_max(present, Ordering::SeqCst);
        Present(load)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A fake node.
pub struct Core {
    pub node: FakeNode,
    state: latest::Sender<Chain>,
    load: Arc<Load>,
}

/// How many plain calls a fake node has.
#[derive(Default)]
struct Load {
    present: AtomicUsize,
    most: AtomicUsize,
}

impl Core {
    pub async fn start(tip: u8) -> Self {
        Core::with(Chain { tip, ..Chain::default() }).await
    }

    pub async fn with(chain: Chain) -> Self {
        let (state, receiver) = latest::channel(chain);
        let load = Arc::<Load>::default();
        let counted = load.clone();
        let answer = move |call: Call| {
            let (receiver, load) = (receiver.clone(), counted.clone());
            async move {
                if call.method == "waitfornewblock" {
                    return answer(call, receiver).await;
                }
                let _present = Present::new(load);
                answer(call, receiver).await
            }
        };
        let node = FakeNode::start(answer).await;
        Core { node, state, load }
    }

    pub fn change(&self, change: impl FnOnce(&mut Chain)) {
        self.state.send_modify(change);
    }

    pub fn tip(&self) -> u8 {
        self.state.borrow().tip
    }

    /// How many plain calls were at the node at the same time.
    pub fn most_at_once(&self) -> usize {
        self.load.most.load(Ordering::SeqCst)
    }

    pub fn count(&self, wanted: impl Fn(&Call) -> bool) -> usize {
        self.node.calls().iter().filter(|call| wanted(call)).count()
    }

    pub fn calls(&self, method: &str) -> usize {
        self.count(|call| call.method == method)
    }

    pub fn long_polls(&self) -> usize {
        self.count(|call| call.params[0].get("longpollid").is_some())
    }
}

/// The hash of a tip.
pub fn hash(tip: u8) -> BlockHash {
    BlockHash::from_byte_array([tip; 32])
}

fn longpoll_id(chain: &Chain) -> String {
    format!("{}{}", hash(chain.tip), chain.fees)
}

async fn answer(call: Call, mut state: latest::Receiver<Chain>) -> Reply {
    let mut chain = state.borrow_and_update().clone();
    let is_core = matches!(chain.kind, Kind::Core(_));
    if chain.forbidden.contains(&call.method.as_str()) {
        return Reply::text(403, "");
    }
    if chain.busy.contains(&call.method.as_str()) {
        return Reply::text(503, "Work queue depth exceeded");
    }
    if chain.hangs {
        state.wait_for(|chain| !chain.hangs).await.unwrap();
    }
    if call.method == "waitfornewblock" && chain.up {
        return wait(chain, &call.params, state).await;
    }
    sleep(chain.delay).await;
    let is_long_poll = call.params[0].get("longpollid") == Some(&json!(longpoll_id(&chain)));
    if is_long_poll && chain.kind != Kind::Hasty {
        state.changed().await.unwrap();
        chain = state.borrow_and_update().clone();
    }
    if !chain.up {
        return Reply::error(500, -28, "Loading…");
    }
    let network = chain.name.parse().unwrap_or(Network::from_core_arg(chain.name).unwrap());
    Reply::result(match call.method.as_str() {
        "getblockchaininfo" if chain.has_challenge_in_info => {
            json!({"chain": chain.name, "signet_challenge": chain.challenge})
        }
        "getblockchaininfo" if !chain.has_best_hash_in_info => json!({"chain": chain.name}),
        "getblockchaininfo" => json!({"chain": chain.name, "bestblockhash": hash(chain.tip).to_string()}),
        "getblockhash" => json!(bitcoin::constants::genesis_block(network).block_hash().to_string()),
        "getbestblockhash" => json!(hash(chain.tip).to_string()),
        "getblockheader" => header(&chain, &call.params),
        "getblocktemplate" => template(&chain),
        "submitblock" => json!("duplicate"),
        "getnetworkinfo" => match chain.kind {
            Kind::Core(version) => json!({"version": version, "subversion": "/Satoshi:1.2.3(a comment)/"}),
            Kind::Bcoin | Kind::Hasty => json!({"version": 220, "subversion": "/bcoin:2.2.0/"}),
        },
        "getmininginfo" if chain.kind >= Kind::Core(290_000) => {
            json!({"blocks": 999, "next": {"height": 1000, "bits": "207fffff"}})
        }
        "getmininginfo" => json!({"blocks": 999}),
        "getrpcinfo" if is_core => {
            let wait = json!({"method": "waitfornewblock", "duration": 7});
            let own = json!({"method": "getrpcinfo", "duration": 7});
            let mut commands = vec![wait; chain.other_waits];
            commands.push(own);
            json!({"active_commands": commands, "logpath": "debug.log"})
        }
        "getzmqnotifications" if is_core => chain.publishers,
        _ => return Reply::error(404, -32601, "Method not found"),
    })
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Kind::Core(version), Kind::Core(other)) => version.partial_cmp(other),
            _ => None,
        }
    }
}

/// Bitcoin Core's `waitfornewblock`, with a second argument since version 30.
async fn wait(chain: Chain, params: &Value, mut state: latest::Receiver<Chain>) -> Reply {
    let Kind::Core(version) = chain.kind else { return Reply::error(404, -32601, "Method not found") };
    let known = match params.get(1) {
        Some(_) if version < 300_000 => return Reply::error(500, -1, "waitfornewblock ( timeout )"),
        Some(known) => known.as_str().unwrap().to_owned(),
        None => hash(chain.tip).to_string(),
    };
    let limit = Duration::from_millis(params[0].as_u64().unwrap());
    assert!(limit <= Duration::from_secs(1), "a wait holds a thread of the node for {limit:?}");
    let _ = timeout(limit, state.wait_for(|chain| hash(chain.tip).to_string() != known)).await;
    let tip = hash(state.borrow().tip).to_string();
    Reply::result(json!({"hash": tip, "height": 999}))
}

fn header(chain: &Chain, params: &Value) -> Value {
    let time = 1_799_999_000 + u32::from(chain.tip);
    if !chain.has_facts {
        return json!({"time": time});
    }
    json!({
        "hash": params[0], "previousblockhash": hash(chain.tip - 1).to_string(), "height": 999,
        "time": time, "mediantime": time - 100, "bits": "207fffff",
    })
}

fn template(chain: &Chain) -> Value {
    let mut template = testing::json(1);
    template["previousblockhash"] = json!(hash(chain.tip).to_string());
    template["coinbasevalue"] = json!(chain.fees);
    template["longpollid"] = if chain.longpoll { json!(longpoll_id(chain)) } else { json!(null) };
    template["signet_challenge"] = json!(chain.challenge);
    template
}
