//! Where blocks come from and what they are made of.
//!
//! A [`Template`] is a block without its last decisions: extranonces, time, rolled version bits and nonce. The
//! Stratum side cuts it into a job; [`Template::assemble`] puts the winning share back in and gives the whole
//! block, which [`check_block`] then judges with nothing but the `bitcoin` crate.

mod builtin;
mod coinbase;
mod merkle;
mod template;
#[cfg(test)]
mod tests;

pub use builtin::{BuiltinChain, ChainError};
pub use coinbase::{CoinbaseParts, CoinbasePlan, EXTRANONCE_SIZE};
pub use template::{AssembleError, Solution, Template, check_block};
