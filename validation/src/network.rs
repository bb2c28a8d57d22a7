//! The networks whose rules apply to blocks.

use bitcoin::Network;

/// The challenge OP_TRUE, which anyone satisfies without data in the block (BIP-0325).
pub const SIGNET_CHALLENGE: [u8; 1] = [0x51];

/// A network to mine on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// Regtest, where half of all hashes make a block.
    Regtest,
    /// A private signet whose challenge anyone satisfies: `51` (OP_TRUE).
    Signet,
    /// Testnet4, where a block takes 2^32 hashes.
    Testnet4,
}

impl Net {
    /// The network as the `bitcoin` crate names it.
    pub fn network(self) -> Network {
        match self {
            Net::Regtest => Network::Regtest,
            Net::Signet => Network::Signet,
            Net::Testnet4 => Network::Testnet4,
        }
    }
}
