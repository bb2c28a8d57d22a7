//! The protobuf form. Field numbers are never reused: a removed field leaves a gap.

mod instruction;
mod live;
mod report;
mod spec;

use std::time::Duration;

use prost::Message;

/// The newest version that this crate reads and writes.
///
/// - 2: executors obey [`Instruction`](crate::Instruction)s, end a task that reaches its limit of updates, and support servers
///   that mine on a node.
/// - 3: executors obey [`Instruction::SetIntervals`](crate::Instruction::SetIntervals).
/// - 4: servers obey [`Instruction::SetNodeCredentials`](crate::Instruction::SetNodeCredentials).
/// - 5: workers obey [`Instruction::Pause`](crate::Instruction::Pause).
///
/// A message that a version does not change keeps its earlier version number, so that older programs can read it. All messages
/// therefore have version 2, except for the instructions that later versions added.
pub const VERSION: u32 = 5;
/// The version number in all messages except the instructions that later versions added.
const COMMON_VERSION: u32 = 2;
/// The oldest version that this crate reads.
pub const OLDEST_VERSION: u32 = 1;

/// Why bytes could not be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not protobuf of the expected form.
    #[error("malformed {what}")]
    Malformed {
        /// The kind of message.
        what: &'static str,
        /// The error of the protobuf decoder.
        #[source]
        source: prost::DecodeError,
    },
    /// The message has a version that this program does not know.
    #[error("{what} of version {version}; this program reads versions {OLDEST_VERSION} to {VERSION}")]
    Version {
        /// The kind of message.
        what: &'static str,
        /// Its version.
        version: u32,
    },
    /// A required field is absent or out of range.
    #[error("{what} has no valid {field}")]
    Field {
        /// The kind of message.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
}

fn decode<M: Message + Default>(
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

/// The version of a specification, report, live message or instruction; `None` if the bytes are none of these.
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
