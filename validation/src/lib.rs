//! Bitcoin Core's own validation as a judge of the blocks that the pool assembles.
//!
//! ```text
//! Core ─getblocktemplate→ node::Template ─+CoinbasePlan→ node::BlockDraft ─header→ hasher ─Solution→ Block ─submit→ Core
//! ```
//!
//! [`Core`] holds a chain of Bitcoin Core's kernel and answers as a node would; all between its template and its verdict
//! is the pool's own code. [`Wallet`] spends what was mined, so that blocks have transactions with witnesses.

mod core;
mod miner;
mod net;
mod template;
mod wallet;

pub use crate::core::{Core, Rejected};
pub use crate::miner::{Mined, draft, mine, mine_from, remine};
pub use crate::net::Net;
pub use crate::wallet::Wallet;
