//! A Bitcoin node's JSON-RPC: block templates in, blocks out.
//!
//! - [`rpc`]: the client for one node.

pub mod rpc;
mod text;
