//! Access to the recorded files.

use std::fs;
use std::path::{Path, PathBuf};

/// The API and the encoding of the messages in a recorded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub executor: bool,
    pub protobuf: bool,
}

/// A recorded file.
pub struct File {
    /// The path of the file, relative to the folder of all recordings.
    pub name: String,
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded")
}

/// All files with this ending, in order. There is at least one.
pub fn all(ending: &str) -> Vec<File> {
    let mut files = Vec::new();
    collect(&root(), ending, &mut files);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!files.is_empty(), "no recordings: {ending}");
    files
}

/// The file with this name.
pub fn one(name: &str) -> File {
    load(&root().join(name))
}

/// The response in the record of a call.
pub fn answer(name: &str) -> Vec<u8> {
    const MARK: &[u8] = b"--- response ---\n";
    let bytes = one(name).bytes;
    let at = bytes.windows(MARK.len()).position(|window| window == MARK).expect("a recorded answer");
    bytes[at + MARK.len()..].to_vec()
}

fn collect(folder: &Path, ending: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, ending, files);
        } else if path.to_str().unwrap().ends_with(ending) {
            files.push(load(&path));
        }
    }
}

fn load(path: &Path) -> File {
    let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let executor = path.file_name().unwrap().to_str().unwrap().starts_with("executor");
    let protobuf = name.starts_with("protobuf/") || name.starts_with("failures-protobuf/");
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    File { name, kind: Kind { executor, protobuf }, bytes }
}
