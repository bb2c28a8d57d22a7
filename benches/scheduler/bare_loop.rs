//! A lower bound of the cost of recording and acknowledging an update: encode a call, send the call and read the response,
//! insert a row, and make many rows durable together. The scheduler's cost is compared with this loop, so that the bounds do
//! not depend on the machine. Like the scheduler, the loop is a separate process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mesos::scheduler;
use mesos::v1::{FrameworkId, TaskStatus};
use prost::Message;
use rusqlite::{Connection, params};

use super::master::IDLE_PATH;
use crate::suite::machine::threads;

/// This bench starts a second process of its own program with this option. The second process calls [`play`].
pub const PLAY: &str = "--play-bare-loop";
/// The number of rows in each transaction.
const GROUP: usize = 100;
/// Each row of the table contains a report of this many bytes.
const REPORT: usize = 120;

/// Returns the CPU time of one event, averaged over `events` events.
pub fn measure(master: SocketAddr, folder: &Path, events: usize) -> Duration {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([PLAY, &master.to_string(), &folder.display().to_string(), &events.to_string()]);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let nanoseconds = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    Duration::from_nanos(nanoseconds)
}

/// Records a number of updates and acknowledges them. Prints the CPU time per update in nanoseconds.
pub fn play(arguments: &[String]) {
    let [master, folder, events] = arguments else { panic!("master, folder and events, not {arguments:?}") };
    let (master, events): (SocketAddr, usize) =
        (master.parse().expect("an address"), events.parse().expect("a number"));
    let folder = tempfile::tempdir_in(folder).expect("a temporary folder");
    let database = Connection::open(folder.path().join("bare.sqlite")).expect("a database");
    database.pragma_update(None, "journal_mode", "WAL").expect("SQLite has it");
    database.pragma_update(None, "synchronous", "FULL").expect("SQLite has it");
    let table = "CREATE TABLE reported (task TEXT PRIMARY KEY, number INTEGER, report BLOB) WITHOUT ROWID";
    database.execute_batch(table).expect("a table");
    let mut stream = TcpStream::connect(master).expect("the master listens");
    stream.set_nodelay(true).expect("a socket");
    let before = threads(std::process::id()).all;
    for begin in (0..events).step_by(GROUP) {
        record(&database, begin);
        (begin..begin + GROUP).for_each(|number| acknowledge(&mut stream, number));
    }
    let used = threads(std::process::id()).all - before;
    println!("{}", used.as_nanos() / events as u128);
}

fn record(database: &Connection, begin: usize) {
    let transaction = database.unchecked_transaction().expect("a transaction");
    let insert = "INSERT OR REPLACE INTO reported VALUES (?1, ?2, ?3)";
    let mut insert = transaction.prepare_cached(insert).expect("SQL");
    for number in begin..begin + GROUP {
        let task = format!("miner-worker-{}", number % 1000);
        insert.execute(params![task, number as i64, [7_u8; REPORT]]).expect("a row");
    }
    drop(insert);
    transaction.commit().expect("room on the disk");
}

fn acknowledge(stream: &mut TcpStream, number: usize) {
    let framework = FrameworkId::from("6d3bd2ef-6f0c-4f57-a5b0-20260e0cb5ca-0000");
    let update = TaskStatus {
        task_id: format!("miner-worker-{number}").into(),
        agent_id: Some("6d3bd2ef-6f0c-4f57-a5b0-20260e0cb5ca-S1".into()),
        uuid: Some(vec![7; 16]),
        ..TaskStatus::default()
    };
    let call = scheduler::acknowledge(&framework, &update).expect("an update with a uuid").encode_to_vec();
    let head = format!(
        "POST {IDLE_PATH} HTTP/1.1\r\nHost: master\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        call.len()
    );
    stream.write_all(&[head.as_bytes(), &call].concat()).expect("the master listens");
    let (mut answer, mut length) = ([0; 1024], 0);
    while !answer[..length].ends_with(b"\r\n\r\n") {
        let more = stream.read(&mut answer[length..]).expect("the master answers");
        assert!(more > 0, "the master has closed the connection");
        length += more;
    }
}
