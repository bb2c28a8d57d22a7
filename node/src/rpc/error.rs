//! What can go wrong between us and a node.

use std::path::PathBuf;
use std::time::Duration;

/// A call that failed. `node` is the node's address without credentials; no text shows a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// No connection, or it broke.
    #[error("node {node} can't be reached for {method}")]
    Connection {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// What hyper says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("node {node} did not answer {method} within {after:?}")]
    Timeout {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// HTTP 401 or 403.
    #[error("node {node} refuses us (HTTP {status}): {hint}")]
    Unauthorized {
        /// The node.
        node: String,
        /// The HTTP status.
        status: u16,
        /// What is probably wrong.
        hint: &'static str,
    },
    /// The cookie file can't be read.
    #[error("cookie file {path} of node {node}: is the node running, and is the file readable?")]
    Cookie {
        /// The node.
        node: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The answer is longer than we take.
    #[error("node {node} answers {method} with more than {limit} bytes")]
    TooLong {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The most we take, in bytes.
        limit: usize,
    },
    /// The answer is no JSON-RPC.
    #[error("node {node} answers {method} with HTTP {status} and no JSON-RPC: {excerpt}")]
    NotJsonRpc {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The HTTP status.
        status: u16,
        /// The answer's beginning.
        excerpt: String,
    },
    /// The result is not what the call should give.
    #[error("node {node} answers {method} with something else than expected")]
    Result {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The node says that it failed.
    #[error("node {node} refuses {method}: {message} (code {code})")]
    Refused {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// Bitcoin Core's `RPCErrorCode`; 0 if there was none.
        code: i64,
        /// The node's text.
        message: String,
    },
}

impl RpcError {
    /// `RPC_DESERIALIZATION_ERROR`: what we sent can't be decoded.
    pub const DESERIALIZATION: i64 = -22;
    /// `RPC_CLIENT_NOT_CONNECTED`: the node has no peers.
    pub const NOT_CONNECTED: i64 = -9;
    /// `RPC_CLIENT_IN_INITIAL_DOWNLOAD`: the node is behind its peers.
    pub const INITIAL_DOWNLOAD: i64 = -10;
    /// `RPC_IN_WARMUP`: the node has just been started.
    pub const WARMUP: i64 = -28;

    /// Whether the same call may do better later, with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            RpcError::Connection { .. } | RpcError::Timeout { .. } | RpcError::Cookie { .. } => true,
            // Bitcoin Core: "Work queue depth exceeded"; and a proxy before a node that is not there yet.
            RpcError::NotJsonRpc { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            RpcError::Refused { code, .. } => {
                matches!(*code, Self::NOT_CONNECTED | Self::INITIAL_DOWNLOAD | Self::WARMUP)
            }
            RpcError::Unauthorized { .. } | RpcError::TooLong { .. } | RpcError::Result { .. } => false,
        }
    }
}
