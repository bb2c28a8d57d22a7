//! Files with descriptions of HTTP APIs, which are made from the code.

use std::path::Path;

use serde_json::{Map, Value};

/// Compares a part of an API's description with the resources that it is about, and with its file, which is relative to the
/// workspace. With the environment variable UPDATE, writes the file.
///
/// # Panics
/// If the description has other operations (a method and a path, sorted) than there are, or if the file has another text.
pub fn is_current(file: &str, operations: &[(&str, &str)], description: &str) {
    let described: Value = serde_json::from_str(description).expect("a description is JSON");
    let mut found = Vec::new();
    for (path, item) in described["paths"].as_object().unwrap_or(&Map::new()) {
        found.extend(item.as_object().expect("methods").keys().map(|method| (method.clone(), path.clone())));
    }
    found.sort_unstable();
    let found: Vec<_> = found.iter().map(|(method, path)| (method.as_str(), path.as_str())).collect();
    assert_eq!(found, operations, "each operation is described, and the other way round");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, description).expect("the file can be written");
    } else {
        let written = std::fs::read_to_string(&path).expect("the file can be read");
        assert!(written == description, "{file} is out of date: UPDATE=1 cargo test openapi");
    }
}
