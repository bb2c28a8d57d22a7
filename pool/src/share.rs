//! One share: its check, and its way on to an upstream pool or, as a block, to the chain.

mod forward;
mod found;
mod validate;

pub use self::forward::{Forward, ForwardCounts, Reply, UpstreamSummary, Wanted};
pub use self::found::Found;
pub use self::validate::{Proof, Refusal, Submission, Terms, validate};
