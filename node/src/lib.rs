//! A Bitcoin node's JSON-RPC: block templates in, blocks out.
//!
//! - [`rpc`]: the client for one node;
//! - [`template`]: what `getblocktemplate` gives, checked;
//! - [`coinbase`], [`draft`]: from a template to jobs and, with a solution, to a block;
//! - [`network`], [`min_difficulty`]: where the node is, whom that lets us pay, and what the clock does to bits.

pub mod coinbase;
pub mod draft;
mod merkle;
pub mod min_difficulty;
pub mod network;
pub mod rpc;
pub mod template;
#[cfg(test)]
mod testing;
mod text;

pub use coinbase::{CoinbaseParts, CoinbasePlan};
pub use draft::{Draft, Solution};
pub use min_difficulty::{MinDifficultyTime, Times};
pub use rpc::{Client, Credentials, Limits, NodeUrl, RpcError};
pub use template::{Template, TemplateError};
