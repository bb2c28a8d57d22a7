//! A program with a folder on a disk of its own, which can be filled. The disk is a tmpfs in a mount namespace, so only the program
//! and its children see it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::process::{Process, start};

/// The usual size of the disk. The database and its log fit.
const SIZE: &str = "16m";

/// A running program, and its disk.
pub struct OnSmallDisk {
    pub process: Process,
    folder: TempDir,
}

impl OnSmallDisk {
    /// Whether this system lets a user mount a tmpfs. If not, the test is skipped, unless peers are required.
    pub fn is_possible() -> bool {
        let mount = ["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
        let mounted =
            Command::new("unshare").args(mount).output().is_ok_and(|output| output.status.success());
        super::peer::require("a user namespace with mounts (unshare -rm)", mounted.then_some(())).is_some()
    }

    /// Starts the program under test. `arguments` gets the path of the disk.
    pub fn start(arguments: impl FnOnce(&str) -> Vec<String>) -> Self {
        OnSmallDisk::of_size(SIZE, arguments)
    }

    /// Like [`start`](Self::start), with a disk of this size, such as `64k`.
    pub fn of_size(size: &str, arguments: impl FnOnce(&str) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = folder.path().to_str().expect("a plain path").to_owned();
        let script = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"");
        let words = ["-rm", "sh", "-c", &script, &disk, env!("CARGO_BIN_EXE_mesos-miner")];
        let words = words.into_iter().map(str::to_owned).chain(arguments(&disk));
        OnSmallDisk { process: start("unshare", words), folder }
    }

    /// A file on the disk that takes its room, as seen from this process.
    fn filler(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.process.id());
        PathBuf::from(root + self.folder.path().to_str().expect("a plain path")).join("filler")
    }

    /// Fills the disk.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file on the disk");
        // The last write takes what is left of the disk.
        let mut full = false;
        for size in [4096, 1] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
            full = file.write_all(&[1]).is_err();
        }
        assert!(full);
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).expect("the disk was filled");
    }
}
