//! Found blocks that no node has judged yet, or that a node may still lose: one file each.
//!
//! `blocks/HASH.json` in the data folder contains the block as raw hex, some data about it, and whether a node has refused
//! it. The file is written before a node's verdict is counted, and renamed once the verdict is in the database: that of an
//! accepted block to `HASH.accepted`, that of a refused one to `HASH.refused.json`. The last few files of both kinds are kept. If node
//! and pool crash together, the node may come back without our last blocks, and then gets them again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bitcoin::consensus::encode;
use bitcoin::{Block, BlockHash};
use serde_json::{Value, json};

use crate::accounts::BlockRecord;
use crate::share::FoundBlock;

const PENDING: &str = "json";
const REFUSED: &str = "refused.json";
const ACCEPTED: &str = "accepted";
/// Maximum number of refused blocks whose files are kept.
const MAX_REFUSED: usize = 100;
/// Maximum number of accepted blocks whose files are kept, and their maximum size together. Bitcoin Core writes its state to disk
/// about once an hour: on the main network a few blocks, on regtest all of the last hundred.
const MAX_ACCEPTED: usize = 100;
const MAX_ACCEPTED_BYTES: u64 = 32 << 20;
/// Maximum size of a block's file in bytes: a block of 4 MB in hex, and some lines about the block.
const MAX_FILE: u64 = 10 << 20;

/// The folder that contains the files of found blocks.
#[derive(Clone, Debug)]
pub struct PendingBlocks {
    folder: PathBuf,
}

impl PendingBlocks {
    /// Opens the folder; creates it if it is missing.
    pub fn open(data: &Path) -> io::Result<Self> {
        let folder = data.join("blocks");
        fs::create_dir_all(&folder)?;
        Ok(PendingBlocks { folder })
    }

    /// The folder's path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the file of a block, and waits until the file is on disk.
    pub fn write(&self, found: &FoundBlock) -> io::Result<()> {
        let hash = found.block.block_hash();
        let content = json!({
            "hash": hash.to_string(),
            "height": found.height,
            "previous": found.block.header.prev_blockhash.to_string(),
            "worker": &*found.worker,
            "found": found.at,
            "state": "submitted",
            "block": encode::serialize_hex(&*found.block),
        });
        self.write_file(&self.file(hash, PENDING), &content)
    }

    /// Renames the file of a block whose verdict is in the database, and removes the oldest files.
    pub fn judged(&self, record: &BlockRecord) -> io::Result<()> {
        let path = self.file(record.hash, PENDING);
        let Some(reason) = &record.refused else { return self.keep(&record.hash.to_string()) };
        let mut content = match read_json(&path) {
            // There is no file for a block of the built-in chain.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            content => content?,
        };
        content["state"] = json!(format!("refused: {reason}"));
        self.write_file(&self.file(record.hash, REFUSED), &content)?;
        remove_file(&path)?;
        self.remove_oldest(|name| name.ends_with(REFUSED), MAX_REFUSED, u64::MAX)
    }

    /// Reads the pending blocks. A file that cannot be read is logged and stays unchanged.
    pub fn read_all(&self) -> io::Result<Vec<FoundBlock>> {
        self.read(is_pending)
    }

    /// Reads the last blocks that a node has accepted. A file that cannot be read is logged and stays unchanged.
    pub fn read_accepted(&self) -> io::Result<Vec<FoundBlock>> {
        self.read(is_accepted)
    }

    fn read(&self, wanted: fn(&str) -> bool) -> io::Result<Vec<FoundBlock>> {
        let mut blocks = Vec::new();
        for path in self.files(wanted)? {
            let found = read_json(&path).and_then(|content| {
                parse_block(&content)
                    .ok_or_else(|| io::Error::other("it does not have the format that this program writes"))
            });
            match found {
                Ok(found) => blocks.push(found),
                Err(error) => {
                    let path = path.display();
                    tracing::error!(%path, %error, "a found block cannot be read: submit it by hand");
                }
            }
        }
        Ok(blocks)
    }

    /// The hashes of the pending blocks, which are their files' names.
    pub(super) fn hashes(&self) -> io::Result<Vec<String>> {
        let hash = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        Ok(self.files(is_pending)?.into_iter().filter_map(hash).collect())
    }

    /// Renames the file of a pending block that a node has accepted.
    pub(super) fn keep(&self, hash: &str) -> io::Result<()> {
        let path = |kind| self.folder.join(format!("{hash}.{kind}"));
        match fs::rename(path(PENDING), path(ACCEPTED)) {
            // There is no file for a block of the built-in chain, nor for one that was judged before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.remove_oldest(is_accepted, MAX_ACCEPTED, MAX_ACCEPTED_BYTES),
        }
    }

    /// Keeps this many of the newest files, and no more bytes.
    fn remove_oldest(&self, wanted: fn(&str) -> bool, count: usize, mut bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for path in self.files(wanted)? {
            let metadata = fs::metadata(&path)?;
            files.push((metadata.modified()?, metadata.len(), path));
        }
        files.sort_unstable();
        for (index, (_, size, path)) in files.into_iter().rev().enumerate() {
            bytes = bytes.saturating_sub(size);
            if index >= count || bytes == 0 {
                remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn files(&self, wanted: fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(wanted) {
                files.push(path);
            }
        }
        Ok(files)
    }

    fn file(&self, hash: BlockHash, kind: &str) -> PathBuf {
        self.folder.join(format!("{hash}.{kind}"))
    }

    /// Writes a file completely or not at all.
    fn write_file(&self, path: &Path, content: &Value) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{content:#}")?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        // A rename is safe from a power failure only after the folder is synced, too.
        File::open(&self.folder)?.sync_all()
    }
}

fn is_pending(name: &str) -> bool {
    name.ends_with(".json") && !name.ends_with(REFUSED)
}

fn is_accepted(name: &str) -> bool {
    name.strip_suffix(ACCEPTED).is_some_and(|hash| hash.ends_with('.'))
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_json(path: &Path) -> io::Result<Value> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other("no block is that large"));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn parse_block(content: &Value) -> Option<FoundBlock> {
    let number = |name: &str| u32::try_from(content.get(name)?.as_u64()?).ok();
    let text = |name: &str| content.get(name)?.as_str();
    let block: Block = encode::deserialize_hex(text("block")?).ok()?;
    let (height, at) = (number("height")?, number("found")?);
    Some(FoundBlock { worker: text("worker")?.into(), height, at, block: Box::new(block) })
}
