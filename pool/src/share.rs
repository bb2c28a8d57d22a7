//! One share: its check, and its way on to an upstream pool or, as a block, to the chain.

mod forward;
mod found;
mod validate;

pub use self::forward::{ForwardRequest, Reply, UpstreamShare, UpstreamShareCounts, UpstreamSummary};
pub use self::found::FoundBlock;
pub use self::validate::{Proof, Refusal, Submission, Terms, validate};
