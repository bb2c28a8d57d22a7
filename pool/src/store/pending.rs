//! Found blocks that no node has judged yet: one file each.
//!
//! `blocks/HASH.json` in the data folder has the block as raw hex and what happened to it so far. It is there before
//! any node's answer counts, and goes away when the answer is in the database. A block that was refused leaves its file
//! behind, as `HASH.refused.json`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bitcoin::consensus::encode;
use bitcoin::{Block, BlockHash};
use serde_json::{Value, json};

use crate::accounts::BlockRecord;
use crate::share::FoundBlock;

const WAITING: &str = "json";
const REFUSED: &str = "refused.json";
/// Files of refused blocks that are kept.
const MAX_REFUSED: usize = 100;
/// No block is larger: 4 MB in hex, and what is said about it.
const MAX_FILE: u64 = 10 << 20;

/// The folder of these files.
#[derive(Clone, Debug)]
pub struct PendingBlocks {
    folder: PathBuf,
}

impl PendingBlocks {
    /// Makes the folder where it is missing.
    pub fn open(data: &Path) -> io::Result<PendingBlocks> {
        let folder = data.join("blocks");
        fs::create_dir_all(&folder)?;
        Ok(PendingBlocks { folder })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a block down; when this returns, the disk has it.
    pub fn keep(&self, found: &FoundBlock) -> io::Result<()> {
        let hash = found.block.block_hash();
        let content = json!({
            "hash": hash.to_string(),
            "height": found.height,
            "previous": found.block.header.prev_blockhash.to_string(),
            "worker": &*found.worker,
            "found": found.at,
            "state": "no node has answered yet",
            "block": encode::serialize_hex(&*found.block),
        });
        self.write(&self.file(hash, WAITING), &content)
    }

    /// Lets go of a block whose verdict is in the database.
    pub fn settle(&self, record: &BlockRecord) -> io::Result<()> {
        let path = self.file(record.hash, WAITING);
        let Some(reason) = &record.refused else { return removed(&path) };
        let mut content = match read(&path) {
            // A source that keeps no files, such as the built-in chain.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            content => content?,
        };
        content["state"] = json!(format!("refused: {reason}"));
        self.write(&self.file(record.hash, REFUSED), &content)?;
        removed(&path)?;
        self.forget_old()
    }

    /// The blocks that still wait. What can't be read is named in the log and left where it is.
    pub fn waiting(&self) -> io::Result<Vec<FoundBlock>> {
        let mut blocks = Vec::new();
        for path in self.files(is_waiting)? {
            let found = read(&path).and_then(|content| {
                found(&content).ok_or_else(|| io::Error::other("it does not have what this program writes"))
            });
            match found {
                Ok(found) => blocks.push(found),
                Err(error) => {
                    let path = path.display();
                    tracing::error!(%path, %error, "a found block can't be read: submit it by hand");
                }
            }
        }
        Ok(blocks)
    }

    /// The names of the blocks that still wait, by their files.
    pub(super) fn hashes(&self) -> io::Result<Vec<String>> {
        let hash = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        Ok(self.files(is_waiting)?.into_iter().filter_map(hash).collect())
    }

    /// Lets go of a block.
    pub(super) fn forget(&self, hash: &str) -> io::Result<()> {
        removed(&self.folder.join(format!("{hash}.{WAITING}")))
    }

    fn forget_old(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for path in self.files(|name| name.ends_with(REFUSED))? {
            files.push((fs::metadata(&path)?.modified()?, path));
        }
        files.sort();
        let excess = files.len().saturating_sub(MAX_REFUSED);
        files.into_iter().take(excess).try_for_each(|(_, path)| removed(&path))
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

    /// Whole or not at all.
    fn write(&self, path: &Path, content: &Value) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{content:#}")?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        // The name, too.
        File::open(&self.folder)?.sync_all()
    }
}

fn is_waiting(name: &str) -> bool {
    name.ends_with(".json") && !name.ends_with(REFUSED)
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> io::Result<Value> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other("no block is that large"));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn found(content: &Value) -> Option<FoundBlock> {
    let number = |name: &str| u32::try_from(content.get(name)?.as_u64()?).ok();
    let text = |name: &str| content.get(name)?.as_str();
    let block: Block = encode::deserialize_hex(text("block")?).ok()?;
    let (height, at) = (number("height")?, number("found")?);
    Some(FoundBlock { worker: text("worker")?.into(), height, at, block: Box::new(block) })
}
