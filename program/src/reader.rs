//! Whether anybody still reads what is printed.

use std::io;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::oneshot;

/// Comes true when standard output is a pipe or a socket whose reader has gone, as in `… | head`; never for files and
/// terminals, whose end is a SIGHUP.
pub async fn reader_gone() {
    let (gone, told) = oneshot::channel();
    // A thread, since not everything that standard output may be can be waited for by a runtime. It ends with the process.
    let watch = thread::Builder::new().name("reader".to_owned()).spawn(move || {
        if wait().is_ok() {
            // Nobody may be interested any more.
            let _ = gone.send(());
        }
    });
    if watch.is_err() || told.await.is_err() {
        std::future::pending().await
    }
}

fn wait() -> io::Result<()> {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    loop {
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}
