//! The kinds of folders.

/// A kind of folder: the name of its database, and the words for it in error messages.
#[derive(Debug)]
pub struct FolderKind {
    /// The file name of the database.
    pub database: &'static str,
    /// What the folder is called, such as `state folder`.
    pub name: &'static str,
    /// The program that writes to the folder, such as `scheduler`.
    pub program: &'static str,
    /// The option that names the folder, such as `--state-dir`.
    pub option: &'static str,
    /// The words after "there" in the error for a missing database, such as `is no ledger`.
    pub missing: &'static str,
}
