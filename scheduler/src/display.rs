//! What the user sees: lines of news, and a live picture where there is a terminal.
//!
//! A thread of its own writes, so that a terminal that is held up never holds up the framework. News go to standard
//! error, the picture to standard output if that is a terminal; otherwise a line now and then takes its place. The last
//! picture is kept for those who ask for it over HTTP.

mod picture;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::picture::Size;
use crate::core::Snapshot;
use crate::page::{Page, Shown};

/// So much may wait to be written; what comes on top is left out.
const QUEUE: usize = 1000;
/// Between two lines where there is no terminal.
const SPARSE: Duration = Duration::from_secs(10);

/// What a terminal is taken for that does not tell its size.
const SIZE: Size = Size { columns: 80, rows: 24 };

/// The way to the writing thread.
#[derive(Debug)]
pub(crate) struct Display {
    queue: SyncSender<Item>,
    thread: Option<JoinHandle<()>>,
    mode: Mode,
    shown: watch::Sender<Shown>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// News only.
    Quiet,
    /// A line now and then.
    Lines,
    /// A picture that is drawn again and again.
    Live,
}

#[derive(Debug)]
enum Item {
    News(String),
    Picture(Arc<Snapshot>),
    End,
}

impl Display {
    /// Starts the thread; `quiet` leaves standard output alone.
    pub fn start(quiet: bool) -> Display {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let mode = match (quiet, std::io::stdout().is_terminal() && !dumb) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Live,
            (false, false) => Mode::Lines,
        };
        let (queue, items) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("display".to_owned()).spawn(move || write(&items, mode));
        Display { queue, thread: thread.ok(), mode, shown: watch::Sender::new(None) }
    }

    /// Tells the user something.
    pub fn say(&self, text: String) {
        if let Err(TrySendError::Full(Item::News(text))) = self.queue.try_send(Item::News(text)) {
            tracing::info!("{text}");
        }
    }

    /// The pictures for others.
    pub fn page(&self) -> Page {
        Page::of(self.shown.subscribe())
    }

    /// Shows the present state, unless nobody looks.
    pub fn show(&self, snapshot: impl FnOnce() -> Snapshot) {
        let others = self.shown.receiver_count() > 0;
        if self.mode == Mode::Quiet && !others {
            return;
        }
        let snapshot = Arc::new(snapshot());
        if self.mode != Mode::Quiet {
            // A picture that finds no room is followed by another one.
            let _ = self.queue.try_send(Item::Picture(snapshot.clone()));
        }
        self.shown.send_replace(Some(snapshot));
    }

    /// Others are to know at once whether there will be pictures: there are none while another scheduler leads.
    pub fn leads(&self, leads: bool) {
        self.shown.send_replace(leads.then(Arc::default));
    }
}

impl Drop for Display {
    /// Waits until everything is written, so that what others print comes after it.
    fn drop(&mut self) {
        if self.queue.send(Item::End).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic while printing is no reason to lose the summary.
            let _ = thread.join();
        }
    }
}

/// The writing thread. Errors of the terminal are nobody's concern.
fn write(items: &Receiver<Item>, mode: Mode) {
    let (started, mut drawn) = (Instant::now(), 0);
    let mut last = started;
    let mut shown = String::new();
    while let Ok(item) = items.recv() {
        match item {
            Item::End => {
                // The summary follows.
                erase(&mut drawn);
                return;
            }
            Item::News(text) => {
                erase(&mut drawn);
                let _ = writeln!(std::io::stderr(), "[{:>7.1}] {text}", started.elapsed().as_secs_f64());
            }
            Item::Picture(snapshot) if mode == Mode::Live => {
                let picture = picture::lines(&snapshot, started.elapsed(), size(), bold());
                erase(&mut drawn);
                draw(&picture);
                drawn = picture.len();
            }
            Item::Picture(snapshot) => {
                let line = picture::line(&snapshot);
                if last.elapsed() >= SPARSE && line != shown {
                    last = Instant::now();
                    let _ = writeln!(std::io::stdout(), "[{:>7.1}] {line}", started.elapsed().as_secs_f64());
                    shown = line;
                }
            }
        }
    }
}

fn bold() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Of the terminal, at this moment.
fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let told = told.map(|size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() });
    told.filter(|size| size.columns > 0 && size.rows > 0).unwrap_or(SIZE)
}

/// Takes the last picture off the terminal.
fn erase(drawn: &mut usize) {
    if *drawn > 0 {
        let mut out = std::io::stdout();
        let _ = write!(out, "\x1b[{drawn}A\r\x1b[J");
        let _ = out.flush();
        *drawn = 0;
    }
}

fn draw(picture: &[String]) {
    let mut out = std::io::stdout().lock();
    for line in picture {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}
