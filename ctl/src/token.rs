//! The token in a file.

use std::path::Path;

use anyhow::{Context, ensure};

/// Maximum size of a file with tokens, in bytes.
const MAX_SIZE: u64 = 64 * 1024;

/// The first token in a file: a line `TOKEN` or `NAME:TOKEN`. Empty lines and those that begin with `#` do not count.
///
/// # Errors
/// If the file cannot be read, or has no token.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let shown = || format!("--token-file {}", path.display());
    let size = std::fs::metadata(path).with_context(shown)?.len();
    ensure!(size <= MAX_SIZE, "{} has more than {MAX_SIZE} bytes", shown());
    let text = std::fs::read_to_string(path).with_context(shown)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().with_context(|| format!("{} has no token", shown()))?;
    let token = line.split_once(':').map_or(line, |(_, token)| token);
    let is_visible = |c: char| c.is_ascii_graphic();
    ensure!(!token.is_empty() && token.chars().all(is_visible), "{} has no token in its first line", shown());
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let read_text = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(read_text("# tokens\n\n alice:abc=:d \nbob:x\n").unwrap(), "abc=:d");
        assert_eq!(read_text("abc\n").unwrap(), "abc");
        assert!(read_text("# none\n").unwrap_err().contains("has no token"));
        assert!(read_text("a:b\u{7f}c").unwrap_err().contains("in its first line"));
        assert!(read(&folder.path().join("missing")).is_err());
    }
}
