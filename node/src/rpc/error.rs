//! Errors of calls to a node.

use std::path::PathBuf;
use std::time::Duration;

use logging::error_chain;
use problem::{Problem, ProblemKind};

/// A call that failed. `node` is the node's address without credentials; no error text contains a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The node cannot be reached, or the connection broke.
    #[error("cannot reach node {node} to call {method}")]
    Connection {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer did not come in time.
    #[error("node {node} did not answer {method} within {}", text::InWords(*.after))]
    Timeout {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The time limit.
        after: Duration,
    },
    /// The node answered with HTTP status 401 or 403.
    #[error("node {node} refuses access (HTTP {status}): {hint}")]
    Unauthorized {
        /// The node.
        node: String,
        /// The HTTP status.
        status: u16,
        /// The likely cause.
        hint: &'static str,
    },
    /// The node knows the user, but does not allow it to call the method: Bitcoin Core's `rpcwhitelist`.
    #[error(
        "node {node} does not allow user {user} to call {method}: add it to the node's rpcwhitelist, which needs {user}:{}",
        super::methods::list()
    )]
    NotWhitelisted {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The user's name.
        user: String,
    },
    /// The cookie file cannot be read.
    #[error("cannot read cookie file {path} of node {node}: is the node running, and is the file readable?")]
    Cookie {
        /// The node.
        node: String,
        /// The file.
        path: PathBuf,
        /// Why the file cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// The answer is longer than the limit.
    #[error("node {node} answers {method} with more than {limit} bytes")]
    TooLong {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not JSON-RPC.
    #[error("node {node} answers {method} with HTTP {status} and no JSON-RPC: {excerpt}")]
    NotJsonRpc {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        excerpt: String,
    },
    /// The result does not have the expected shape.
    #[error("node {node} returned an unexpected result for {method}")]
    Result {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// The fault in the result.
        #[source]
        source: serde_json::Error,
    },
    /// The node reports an error.
    #[error("node {node} {}: {message} (code {code})", refusal(method, *code))]
    Refused {
        /// The node.
        node: String,
        /// The call.
        method: &'static str,
        /// Bitcoin Core's `RPCErrorCode`; 0 if the error has no code.
        code: i64,
        /// The node's text.
        message: String,
    },
}

impl RpcError {
    /// `RPC_DESERIALIZATION_ERROR`: the node cannot decode the block.
    pub const DESERIALIZATION: i64 = -22;
    /// `RPC_CLIENT_NOT_CONNECTED`: the node has no peers.
    pub const NOT_CONNECTED: i64 = -9;
    /// `RPC_CLIENT_IN_INITIAL_DOWNLOAD`: the node is behind its peers.
    pub const INITIAL_DOWNLOAD: i64 = -10;
    /// `RPC_IN_WARMUP`: the node is starting.
    pub const WARMUP: i64 = -28;
    /// `RPC_METHOD_NOT_FOUND`: the node does not have this method.
    pub const METHOD_NOT_FOUND: i64 = -32601;

    /// Whether the node does not know the block that the call asks about. Bitcoin Core answers `RPC_INVALID_ADDRESS_OR_KEY`, and
    /// bcoin `RPC_MISC_ERROR`; both with the text "Block not found".
    pub fn is_unknown_block(&self) -> bool {
        matches!(self, RpcError::Refused { code: -5 | -1, message, .. } if message.contains("not found"))
    }

    /// Whether the node is too busy to take the call.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, RpcError::NotJsonRpc { status: 429 | 503, .. })
    }

    /// Whether the node does not have the method, or does not let this user call it.
    pub(crate) fn lacks_method(&self) -> bool {
        match self {
            RpcError::Refused { code, .. } => *code == Self::METHOD_NOT_FOUND,
            RpcError::NotWhitelisted { .. } | RpcError::Unauthorized { status: 403, .. } => true,
            _ => false,
        }
    }

    /// Whether the node is not running, or still starting. It costs nothing to ask such a node again soon.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            RpcError::Connection { .. } => true,
            RpcError::Cookie { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            RpcError::Refused { code, .. } => *code == Self::WARMUP,
            _ => false,
        }
    }

    /// The error as a problem.
    pub fn problem(&self) -> Problem {
        let kind = match self {
            RpcError::Connection { .. } | RpcError::Timeout { .. } => ProblemKind::NodeUnreachable,
            // A node that does not run has no cookie file.
            RpcError::Cookie { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ProblemKind::NodeUnreachable
            }
            RpcError::Unauthorized { .. } | RpcError::Cookie { .. } => ProblemKind::NodeCredentials,
            RpcError::NotWhitelisted { .. } => ProblemKind::NodeWhitelist,
            RpcError::Refused { .. } if self.is_transient() => ProblemKind::NodeLoading,
            _ if self.is_transient() => ProblemKind::NodeUnreachable,
            _ => ProblemKind::NodeRefuses,
        };
        Problem::new(kind, error_chain(self))
    }

    /// Whether the same call may succeed later without any change on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            RpcError::Connection { .. } | RpcError::Timeout { .. } | RpcError::Cookie { .. } => true,
            // Bitcoin Core sends 503 with "Work queue depth exceeded"; a proxy sends the other statuses while the node is
            // down.
            RpcError::NotJsonRpc { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            RpcError::Refused { code, .. } => {
                matches!(*code, Self::NOT_CONNECTED | Self::INITIAL_DOWNLOAD | Self::WARMUP)
            }
            RpcError::Unauthorized { .. }
            | RpcError::NotWhitelisted { .. }
            | RpcError::TooLong { .. }
            | RpcError::Result { .. } => false,
        }
    }
}

/// What a refused call means, as far as the code tells.
fn refusal(method: &str, code: i64) -> String {
    match code {
        RpcError::NOT_CONNECTED => "has no peers, so it gives no block template".to_owned(),
        RpcError::INITIAL_DOWNLOAD => {
            "is still in its initial block download, so it gives no block template yet".to_owned()
        }
        RpcError::WARMUP => "is starting".to_owned(),
        _ => format!("refuses {method}"),
    }
}
