//! `mining.notify`: a new job.

use hasher::CompactTarget;
use serde_json::json;

use super::field::{Field, Fields, hex_u32};
use super::{Call, Id, MessageError};
use crate::job::swap_words;

/// The nine fields of `mining.notify`, in their order on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify {
    /// The pool's id of the job.
    pub job: String,
    /// Hash of the previous block, in internal byte order. On the wire, the bytes of each of its 32-bit words are reversed.
    pub prev_hash: [u8; 32],
    /// The coinbase transaction up to extranonce1.
    pub coinb1: Vec<u8>,
    /// The coinbase transaction after extranonce2.
    pub coinb2: Vec<u8>,
    /// The merkle branch of the coinbase, from the leaf up, in internal byte order, which is also used on the wire.
    pub branch: Vec<[u8; 32]>,
    /// Header version.
    pub version: u32,
    /// The compact target of the network.
    pub nbits: CompactTarget,
    /// Header time, seconds since the Unix epoch.
    pub ntime: u32,
    /// Whether this job voids all older ones; `None` if the pool omits the field.
    pub clean: Option<bool>,
}

impl Notify {
    /// Maximum length of a job id, in bytes. The longest ids known to be in use have 40.
    const MAX_JOB: usize = 256;
    /// Maximum number of hashes in a merkle branch, which is enough for a block with 2^32 transactions.
    const MAX_BRANCH: usize = 32;

    pub(super) fn from_params(fields: &Fields<'_>) -> Result<Self, MessageError> {
        let id = fields.need(0, "job id")?;
        let job = id.text()?;
        if job.len() > Notify::MAX_JOB {
            return Err(id.invalid("at most 256 bytes"));
        }
        Ok(Notify {
            job,
            prev_hash: swap_words(fields.need(1, "prevhash")?.digest()?),
            coinb1: fields.need(2, "coinb1")?.bytes(usize::MAX)?,
            coinb2: fields.need(3, "coinb2")?.bytes(usize::MAX)?,
            branch: fields.get(4, "merkle branch").map_or(Ok(Vec::new()), Notify::read_branch)?,
            version: fields.need(5, "version")?.hex_u32()?,
            nbits: CompactTarget(fields.need(6, "nbits")?.hex_u32()?),
            ntime: fields.need(7, "ntime")?.hex_u32()?,
            clean: fields.get(8, "clean_jobs").map(|field| field.bool()).transpose()?,
        })
    }

    fn read_branch(field: Field<'_>) -> Result<Vec<[u8; 32]>, MessageError> {
        let nodes = field.array()?;
        if nodes.len() > Notify::MAX_BRANCH {
            return Err(field.invalid("at most 32 nodes"));
        }
        nodes.iter().map(|value| Field { value, ..field }.digest()).collect()
    }

    /// Writes the notification.
    pub fn to_call(&self) -> Call {
        let mut params = vec![
            json!(self.job),
            json!(hex::encode(swap_words(self.prev_hash))),
            json!(hex::encode(&self.coinb1)),
            json!(hex::encode(&self.coinb2)),
            json!(self.branch.iter().map(hex::encode).collect::<Vec<_>>()),
            hex_u32(self.version),
            hex_u32(self.nbits.0),
            hex_u32(self.ntime),
        ];
        params.extend(self.clean.map(|clean| json!(clean)));
        Call { id: Id::Null, method: "mining.notify".to_owned(), params }
    }
}
