//! Checks the built-in chain with the `bitcoin` crate.

use std::time::Duration;

use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::{Block, CompactTarget, TxMerkleNode};
use proptest::prelude::*;

use std::sync::Arc;

use node::draft::{AssembleError, check_block};
use node::{BlockDraft, Solution, Template};

use super::*;
use crate::job::ExtranonceLayout;

const EXTRANONCE_SIZE: usize = ExtranonceLayout::OWN_BLOCKS.size();
const NOW: u32 = 1_800_000_000;

fn chain() -> BuiltinChain {
    BuiltinChain::new(Duration::from_secs(20), b"test", NOW)
}

/// Mines a template whose target is easy enough for a brute-force search.
fn mine(chain: &BuiltinChain, template: &Template, extranonces: &[u8]) -> Block {
    let draft = BlockDraft::new(Arc::new(template.clone()), &chain.plan()).unwrap();
    let (version, ntime, bits) = (template.version, template.time, template.bits);
    (0..)
        .find_map(|nonce| draft.assemble(Solution { extranonces, version, ntime, bits, nonce }).ok())
        .unwrap()
}

/// Encodes and decodes the block, and then runs all checks of the `bitcoin` crate that need only the block.
fn assert_sound(block: &Block, template: &Template) {
    let decoded: Block = encode::deserialize(&encode::serialize(block)).unwrap();
    assert_eq!(&decoded, block);
    assert!(block.check_merkle_root());
    assert!(block.check_witness_commitment());
    assert!(block.header.validate_pow(bitcoin::Target::from_compact(template.bits)).is_ok());
    assert_eq!(block.bip34_block_height(), Ok(template.height.into()));
    assert_eq!(block.header.prev_blockhash, template.prev_hash);
}

#[test]
fn blocks_of_every_shape_are_sound() {
    let mut chain = chain();
    let mut sizes = std::collections::BTreeSet::new();
    for round in 0..60u32 {
        let template = chain.template(0.0, NOW + round);
        let block = mine(&chain, &template, &[round as u8; EXTRANONCE_SIZE]);
        assert_sound(&block, &template);
        sizes.insert(block.txdata.len());
        chain.accept(&block).unwrap();
        assert_eq!((chain.height(), chain.tip()), (template.height, block.block_hash()));
    }
    assert!(sizes.contains(&1) && sizes.len() >= 5, "too few shapes: {sizes:?}");
}

#[test]
fn transactions_spend_what_exists_and_only_once() {
    let mut chain = chain();
    let mut spent = std::collections::HashSet::new();
    for round in 0..40 {
        let template = chain.template(0.0, NOW + round);
        let block = mine(&chain, &template, &[0; EXTRANONCE_SIZE]);
        for input in block.txdata.iter().skip(1).flat_map(|tx| &tx.input) {
            assert!(spent.insert(input.previous_output), "{} is spent twice", input.previous_output);
            assert!(!input.witness.is_empty());
        }
        chain.accept(&block).unwrap();
    }
    assert!(spent.len() > 40);
}

#[test]
fn target_follows_the_hashrate() {
    let chain = chain();
    for hashrate in [1e3, 1e6, 250e6, 3e9, 1e15] {
        let target = bitcoin::Target::from_compact(chain.template(hashrate, NOW).bits);
        let expected = hashrate * 20.0 / hasher::Target::HASHES_PER_DIFFICULTY;
        let error = target.difficulty_float() / expected - 1.0;
        // The compact form keeps at least 15 significant bits of the target, which limits the rounding error.
        assert!(error.abs() < 1e-4, "{hashrate} H/s: {error}");
    }
    // Even a hashrate that is zero or invalid gives a target that fits into a header.
    for hashrate in [0.0, -1.0, f64::NAN] {
        assert_eq!(chain.template(hashrate, NOW).bits, CompactTarget::from_consensus(0x207f_ffff));
    }
}

#[test]
fn refuses_what_does_not_extend_the_tip() {
    let mut chain = chain();
    let template = chain.template(0.0, NOW);
    let (first, second) =
        (mine(&chain, &template, &[1; EXTRANONCE_SIZE]), mine(&chain, &template, &[2; EXTRANONCE_SIZE]));
    chain.accept(&first).unwrap();
    assert!(matches!(chain.accept(&second), Err(ChainError::Orphan { .. })));
    assert!(matches!(chain.accept(&first), Err(ChainError::Orphan { .. })));
    assert_eq!(chain.tip(), first.block_hash());
}

#[test]
fn refuses_a_time_at_the_median() {
    let mut chain = chain();
    let mut template = chain.template(0.0, NOW);
    template.time = template.min_time - 1;
    let block = mine(&chain, &template, &[0; EXTRANONCE_SIZE]);
    assert!(matches!(chain.accept(&block), Err(ChainError::TooOld { .. })));
    template.time += 1;
    chain.accept(&mine(&chain, &template, &[0; EXTRANONCE_SIZE])).unwrap();
}

#[test]
fn every_tampering_breaks_a_rule() {
    let mut chain = chain();
    // Mines up to a height whose block has transactions that can be altered.
    while chain.template(0.0, NOW).transactions.len() < 2 {
        let block = mine(&chain, &chain.template(0.0, NOW), &[0; EXTRANONCE_SIZE]);
        chain.accept(&block).unwrap();
    }
    let template = chain.template(0.0, NOW);
    let block = mine(&chain, &template, &[0; EXTRANONCE_SIZE]);
    let rule = |tamper: fn(&mut Block)| {
        let mut block = block.clone();
        tamper(&mut block);
        match check_block(&block, template.height, template.bits) {
            Err(AssembleError::Rule { rule, .. }) => rule,
            other => panic!("{other:?}"),
        }
    };
    assert!(rule(|b| b.txdata.clear()).contains("no coinbase"));
    assert!(rule(|b| b.header.merkle_root = TxMerkleNode::all_zeros()).contains("merkle root"));
    assert!(rule(|b| b.txdata.swap(1, 2)).contains("merkle root"));
    assert!(rule(|b| b.txdata[1].input[0].witness.push([1])).contains("witness commitment"));
    assert!(rule(|b| b.txdata[0].input[0].witness.clear()).contains("witness commitment"));
    assert!(rule(|b| b.header.bits = CompactTarget::from_consensus(0x1d00_ffff)).contains("proof of work"));
    assert!(check_block(&block, template.height + 1, template.bits).is_err());
    assert!(check_block(&block, template.height, template.bits).is_ok());
}

proptest! {
    #[test]
    fn header_and_block_agree(
        extranonces: [u8; EXTRANONCE_SIZE], version: u32, ntime: u32, nonce: u32, rounds in 0u32..12,
    ) {
        let mut chain = chain();
        for round in 0..rounds {
            let block = mine(&chain, &chain.template(0.0, NOW + round), &[0; EXTRANONCE_SIZE]);
            chain.accept(&block).unwrap();
        }
        let draft = BlockDraft::new(Arc::new(chain.template(0.0, NOW)), &chain.plan()).unwrap();
        let bits = draft.template.bits;
        let solution = Solution { extranonces: &extranonces, version, ntime, bits, nonce };
        let header = crate::job::HeaderBuilder::Template(Arc::new(draft.clone())).header(solution);
        let digest = header.digest();
        match draft.assemble(solution) {
            Ok(block) => {
                prop_assert_eq!(block.block_hash().to_byte_array(), digest.to_bytes());
                prop_assert_eq!(encode::serialize(&block.header), header.to_bytes());
            }
            // Half of all hashes do not meet the target, although it is the easiest one. It is a bug if the block breaks any
            // other rule.
            Err(AssembleError::Rule { hash, rule, .. }) => {
                prop_assert_eq!(hash.to_byte_array(), digest.to_bytes());
                prop_assert!(rule.contains("proof of work"), "{}", rule);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
