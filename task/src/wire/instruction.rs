use prost::Message;

use super::{DecodeError, VERSION, read};
use crate::Instruction;

#[derive(Clone, PartialEq, Message)]
struct InstructionMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    mine_at: Option<MineAtMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct MineAtMessage {
    #[prost(string, tag = "1")]
    pool: String,
}

impl Instruction {
    /// The bytes for a framework's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        let Instruction::MineAt { pool } = self;
        let mine_at = Some(MineAtMessage { pool: pool.clone() });
        InstructionMessage { version: VERSION, mine_at }.encode_to_vec()
    }

    /// Reads a framework's `MESSAGE`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or ask for nothing known.
    pub fn decode(bytes: &[u8]) -> Result<Instruction, DecodeError> {
        let what = "instruction";
        let message = read(what, bytes, |m: &InstructionMessage| m.version)?;
        let asked = message.mine_at.ok_or(DecodeError::Field { what, field: "content" })?;
        Ok(Instruction::MineAt { pool: asked.pool })
    }
}
