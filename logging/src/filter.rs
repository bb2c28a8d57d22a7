//! The filter of what is logged. It is read from a file or from `RUST_LOG`; otherwise it is the default.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::{Registry, reload};

/// The longest file with a filter, in bytes.
const LONGEST: u64 = 4096;

/// Why the user's log filter cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The text is neither a level nor a filter.
    #[error(
        "{}: {text:?} is not what to log: write a level (error, warn, info, debug or trace), or a filter such as \
         warn,scheduler=debug", path.display()
    )]
    Filter {
        /// The file.
        path: PathBuf,
        /// The part that is wrong, or the file's first line.
        text: String,
    },
    /// The text in the environment variable is neither a level nor a filter.
    #[error(
        "RUST_LOG: {text:?} is not what to log: write a level (error, warn, info, debug or trace), or a filter such as \
         warn,scheduler=debug"
    )]
    Variable {
        /// The part that is wrong.
        text: String,
    },
}

/// The file that contains the filter of log messages.
struct FilterFile {
    path: PathBuf,
    /// The content of the file when it was last read.
    text: Mutex<String>,
    /// Replaces the filter in use.
    handle: reload::Handle<Targets, Registry>,
}

static FILE: OnceLock<FilterFile> = OnceLock::new();

/// The layer that filters the program's log messages. If a `file` is given, the filter can later be replaced by the file's new
/// content.
pub(super) fn layer(
    default: &str,
    file: Option<&Path>,
) -> Result<reload::Layer<Targets, Registry>, FilterError> {
    let Some(path) = file else {
        let filter = from_variable().map_err(|text| FilterError::Variable { text })?;
        return Ok(reload::Layer::new(filter.unwrap_or_else(|| by_default(default))).0);
    };
    let (text, filter) = read(path)?;
    let (layer, handle) = reload::Layer::new(filter);
    // `init` is called once in a process.
    let _ = FILE.set(FilterFile { path: path.to_owned(), text: Mutex::new(text), handle });
    Ok(layer)
}

/// The filter in `RUST_LOG`; `None` without this variable.
///
/// # Errors
/// The wrong part of the variable, if the variable is not a filter.
pub(super) fn from_variable() -> Result<Option<Targets>, String> {
    match std::env::var_os("RUST_LOG") {
        Some(text) if !text.is_empty() => parse(&text.to_string_lossy()).map(Some),
        _ => Ok(None),
    }
}

/// The default filter. It suppresses the warnings of some libraries, because this program itself reports problems with ZooKeeper
/// and name servers.
pub(super) fn by_default(filter: &str) -> Targets {
    let quiet = ["zookeeper_client", "hickory_net", "hickory_proto", "hickory_resolver"];
    let filter: Targets = filter.parse().expect("the defaults are filters");
    filter.with_targets(quiet.map(|library| (library, LevelFilter::ERROR)))
}

/// Reads a filter. A part without `=` must be a level. Otherwise a mistyped level would count as the name of a crate, and only
/// that crate would write logs. Names of spans (`[name]`) are not allowed, because the library would treat them as names of
/// crates.
fn parse(text: &str) -> Result<Targets, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let is_crate = |name: &str| name.chars().all(|c| c.is_alphanumeric() || "_-:".contains(c));
    let is_right = |part: &str| match part.split_once('=') {
        Some((name, level)) => is_crate(name) && is_level(level),
        None => is_level(part),
    };
    let mut parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    match parts.find(|part| !is_right(part)) {
        Some(part) => Err(shown(part)),
        None => text.parse().map_err(|_| shown(text)),
    }
}

/// The beginning of a text, for an error.
fn shown(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(80).collect()
}

/// Reads the filter's file again, if there is one. Returns the file's path, and whether the file's content has changed. If the
/// file has no valid filter, the previous filter stays in use, and the error is returned.
pub fn reread_filter() -> Option<(PathBuf, Result<bool, String>)> {
    let file = FILE.get()?;
    let mut before = file.text.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = read(&file.path).map_err(|error| error.to_string()).and_then(|(text, filter)| {
        if *before == text {
            return Ok(false);
        }
        file.handle.reload(filter).map_err(|error| error.to_string())?;
        *before = text;
        Ok(true)
    });
    Some((file.path.clone(), outcome))
}

fn read(path: &Path) -> Result<(String, Targets), FilterError> {
    let mut text = String::new();
    let file = fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    file.map_err(|source| FilterError::Read { path: path.to_owned(), source })?;
    let text = text.trim();
    let wrong = |text| FilterError::Filter { path: path.to_owned(), text };
    if text.is_empty() || text.contains('\n') {
        return Err(wrong(shown(text)));
    }
    let filter = parse(text).map_err(wrong)?;
    Ok((text.to_owned(), filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_by_default() {
        let filter = by_default("info").to_string();
        assert!(filter.contains("hickory_net=error") && filter.contains("info"), "{filter}");
    }

    #[test]
    fn a_file_has_one_level_or_filter() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = |text: &str| {
            fs::write(file.path(), text).unwrap();
            read(file.path()).map(|(text, filter)| (text, filter.to_string()))
        };
        assert_eq!(of("debug\n").unwrap(), ("debug".to_owned(), "debug".to_owned()));
        assert!(of("warn,scheduler=debug").unwrap().1.contains("scheduler=debug"));
        for wrong in [
            "",
            "\n",
            "info\ndebug",
            "scheduler=loud",
            "a=b=c",
            "verbose",
            "info,verbose",
            "info, a::b",
            "[span]=debug",
        ] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(error.contains("warn,scheduler=debug"), "{wrong:?}: {error}");
        }
        let error = of("info,verbose").unwrap_err().to_string();
        assert!(
            error.contains("\"verbose\"") && error.contains("error, warn, info, debug or trace"),
            "{error}"
        );
        for right in ["INFO", "off", "3", "info,", "warn,a::b=debug", "a-b=info"] {
            assert!(of(right).is_ok(), "{right}");
        }
        assert!(read(Path::new("/no/such/file")).unwrap_err().to_string().starts_with("/no/such/file: "));
    }
}
