use std::time::Duration;

use prost::Message;

use super::{COMMON_VERSION, DecodeError, decode};
use crate::{Instruction, Intervals, NodeAccess};

/// The first version whose executors obey [`Instruction::SetIntervals`]. Messages with this instruction are written with this
/// version number.
const SET_INTERVALS_VERSION: u32 = 3;
/// The same of [`Instruction::SetNodeCredentials`].
const SET_NODE_CREDENTIALS_VERSION: u32 = 4;
/// The same of [`Instruction::Pause`].
const PAUSE_VERSION: u32 = 5;

#[derive(Clone, PartialEq, Message)]
struct InstructionMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    mine_at: Option<MineAtMessage>,
    #[prost(message, optional, tag = "3")]
    set_intervals: Option<IntervalsMessage>,
    #[prost(message, optional, tag = "4")]
    set_node_credentials: Option<NodeCredentialsMessage>,
    #[prost(bool, optional, tag = "5")]
    pause: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeCredentialsMessage {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(message, repeated, tag = "2")]
    nodes: Vec<NodeAccess>,
}

#[derive(Clone, PartialEq, Message)]
struct MineAtMessage {
    #[prost(string, tag = "1")]
    pool: String,
    /// Further URLs of the same pool. An executor that does not know this field uses only `pool`.
    #[prost(string, repeated, tag = "20")]
    alternatives: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct IntervalsMessage {
    #[prost(uint32, tag = "1")]
    live_ms: u32,
    #[prost(uint32, tag = "2")]
    report_ms: u32,
}

impl Instruction {
    /// Encodes a framework's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        let empty = InstructionMessage { version: COMMON_VERSION, ..InstructionMessage::default() };
        let message = match self.clone() {
            Instruction::MineAt { pool, alternatives } => {
                InstructionMessage { mine_at: Some(MineAtMessage { pool, alternatives }), ..empty }
            }
            Instruction::SetIntervals(intervals) => InstructionMessage {
                version: SET_INTERVALS_VERSION,
                set_intervals: Some(intervals.into()),
                ..empty
            },
            Instruction::SetNodeCredentials { revision, nodes } => InstructionMessage {
                version: SET_NODE_CREDENTIALS_VERSION,
                set_node_credentials: Some(NodeCredentialsMessage { revision, nodes }),
                ..empty
            },
            Instruction::Pause(pause) => {
                InstructionMessage { version: PAUSE_VERSION, pause: Some(pause), ..empty }
            }
        };
        message.encode_to_vec()
    }

    /// Decodes a framework's `MESSAGE`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or hold no known instruction.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "instruction";
        let message = decode(what, bytes, |m: &InstructionMessage| m.version)?;
        let InstructionMessage { mine_at, set_intervals, set_node_credentials, pause, .. } = message;
        match (mine_at, set_intervals, set_node_credentials, pause) {
            (Some(MineAtMessage { pool, alternatives }), None, None, None) => {
                Ok(Instruction::MineAt { pool, alternatives })
            }
            (None, Some(intervals), None, None) => {
                let intervals = intervals.read().ok_or(DecodeError::Field { what, field: "interval" })?;
                Ok(Instruction::SetIntervals(intervals))
            }
            (None, None, Some(NodeCredentialsMessage { revision, nodes }), None) => {
                Ok(Instruction::SetNodeCredentials { revision, nodes })
            }
            (None, None, None, Some(pause)) => Ok(Instruction::Pause(pause)),
            _ => Err(DecodeError::Field { what, field: "content" }),
        }
    }
}

impl IntervalsMessage {
    /// Reads the intervals. Returns `None` if one of them is 0, because protobuf reads a missing number as 0.
    pub fn read(self) -> Option<Intervals> {
        let [live, report] = [self.live_ms, self.report_ms].map(|ms| Duration::from_millis(ms.into()));
        (!live.is_zero() && !report.is_zero()).then(|| Intervals::new(live, report))
    }
}

impl From<Intervals> for IntervalsMessage {
    fn from(intervals: Intervals) -> Self {
        // `Intervals` has no more milliseconds than a `u32` holds.
        let millis = |interval: Duration| u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        IntervalsMessage { live_ms: millis(intervals.live()), report_ms: millis(intervals.report()) }
    }
}
