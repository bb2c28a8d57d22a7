//! Errors of folders and databases.

use std::io;
use std::path::{Path, PathBuf};

use crate::kind::FolderKind;

/// SQLite's primary result codes are at most this; an extended code has the primary code in its lowest 8 bits.
const PRIMARY_CODES: i32 = 255;

/// Why a folder or its database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder or a file in it cannot be created, opened or written.
    #[error("cannot use {} {} ({})", kind.name, path.display(), kind.option)]
    Io {
        /// The kind of folder.
        kind: &'static FolderKind,
        /// The folder or file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Another process writes to the folder.
    #[error("{} {} is in use by another {}; give this one its own with {}", kind.name, path.display(), kind.program, kind.option)]
    Locked {
        /// The kind of folder.
        kind: &'static FolderKind,
        /// The folder.
        path: PathBuf,
    },
    /// The file is not an SQLite database, or belongs to another program.
    #[error("{} is not a {}'s database; move it away, or give another folder with {}", path.display(), kind.program, kind.option)]
    Foreign {
        /// The kind of folder.
        kind: &'static FolderKind,
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote the database.
    #[error(
        "{} has format {found}; this program knows formats up to {known}: start the newer program that wrote it{}",
        path.display(),
        way_back(copy.as_deref(), path)
    )]
    Format {
        /// The database.
        path: PathBuf,
        /// The format of the database, which this program does not know.
        found: i64,
        /// The latest format that this program can read and write.
        known: i64,
        /// The copy of the database in the format `known`, if the newer program left such a copy.
        copy: Option<PathBuf>,
    },
    /// The disk has no room for the database.
    #[error("the disk of {} {} is full: make room on it, or give another folder with {}", kind.name, folder.display(), kind.option)]
    DiskFull {
        /// The kind of folder.
        kind: &'static FolderKind,
        /// The folder.
        folder: PathBuf,
    },
    /// SQLite cannot open, read or write the database.
    #[error(
        "cannot use {} ({}); repair it with sqlite3, restore a backup, or start afresh with another {}",
        path.display(),
        reason(error),
        kind.option
    )]
    Database {
        /// The kind of folder.
        kind: &'static FolderKind,
        /// The database.
        path: PathBuf,
        /// SQLite's error. It is a part of the message and not its source, because its own source repeats its text.
        error: rusqlite::Error,
    },
    /// There is no database to read.
    #[error("there {} in {}; give the {}'s {} with {}", kind.missing, path.display(), kind.program, kind.name, kind.option)]
    Missing {
        /// The kind of folder.
        kind: &'static FolderKind,
        /// The folder.
        path: PathBuf,
    },
    /// The changes that were still queued when the database was closed could not be written.
    #[error("{lost} could not be written: {why}")]
    Unwritten {
        /// What is lost, such as `6 changes`.
        lost: String,
        /// Why, with the folder: see [`FolderKind::write_failure`].
        why: String,
    },
}

/// SQLite's words, and its number if that says more than the words.
fn reason(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(detail) if detail.extended_code > PRIMARY_CODES => {
            format!("{error}, SQLite error {}", detail.extended_code)
        }
        _ => error.to_string(),
    }
}

fn way_back(copy: Option<&Path>, path: &Path) -> String {
    let name = path.display();
    let text = |copy: &Path| {
        format!(", or downgrade: delete {name}-wal and {name}-shm, then move {} to {name}", copy.display())
    };
    copy.map(text).unwrap_or_default()
}
