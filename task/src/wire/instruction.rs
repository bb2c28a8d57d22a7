use prost::Message;

use super::intervals::IntervalsMessage;
use super::{COMMON_VERSION, DecodeError, read};
use crate::Instruction;

/// Instructions say these intervals since this version.
const INTERVALS_SINCE: u32 = 3;

#[derive(Clone, PartialEq, Message)]
struct InstructionMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    mine_at: Option<MineAtMessage>,
    #[prost(message, optional, tag = "3")]
    set_intervals: Option<IntervalsMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct MineAtMessage {
    #[prost(string, tag = "1")]
    pool: String,
}

impl Instruction {
    /// The bytes for a framework's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        let message = match self {
            Instruction::MineAt { pool } => InstructionMessage {
                version: COMMON_VERSION,
                mine_at: Some(MineAtMessage { pool: pool.clone() }),
                ..InstructionMessage::default()
            },
            Instruction::SetIntervals(intervals) => InstructionMessage {
                version: INTERVALS_SINCE,
                set_intervals: Some((*intervals).into()),
                ..InstructionMessage::default()
            },
        };
        message.encode_to_vec()
    }

    /// Reads a framework's `MESSAGE`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or ask for nothing known.
    pub fn decode(bytes: &[u8]) -> Result<Instruction, DecodeError> {
        let what = "instruction";
        let message = read(what, bytes, |m: &InstructionMessage| m.version)?;
        let intervals = message
            .set_intervals
            .map(|intervals| intervals.read().ok_or(DecodeError::Field { what, field: "interval" }));
        match (message.mine_at, intervals.transpose()?) {
            (Some(asked), None) => Ok(Instruction::MineAt { pool: asked.pool }),
            (None, Some(intervals)) => Ok(Instruction::SetIntervals(intervals)),
            _ => Err(DecodeError::Field { what, field: "content" }),
        }
    }
}
