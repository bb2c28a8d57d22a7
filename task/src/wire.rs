//! The protobuf form. Field numbers are for ever: a field that goes leaves a gap.

mod instruction;
mod intervals;
mod live;
mod pool_access;
mod report;
mod spec;

use std::time::Duration;

use prost::Message;

/// The newest version that this crate reads and writes.
///
/// - 2: executors obey [`Instruction`](crate::Instruction)s, end a task that has made all its updates, and know servers
///   that mine on a node.
/// - 3: they can be told other [`Intervals`](crate::Intervals).
///
/// What a version did not change is written as before, so that the programs of the version before understand it: all but
/// the instructions of version 3 says 2.
pub const VERSION: u32 = 3;
/// The version of specifications, reports and live messages, and of the first instructions.
const COMMON_VERSION: u32 = 2;
/// The oldest version that this crate reads.
pub const OLDEST_VERSION: u32 = 1;

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not protobuf of this shape.
    #[error("malformed {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// The decoder's finding.
        #[source]
        source: prost::DecodeError,
    },
    /// Written by a version that this one does not know.
    #[error("{what} of version {version}; this program reads versions {OLDEST_VERSION} to {VERSION}")]
    Version {
        /// What was being read.
        what: &'static str,
        /// The version found.
        version: u32,
    },
    /// A part without which the whole has no meaning is absent or out of range.
    #[error("{what} has no valid {field}")]
    Field {
        /// What was being read.
        what: &'static str,
        /// The part.
        field: &'static str,
    },
}

fn read<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
    version: fn(&M) -> u32,
) -> Result<M, DecodeError> {
    let message = M::decode(bytes).map_err(|source| DecodeError::Malformed { what, source })?;
    match version(&message) {
        OLDEST_VERSION..=VERSION => Ok(message),
        version => Err(DecodeError::Version { what, version }),
    }
}

/// The version of a specification, report or message, whatever it holds; `None` if the bytes are none of these.
pub fn version(bytes: &[u8]) -> Option<u32> {
    #[derive(Clone, PartialEq, Message)]
    struct Envelope {
        #[prost(uint32, tag = "1")]
        version: u32,
    }
    let envelope = Envelope::decode(bytes).ok()?;
    (envelope.version > 0).then_some(envelope.version)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn port(what: &'static str, field: &'static str, port: u32) -> Result<u16, DecodeError> {
    u16::try_from(port).map_err(|_| DecodeError::Field { what, field })
}
