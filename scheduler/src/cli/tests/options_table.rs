//! docs/OPTIONS.md says of each option what a restart with another value does. The table must name each option once.

use clap::CommandFactory;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/OPTIONS.md");
/// The texts that the second column of the table in docs/OPTIONS.md may have.
const APPLIES_TO: [&str; 4] = ["running tasks", "new tasks", "the scheduler", "never"];

/// The table of options in docs/OPTIONS.md: for each row, its cells.
fn rows() -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `--"));
    rows.map(cells).collect()
}

#[test]
fn the_table_of_options_has_each_option_once() {
    let command = Args::command();
    let arguments =
        command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()));
    let mut options: Vec<String> =
        arguments.filter_map(|arg| arg.get_long()).map(|long| format!("`--{long}`")).collect();
    let mut documented: Vec<String> = rows().into_iter().map(|row| row[0].to_owned()).collect();
    options.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, options, "docs/OPTIONS.md has other options than the command line");
}

#[test]
fn the_table_of_options_says_to_what_each_applies() {
    for row in rows() {
        assert!(row.len() == 3 && APPLIES_TO.contains(&row[1]), "docs/OPTIONS.md: {row:?}");
    }
}
