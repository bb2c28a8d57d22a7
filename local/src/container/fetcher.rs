//! Fetches a command's files into the sandbox, by Mesos' rules for names, `executable` and `extract`.
//!
//! Sources are `http://` addresses, `file://` addresses and absolute paths. Archives are unpacked by `tar`
//! or `unzip`. The agent caches files that are marked `cache`, with the whole URI as the key.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use mesos::v1::command_info::Uri;
use net::PlainConnector;
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use text::InWords;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

/// A download that receives nothing for this time fails.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// File name extensions of archives, and the commands that unpack them.
const ARCHIVES: [(&str, &[&str]); 8] = [
    (".tar", &["tar", "-xf"]),
    (".tar.gz", &["tar", "-xzf"]),
    (".tgz", &["tar", "-xzf"]),
    (".tar.bz2", &["tar", "-xjf"]),
    (".tbz2", &["tar", "-xjf"]),
    (".tar.xz", &["tar", "-xJf"]),
    (".txz", &["tar", "-xJf"]),
    (".zip", &["unzip", "-oq"]),
];

/// An agent's copies of files that are marked `cache`.
#[derive(Debug, Default)]
pub struct FetchCache {
    folder: PathBuf,
    /// URI → the path of the file in the cache. The map is locked during a fetch, so that a file that two executors need is
    /// fetched only once.
    files: Mutex<HashMap<String, PathBuf>>,
}

impl FetchCache {
    /// A cache in a folder, which is created when the first file is fetched.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, files: Mutex::default() }
    }

    /// The path of the file from `uri`; fetches the file if it is not in the cache.
    async fn file(&self, uri: &str) -> Result<PathBuf, FetchError> {
        let mut files = self.files.lock().await;
        if let Some(path) = files.get(uri) {
            return Ok(path.clone());
        }
        let failed = |source| FetchError::Io { uri: uri.to_owned(), source };
        tokio::fs::create_dir_all(&self.folder).await.map_err(failed)?;
        let path = self.folder.join(uuid::Uuid::new_v4().to_string());
        copy_or_download(uri, &path).await?;
        files.insert(uri.to_owned(), path.clone());
        Ok(path)
    }
}

/// Why a file could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    #[error("{uri:?} has no file name; set output_file")]
    NoName { uri: String },
    #[error("the output file {name:?} is not inside the sandbox")]
    Outside { name: String },
    #[error("cannot fetch {uri:?}: only http://, file:// and absolute paths are supported here")]
    Scheme { uri: String },
    #[error("cannot fetch {uri:?}: {reason}")]
    Http { uri: String, reason: String },
    #[error("cannot fetch {uri:?}: {source}")]
    Io { uri: String, source: std::io::Error },
    #[error("cannot unpack {name:?}: {reason}")]
    Unpack { name: String, reason: String },
}

/// Fetches all files in turn.
///
/// # Errors
/// Returns the first error.
pub async fn fetch_all(uris: &[Uri], sandbox: &Path, cache: &FetchCache) -> Result<(), FetchError> {
    for uri in uris {
        fetch(uri, sandbox, cache).await?;
    }
    Ok(())
}

async fn fetch(uri: &Uri, sandbox: &Path, cache: &FetchCache) -> Result<(), FetchError> {
    let value = uri.value.trim();
    let name = output_name(uri)?;
    let target = sandbox.join(&name);
    let failed = |source| FetchError::Io { uri: value.to_owned(), source };
    if let Some(folder) = target.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    }
    if uri.cache.unwrap_or(false) {
        tokio::fs::copy(cache.file(value).await?, &target).await.map_err(failed)?;
    } else {
        copy_or_download(value, &target).await?;
    }
    if uri.executable.unwrap_or(false) {
        let mode = std::fs::Permissions::from_mode(0o755);
        tokio::fs::set_permissions(&target, mode).await.map_err(failed)
    } else if uri.extract.unwrap_or(true) {
        unpack(&target, sandbox).await
    } else {
        Ok(())
    }
}

async fn copy_or_download(uri: &str, target: &Path) -> Result<(), FetchError> {
    if uri.starts_with("http://") {
        return download(uri, target).await;
    }
    let path = local_path(uri).ok_or_else(|| FetchError::Scheme { uri: uri.to_owned() })?;
    let copied = tokio::fs::copy(path, target).await;
    copied.map(drop).map_err(|source| FetchError::Io { uri: uri.to_owned(), source })
}

fn local_path(value: &str) -> Option<&str> {
    match value.strip_prefix("file://") {
        Some(path) => Some(path.strip_prefix("localhost").unwrap_or(path)),
        None => value.starts_with('/').then_some(value),
    }
}

/// The path of the file, relative to the sandbox.
fn output_name(uri: &Uri) -> Result<PathBuf, FetchError> {
    if let Some(name) = uri.output_file.as_deref().filter(|name| !name.is_empty()) {
        let path = PathBuf::from(name);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        return if inside { Ok(path) } else { Err(FetchError::Outside { name: name.to_owned() }) };
    }
    let value = uri.value.trim();
    let path = value.split_once("://").map_or(value, |(_, rest)| rest);
    let path =
        if value.starts_with("http://") { path.split(['?', '#']).next().unwrap_or(path) } else { path };
    match path.rsplit_once('/').map(|(_, name)| name) {
        Some(name) if !matches!(name, "" | "." | "..") => Ok(PathBuf::from(name)),
        _ => Err(FetchError::NoName { uri: value.to_owned() }),
    }
}

async fn download(uri: &str, target: &Path) -> Result<(), FetchError> {
    let http = |reason: String| FetchError::Http { uri: uri.to_owned(), reason };
    let late = |_| http(format!("nothing came for {}", InWords(SILENCE_TIMEOUT)));
    let io = |source| FetchError::Io { uri: uri.to_owned(), source };
    let address: hyper::Uri = uri.parse().map_err(|error| http(format!("not a URI: {error}")))?;
    let connector = PlainConnector::new(None, None, "it is not supported here");
    // No body is sent. `node` has clients of this type, too, so that hyper's client is compiled once.
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = tokio::time::timeout(SILENCE_TIMEOUT, client.get(address)).await.map_err(late)?;
    let response = response.map_err(|error| http(reason_of(&error)))?;
    if !response.status().is_success() {
        return Err(http(format!("the server answers {}", response.status())));
    }
    let mut file = tokio::fs::File::create(target).await.map_err(io)?;
    let mut body = response.into_body();
    while let Some(frame) = tokio::time::timeout(SILENCE_TIMEOUT, body.frame()).await.map_err(late)? {
        let frame = frame.map_err(|error| http(reason_of(&error)))?;
        if let Ok(data) = frame.into_data() {
            file.write_all(&data).await.map_err(io)?;
        }
    }
    file.flush().await.map_err(io)
}

/// Formats an error with all its causes.
fn reason_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn unpack(archive: &Path, sandbox: &Path) -> Result<(), FetchError> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kind = ARCHIVES.iter().find(|(ending, _)| name.ends_with(ending));
    let Some((_, [program, option])) = kind.map(|(ending, command)| (ending, *command)) else {
        return Ok(());
    };
    let failed = |reason: String| FetchError::Unpack { name: name.clone(), reason };
    let run = tokio::process::Command::new(program)
        .arg(option)
        .arg(archive)
        .current_dir(sandbox)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = run.await.map_err(|error| failed(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(value: &str, output_file: Option<&str>) -> Uri {
        Uri { value: value.into(), output_file: output_file.map(str::to_owned), ..Default::default() }
    }

    #[test]
    fn names() {
        let name = |value| output_name(&uri(value, None)).map(|path| path.display().to_string());
        assert_eq!(name("http://host:1/a/b.tar.gz?x=/y#z").unwrap(), "b.tar.gz");
        assert_eq!(name("file:///usr/bin/tool").unwrap(), "tool");
        assert_eq!(name("/usr/bin/tool").unwrap(), "tool");
        assert!(name("http://host:1").is_err() && name("http://host/").is_err() && name("tool").is_err());
        assert!(output_name(&uri("/x", Some("a/b"))).is_ok());
        assert!(output_name(&uri("/x", Some("../b"))).is_err());
        assert!(output_name(&uri("/x", Some("/b"))).is_err());
    }

    #[tokio::test]
    async fn files_come_with_the_right_mode() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("tool");
        std::fs::write(&source, "x").unwrap();
        let sandbox = folder.path().join("sandbox");
        let plain = uri(&format!("file://{}", source.display()), Some("sub/plain"));
        let tool = Uri { executable: Some(true), ..uri(source.to_str().unwrap(), None) };
        let cache = FetchCache::default();
        fetch_all(&[plain, tool], &sandbox, &cache).await.unwrap();
        let mode = |name| std::fs::metadata(sandbox.join(name)).unwrap().permissions().mode() & 0o111;
        assert_eq!((mode("sub/plain"), mode("tool")), (0, 0o111));
        let missing = fetch_all(&[uri("/no/such/file", None)], &sandbox, &cache).await.unwrap_err();
        assert!(missing.to_string().contains("/no/such/file"));
        assert!(fetch_all(&[uri("ftp://host/file", None)], &sandbox, &cache).await.is_err());
    }

    #[tokio::test]
    async fn a_cached_file_is_fetched_once() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("data");
        let cache = FetchCache::new(folder.path().join("cache"));
        let wanted = Uri { cache: Some(true), ..uri(source.to_str().unwrap(), None) };
        for sandbox in ["a", "b"] {
            // The source changes before the second fetch.
            std::fs::write(&source, sandbox).unwrap();
            fetch_all(std::slice::from_ref(&wanted), &folder.path().join(sandbox), &cache).await.unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("b/data")).unwrap(), "a");
    }
}
