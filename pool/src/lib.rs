//! The miner server: a Stratum V1 pool over a chain of its own.

pub mod chain;

/// Hashes that it takes on average to reach difficulty 1, as pools count it.
pub const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
