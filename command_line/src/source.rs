//! Options for the source of a pool server's work, for all programs that run or launch a pool server.

mod cookies;
mod node;
mod node_list;
mod upstream;

pub use cookies::{CookieError, CookieFiles};
pub use node::{NodeArgs, PayoutKind, TAG};
pub use upstream::{UpstreamArgs, pool_url};

/// The source of blocks, if there is no upstream pool
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BlockSourceChoice {
    /// A chain of the pool's own, in memory, for trying things out
    Builtin,
    /// Bitcoin nodes, which give templates and take blocks
    Node,
}
