//! An SQLite database in a folder. One process at a time writes to the database; others may read it meanwhile. The users of
//! this crate define the tables and queries.

mod error;
mod folder;
mod kind;
mod values;
mod write;

pub use error::StoreError;
pub use folder::{FolderLock, has_column, make_durable, user_version};
pub use kind::FolderKind;
pub use values::{integer, now_ms, sum, unsigned};
pub use write::{CLOSE_TIMEOUT, is_disk_full, write_until_closed};
