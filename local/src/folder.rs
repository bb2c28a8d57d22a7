//! The folder for sandboxes and the ledger.
//!
//! A temporary one goes when the program ends, and what a killed program could not remove any more goes when the next one
//! starts: whoever uses a folder holds a lock on a file in it, which nothing but its end releases.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;
use tracing::debug;

/// Names of temporary folders begin like this.
const PREFIX: &str = "mesos-miner-local-";
/// The file that is locked.
const LOCK: &str = "lock";

/// Removed when it is dropped, if it is a temporary one.
pub(crate) enum Folder {
    Kept(PathBuf),
    Temporary { folder: TempDir, _lock: File },
}

impl Folder {
    /// That folder, or a temporary one.
    pub fn of(work_dir: Option<&Path>) -> anyhow::Result<Folder> {
        match work_dir {
            Some(path) => Ok(Folder::Kept(path.to_owned())),
            None => {
                let parent = std::env::temp_dir();
                sweep(&parent);
                temporary(&parent).context("cannot make a temporary folder; name one with --work-dir")
            }
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) => path,
            Folder::Temporary { folder, .. } => folder.path(),
        }
    }

    /// Removes a temporary folder, for an end at which nothing is dropped.
    pub fn remove(&self) {
        if let Folder::Temporary { folder, .. } = self {
            // There is nobody left to tell.
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

fn temporary(parent: &Path) -> io::Result<Folder> {
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
    // Under its name only when it is locked: a folder without that file is left alone.
    let fresh = folder.path().join("lock.new");
    let lock = File::create_new(&fresh)?;
    lock.try_lock()?;
    fs::rename(fresh, folder.path().join(LOCK))?;
    Ok(Folder::Temporary { folder, _lock: lock })
}

/// Removes what programs of the same user left behind that were killed.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX)) && is_abandoned(&entry) {
            let removed = fs::remove_dir_all(entry.path());
            debug!(folder = %entry.path().display(), ?removed, "left behind by a program that was killed");
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

    fn make(parent: &Path) -> Folder {
        let folder = temporary(parent).unwrap();
        fs::create_dir(folder.path().join("sandbox")).unwrap();
        folder
    }

    #[test]
    fn a_temporary_folder_goes_at_the_end() {
        let parent = tempfile::tempdir().unwrap();
        drop(make(parent.path()));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let folder = make(parent.path());
        folder.remove();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_the_killed_left_goes_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = make(parent.path());
        let Folder::Temporary { folder, _lock } = make(parent.path()) else { panic!("it is temporary") };
        // A killed program removes nothing, and releases its lock.
        let left = folder.keep();
        drop(_lock);
        let strangers = parent.path().join(format!("{PREFIX}without-a-lock"));
        fs::create_dir(&strangers).unwrap();
        sweep(parent.path());
        assert!(used.path().join("sandbox").exists() && strangers.exists());
        assert!(!left.exists());
    }
}
