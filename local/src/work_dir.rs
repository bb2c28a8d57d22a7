//! The folder for sandboxes and the ledger.
//!
//! A temporary folder is removed when the program ends. If the program is killed, the next run removes the folder: each program
//! locks a file in its folder until it ends, so an unlocked folder is abandoned.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;
use tracing::debug;

/// The names of temporary work folders begin with this.
const PREFIX: &str = "mesos-miner-local-";
/// A file in a temporary work folder, locked while the program runs. A folder whose file is not locked belongs to a killed
/// program and is removed.
const LOCK: &str = "lock";

/// The folder. Dropping this value removes a temporary folder.
pub(crate) enum WorkDir {
    Given(PathBuf),
    Temporary { folder: TempDir, _lock: File },
}

impl WorkDir {
    /// The folder at `path`, or a temporary one.
    pub fn new(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            Some(path) => Ok(Self::Given(path.to_owned())),
            None => {
                let parent = std::env::temp_dir();
                remove_abandoned(&parent);
                temporary(&parent).context("cannot make a temporary folder; name one with --work-dir")
            }
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            WorkDir::Given(path) => path,
            WorkDir::Temporary { folder, .. } => folder.path(),
        }
    }

    /// The folder's path if it is temporary. Remove it before the process exits without running destructors.
    pub fn temporary(&self) -> Option<PathBuf> {
        match self {
            WorkDir::Given(_) => None,
            WorkDir::Temporary { folder, .. } => Some(folder.path().to_owned()),
        }
    }
}

fn temporary(parent: &Path) -> io::Result<WorkDir> {
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
    // The lock file gets its final name only once it is locked; `remove_abandoned` ignores folders without a lock file.
    let fresh = folder.path().join("lock.new");
    let lock = File::create_new(&fresh)?;
    lock.try_lock()?;
    fs::rename(fresh, folder.path().join(LOCK))?;
    Ok(WorkDir::Temporary { folder, _lock: lock })
}

/// Removes the temporary folders of this user's killed programs.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX)) && is_abandoned(&entry) {
            let removed = fs::remove_dir_all(entry.path());
            debug!(folder = %entry.path().display(), ?removed, "removed the folder of a program that was killed");
        }
    }
}

fn is_abandoned(entry: &fs::DirEntry) -> bool {
    let is_ours = entry
        .metadata()
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw());
    is_ours && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(parent: &Path) -> WorkDir {
        let folder = temporary(parent).unwrap();
        fs::create_dir(folder.path().join("sandbox")).unwrap();
        folder
    }

    #[test]
    fn a_temporary_folder_is_removed_at_the_end() {
        let parent = tempfile::tempdir().unwrap();
        drop(make(parent.path()));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let folder = make(parent.path());
        assert_eq!(folder.temporary().as_deref(), Some(folder.path()));
        assert_eq!(WorkDir::Given("x".into()).temporary(), None);
    }

    #[test]
    fn the_folders_of_killed_programs_are_removed_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let used = make(parent.path());
        let WorkDir::Temporary { folder, _lock } = make(parent.path()) else { panic!("it is temporary") };
        // A killed program leaves its folder behind, and releases its lock.
        let left = folder.keep();
        drop(_lock);
        let without_lock = parent.path().join(format!("{PREFIX}without-a-lock"));
        fs::create_dir(&without_lock).unwrap();
        remove_abandoned(parent.path());
        assert!(used.path().join("sandbox").exists() && without_lock.exists());
        assert!(!left.exists());
    }
}
