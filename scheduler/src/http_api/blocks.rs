//! The workers that have found blocks. Heights and hashes are known to the pool server, see its own HTTP API.

use std::borrow::Cow;

use api::Listing;
use api::list::{Key, KeyOf, Row, Search};
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::BlockFinder;

/// A worker that has found blocks. The blocks of all rows are those of the totals.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Blocks)]
pub(crate) struct BlocksJson<'a> {
    /// The worker's name, which is its task id; `(retired)` for all tasks that have ended long ago.
    worker: &'a str,
    /// The host name of the worker's agent, as long as the task is known.
    host: Option<&'a str>,
    /// The number of blocks.
    blocks: u64,
    /// Accepted shares that met the network's target.
    candidates: u64,
    /// How many of the blocks have left the node's chain.
    orphaned: u64,
    /// How long ago the scheduler learned of the last block; null if that was before its start.
    last_seconds_ago: Option<u64>,
}

impl<'a> From<&'a BlockFinder> for BlocksJson<'a> {
    fn from(finder: &'a BlockFinder) -> Self {
        Self {
            worker: &finder.worker,
            host: finder.host.as_deref(),
            blocks: finder.blocks,
            candidates: finder.candidates,
            orphaned: finder.orphaned,
            last_seconds_ago: finder.last.map(|ago| ago.as_secs()),
        }
    }
}

impl Listing for BlockFinder {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("worker", |finder| finder.worker.as_str().into()),
        ("host", |finder| finder.host.as_deref().map_or(Key::Missing, Key::from)),
        ("blocks", |finder| Key::Number(finder.blocks as f64)),
        ("orphaned", |finder| Key::Number(finder.orphaned as f64)),
        // The latest is the one that is the fewest seconds ago.
        ("last", |finder| Key::number(finder.last.map(|ago| -ago.as_secs_f64()))),
    ];
}

impl Row for BlockFinder {
    fn id(&self) -> Cow<'_, str> {
        self.worker.as_str().into()
    }

    fn is_after(&self, id: &str) -> bool {
        self.worker.as_str() > id
    }

    fn has(&self, search: Search<'_>) -> bool {
        search.is_in(&self.worker) || self.host.as_deref().is_some_and(|host| search.is_in(host))
    }
}
