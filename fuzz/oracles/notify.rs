//! Checks that a session computes the right header from a `mining.notify`. The `bitcoin` crate computes the expected header, with
//! the merkle root of all transactions.

use arbitrary::{Result, Unstructured};
use bitcoin::hashes::{Hash, sha256d};
use serde_json::{Value, json};
use stratum::{Event, Message, Session, SessionOptions};

/// Makes a job from these bytes, and sends it to a session as a pool would. The header that the session builds must equal the one
/// that the `bitcoin` crate builds.
pub fn check(data: &[u8]) {
    // An error means that there are too few bytes for a case.
    let _ = case(&mut Unstructured::new(data));
}

fn case(bytes: &mut Unstructured<'_>) -> Result<()> {
    let (version, bits, ntime): (u32, u32, u32) = bytes.arbitrary()?;
    let prev_hash: [u8; 32] = bytes.arbitrary()?;
    let others: Vec<[u8; 32]> =
        (0..bytes.int_in_range(0..=17)?).map(|_| bytes.arbitrary()).collect::<Result<_>>()?;
    let extranonce1_len = bytes.int_in_range(0..=16)?;
    let extranonce1 = bytes.bytes(extranonce1_len)?;
    let extranonce2_len = bytes.int_in_range(2..=16)?;
    let extranonce2 = bytes.bytes(extranonce2_len)?;
    let coinb1_len = bytes.int_in_range(0..=200)?;
    let coinb1 = bytes.bytes(coinb1_len)?;
    let coinb2 = bytes.take_rest_of();

    let coinbase = [coinb1, extranonce1, extranonce2, coinb2].concat();
    let digests = std::iter::once(sha256d::Hash::hash(&coinbase))
        .chain(others.iter().copied().map(sha256d::Hash::from_byte_array));
    let expected = bitcoin::block::Header {
        version: bitcoin::block::Version::from_consensus(version as i32),
        prev_blockhash: bitcoin::BlockHash::from_byte_array(prev_hash),
        merkle_root: bitcoin::merkle_tree::calculate_root(digests).expect("there is a coinbase").into(),
        time: ntime,
        bits: bitcoin::CompactTarget::from_consensus(bits),
        nonce: 0,
    };

    // On the wire, the bytes of each 32-bit word of the hash are reversed.
    let words: Vec<u8> = prev_hash.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
    let notify = json!({"id": null, "method": "mining.notify", "params": [
        "job", hex::encode(words), hex::encode(coinb1), hex::encode(coinb2),
        branch(&others).iter().map(hex::encode).collect::<Vec<_>>(),
        format!("{version:08x}"), format!("{bits:08x}"), format!("{ntime:08x}"), true,
    ]});
    let subscribed = json!({"id": 2, "error": null, "result": [
        [["mining.notify", "s"]], hex::encode(extranonce1), extranonce2_len,
    ]});
    let mut session = Session::new(SessionOptions::new("pool.example:1".parse().expect("a URL"), "u", "x"));
    session.start();
    read(&mut session, &subscribed);
    let events = read(&mut session, &notify);
    let [Event::Job(job)] = events.as_slice() else { panic!("{events:?}") };
    let header = job.header(extranonce2, job.ntime, job.version);
    assert_eq!(header.to_bytes().to_vec(), bitcoin::consensus::serialize(&expected));
    assert_eq!(header.digest().to_string(), expected.block_hash().to_string());
    Ok(())
}

fn read(session: &mut Session, line: &Value) -> Vec<Event> {
    let message = Message::from_line(&line.to_string()).expect("a message");
    session.on_message(message).expect("a valid message")
}

/// The merkle branch of the first transaction, given the hashes of the others.
fn branch(others: &[[u8; 32]]) -> Vec<[u8; 32]> {
    // The branch does not depend on the hash of the coinbase, so any value will do.
    let mut level: Vec<[u8; 32]> = [[0; 32]].into_iter().chain(others.iter().copied()).collect();
    let mut branch = Vec::new();
    while level.len() > 1 {
        branch.push(level[1]);
        let parent = |pair: &[[u8; 32]]| {
            let right = pair.last().expect("chunks are not empty");
            sha256d::Hash::hash(&[pair[0], *right].concat()).to_byte_array()
        };
        level = level.chunks(2).map(parent).collect();
    }
    branch
}

/// Like `Unstructured::take_rest`, but does not consume its receiver.
trait Rest<'a> {
    fn take_rest_of(&mut self) -> &'a [u8];
}

impl<'a> Rest<'a> for Unstructured<'a> {
    fn take_rest_of(&mut self) -> &'a [u8] {
        let len = self.len();
        self.bytes(len).unwrap_or_default()
    }
}
