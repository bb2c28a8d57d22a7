//! The same tables without a file or a thread, for tests that decide when something is written.

use std::path::Path;

use rusqlite::Connection;

use super::{read, schema, write};
use crate::record::{Change, Recovered, Ticket};

/// A disk in memory.
pub(crate) struct Memory {
    connection: Connection,
    framework: Option<String>,
}

impl Memory {
    pub fn new() -> Memory {
        let connection = Connection::open_in_memory().unwrap();
        schema::prepare(&connection, Path::new("memory")).unwrap();
        Memory { connection, framework: None }
    }

    pub fn write(&mut self, batch: &[(Ticket, Change)]) {
        write::write(&mut self.connection, &mut self.framework, batch).unwrap();
    }

    pub fn recover(&self) -> Recovered {
        read::recover(&self.connection).unwrap()
    }
}
