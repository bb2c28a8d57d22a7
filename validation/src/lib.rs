//! Validates the blocks that the pool assembles. The validation code is Bitcoin Core's own.
//!
//! ```text
//! Core ─getblocktemplate→ node::Template ─+CoinbasePlan→ node::BlockDraft ─header→ hasher ─Solution→ Block ─submit→ Core
//! ```
//!
//! [`Core`] keeps a chain with Bitcoin Core's kernel and answers like a node. All code that turns the node's answer into a block
//! is the pool's and the miner's own. [`Wallet`] spends mined coins, so that blocks have transactions with witnesses.

mod core;
mod miner;
mod network;
mod template;
mod wallet;

pub use crate::core::{Core, Rejected};
pub use crate::miner::{Mined, draft, mine, mine_from, remine};
pub use crate::network::Net;
pub use crate::wallet::Wallet;
