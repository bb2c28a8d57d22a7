//! Warns about files with secrets that all users of this machine may read.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static WARNINGS: Mutex<Warnings> =
    Mutex::new(Warnings { log_started: false, waiting: Vec::new(), files: BTreeSet::new() });

/// The warnings of this process.
struct Warnings {
    log_started: bool,
    /// What is to be logged when the log starts: files named in addresses are read while the command line is parsed.
    waiting: Vec<String>,
    /// The files that a warning names.
    files: BTreeSet<PathBuf>,
}

impl Warnings {
    /// Adds the warning about a file; nothing for the second time. Returns the warnings to log now.
    fn add(&mut self, option: &str, path: &Path) -> Vec<String> {
        let Some(mode) = exposed_mode(path) else { return Vec::new() };
        if self.files.insert(path.to_owned()) {
            let file = path.display();
            let warning = format!(
                "everybody on this machine may read {option} {file} (mode {mode:o}): run chmod o= {file}"
            );
            self.waiting.push(warning);
        }
        if self.log_started { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }

    /// The log has started. Returns the warnings that waited for it.
    fn start_log(&mut self) -> Vec<String> {
        self.log_started = true;
        std::mem::take(&mut self.waiting)
    }
}

/// Warns, once for each file, if users other than the owner and the file's group may read a file with a secret. Mesos itself judges
/// its files of credentials in the same way; files that are meant for one group of users are common. Before the log starts, the
/// warning waits for it.
pub fn warn_if_exposed(option: &str, path: &Path) {
    change(|warnings| warnings.add(option, path));
}

/// Warns, as [`warn_if_exposed`] does, about a file whose text contains an address with a password; a file of addresses alone is no
/// secret.
pub fn warn_if_password_exposed(option: &str, path: &Path, text: &str) {
    if has_password(text) {
        warn_if_exposed(option, path);
    }
}

/// Logs the warnings that waited for the log, and from now on each warning at once.
pub(crate) fn log_started() {
    change(Warnings::start_log);
}

fn change(change: impl FnOnce(&mut Warnings) -> Vec<String>) {
    let due = change(&mut WARNINGS.lock().unwrap_or_else(PoisonError::into_inner));
    for warning in due {
        tracing::warn!("{warning}");
    }
}

/// Whether one of the words is an address with `USER:PASSWORD@`.
fn has_password(text: &str) -> bool {
    text.split_whitespace().any(|word| {
        let authority = word.split_once("://").map_or(word, |(_, authority)| authority);
        authority.rsplit_once('@').is_some_and(|(who, _)| who.contains(':'))
    })
}

/// The permissions of a file that all users may read; `None` if they may not, or the file cannot be looked at.
fn exposed_mode(path: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o004 != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_that_all_may_read_is_told_by_its_mode() {
        for (mode, exposed) in [(0o600, None), (0o640, None), (0o644, Some(0o644)), (0o604, Some(0o604))] {
            assert_eq!(exposed_mode(file(mode).path()), exposed, "{mode:o}");
        }
        assert_eq!(exposed_mode(Path::new("/dev/null")), None);
    }

    #[test]
    fn warnings_wait_for_the_log_and_name_each_file_once() {
        let mut warnings = Warnings { log_started: false, waiting: Vec::new(), files: BTreeSet::new() };
        let (first, second, closed) = (file(0o644), file(0o644), file(0o600));
        assert!(warnings.add("--zk", first.path()).is_empty());
        assert!(warnings.add("--zk", first.path()).is_empty());
        let told = warnings.start_log();
        assert!(told.len() == 1 && told[0].contains("--zk") && told[0].contains("chmod o="), "{told:?}");
        assert!(warnings.add("--master", first.path()).is_empty());
        assert!(warnings.add("--master", closed.path()).is_empty());
        assert_eq!(warnings.add("--bitcoind", second.path()).len(), 1);
    }

    #[test]
    fn only_addresses_with_a_password_are_secrets() {
        for (text, expected) in [
            ("zk://me:s3cret@z1:2181,z2/mesos\n", true),
            ("http://b:1\nhttp://me:s3cret@c:1\n", true),
            ("me:p@ss@c:1", true),
            ("zk://z1:2181,z2:2181/mesos\n", false),
            ("http://me@c:1", false),
            ("127.0.0.1:5050", false),
            ("", false),
        ] {
            assert_eq!(has_password(text), expected, "{text}");
        }
    }
}
