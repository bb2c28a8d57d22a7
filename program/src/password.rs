//! A password in a file, where neither the list of processes nor the environment shows it.

use std::path::Path;

/// A password file is one line; whatever is longer is none.
const MAX_SIZE: u64 = 4096;

/// Reads the one line of a password file.
///
/// # Errors
/// If it can't be read, or is not one line.
pub fn read_password(path: &Path) -> anyhow::Result<String> {
    anyhow::ensure!(std::fs::metadata(path)?.len() <= MAX_SIZE, "it is longer than {MAX_SIZE} bytes");
    let text = std::fs::read_to_string(path)?;
    let line = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!line.is_empty() && !line.contains('\n'), "it is not one line");
    Ok(line.to_owned())
}
