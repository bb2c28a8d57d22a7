use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::*;

/// The line of docs/TROUBLESHOOTING.md after which the table of the catalogue begins. The table is the last part of the file.
const TABLE_BEGINS: &str = "<!-- The rows below are written by: UPDATE=1 cargo test -p problem -->\n";

#[test]
fn the_documentation_has_the_rows_of_the_catalogue() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/TROUBLESHOOTING.md");
    let text = std::fs::read_to_string(&file).expect("docs/TROUBLESHOOTING.md");
    let (head, table) = text.split_once(TABLE_BEGINS).expect("the line before the table");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, format!("{head}{TABLE_BEGINS}{}", rows())).expect("docs/TROUBLESHOOTING.md");
    } else {
        assert_eq!(table, rows(), "run UPDATE=1 cargo test -p problem");
    }
}

fn rows() -> String {
    let mut rows =
        "\n| rank | code | what is seen | cause | what to do |\n|---|---|---|---|---|\n".to_owned();
    for kind in ProblemKind::ALL {
        let (rank, code) = (kind.rank(), kind.code());
        let (symptom, cause, remedy) = (kind.symptom(), kind.cause(), kind.remedy());
        let line = format!("{rank} | `{code}` | {symptom} | {cause} | {remedy}");
        assert_eq!(line.matches('|').count(), 4, "{line:?} has a column mark in its text");
        writeln!(rows, "| {line} |").expect("a string");
    }
    rows
}

#[test]
fn every_row_is_complete_and_codes_are_unique() {
    let mut codes = BTreeSet::new();
    for kind in ProblemKind::ALL {
        assert!(kind.code().chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{kind:?}");
        assert!(codes.insert(kind.code()), "{kind:?}: its code is used twice");
        assert_eq!(ProblemKind::from_code(kind.code()), Some(*kind));
        let texts = [kind.symptom(), kind.cause(), kind.remedy()];
        assert!(texts.iter().all(|text| text.len() > 15), "{kind:?} lacks a text");
        assert!(!kind.symptom().ends_with('.') && kind.remedy().ends_with('.'), "{kind:?}");
    }
    assert_eq!(ProblemKind::from_code("no-such-code"), None);
}

/// A kind that no test names could have a cause that never makes it.
#[test]
fn every_kind_is_named_in_a_test_of_another_crate() {
    let tests = texts_of_tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let is_named = |kind: &ProblemKind| {
        let (name, code) = (format!("ProblemKind::{kind:?}"), format!("\"{}\"", kind.code()));
        tests.iter().any(|text| text.contains(&name) || text.contains(&code))
    };
    let unnamed: Vec<_> = ProblemKind::ALL.iter().filter(|kind| !is_named(kind)).collect();
    assert!(unnamed.is_empty(), "no test names {unnamed:?}");
}

/// The tests of all other crates: files of tests, and the modules of tests within other files.
fn texts_of_tests(root: &Path) -> Vec<String> {
    let (mut folders, mut texts) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the workspace").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() {
                let skipped = ["target", "problem"].contains(&&*name) || name.starts_with('.');
                folders.extend((!skipped).then_some(path));
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let is_test = name == "tests.rs" || path.iter().any(|part| part == "tests");
                let module = if is_test { Some(0) } else { text.find("#[cfg(test)]") };
                texts.extend(module.map(|begin| text[begin..].to_owned()));
            }
        }
    }
    texts
}

#[test]
fn ranks_follow_the_catalogue() {
    let ranks: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.rank()).collect();
    assert_eq!(ranks, (1..=ProblemKind::ALL.len()).collect::<Vec<_>>());
    let mut problems =
        [Problem::new(ProblemKind::AgentFull, "a"), Problem::new(ProblemKind::PoolRefusesUser, "z")];
    problems.sort();
    assert_eq!(problems[0].text, "z");
}
