//! A Bitcoin node's JSON-RPC: block templates in, blocks out.
//!
//! - [`rpc`]: the client for one node;
//! - [`template`]: what `getblocktemplate` gives, checked;
//! - [`coinbase`], [`draft`]: from a template to jobs and, with a solution, to a block;
//! - [`source`]: the stream of new templates, from the first of several nodes that works;
//! - [`submit`]: a block to all nodes, and their verdicts;
//! - [`network`], [`min_difficulty`]: where the node is, whom that lets us pay, and what the clock does to bits.

mod backoff;
pub mod coinbase;
pub mod draft;
mod merkle;
pub mod min_difficulty;
pub mod network;
pub mod rpc;
pub mod source;
pub mod submit;
pub mod template;
#[cfg(test)]
mod testing;
mod text;

pub use coinbase::{CoinbaseParts, CoinbasePlan};
pub use draft::{Draft, Solution};
pub use min_difficulty::{MinDifficultyTime, Times};
pub use rpc::{Client, Credentials, Limits, NodeUrl, RpcError};
pub use source::{Event, Nodes, Templates, Timing, Update};
pub use submit::Verdict;
pub use template::{Template, TemplateError};
