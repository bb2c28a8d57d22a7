//! The methods of a node that are called, for users who restrict them (`rpcwhitelist` of Bitcoin Core).
//!
//! docs/BITCOIN-NODE.md has the same list; a test compares both with the calls in the sources.

/// On which networks blocks cannot be made without a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// On all.
    Always,
    /// Where a block's bits depend on its parent's time ([`crate::min_difficulty`]).
    OnTestnets,
    /// On none.
    Never,
}

/// A method that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The method's name.
    pub name: &'static str,
    /// Whether blocks can be made without it.
    pub needed: Needed,
    /// What it is called for.
    pub purpose: &'static str,
}

const fn needed(name: &'static str, purpose: &'static str) -> Method {
    Method { name, needed: Needed::Always, purpose }
}

const fn optional(name: &'static str, purpose: &'static str) -> Method {
    Method { name, needed: Needed::Never, purpose }
}

/// All methods that are called.
pub const METHODS: &[Method] = &[
    optional("getbestblockhash", "whether the chain has a new tip; without it, `getblockchaininfo` tells"),
    needed("getblockchaininfo", "the network of the node"),
    needed("getblockhash", "the first block of the chain, by which the network is checked"),
    Method {
        name: "getblockheader",
        needed: Needed::OnTestnets,
        purpose: "the time and height of a new tip, for the first job on it; whether the chain has our blocks",
    },
    needed("getblocktemplate", "the block to work on"),
    optional("getmininginfo", "the difficulty of the next block, for the first job on a new tip"),
    optional("getnetworkinfo", "the node's version, and whether it is Bitcoin Core"),
    optional("getrpcinfo", "whether a call may wait at the node for a new tip; without it, none does"),
    optional("getzmqnotifications", "where the node publishes its new tips"),
    needed("submitblock", "a found block"),
    optional("waitfornewblock", "waits for a new tip; without it, the tip is asked for four times a second"),
];

/// The names of all methods, as `rpcwhitelist` wants them.
pub(crate) fn list() -> String {
    METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn text(needed: &Needed) -> &'static str {
        match needed {
            Needed::Always => "yes",
            Needed::OnTestnets => "on testnet3 and testnet4",
            Needed::Never => "no",
        }
    }

    const SOURCES: [&str; 2] =
        [concat!(env!("CARGO_MANIFEST_DIR"), "/src"), concat!(env!("CARGO_MANIFEST_DIR"), "/../pool/src")];

    /// The line of docs/BITCOIN-NODE.md after which the table of methods begins. The table ends with an empty line.
    const TABLE_BEGINS: &str =
        "<!-- The rows below are written by: UPDATE=1 cargo test -p node methods -->\n";

    /// The first string after each call in a text, if it follows closely.
    fn called(text: &str) -> impl Iterator<Item = &str> {
        let calls = [".call(", ".call::<", ".call_within(", ".call_within::<"];
        calls.into_iter().flat_map(|call| text.split(call).skip(1)).filter_map(|rest| {
            let (before, rest) = rest.split_once('"')?;
            let (name, _) = rest.split_once('"')?;
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
            (before.len() < 120 && !before.contains(';') && is_name).then_some(name)
        })
    }

    fn read(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() && !["tests", "testing"].contains(&&*name) {
                read(&path, names);
            } else if name.ends_with(".rs") && !["tests.rs", "testing.rs"].contains(&&*name) {
                let text = std::fs::read_to_string(&path).expect("a source");
                let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                names.extend(called(program).map(str::to_owned));
            }
        }
    }

    #[test]
    fn the_list_has_the_methods_that_are_called() {
        let mut found = BTreeSet::new();
        SOURCES.iter().for_each(|folder| read(Path::new(folder), &mut found));
        let listed: BTreeSet<_> = METHODS.iter().map(|method| method.name.to_owned()).collect();
        assert_eq!(found, listed, "node/src/rpc/methods.rs lists what the sources call");
        assert!(METHODS.is_sorted_by_key(|method| method.name), "in alphabetical order");
    }

    #[test]
    fn the_documentation_has_the_list() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BITCOIN-NODE.md");
        let text = std::fs::read_to_string(&file).expect("docs/BITCOIN-NODE.md");
        let (head, rest) = text.split_once(TABLE_BEGINS).expect("the line before the table");
        let (table, tail) = rest.trim_start_matches('\n').split_once("\n\n").expect("an end of the table");
        if std::env::var_os("UPDATE").is_some() {
            let new = format!("{head}{TABLE_BEGINS}\n{}\n\n{tail}", rows());
            std::fs::write(&file, new).expect("docs/BITCOIN-NODE.md");
        } else {
            assert_eq!(table, rows(), "run UPDATE=1 cargo test -p node methods");
        }
        assert!(text.contains(&list()), "the example of rpcwhitelist has all methods");
    }

    fn rows() -> String {
        let row = |Method { name, needed, purpose }: &Method| {
            format!("| `{name}` | {} | {purpose} |", text(needed))
        };
        let head = "| method | needed | what for |\n|---|---|---|".to_owned();
        std::iter::once(head).chain(METHODS.iter().map(row)).collect::<Vec<_>>().join("\n")
    }
}
