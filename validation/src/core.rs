//! A chain that Bitcoin Core's kernel validates.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, Transaction};
use bitcoinkernel::prelude::*;
use bitcoinkernel::{
    BlockValidationResult, BlockValidationStateRef, ChainType, ChainstateManager, ChainstateManagerBuilder,
    Context, ContextBuilder, Log, Logger, ValidationMode,
};
use node::Template;
use tempfile::TempDir;

use crate::network::{Net, SIGNET_CHALLENGE};
use crate::template;

/// Why Core rejects a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason as Core logs it: a word such as `bad-cb-height`, usually followed by an explanation.
    pub reason: String,
    /// Core's classification of the rejection; `None` if Core gives none.
    pub kind: Option<BlockValidationResult>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The last result that the kernel's callback gave for a block.
type Checked = Arc<Mutex<Option<(ValidationMode, BlockValidationResult)>>>;

/// A chain in memory that begins with its network's genesis block.
pub struct Core {
    chain: ChainstateManager,
    checked: Checked,
    net: Net,
    // The last two fields are dropped after the fields that use them.
    _context: Context,
    _directory: TempDir,
}

impl Core {
    /// A chain with only its genesis block.
    ///
    /// # Errors
    /// If the kernel does not start.
    pub fn new(net: Net) -> anyhow::Result<Self> {
        let checked = Checked::default();
        let result = checked.clone();
        let builder = ContextBuilder::new().with_block_checked_validation(
            move |_block: bitcoinkernel::Block, state: BlockValidationStateRef<'_>| {
                *lock(&result) = Some((state.mode(), state.result()));
            },
        );
        let builder = match net {
            Net::Regtest => builder.chain_type(ChainType::Regtest),
            Net::Testnet4 => builder.chain_type(ChainType::Testnet4),
            Net::Signet => builder.signet(&SIGNET_CHALLENGE),
        };
        let context = builder.build().context("the kernel's context")?;
        let directory = TempDir::new()?;
        let path = |name| {
            let path = directory.path().join(name);
            path.to_str().map(str::to_owned).context("the temporary directory's name")
        };
        let chain = ChainstateManagerBuilder::new(&context, &path("data")?, &path("blocks")?)?
            .block_tree_db_in_memory(true)
            .chainstate_db_in_memory(true)
            .build()
            .context("the kernel's chain")?;
        Ok(Core { chain, checked, net, _context: context, _directory: directory })
    }

    /// The network.
    pub fn net(&self) -> Net {
        self.net
    }

    /// Number of blocks after the genesis block.
    pub fn height(&self) -> u32 {
        self.chain.active_chain().height().try_into().unwrap_or_default()
    }

    /// The last block's hash.
    pub fn tip(&self) -> BlockHash {
        BlockHash::from_byte_array(self.chain.active_chain().tip().block_hash().to_bytes())
    }

    /// The template that a node would send at `now` (seconds since the Unix epoch) if its memory pool contained these
    /// transactions with these fees (satoshi). The pool's own code parses the template.
    ///
    /// # Errors
    /// If the template cannot be parsed.
    pub fn template(&self, now: u32, transactions: &[(Transaction, u64)]) -> anyhow::Result<Template> {
        let tip = self.chain.active_chain().tip();
        let json = template::json(self.net, &tip, now, transactions);
        Template::from_json(&json.to_string()).context("the template")
    }

    /// Submits a block to Core.
    ///
    /// # Errors
    /// The reason, if the block does not become Core's new tip.
    pub fn submit(&self, block: &Block) -> Result<(), Rejected> {
        let kernel_block = bitcoinkernel::Block::new(&encode::serialize(block));
        let kernel_block = kernel_block.expect("what the bitcoin crate writes, Core reads");
        // Bitcoin Core's kernel has one log for the whole process. Submissions take turns, so that each sees only its own lines.
        let turn = lock(&LOG_LOCK);
        let lines = Lines::default();
        let logger = Logger::new(LineCollector(lines.clone())).expect("the kernel's log");
        *lock(&self.checked) = None;
        let result = self.chain.process_block(&kernel_block);
        drop(logger);
        drop(turn);
        let checked = lock(&self.checked).take();
        let lines = lock(&lines);
        let valid = matches!(checked, Some((ValidationMode::Valid, _)));
        if result.is_new_block() && valid && self.tip() == block.block_hash() {
            return Ok(());
        }
        let kind = checked.map(|(_, kind)| kind).filter(|kind| *kind != BlockValidationResult::Unset);
        let reason = lines.iter().find_map(|line| reason(line));
        Err(Rejected {
            reason: reason.unwrap_or_else(|| format!("{result:?}, {checked:?}: {lines:?}")),
            kind,
        })
    }
}

/// The reason for a rejection in a line of Core's log.
fn reason(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("FAILED (").or_else(|| line.split_once(" failed, "))?;
    Some(rest.trim_end().trim_end_matches(')').to_owned())
}

/// Locked by the thread that submits a block and reads the log of libbitcoinkernel: the process has only one such log.
static LOG_LOCK: Mutex<()> = Mutex::new(());

type Lines = Arc<Mutex<Vec<String>>>;

struct LineCollector(Lines);

impl Log for LineCollector {
    fn log(&self, message: &str) {
        lock(&self.0).push(message.to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
