//! The built-in chain: what a node gives, without a node.
//!
//! It gives [`node::Template`]s and takes the blocks that come of them, which [`node::draft::check_block`] judges with
//! nothing but the `bitcoin` crate.

mod builtin;
#[cfg(test)]
mod tests;

pub use builtin::{BuiltinChain, ChainError};
