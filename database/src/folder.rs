//! The folder: its lock, and connections to the database in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::Access;

use crate::error::StoreError;
use crate::kind::FolderKind;
use crate::write::is_disk_full;

/// How long SQLite waits while another connection has locked the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The exclusive right to write to a folder. Dropping it releases the right.
#[derive(Debug)]
pub struct FolderLock(
    #[expect(dead_code, reason = "The system keeps the lock while the file is open.")] File,
);

impl FolderKind {
    /// The path of the database in this folder.
    pub fn database_path(&self, folder: &Path) -> PathBuf {
        folder.join(self.database)
    }

    /// Creates the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// If the folder cannot be created, or another process has the lock.
    pub fn lock(&'static self, folder: &Path) -> Result<FolderLock, StoreError> {
        fs::create_dir_all(folder).map_err(|error| {
            // If `folder` is a file, the system's error is "file exists", which would be misleading.
            let is_file = error.kind() == io::ErrorKind::AlreadyExists;
            self.io_error(folder)(if is_file { io::ErrorKind::NotADirectory.into() } else { error })
        })?;
        // An error of the lock is an error of the folder: people know the folder, and nothing is wrong with the lock itself.
        let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"));
        let file = file.map_err(self.io_error(folder))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { kind: self, path: folder.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(self.io_error(folder)(error)),
        }
        // The lock of an earlier run can be opened even if no file can be created, which SQLite needs to do.
        self.check_writable(folder)?;
        Ok(FolderLock(file))
    }

    /// Checks that files can be created in the folder.
    ///
    /// # Errors
    /// If they cannot.
    pub fn check_writable(&'static self, folder: &Path) -> Result<(), StoreError> {
        let checked = rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK);
        checked.map_err(|errno| self.io_error(folder)(errno.into()))
    }

    /// Opens the database in a folder; creates an empty database if there is none.
    ///
    /// # Errors
    /// If SQLite cannot open the database.
    pub fn open(&'static self, folder: &Path) -> Result<Connection, StoreError> {
        self.connect(folder, OpenFlags::default())
    }

    /// Opens the database in a folder for reading; another process may be writing to it. Nothing is locked or changed.
    ///
    /// # Errors
    /// If there is no database, or SQLite cannot open it.
    pub fn open_read_only(&'static self, folder: &Path) -> Result<Connection, StoreError> {
        if !self.database_path(folder).is_file() {
            return Err(self.missing(folder));
        }
        self.connect(folder, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    fn connect(&'static self, folder: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
        let path = self.database_path(folder);
        let connection = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok(connection)
        });
        connection.map_err(self.database_error(&path))
    }

    /// The error for a folder without a database.
    pub fn missing(&'static self, folder: &Path) -> StoreError {
        StoreError::Missing { kind: self, path: folder.to_owned() }
    }

    /// Returns a function that makes errors for this file or folder.
    pub fn io_error(&'static self, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
        let path = path.to_owned();
        move |source| StoreError::Io { kind: self, path: path.clone(), source }
    }

    /// Returns a function that makes errors for the database at this path.
    pub fn database_error(&'static self, path: &Path) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = path.to_owned();
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::Foreign { kind: self, path: path.clone() },
            _ if is_disk_full(&source) => {
                let folder = path.parent().unwrap_or(&path).to_owned();
                StoreError::DiskFull { kind: self, folder }
            }
            _ => StoreError::Database { kind: self, path: path.clone(), error: source },
        }
    }
}

/// Makes commits durable: a commit returns once its changes are on disk. Readers can work while a transaction is written.
///
/// # Errors
/// With SQLite's error.
pub fn make_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// The version of the tables in the database; 0 if the version was never set.
///
/// # Errors
/// With SQLite's error.
pub fn user_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether a table has a column. A database of an earlier version lacks the newer columns until a writer opens it.
///
/// # Errors
/// With SQLite's error.
pub fn has_column(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
    connection.query_row(sql, [table, column], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    static KIND: FolderKind = FolderKind {
        database: "diary.sqlite",
        name: "diary folder",
        program: "diarist",
        option: "--diary-dir",
        missing: "is no diary",
    };

    #[test]
    fn one_process_writes_and_others_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("new/diary");
        let error = KIND.open_read_only(&folder).unwrap_err().to_string();
        assert!(error.starts_with("there is no diary in") && error.ends_with("--diary-dir"), "{error}");
        let lock = KIND.lock(&folder).unwrap();
        let writer = KIND.open(&folder).unwrap();
        make_durable(&writer).unwrap();
        writer.execute_batch("CREATE TABLE day (text); PRAGMA user_version = 2").unwrap();
        let error = KIND.lock(&folder).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("in use by another diarist"), "{error}");
        let reader = KIND.open_read_only(&folder).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO day VALUES ('today')").unwrap();
        assert_eq!(user_version(&reader), Ok(2));
        let has = |table, column| has_column(&reader, table, column);
        assert_eq!(
            (has("day", "text"), has("day", "night"), has("week", "text")),
            (Ok(true), Ok(false), Ok(false))
        );
        assert!(reader.execute_batch("DROP TABLE day").is_err());
        drop(lock);
        KIND.lock(&folder).unwrap();
    }

    #[test]
    fn errors_name_what_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = KIND.lock(&file).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            error.to_string().contains("diary folder") && source.contains("not a directory"),
            "{error}: {source}"
        );
        fs::write(folder.path().join(KIND.database), "Dear diary, ".repeat(100)).unwrap();
        let path = KIND.database_path(folder.path());
        let error = user_version(&KIND.open(folder.path()).unwrap()).unwrap_err();
        assert!(matches!(KIND.database_error(&path)(error), StoreError::Foreign { .. }));
    }

    /// A full disk is no reason to repair the database.
    #[test]
    fn a_full_disk_is_named_once_and_without_advice_to_repair() {
        use rusqlite::ffi;
        let error = |code: i32, text: &str| {
            let failure = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(text.to_owned()));
            let error = KIND.database_error(Path::new("/d/diary.sqlite"))(failure);
            assert!(std::error::Error::source(&error).is_none(), "the message has the whole text");
            error.to_string()
        };
        let full =
            "the disk of diary folder /d is full: make room on it, or give another folder with --diary-dir";
        assert_eq!(error(ffi::SQLITE_FULL, "database or disk is full"), full);
        assert_eq!(error(ffi::SQLITE_IOERR_SHMSIZE, "disk I/O error"), full, "no room for the file -shm");
        let broken = error(ffi::SQLITE_IOERR_READ, "disk I/O error");
        let start = "cannot use /d/diary.sqlite (disk I/O error, SQLite error 266); repair it with sqlite3, restore a";
        assert!(broken.starts_with(start), "{broken}");
        let corrupt = error(ffi::SQLITE_CORRUPT, "database disk image is malformed");
        assert!(
            corrupt.starts_with("cannot use /d/diary.sqlite (database disk image is malformed); "),
            "{corrupt}"
        );
    }
}
