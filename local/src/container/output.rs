//! The output files of a container, stdout and stderr, whose size is limited.
//!
//! The process writes to the files itself, not to a pipe that this program reads, so the process keeps running if this program
//! dies. A file that has become too long is copied to another name and emptied.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use tracing::warn;

/// Maximum size of an output file in bytes. A longer file is copied to `NAME.1` and emptied.
const MAX_OUTPUT: u64 = 8 << 20;

/// Opens an output file for appending.
pub fn open(sandbox: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(sandbox.join(name))
}

/// Copies each output file that is longer than `MAX_OUTPUT` to `NAME.1`, and empties the file.
pub fn bound(sandbox: &Path) {
    for name in ["stdout", "stderr"] {
        if let Err(error) = bound_one(sandbox, name, MAX_OUTPUT) {
            warn!(%error, sandbox = %sandbox.display(), name, "cannot bound an output file");
        }
    }
}

fn bound_one(sandbox: &Path, name: &str, max: u64) -> io::Result<()> {
    let path = sandbox.join(name);
    // The process may have removed the file from its sandbox.
    let Ok(metadata) = std::fs::metadata(&path) else { return Ok(()) };
    if metadata.len() <= max {
        return Ok(());
    }
    std::fs::copy(&path, sandbox.join(format!("{name}.1")))?;
    OpenOptions::new().write(true).open(&path)?.set_len(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn long_output_is_moved_aside() {
        let sandbox = tempfile::tempdir().unwrap();
        let mut file = open(sandbox.path(), "stdout").unwrap();
        file.write_all(b"0123456789").unwrap();
        bound_one(sandbox.path(), "stdout", 10).unwrap();
        assert!(!sandbox.path().join("stdout.1").exists());
        file.write_all(b"x").unwrap();
        bound_one(sandbox.path(), "stdout", 10).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(sandbox.path().join("stdout.1")).unwrap(), b"0123456789x");
        assert_eq!(std::fs::read(sandbox.path().join("stdout")).unwrap(), b"new");
    }
}
