//! Has Bitcoin Core's own validation judge the blocks that the pool assembles.
//!
//! ```text
//! Core ─getblocktemplate→ node::Template ─+CoinbasePlan→ node::BlockDraft ─header→ hasher ─Solution→ Block ─submit→ Core
//! ```
//!
//! [`Core`] has a chain of Bitcoin Core's kernel and answers like a node. Between its template and its verdict, all code is
//! the pool's own. [`Wallet`] spends mined coins, so that blocks have transactions with witnesses.

mod core;
mod miner;
mod network;
mod template;
mod wallet;

pub use crate::core::{Core, Rejected};
pub use crate::miner::{Mined, draft, mine, mine_from, remine};
pub use crate::network::Net;
pub use crate::wallet::Wallet;
