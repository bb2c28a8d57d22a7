//! The cookie files of nodes: which node's user and password are in which file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use task::NodeAccess;

/// The cookie file of each node that has one, by the node's URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieFiles(BTreeMap<String, PathBuf>);

/// A cookie file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the cookie file {} of node {url}", .path.display())]
pub struct CookieError {
    /// The node.
    pub url: String,
    /// The file.
    pub path: PathBuf,
    /// Why the file cannot be read.
    #[source]
    pub source: io::Error,
}

impl CookieFiles {
    /// The cookie file of a node, if it has one.
    pub fn of(&self, url: &str) -> Option<&Path> {
        self.0.get(url).map(PathBuf::as_path)
    }

    /// Whether no node has a cookie file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files, each once.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let mut paths: Vec<_> = self.0.values().map(PathBuf::as_path).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter()
    }

    /// Reads the cookie file of each of these nodes, and sets the node's user and password. What cannot be read stays as it was.
    /// Returns whether anything has changed, and the files that cannot be read.
    pub fn read(&self, nodes: &mut [NodeAccess]) -> (bool, Vec<CookieError>) {
        let (mut changed, mut failed) = (false, Vec::new());
        for node in nodes {
            let Some(path) = self.of(&node.url) else { continue };
            match net::read_cookie(path) {
                Ok((user, password)) => {
                    let (user, password) = (Some(user), Some(password));
                    changed |= (&node.user, &node.password) != (&user, &password);
                    (node.user, node.password) = (user, password);
                }
                Err(source) => {
                    failed.push(CookieError { url: node.url.clone(), path: path.to_owned(), source });
                }
            }
        }
        (changed, failed)
    }
}

impl FromIterator<(String, PathBuf)> for CookieFiles {
    /// The nodes' URLs, with their cookie files.
    fn from_iter<T: IntoIterator<Item = (String, PathBuf)>>(files: T) -> Self {
        Self(files.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let files = [("http://a:1".to_owned(), one.clone()), ("http://b:1".to_owned(), two.clone())];
        let files = CookieFiles::from_iter(files);
        let node = |url: &str| NodeAccess { url: url.into(), user: None, password: None };
        let mut nodes = ["http://a:1", "http://b:1", "http://c:1"].map(node);
        std::fs::write(&one, "__cookie__:s3cret\n").unwrap();
        let (changed, failed) = files.read(&mut nodes);
        assert!(changed && failed.len() == 1 && failed[0].path == two, "{failed:?}");
        assert_eq!(nodes[0].password.as_deref(), Some("s3cret"));
        assert_eq!((&nodes[1].user, &nodes[2].user), (&None, &None));
        assert!(!files.read(&mut nodes).0, "the same content");

        std::fs::write(&one, "").unwrap();
        std::fs::write(&two, "__cookie__:other").unwrap();
        let (changed, failed) = files.read(&mut nodes);
        assert!(changed && failed[0].to_string().contains("http://a:1"), "{failed:?}");
        assert!(!format!("{failed:?}").contains("s3cret"));
        assert_eq!([0, 1].map(|node| nodes[node].password.as_deref()), [Some("s3cret"), Some("other")]);
    }
}
