//! The values of `--bitcoind`: addresses of nodes, files with such addresses, and the cookie file of a node.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::exposed::warn_if_password_exposed;

/// A node as it is written in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedNode {
    /// The node's address, perhaps with `USER:PASSWORD@`.
    pub address: String,
    /// The file after `,cookie=`, if it is given.
    pub cookie: Option<PathBuf>,
}

/// The nodes in these values, in their order.
///
/// A value is `URL[,cookie=FILE]` or `file:///PATH`, or several of these, separated by commas. Each line of the file is
/// `URL[,cookie=FILE]`; only there may FILE contain a comma.
///
/// # Errors
/// If a file cannot be read or names no node, a key is unknown or has no value, what has a cookie file is no node, or what follows a
/// cookie file is no URL.
pub(super) fn listed(values: &[String]) -> anyhow::Result<Vec<ListedNode>> {
    let mut nodes = Vec::new();
    for value in values {
        // The nodes of the last part of the value that is no key.
        let mut last = None;
        for part in value.split(',') {
            let Some((key, file)) = key_and_value(part) else {
                if let Some(Part::Node(ListedNode { address, cookie: Some(cookie) })) = &last
                    && !part.contains("://")
                {
                    // `bak` may be a node, or the end of the file's name.
                    bail!(
                        "--bitcoind {},cookie={} is followed by {:?}, which may be the rest of the path: a path with a \
                         comma must stand in a file of nodes, --bitcoind file:///PATH; the address of a node after a cookie \
                         file begins with http://",
                        net::hide_credentials(address),
                        cookie.display(),
                        net::hide_credentials(part)
                    );
                }
                nodes.extend(last.replace(Part::read(part)?).into_iter().flat_map(Part::nodes));
                continue;
            };
            match &mut last {
                Some(Part::Node(node)) => node.set(key, file)?,
                Some(Part::File { path, .. }) => bail!(
                    "--bitcoind file://{path} has {key}= after it: write it after each address in the file, as URL,cookie=FILE"
                ),
                None => bail!("--bitcoind has {key}= without a node before it: write URL,cookie=FILE"),
            }
        }
        nodes.extend(last.into_iter().flat_map(Part::nodes));
    }
    Ok(nodes)
}

/// A part of a value: one node, or a file with nodes.
enum Part {
    Node(ListedNode),
    File { path: String, nodes: Vec<ListedNode> },
}

impl Part {
    fn read(text: &str) -> anyhow::Result<Self> {
        let Some(path) = text.strip_prefix("file://") else {
            return Ok(Part::Node(ListedNode { address: text.to_owned(), cookie: None }));
        };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read --bitcoind {path}"))?;
        warn_if_password_exposed("--bitcoind", Path::new(path), &text);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let nodes = lines.map(line).collect::<anyhow::Result<Vec<_>>>();
        let nodes = nodes.with_context(|| format!("in the file {path}"))?;
        ensure!(!nodes.is_empty(), "the file {path} of --bitcoind names no node");
        Ok(Part::File { path: path.to_owned(), nodes })
    }

    fn nodes(self) -> Vec<ListedNode> {
        match self {
            Part::Node(node) => vec![node],
            Part::File { nodes, .. } => nodes,
        }
    }
}

/// One line of a file.
fn line(text: &str) -> anyhow::Result<ListedNode> {
    let key = text.match_indices(',').find_map(|(at, _)| Some((at, key_and_value(&text[at + 1..])?)));
    let Some((at, (key, file))) = key else {
        return Ok(ListedNode { address: text.to_owned(), cookie: None });
    };
    let mut node = ListedNode { address: text[..at].trim().to_owned(), cookie: None };
    node.set(key, file)?;
    Ok(node)
}

impl ListedNode {
    fn set(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        let url = net::hide_credentials(&self.address);
        ensure!(
            key == "cookie",
            "--bitcoind {url} has the unknown key {key:?}: only cookie=FILE may follow a node"
        );
        ensure!(!value.is_empty(), "--bitcoind {url} has cookie= without a file: write cookie=FILE");
        ensure!(self.cookie.is_none(), "--bitcoind {url} has two cookie files: give one");
        self.cookie = Some(PathBuf::from(value));
        Ok(())
    }
}

/// The parts of `KEY=VALUE`; `None` if the text is no such thing, for example an address. The first = of an address, if there is one,
/// comes after characters that no key has.
fn key_and_value(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.trim().split_once('=')?;
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_');
    is_key.then_some((key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(address: &str, cookie: Option<&str>) -> ListedNode {
        ListedNode { address: address.to_owned(), cookie: cookie.map(PathBuf::from) }
    }

    fn read(values: &[&str]) -> anyhow::Result<Vec<ListedNode>> {
        listed(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_cookie_file_belongs_to_the_node_before_it() {
        let given = read(&["http://a:1,cookie=/a/.cookie,http://b", "http://x:a=b@c:3,cookie=c k"]).unwrap();
        let wanted = [
            node("http://a:1", Some("/a/.cookie")),
            node("http://b", None),
            node("http://x:a=b@c:3", Some("c k")),
        ];
        assert_eq!(given, wanted);
    }

    #[test]
    fn each_line_of_a_file_may_have_a_cookie_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes");
        std::fs::write(&path, "\n http://a:1 , cookie=/a, b/.cookie \nhttp://b:2\n").unwrap();
        let file = format!("file://{}", path.display());
        let given = read(&[&format!("{file},c,cookie=/c")]).unwrap();
        let wanted =
            [node("http://a:1", Some("/a, b/.cookie")), node("http://b:2", None), node("c", Some("/c"))];
        assert_eq!(given, wanted);
        let outside = read(&[&format!("{file},cookie=/c")]).unwrap_err().to_string();
        assert!(outside.contains("after each address in the file"), "{outside}");
        std::fs::write(&path, "http://a:1,cooky=/a\n").unwrap();
        let unknown = format!("{:#}", read(&[&file]).unwrap_err());
        assert!(unknown.contains("unknown key \"cooky\"") && unknown.contains("/nodes"), "{unknown}");
    }

    #[test]
    fn errors_name_the_fault_but_no_secret() {
        for (value, part) in [
            ("http://me:s3cret@a:1,file=/s", "http://…@a:1 has the unknown key \"file\": only cookie=FILE"),
            ("http://me:s3cret@a:1,cookie=", "without a file"),
            ("http://me:s3cret@a:1,cookie=/a,cookie=/b", "two cookie files"),
            ("cookie=/a", "without a node before it"),
            (
                "http://me:s3cret@a:1,cookie=/a,b/.cookie",
                "a:1,cookie=/a is followed by \"b/.cookie\", which may be the rest",
            ),
            ("http://a:1,cookie=/x/.cookie,bak", "cookie=/x/.cookie is followed by \"bak\""),
            ("http://a:1,cookie=/a, b/.cookie", "must stand in a file of nodes"),
            ("file:///no/such/file", "cannot read --bitcoind /no/such/file"),
        ] {
            let error = read(&[value]).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("s3cret"), "{value}: {error}");
        }
    }
}
