//! The networks whose rules blocks are judged by.

use bitcoin::Network;

/// OP_TRUE: satisfied by anybody, with nothing in the block (BIP-0325).
pub const SIGNET_CHALLENGE: [u8; 1] = [0x51];

/// A network to mine on, from its first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// Every second hash is a block.
    Regtest,
    /// A signet of one's own, whose challenge anybody satisfies: `51` (OP_TRUE).
    Signet,
    /// Testnet4, where a block takes 2^32 hashes.
    Testnet4,
}

impl Net {
    /// As the `bitcoin` crate calls it.
    pub fn network(self) -> Network {
        match self {
            Net::Regtest => Network::Regtest,
            Net::Signet => Network::Signet,
            Net::Testnet4 => Network::Testnet4,
        }
    }
}
