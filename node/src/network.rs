//! Detects a node's network, and checks that its blocks can be mined.

use bitcoin::address::NetworkUnchecked;
use bitcoin::constants::genesis_block;
use bitcoin::{Address, Network, Script, ScriptBuf};
use problem::{Problem, ProblemKind};
use serde::Deserialize;
use serde_json::json;

use crate::rpc::{RpcClient, RpcError};
use crate::text::one_line;

/// All networks that this program knows.
const ALL: [Network; 5] =
    [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest];

/// Why a node's network cannot be mined on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The node does not answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The name of the network or its genesis block is unknown.
    #[error(
        "node {node} is on network {chain:?} with genesis block {genesis}, which is none of main, testnet3, testnet4, signet and regtest"
    )]
    Unknown {
        /// The node.
        node: String,
        /// The node's name for its network.
        chain: String,
        /// Hash of its genesis block.
        genesis: String,
    },
    /// The node is not on the network of the first node.
    #[error("node {node} is on {found}, but we mine on {wanted}")]
    Other {
        /// The node.
        node: String,
        /// The node's network.
        found: &'static str,
        /// The network on which we mine.
        wanted: &'static str,
    },
    /// Blocks of this signet need a signature.
    #[error(
        "blocks of this signet must satisfy the challenge {challenge}, which takes a key that we do not have: only a signet with challenge 51 (OP_TRUE) can be mined by anyone"
    )]
    SignetKey {
        /// The challenge, in hexadecimal digits.
        challenge: String,
    },
}

impl NetworkError {
    /// The error as a problem.
    pub fn problem(&self) -> Problem {
        match self {
            NetworkError::Rpc(error) => error.problem(),
            _ => Problem::new(ProblemKind::NodeOfOtherNetwork, self.to_string()),
        }
    }

    /// The node's error, if it does not answer.
    pub(crate) fn rpc(&self) -> Option<&RpcError> {
        match self {
            NetworkError::Rpc(error) => Some(error),
            _ => None,
        }
    }

    /// Whether asking again may succeed without any change on our side.
    pub fn is_transient(&self) -> bool {
        self.rpc().is_some_and(RpcError::is_transient)
    }
}

/// Why an address cannot be paid to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayoutError {
    /// The text is not an address.
    #[error("{address:?} is not a Bitcoin address")]
    Address {
        /// The text.
        address: String,
        /// The fault in the text.
        #[source]
        source: bitcoin::address::ParseError,
    },
    /// The address belongs to another network.
    #[error("address {address} is for {found}, but the node is on {wanted}: give an address of {wanted}")]
    Network {
        /// The address.
        address: String,
        /// The networks to which the address belongs, separated by commas.
        found: String,
        /// The node's network.
        wanted: &'static str,
    },
}

impl PayoutError {
    /// The error as a problem.
    pub fn problem(&self) -> Problem {
        Problem::new(ProblemKind::AddressOfOtherNetwork, logging::error_chain(self))
    }
}

/// The members of `getblockchaininfo` that are used.
#[derive(Debug, Deserialize)]
struct ChainInfo {
    chain: String,
    /// The challenge of a signet. Bitcoin Core gives it here since version 28.
    signet_challenge: Option<String>,
}

/// The name of a network in messages.
pub fn name(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "main",
        Network::Testnet => "testnet3",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}

/// Asks a node for the name of its network, and checks the name by the hash of the genesis block.
///
/// # Errors
/// If the node does not answer, or is on an unknown network or on a signet whose blocks need a signature.
pub async fn detect(client: &RpcClient) -> Result<Network, NetworkError> {
    let info: ChainInfo = client.call("getblockchaininfo", json!([])).await?;
    let genesis: String = client.call("getblockhash", json!([0])).await?;
    let network = identify(&info.chain, &genesis).ok_or_else(|| NetworkError::Unknown {
        node: client.url().to_string(),
        chain: one_line(&info.chain),
        genesis: one_line(&genesis),
    })?;
    if let (Network::Signet, Some(challenge)) = (network, info.signet_challenge) {
        let script = ScriptBuf::from_hex(&challenge).unwrap_or_default();
        check_challenge(&script)?;
    }
    Ok(network)
}

/// The network with this name (Bitcoin Core's or bcoin's) and this genesis block. All signets have the same genesis
/// block; a regtest or a simnet with another one is unknown.
fn identify(chain: &str, genesis: &str) -> Option<Network> {
    let by_name = match chain {
        "main" => Network::Bitcoin,
        "test" | "testnet" | "testnet3" => Network::Testnet,
        "testnet4" => Network::Testnet4,
        "signet" => Network::Signet,
        "regtest" => Network::Regtest,
        _ => return None,
    };
    let known = genesis_block(by_name).block_hash().to_string();
    known.eq_ignore_ascii_case(genesis).then_some(by_name)
}

/// Checks that a signet's blocks need no signature: the challenge is one opcode that pushes a true value. Such blocks
/// need no signet solution (BIP-0325).
///
/// # Errors
/// [`NetworkError::SignetKey`] with the challenge.
pub fn check_challenge(challenge: &Script) -> Result<(), NetworkError> {
    // OP_1 to OP_16.
    match challenge.as_bytes() {
        [0x51..=0x60] => Ok(()),
        _ => Err(NetworkError::SignetKey { challenge: challenge.to_hex_string() }),
    }
}

/// The script that pays to an address of a network.
///
/// # Errors
/// If the text is not an address, or is one of another network.
pub fn payout_script(address: &str, network: Network) -> Result<ScriptBuf, PayoutError> {
    let parsed: Address<NetworkUnchecked> = address
        .trim()
        .parse()
        .map_err(|source| PayoutError::Address { address: one_line(address), source })?;
    if parsed.is_valid_for_network(network) {
        return Ok(parsed.assume_checked().script_pubkey());
    }
    let found = ALL.into_iter().filter(|other| parsed.is_valid_for_network(*other)).map(name);
    let found = found.collect::<Vec<_>>().join(", ");
    Err(PayoutError::Network { address: address.trim().to_owned(), found, wanted: name(network) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_blocks_must_agree() {
        for network in ALL {
            let genesis = genesis_block(network).block_hash().to_string();
            assert_eq!(identify(network.to_core_arg(), &genesis), Some(network));
        }
        let main = genesis_block(Network::Bitcoin).block_hash().to_string();
        let test = genesis_block(Network::Testnet).block_hash().to_string();
        assert_eq!(identify("testnet", &test), Some(Network::Testnet));
        assert_eq!(identify("test", &main), None);
        assert_eq!(identify("testnet4", &test), None);
        assert_eq!(identify("simnet", &main), None);
    }

    #[test]
    fn only_open_signets_can_be_mined() {
        check_challenge(&ScriptBuf::from_hex("51").unwrap()).unwrap();
        // The public signet, whose blocks need a signature by one of two keys.
        let public = "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae";
        for challenge in [public, "", "00", "6a"] {
            let error = check_challenge(&ScriptBuf::from_hex(challenge).unwrap()).unwrap_err();
            assert!(error.to_string().contains(&format!("challenge {challenge},")), "{error}");
        }
    }

    #[test]
    fn addresses_belong_to_networks() {
        let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        let test = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
        let regtest = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        let script = payout_script(main, Network::Bitcoin).unwrap();
        assert_eq!(script.to_hex_string(), "0014751e76e8199196d454941c45d1b3a323f1433bd6");
        assert_eq!(payout_script(regtest, Network::Regtest), Ok(script.clone()));
        for network in [Network::Testnet, Network::Testnet4, Network::Signet] {
            assert_eq!(payout_script(test, network), Ok(script.clone()));
        }
        let error = payout_script(main, Network::Testnet4).unwrap_err().to_string();
        assert!(error.contains("is for main, but the node is on testnet4"), "{error}");
        let error = payout_script(test, Network::Bitcoin).unwrap_err().to_string();
        assert!(error.contains("is for testnet3, testnet4, signet, but the node is on main"), "{error}");
        let legacy = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
        assert!(payout_script(legacy, Network::Regtest).is_ok());
        for nonsense in ["", "satoshi", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"] {
            let error = payout_script(nonsense, Network::Bitcoin).unwrap_err().to_string();
            assert!(error.contains("is not a Bitcoin address"), "{error}");
        }
    }
}
