//! Options of the data folder.

use std::path::PathBuf;
use std::time::Duration;

use command_line::duration;
use task::BlockSourceSpec;

use crate::store::StoreOptions;

/// The data folder if `--data-dir` is absent, relative to the current folder. With the built-in chain, there is no default.
const DEFAULT_FOLDER: &str = "mesos-miner-pool";

/// Where accounts and found blocks are kept, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct DataArgs {
    /// Folder for the accounts and for found blocks that no node has judged yet. Default: ./mesos-miner-pool with nodes or
    /// an upstream pool; no folder with the built-in chain, which exists only while the pool runs
    #[arg(long, value_name = "DIR", env = "MINER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// How long rows of individual shares are kept in the accounts; totals are kept forever
    #[arg(long, value_name = "TIME", env = "MINER_RETENTION", default_value = "7d", value_parser = duration)]
    pub retention: Duration,
}

impl DataArgs {
    /// Where to keep the accounts; `None` for a built-in chain without `--data-dir`, since such a chain ends with the pool.
    pub(super) fn options(&self, source: &BlockSourceSpec) -> Option<StoreOptions> {
        let is_real = !matches!(source, BlockSourceSpec::Builtin { .. });
        (is_real || self.data_dir.is_some()).then(|| self.for_real_blocks())
    }

    /// Returns `--data-dir` if the user has given this option.
    pub fn given(&self) -> Option<&'static str> {
        self.data_dir.as_ref().map(|_| "--data-dir")
    }

    /// Where to keep the accounts of a pool that does not use the built-in chain.
    pub fn for_real_blocks(&self) -> StoreOptions {
        let folder = self.data_dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FOLDER));
        StoreOptions { folder, retention: self.retention }
    }
}
