//! Measures the disk that holds the state folders.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::suite::figure::quantile;

/// The number of fsyncs that are measured; the result is the median of their durations.
const TRIES: usize = 50;
/// The size of one write in bytes, equal to a page of SQLite.
const PAGE: usize = 4096;

/// The median duration of an fsync in a folder, in seconds.
pub fn fsync(folder: PathBuf) -> f64 {
    let folder = tempfile::tempdir_in(folder).expect("a temporary folder");
    let mut file = File::create(folder.path().join("page")).expect("a file");
    let mut once = || {
        let begun = Instant::now();
        file.write_all(&[7; PAGE]).and_then(|()| file.sync_all()).expect("room on the disk");
        begun.elapsed().as_secs_f64()
    };
    let times: Vec<f64> = (0..TRIES).map(|_| once()).collect();
    quantile(&times, 0.5)
}

/// The total size of all files in a folder, in bytes.
pub fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
