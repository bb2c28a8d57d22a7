//! The last found blocks.

use std::borrow::Cow;
use std::cmp::Reverse;

use api::list::{self, Key, KeyOf, Row, Search};
use api::{JsonText, Listing, Page, PageQuery, RequestError};
use axum::extract::State;
use bitcoin::BlockHash;
use serde::Serialize;
use utoipa::ToSchema;

use super::page;
use crate::accounts::{BlockState, BlockSummary};
use crate::handle::PoolHandle;

/// A found block.
#[derive(Serialize, ToSchema)]
pub struct Block {
    /// The block's hash.
    hash: String,
    /// The block's height.
    height: u32,
    /// When it was found, in seconds since the Unix epoch.
    found: u32,
    /// The worker that found it.
    worker: String,
    /// Number of its transactions, including the coinbase.
    transactions: usize,
    /// What its coinbase pays, in satoshi.
    value: u64,
    /// The pool's accepted work since the block before was found, in percent of what a block takes on average; null if it is
    /// unknown, because an earlier version of this program found this block or the one before.
    effort: Option<f64>,
    /// What has become of it: `candidate` has no verdict yet, `accepted` is in the chain, `orphaned` has left it, `lost` was accepted
    /// and no node has it any more, `rejected` was never accepted.
    state: StateName,
    /// Why it was rejected or lost: the node's word.
    reason: Option<String>,
}

/// What has become of a block.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Candidate,
    Accepted,
    Orphaned,
    Lost,
    Rejected,
}

/// The place of a block in the list: the newest come first.
type Place = (u32, u32, BlockHash);

fn place(block: &BlockSummary) -> Place {
    (block.found, block.height, block.hash)
}

/// The place of the block with this id.
fn place_of(id: &str) -> Option<Place> {
    let (found, rest) = id.split_once('-')?;
    let (height, hash) = rest.split_once('-')?;
    Some((found.parse().ok()?, height.parse().ok()?, hash.parse().ok()?))
}

impl Listing for BlockSummary {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("found", |block| Key::Number(block.found.into())),
        ("height", |block| Key::Number(block.height.into())),
        ("effort", |block| Key::number(block.effort)),
        ("worker", |block| (&*block.worker).into()),
        ("state", |block| block.state.named().0.into()),
    ];
}

impl Row for BlockSummary {
    fn id(&self) -> Cow<'_, str> {
        let (found, height, hash) = place(self);
        format!("{found}-{height}-{hash}").into()
    }

    fn is_after(&self, id: &str) -> bool {
        place_of(id).is_some_and(|other| place(self) < other)
    }

    fn has(&self, search: Search<'_>) -> bool {
        let (state, reason) = self.state.named();
        search.is_in(&self.worker)
            || search.is_in(state)
            || reason.is_some_and(|reason| search.is_in(reason))
            || search.is_in(&self.hash.to_string())
    }
}

/// The last 1,000 blocks that miners have found, whatever has become of them; the newest first unless asked otherwise. With a data
/// folder, also those of earlier runs. `search` looks at hash, worker, state and reason.
#[utoipa::path(
    get,
    path = "/api/v1/blocks",
    tag = "pool",
    params(PageQuery<BlockSummary>),
    responses((status = 200, description = "A page of the blocks.", body = Page<Block>), RequestError)
)]
pub async fn blocks(
    State(pool): State<PoolHandle>,
    query: PageQuery<BlockSummary>,
) -> Result<JsonText, RequestError> {
    page(move || {
        let mut blocks = pool.blocks();
        blocks.sort_unstable_by_key(|block| Reverse(place(block)));
        Ok(list::page(blocks.iter(), &query)?.into_page(Block::from))
    })
    .await
}

impl From<&BlockSummary> for Block {
    fn from(block: &BlockSummary) -> Self {
        let (_, reason) = block.state.named();
        Block {
            hash: block.hash.to_string(),
            height: block.height,
            found: block.found,
            worker: block.worker.to_string(),
            transactions: block.transactions,
            value: block.value.to_sat(),
            effort: block.effort,
            state: (&block.state).into(),
            reason: reason.map(str::to_owned),
        }
    }
}

impl From<&BlockState> for StateName {
    fn from(state: &BlockState) -> Self {
        match state {
            BlockState::Candidate => StateName::Candidate,
            BlockState::Accepted => StateName::Accepted,
            BlockState::Orphaned => StateName::Orphaned,
            BlockState::Lost(_) => StateName::Lost,
            BlockState::Rejected(_) => StateName::Rejected,
        }
    }
}
