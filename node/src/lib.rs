//! A client of Bitcoin nodes' JSON-RPC: block templates in, blocks out.
//!
//! ```text
//! node ─getblocktemplate→ Template ─+CoinbasePlan→ BlockDraft ─+Solution→ Block ─submitblock→ BlockVerdict
//! ```
//!
//! A [`Template`] has been checked and never changes. A [`BlockDraft`] adds a coinbase, cut where Stratum's extranonces go;
//! [`HeaderTimes`] are the times and bits that its headers may have. A [`Solution`] has the values that the miner chose;
//! the `bitcoin` crate checks the resulting block before any node gets it.
//!
//! This crate follows the BIPs and Bitcoin Core's documentation, and accepts bcoin's deviations.
//!
//! ```no_run
//! use node::{
//!     BlockDraft, CoinbasePlan, Credentials, Nodes, RpcClient, RpcLimits, TemplateEvent, TemplateTiming, network,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = Credentials::Basic { user: "user".into(), password: "password".into() };
//! let url = "http://localhost:18443".parse()?;
//! let nodes = Nodes::new([RpcClient::new(url, credentials, RpcLimits::default())?])?;
//! let network = nodes.network().await?;
//! let payout = network::payout_script("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", network)?;
//! let plan = CoinbasePlan { payout, tag: b"/mine/".to_vec(), extranonce_size: 12 };
//! let mut templates = nodes.templates(network, TemplateTiming::default());
//! while let TemplateEvent::New(update) = templates.next().await {
//!     let draft = BlockDraft::new(update.template, &plan)?;
//!     // … mine, and with a solution: nodes.submit(&draft.assemble(solution)?).await
//! }
//! # Ok(()) }
//! ```
//!
//! - [`rpc`]: the client of one node;
//! - [`template`]: the result of `getblocktemplate`, checked;
//! - [`coinbase`], [`draft`]: from a template to a header and, with a solution, to a block;
//! - [`templates`]: the stream of new templates from the best of several nodes;
//! - [`submit`]: submits a block to all nodes and collects their verdicts;
//! - [`network`]: the node's network, and addresses on it; [`min_difficulty`]: the 20-minute rule of testnets.

mod clock;
pub mod coinbase;
pub mod draft;
mod merkle;
pub mod min_difficulty;
pub mod network;
pub mod rpc;
pub mod submit;
pub mod template;
pub mod templates;
#[cfg(test)]
mod testing;
mod text;

pub use clock::{BootTime, NodeClock};
pub use coinbase::{CoinbaseParts, CoinbasePlan};
pub use draft::{BlockDraft, Solution};
pub use min_difficulty::{HeaderTimes, MinDifficultyTime};
pub use rpc::{Credentials, NodeUrl, RpcClient, RpcError, RpcLimits};
pub use submit::BlockVerdict;
pub use template::{
    HeaderAnswer, MiningInfoAnswer, NextBlock, Template, TemplateError, TipFacts, empty_template,
};
pub use templates::{
    Nodes, TemplateEvent, TemplateFetchError, TemplateStream, TemplateTiming, TemplateUpdate,
};
