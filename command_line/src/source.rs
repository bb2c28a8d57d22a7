//! Options of where a pool server's work comes from, of every program that runs or launches one.

mod node;
mod upstream;

pub use node::{NodeArgs, PayoutKind, TAG};
pub use upstream::{UpstreamArgs, pool_url};

/// Where blocks come from, where no upstream pool is named
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BlockSourceChoice {
    /// A chain of the pool's own, in memory, for trying things out
    Builtin,
    /// Bitcoin nodes, which give templates and take blocks
    Node,
}
