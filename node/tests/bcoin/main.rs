//! Gets templates from a real node, bcoin on regtest, and submits blocks to it.

mod node_process;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Block, BlockHash, Network, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn,
    TxOut, Witness, absolute, opcodes,
};
use node::{
    BlockDraft, BlockVerdict, CoinbasePlan, HeaderAnswer, Nodes, RpcClient, RpcError, Solution, Template,
    TemplateEvent, TemplateStream, TemplateTiming, TemplateUpdate, TipFacts, empty_template, network,
};
use serde_json::{Value, json};

use self::node_process::{Bcoin, DEADLINE};

/// A script that anyone can satisfy.
fn redeem_script() -> ScriptBuf {
    Builder::new().push_opcode(opcodes::OP_TRUE).into_script()
}

fn plan() -> CoinbasePlan {
    let address = Address::p2wsh(&redeem_script(), Network::Regtest).to_string();
    let payout = network::payout_script(&address, Network::Regtest).unwrap();
    CoinbasePlan { payout, tag: b"/mesos-miner test/".to_vec(), extranonce_size: 12 }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("the deadline has passed")
}

async fn template(client: &RpcClient) -> Arc<Template> {
    let request = json!([{"rules": ["segwit"]}]);
    let json: Value = soon(client.call("getblocktemplate", request)).await.unwrap();
    Arc::new(Template::from_json(&json.to_string()).unwrap())
}

async fn height(client: &RpcClient) -> u32 {
    soon(client.call("getblockcount", json!([]))).await.unwrap()
}

/// Tries nonces until the hash meets the target; on regtest, half of all hashes do. Different values of `extra` give different
/// blocks of one template.
fn mine(template: &Arc<Template>, extra: u8) -> Block {
    let draft = BlockDraft::new(template.clone(), &plan()).unwrap();
    let target = Target::from_compact(template.bits);
    let extranonces = &[extra; 12];
    let (version, ntime, bits) = (template.version, template.time, template.bits);
    let solution = (0..)
        .map(|nonce| Solution { extranonces, version, ntime, bits, nonce })
        .find(|solution| draft.header(*solution).validate_pow(target).is_ok());
    draft.assemble(solution.unwrap()).unwrap()
}

async fn next_block(nodes: &Nodes) -> Block {
    let block = mine(&template(&nodes.clients()[0]).await, 0);
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Accepted);
    block
}

/// Mines a block from a template of our own, made of facts about the tip and of an earlier template.
async fn next_empty_block(nodes: &Nodes, last: &Template) {
    let client = &nodes.clients()[0];
    let tip: String = client.call("getbestblockhash", json!([])).await.unwrap();
    let header: HeaderAnswer = client.call("getblockheader", json!([tip, true])).await.unwrap();
    let facts = TipFacts::read(&header, None).unwrap();
    let template = empty_template(&facts, last, Network::Regtest, last.time).unwrap();
    let block = mine(&Arc::new(template), 0);
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Accepted, "height {}", facts.height + 1);
}

async fn update(templates: &mut TemplateStream) -> TemplateUpdate {
    loop {
        match soon(templates.next()).await {
            TemplateEvent::New(update) => return update,
            // The machine may be busy with other tests.
            TemplateEvent::Slow(_) => {}
            TemplateEvent::AllDown(faults) => panic!("{faults:?}"),
        }
    }
}

/// Waits for a template on top of a block.
async fn work_on(templates: &mut TemplateStream, tip: BlockHash) -> TemplateUpdate {
    loop {
        let update = update(templates).await;
        if update.template.prev_hash == tip {
            return update;
        }
    }
}

/// Spends an output: pays its value, less a fee, to the same script.
fn spend(previous: &Transaction) -> Transaction {
    let output = &previous.output[0];
    Transaction {
        version: Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(previous.compute_txid(), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[redeem_script().as_bytes()]),
        }],
        output: vec![TxOut {
            value: output.value - Amount::from_sat(10_000),
            script_pubkey: output.script_pubkey.clone(),
        }],
    }
}

/// Mines until segwit is active and a block has transactions with witnesses. Begins at block 1, whose coinbase pushes the height
/// with a single opcode.
#[tokio::test]
async fn the_chain_grows_by_our_blocks() {
    let Some(bcoin) = Bcoin::start().await else { return };
    let nodes = Nodes::new([bcoin.client()]).unwrap();
    let client = nodes.clients()[0].clone();
    assert_eq!(soon(nodes.network()).await.unwrap(), Network::Regtest);

    let first = next_block(&nodes).await;
    assert_eq!(height(&client).await, 1);
    let shown: Value = client.call("getblock", json!([first.block_hash().to_string()])).await.unwrap();
    assert_eq!((&shown["height"], &shown["confirmations"]), (&json!(1), &json!(1)));
    assert!(first.txdata[0].input[0].witness.is_empty(), "segwit is not active yet");

    let mut mined = 1;
    loop {
        let last = template(&client).await;
        if last.has_rule("segwit") {
            break;
        }
        next_block(&nodes).await;
        next_empty_block(&nodes, &last).await;
        mined += 2;
        assert_eq!(height(&client).await, mined);
        assert!(mined < 1000, "segwit never becomes active");
    }

    // bcoin accepts transactions with witnesses only after the first block to which segwit applies.
    next_block(&nodes).await;
    // A payment, and a second payment that spends the output of the first.
    let parent = spend(&first.txdata[0]);
    let child = spend(&parent);
    for payment in [&parent, &child] {
        let id: String =
            client.call("sendrawtransaction", json!([encode::serialize_hex(payment)])).await.unwrap();
        assert_eq!(id, payment.compute_txid().to_string());
    }
    let in_mempool = async || client.call::<Vec<String>>("getrawmempool", json!([])).await.unwrap().len();
    soon(async {
        while in_mempool().await < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let block = next_block(&nodes).await;
    assert_eq!(block.txdata[1..], [parent, child]);
    assert_eq!(height(&client).await, mined + 2);

    let coinbase = &block.txdata[0];
    assert_eq!(coinbase.output[0].script_pubkey, plan().payout);
    // The coinbase pays a halved subsidy and the fees.
    assert_eq!(coinbase.output[0].value.to_sat() % 100_000, 20_000);
    assert_eq!(coinbase.input[0].witness.len(), 1);
    let shown: Value = client.call("getblock", json!([block.block_hash().to_string()])).await.unwrap();
    assert_eq!(shown["tx"].as_array().unwrap().len(), 3);
    assert_eq!(shown["weight"], json!(block.weight().to_wu()));
}

#[tokio::test]
async fn the_node_s_verdicts_are_parsed() {
    let Some(bcoin) = Bcoin::start().await else { return };
    let nodes = Nodes::new([bcoin.client()]).unwrap();
    let client = nodes.clients()[0].clone();
    let template = template(&client).await;
    let block = mine(&template, 0);
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Accepted);
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Duplicate);
    assert_eq!(height(&client).await, 1);

    let mut weak = block.clone();
    while weak.header.validate_pow(weak.header.target()).is_ok() {
        weak.header.nonce += 1;
    }
    assert_eq!(soon(nodes.submit(&weak)).await, BlockVerdict::Rejected("high-hash".into()));
    let orphan = Template { prev_hash: BlockHash::from_byte_array([7; 32]), ..(*template).clone() };
    let verdict = soon(nodes.submit(&mine(&Arc::new(orphan), 0))).await;
    assert_eq!(verdict, BlockVerdict::Rejected("bad-prevblk".into()));

    let error = client.call::<Option<String>>("submitblock", json!(["00"])).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { code: RpcError::DESERIALIZATION, .. }), "{error}");
    let error = client.call::<Value>("nonsense", json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { code: -32601, .. }), "{error}");
    let error = bcoin.client_as("wrong").call::<u32>("getblockcount", json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::Unauthorized { status: 401, .. }), "{error}");
}

#[tokio::test]
async fn a_long_poll_returns_after_a_block_and_a_reorganisation() {
    let Some(bcoin) = Bcoin::start().await else { return };
    let nodes = Nodes::new([bcoin.client()]).unwrap();
    // The refresh interval is longer than the deadline, so there is no refresh.
    let mut templates = nodes
        .templates(Network::Regtest, TemplateTiming { refresh: 10 * DEADLINE, ..TemplateTiming::default() });
    let fork = update(&mut templates).await;
    assert!(fork.clean && fork.template.height == 1 && fork.parent_time.is_none());

    let block = next_block(&nodes).await;
    let next = work_on(&mut templates, block.block_hash()).await;
    assert!(next.clean && next.template.height == 2);

    // First, a rival block of height 1 begins a branch. Then, a block of height 2 makes this branch the longest chain.
    let rival = mine(&fork.template, 1);
    assert!(soon(nodes.submit(&rival)).await.is_accepted());
    let on_rival = Template { prev_hash: rival.block_hash(), ..(*next.template).clone() };
    let second = mine(&Arc::new(on_rival), 1);
    assert_eq!(soon(nodes.submit(&second)).await, BlockVerdict::Accepted);
    let next = work_on(&mut templates, second.block_hash()).await;
    assert!(next.clean && next.template.height == 3);
    let block = next_block(&nodes).await;
    assert_eq!(block.header.prev_blockhash, second.block_hash());
    assert_eq!(height(&nodes.clients()[0]).await, 3);
}

#[tokio::test]
async fn a_restart_of_the_node_is_survived() {
    let Some(mut bcoin) = Bcoin::start().await else { return };
    let nodes = Nodes::new([bcoin.client()]).unwrap();
    let mut templates = nodes.templates(Network::Regtest, TemplateTiming::default());
    assert!(update(&mut templates).await.clean);
    let block = next_block(&nodes).await;
    work_on(&mut templates, block.block_hash()).await;

    bcoin.stop();
    while !matches!(soon(templates.next()).await, TemplateEvent::AllDown(_)) {}
    // A block that was found while the node was down is submitted when the node is back, although the node has lost its chain.
    let (submitter, again) = (nodes.clone(), block.clone());
    let submitted = tokio::spawn(async move { submitter.submit(&again).await });
    bcoin.start_again().await;
    assert!(soon(submitted).await.unwrap().is_accepted());
    let next = work_on(&mut templates, block.block_hash()).await;
    assert_eq!(next.template.height, 2);
}
