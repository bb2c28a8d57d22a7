//! Watches the cookie files of the server's Bitcoin nodes. A node writes a new one at each start, and removes it at its end.

use std::time::Duration;

use command_line::CookieFiles;
use logging::{Repeats, error_chain};
use task::NodeAccess;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{MissedTickBehavior, interval};

use crate::event::Event;
use crate::task_info::Programs;

/// The files are read this often. They are small, and a node that waits for its miners costs more.
const READ_EVERY: Duration = Duration::from_secs(1);
/// A file that could not be read this often in a row is worth a line in the log: a node that restarts has none for a moment.
const MISSING_READS: u32 = 10;

/// Starts to watch the cookie files, if there are any. The task sends [`Event::NodeCredentials`] for each change, and ends when nobody
/// receives its events any more. Needs a tokio runtime.
pub(crate) fn start(programs: &Programs, events: UnboundedSender<Event>) {
    if !programs.cookies.is_empty() {
        tokio::spawn(watch(programs.cookies.clone(), programs.nodes().to_vec(), events));
    }
}

async fn watch(cookies: CookieFiles, mut nodes: Vec<NodeAccess>, events: UnboundedSender<Event>) {
    let (mut repeats, mut missing) = (Repeats::default(), 0);
    let mut looks = interval(READ_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = events.closed() => return,
        }
        // A file on a file system of another machine may block.
        let files = cookies.clone();
        let read = tokio::task::spawn_blocking(move || {
            let (changed, failed) = files.read(&mut nodes);
            (nodes, changed, failed)
        });
        let (changed, failed);
        (nodes, changed, failed) = match read.await {
            Ok(read) => read,
            // The runtime is shutting down.
            Err(_) => return,
        };
        if changed && events.send(Event::NodeCredentials(nodes.clone())).is_err() {
            return;
        }
        missing = if failed.is_empty() { 0 } else { missing + 1 };
        for error in failed.iter().filter(|_| missing >= MISSING_READS) {
            let error = error_chain(error);
            if repeats.print(&error, std::time::Instant::now()).is_some() {
                tracing::warn!("what was read before stays in use: {error}");
            }
        }
        if missing == 0 {
            repeats.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use task::{BlockSourceSpec, NodeSpec};
    use tokio::sync::mpsc;

    use super::*;
    use crate::task_info::ServerProgram;

    #[tokio::test]
    async fn a_new_cookie_is_told_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".cookie");
        std::fs::write(&path, "__cookie__:one").unwrap();
        let cookies: CookieFiles = [("http://a:1".to_owned(), path.clone())].into_iter().collect();
        let mut nodes = vec![NodeAccess { url: "http://a:1".into(), user: None, password: None }];
        assert!(cookies.read(&mut nodes).0);
        let spec = NodeSpec { nodes, ..NodeSpec::default() };
        let server = ServerProgram::Builtin(BlockSourceSpec::Node(spec));
        let programs = Programs { server, cookies, ..Programs::default() };
        let (sender, mut events) = mpsc::unbounded_channel();
        start(&programs, sender);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        std::fs::write(&path, "__cookie__:two").unwrap();
        let told = tokio::time::timeout(testing::DEADLINE, events.recv()).await.unwrap().unwrap();
        let Event::NodeCredentials(nodes) = told else { panic!("{told:?}") };
        assert_eq!(nodes[0].password.as_deref(), Some("two"));
        assert!(events.try_recv().is_err(), "once");
    }
}
