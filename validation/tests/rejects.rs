//! Bitcoin Core rejects altered blocks of the pool, each for the reason that matches the alteration. This shows that the
//! parts that are not altered are valid.

use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;
use bitcoin::{Amount, Block, CompactTarget, OutPoint, ScriptBuf, TxMerkleNode, Witness, WitnessCommitment};
use validation::{Core, Net, Wallet, draft, mine, remine};

/// The time at which all templates are made: after regtest's genesis block, but long in the past.
const TIME: u32 = 1_600_000_000;

/// A chain whose first coinbase has matured, and a valid block on top that spends this coinbase.
fn good_block() -> (Core, Block) {
    let core = Core::new(Net::Regtest).unwrap();
    let wallet = Wallet::new(1);
    let next = |transactions: &[_]| {
        let template = core.template(TIME, transactions).unwrap();
        mine(core.net(), &draft(template, wallet.script()).unwrap()).unwrap().block
    };
    let first = next(&[]);
    core.submit(&first).unwrap();
    for _ in 0..100 {
        core.submit(&next(&[])).unwrap();
    }
    let coinbase = &first.txdata[0];
    let spent = OutPoint::new(coinbase.compute_txid(), 0);
    let block = next(&[(wallet.split(spent, coinbase.output[0].value, 1_000), 1_000)]);
    assert_eq!(block.txdata.len(), 2);
    (core, block)
}

/// Alters the valid block and submits it; mines it again if the header has changed.
fn rejection(alter: impl FnOnce(&mut Block)) -> String {
    let (core, good) = good_block();
    let mut block = good.clone();
    alter(&mut block);
    if block.header != good.header {
        remine(&mut block).unwrap();
    }
    let height = core.height();
    let rejected = core.submit(&block).unwrap_err();
    assert_eq!(core.height(), height);
    // Core accepts the block without the alteration, so only the alteration was wrong.
    core.submit(&good).unwrap();
    assert_eq!(core.height(), height + 1);
    rejected.reason
}

/// Updates the merkle root in the header.
fn commit(block: &mut Block) {
    block.header.merkle_root = block.compute_merkle_root().unwrap();
}

fn assert_rejected(reason: &str, alter: impl FnOnce(&mut Block)) {
    let given = rejection(alter);
    assert!(given.split([',', ' ']).next() == Some(reason), "rejected for {given:?}, not {reason:?}");
}

#[test]
fn another_witness_commitment() {
    assert_rejected("bad-witness-merkle-match", |block| {
        let commitment = &mut block.txdata[0].output[1].script_pubkey;
        let mut bytes = commitment.to_bytes();
        bytes[6] ^= 1;
        *commitment = ScriptBuf::from_bytes(bytes);
        commit(block);
    });
}

#[test]
fn no_witness_commitment() {
    assert_rejected("unexpected-witness", |block| {
        block.txdata[0].output.pop();
        commit(block);
    });
}

#[test]
fn the_commitment_of_another_reserved_value() {
    assert_rejected("bad-witness-merkle-match", |block| {
        block.txdata[0].input[0].witness = Witness::from_slice(&[[1; 32]]);
    });
}

#[test]
fn no_reserved_value() {
    assert_rejected("bad-witness-nonce-size", |block| {
        block.txdata[0].input[0].witness = Witness::new();
    });
}

#[test]
fn another_witness_than_is_committed_to() {
    assert_rejected("bad-witness-merkle-match", |block| {
        block.txdata[1].input[0].witness.push([1]);
    });
}

#[test]
fn a_signature_that_signs_something_else() {
    assert_rejected("block-script-verify-flag-failed", |block| {
        block.txdata[1].output[0].value -= Amount::from_sat(1);
        let root = block.witness_root().unwrap();
        let commitment: WitnessCommitment = Block::compute_witness_commitment(&root, &[0; 32]);
        let bytes = [&[0xaa, 0x21, 0xa9, 0xed], &commitment.to_byte_array()[..]].concat();
        let bytes = <[u8; 36]>::try_from(bytes).unwrap();
        block.txdata[0].output[1].script_pubkey =
            Builder::new().push_opcode(OP_RETURN).push_slice(bytes).into_script();
        commit(block);
    });
}

#[test]
fn another_merkle_root() {
    assert_rejected("bad-txnmrklroot", |block| {
        let mut root = block.header.merkle_root.to_byte_array();
        root[0] ^= 1;
        block.header.merkle_root = TxMerkleNode::from_byte_array(root);
    });
}

#[test]
fn a_transaction_too_many() {
    assert_rejected("bad-txnmrklroot", |block| {
        block.txdata.remove(1);
    });
}

#[test]
fn another_height() {
    assert_rejected("bad-cb-height", |block| {
        let input = &mut block.txdata[0].input[0];
        let mut script = input.script_sig.to_bytes();
        assert_eq!(script[..2], [1, 102], "the height");
        script[1] = 103;
        input.script_sig = ScriptBuf::from_bytes(script);
        commit(block);
    });
}

#[test]
fn other_bits() {
    // The target is half as large, so a block would take twice the work.
    assert_rejected("bad-diffbits", |block| block.header.bits = CompactTarget::from_consensus(0x203f_ffff));
}

#[test]
fn another_parent() {
    assert_rejected("prev-blk-not-found", |block| {
        block.header.prev_blockhash = bitcoin::BlockHash::from_byte_array([1; 32]);
    });
}

#[test]
fn too_little_work() {
    let (core, mut block) = good_block();
    while block.header.validate_pow(block.header.target()).is_ok() {
        block.header.nonce = block.header.nonce.wrapping_add(1);
    }
    assert!(core.submit(&block).unwrap_err().reason.starts_with("high-hash"));
}

#[test]
fn a_time_before_its_parents() {
    assert_rejected("time-too-old", |block| block.header.time = TIME - 3_600);
}

#[test]
fn an_output_too_high() {
    assert_rejected("bad-cb-amount", |block| {
        block.txdata[0].output[0].value += Amount::from_sat(1);
        commit(block);
    });
}
