//! Third-party programs that `scripts/peers` installs as peers for tests. `cargo test` itself never installs them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder in which `scripts/peers` has installed a peer; `None` if it is not installed.
pub fn folder(name: &str) -> Option<PathBuf> {
    let output = Command::new(root().join("scripts/peers")).args(["path", name]).output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    folder.join("installed").exists().then_some(folder)
}

/// Returns `found`. If it is `None`, prints that the test is skipped; the caller must then return.
///
/// # Panics
/// When `found` is `None` and `REQUIRE_PEERS=1`.
pub fn require<T>(name: &str, found: Option<T>) -> Option<T> {
    usable(found.ok_or_else(|| format!("{name} is not installed; scripts/test installs it")))
}

/// Returns what a test needs. If it cannot be used, prints why the test is skipped; the caller must then return.
///
/// # Panics
/// On an error when `REQUIRE_PEERS=1`.
pub fn usable<T>(needed: Result<T, String>) -> Option<T> {
    let why = match needed {
        Ok(needed) => return Some(needed),
        Err(why) => why,
    };
    let required = std::env::var("REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "REQUIRE_PEERS=1, but {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // The test harness would hide the output of eprintln! when the test passes.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
    None
}
