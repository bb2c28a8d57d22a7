//! Checks that docs/RELIABILITY.md lists every fault test, and no other test.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::peer;

/// The table has one row for each fault, named `faults::FILE::FAULT`, even if the fault is tested on both clusters.
#[test]
fn the_table_of_faults_is_complete() {
    let this = std::env::current_exe().expect("this test program");
    let listed =
        Command::new(this).args(["--list", "--format", "terse", "faults::"]).output().expect("it runs");
    let listed = String::from_utf8(listed.stdout).expect("names are plain text");
    let own = module_path!().split_once("::").expect("below the crate").1;
    let tests: BTreeSet<String> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|test| !test.starts_with(own))
        .map(|test| test.replace("on_the_embedded_cluster::", "").replace("on_a_real_mesos::", ""))
        .collect();
    let path = peer::root().join("docs/RELIABILITY.md");
    let text = std::fs::read_to_string(path).expect("it is there");
    let named: BTreeSet<String> =
        text.split('`').filter(|word| word.starts_with("faults::")).map(str::to_owned).collect();
    assert!(tests.len() > 10, "{listed}");
    assert_eq!(named, tests, "left: docs/RELIABILITY.md, right: the tests");
}
