//! Gets templates from a real Bitcoin Core, and submits blocks to it.

mod empty_blocks;
mod whitelist;

use std::sync::Arc;

use bitcoin::{Address, Block, Network, Target};
use node::{
    BlockDraft, BlockVerdict, CoinbasePlan, Credentials, Nodes, RpcClient, RpcLimits, Solution, Template,
    network,
};
use serde_json::{Value, json};
use testing::bitcoin_core::{ANYONE, BitcoinCore, Chain};
use testing::in_time;

/// A client with the node's cookie file.
fn client(core: &BitcoinCore) -> RpcClient {
    let url = core.url().parse().expect("a URL");
    RpcClient::new(url, Credentials::CookieFile(core.cookie_file()), RpcLimits::default()).expect("a client")
}

fn plan() -> CoinbasePlan {
    let payout = network::payout_script(ANYONE, Network::Regtest).expect("an address");
    CoinbasePlan { payout, tag: b"/mesos-miner test/".to_vec(), extranonce_size: 12 }
}

/// A template of the node, as the code under test reads it.
fn template(core: &BitcoinCore) -> Arc<Template> {
    let shown: Value = core.ask("getblocktemplate", json!([{"rules": ["segwit", "signet"]}]));
    Arc::new(Template::from_json(&shown.to_string()).expect("a template"))
}

/// Mines a block of regtest, where half of all hashes will do.
fn mine(template: &Arc<Template>) -> Block {
    let draft = BlockDraft::new(template.clone(), &plan()).expect("a coinbase");
    let target = Target::from_compact(template.bits);
    let (version, ntime, bits) = (template.version, template.time, template.bits);
    let solutions = (0..).map(|nonce| Solution { extranonces: &[0; 12], version, ntime, bits, nonce });
    let solution =
        solutions.into_iter().find(|solution| draft.header(*solution).validate_pow(target).is_ok());
    draft.assemble(solution.expect("half of all hashes will do")).expect("a block")
}

#[tokio::test]
async fn blocks_are_judged() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let nodes = Nodes::new([client(&core)]).expect("a node");
    assert_eq!(in_time("the network", nodes.network()).await.expect("a network"), Network::Regtest);
    let block = mine(&template(&core));
    assert_eq!(in_time("a verdict", nodes.submit(&block)).await, BlockVerdict::Accepted);
    assert_eq!(in_time("a verdict", nodes.submit(&block)).await, BlockVerdict::Duplicate);
    assert_eq!(core.best_block(), block.block_hash().to_string());
    assert_eq!(core.blocks_paying(ANYONE, 0), 1);

    let mut weak = mine(&template(&core));
    while weak.header.validate_pow(weak.header.target()).is_ok() {
        weak.header.nonce += 1;
    }
    let verdict = in_time("a verdict", nodes.submit(&weak)).await;
    assert_eq!(verdict, BlockVerdict::Rejected("high-hash".into()));
    assert_eq!(core.height(), 1);
}

// The client notices in another thread that the old node has closed its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_is_asked_with_its_new_cookie() {
    let Some(mut core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    core.generate(3);
    let client = client(&core);
    assert_eq!(
        in_time("a height", client.call::<u64>("getblockcount", json!([]))).await.expect("it answers"),
        3
    );
    let old = core.credentials();
    assert!(core.stop().success());
    core.start_again();
    assert_ne!(core.credentials(), old);
    assert_eq!(
        in_time("a height", client.call::<u64>("getblockcount", json!([]))).await.expect("it answers"),
        3
    );
}

#[test]
fn an_address_can_be_parsed() {
    let address: Address<_> = ANYONE.parse().expect("an address");
    let script = bitcoin::ScriptBuf::from_bytes(vec![0x51]);
    assert_eq!(address.assume_checked(), Address::p2wsh(&script, Network::Regtest));
}
