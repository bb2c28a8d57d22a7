//! The terminal: a log, and a frame that is redrawn.
//!
//! A separate thread writes, so that a blocked terminal never blocks the framework. The log goes to standard error: all of it
//! passes through this thread, so that no line is written into the frame. The frame goes to standard output if that is a terminal;
//! otherwise a line in the log's style is printed from time to time instead.

mod frame;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use logging::{Level, Redirection};

use self::frame::Size;
use crate::core::Overview;

/// Maximum number of items (groups of log lines, or frames) that wait to be written to the terminal. When the queue is full,
/// frames and log lines are dropped, and the lines are counted.
const QUEUE: usize = 256;
/// Maximum number of log lines that one call writes to the terminal. Further lines are counted.
const LINES: usize = 1000;
/// The time between two lines about the framework's state if standard output is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// The time between two frames. It is a little less than the driver's tick, so that each tick draws a frame.
const FRAME_EVERY: Duration = Duration::from_millis(400);

/// The assumed size of a terminal whose size cannot be determined.
const DEFAULT_SIZE: Size = Size { columns: 80, rows: 24 };

/// A handle to the thread that writes to the terminal.
#[derive(Debug)]
pub(crate) struct Display {
    queue: SyncSender<Item>,
    thread: Option<JoinHandle<()>>,
    mode: Mode,
    /// Sends all lines of the log to the thread.
    redirection: Option<Redirection>,
    left_out: LeftOut,
}

/// The number of log lines that were dropped since the last written line.
type LeftOut = Arc<AtomicUsize>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Only the log is written.
    Quiet,
    /// In addition to the log, a line about the framework's state is printed every [`LINE_EVERY`].
    Lines,
    /// In addition to the log, a frame with the framework's state is redrawn every [`FRAME_EVERY`].
    Frames,
}

#[derive(Debug)]
enum Item {
    /// Lines of the log, each with its line break.
    Log(Vec<String>),
    Overview(Box<Overview>),
    End,
}

/// Decides when the next frame or line is due.
#[derive(Debug)]
pub(crate) struct FrameTimer {
    /// The time between two frames or lines; `None` if neither is written.
    every: Option<Duration>,
    last: Option<Instant>,
}

impl Display {
    /// Starts the thread that writes to the terminal. With `quiet`, nothing is written to standard output.
    pub fn start(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let mode = match (quiet, std::io::stdout().is_terminal() && !dumb) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Frames,
            (false, false) => Mode::Lines,
        };
        let (queue, items) = sync_channel(QUEUE);
        let left_out = LeftOut::default();
        let counted = left_out.clone();
        let write = move || write(&items, Terminal::new(mode, counted));
        let thread = thread::Builder::new().name("display".to_owned()).spawn(write);
        let redirection = logging::redirect(sink(queue.clone(), left_out.clone()));
        Display { queue, thread: thread.ok(), mode, redirection: Some(redirection), left_out }
    }

    /// Writes a line to the log.
    pub fn log(&self, text: impl std::fmt::Display) {
        logging::notice(Level::INFO, text);
    }

    /// Writes a line about something that is wrong to the log.
    pub fn warn(&self, text: impl std::fmt::Display) {
        logging::notice(Level::WARN, text);
    }

    /// Writes lines to the log.
    pub fn log_all(&self, mut lines: Vec<(Level, String)>) {
        // Nobody reads thousands of lines that arrive together.
        let left_out = lines.split_off(lines.len().min(LINES));
        self.left_out.fetch_add(left_out.len(), Ordering::Relaxed);
        if !lines.is_empty() {
            logging::notices(&lines);
        }
    }

    /// The timer that decides when to call [`show`](Display::show).
    pub fn frame_timer(&self) -> FrameTimer {
        match self.mode {
            Mode::Quiet => FrameTimer { every: None, last: None },
            // The first line is printed after the first interval.
            Mode::Lines => FrameTimer { every: Some(LINE_EVERY), last: Some(Instant::now()) },
            Mode::Frames => FrameTimer { every: Some(FRAME_EVERY), last: None },
        }
    }

    /// Draws the framework's current state.
    pub fn show(&self, overview: Overview) {
        // If the queue is full, this frame is dropped; the next one follows soon.
        let _ = self.queue.try_send(Item::Overview(Box::new(overview)));
    }
}

impl Drop for Display {
    /// Waits until all items are written, so that later output follows them.
    fn drop(&mut self) {
        // Later lines go to standard error directly.
        self.redirection = None;
        if self.queue.send(Item::End).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // The summary must be printed even if the thread has panicked.
            let _ = thread.join();
        }
    }
}

impl FrameTimer {
    /// Whether the next frame is due. If it is, a new interval starts.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let Some(every) = self.every else { return false };
        let due = self.last.is_none_or(|last| now.duration_since(last) >= every);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// Passes lines of the log to the writing thread.
fn sink(queue: SyncSender<Item>, left_out: LeftOut) -> logging::Sink {
    Box::new(move |lines| match queue.try_send(Item::Log(lines)) {
        Err(TrySendError::Full(Item::Log(lines))) => {
            left_out.fetch_add(lines.len(), Ordering::Relaxed);
        }
        // There is no thread.
        Err(TrySendError::Disconnected(Item::Log(lines))) => {
            let _ = std::io::stderr().write_all(lines.concat().as_bytes());
        }
        _ => {}
    })
}

/// The writing thread. It ignores errors, because they mean that the terminal is gone.
fn write(items: &Receiver<Item>, mut terminal: Terminal) {
    while let Ok(first) = items.recv() {
        // All waiting items are written together, because thousands of lines may arrive in a burst.
        for item in std::iter::once(first).chain(items.try_iter().take(QUEUE)) {
            if matches!(item, Item::End) {
                terminal.write_log();
                // The summary is printed in place of the last frame.
                terminal.screen.erase();
                return;
            }
            terminal.take(item);
        }
        terminal.write_log();
    }
}

/// The terminal, and the log lines that wait to be written.
struct Terminal {
    mode: Mode,
    started: Instant,
    screen: Screen,
    /// Log lines that have not been written to the terminal yet.
    log: String,
    left_out: LeftOut,
    /// The last line about the framework's state that was printed in place of a frame. An equal line is not printed again.
    shown: String,
}

impl Terminal {
    fn new(mode: Mode, left_out: LeftOut) -> Self {
        let (screen, log, shown) = Default::default();
        Self { mode, started: Instant::now(), screen, log, left_out, shown }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::End => {}
            Item::Log(lines) => self.log.extend(lines),
            Item::Overview(overview) if self.mode == Mode::Frames => {
                self.write_log();
                self.screen.erase();
                self.screen.draw(&overview, self.started.elapsed());
            }
            Item::Overview(overview) => {
                self.write_log();
                let line = frame::line(&overview);
                if line != self.shown {
                    let text = logging::rendered_notice(Level::INFO, &line);
                    let _ = std::io::stdout().write_all(text.as_bytes());
                    self.shown = line;
                }
            }
        }
    }

    fn write_log(&mut self) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let text = format!("{left_out} lines are left out: they came too fast");
            self.log += &logging::rendered_notice(Level::WARN, &text);
        }
        if !self.log.is_empty() {
            self.screen.erase();
            let _ = std::io::stderr().write_all(self.log.as_bytes());
            self.log.clear();
        }
    }
}

/// The lines of the terminal that the last frame occupies.
#[derive(Debug, Default, PartialEq, Eq)]
enum Screen {
    /// No frame is on the screen.
    #[default]
    Free,
    /// The frame occupies this number of lines above the cursor.
    Above(usize),
    /// The frame occupies only the cursor's line, because the terminal has no other lines to spare.
    CursorLine,
}

impl Screen {
    /// Erases the last frame.
    fn erase(&mut self) {
        let mut out = std::io::stdout();
        let _ = match std::mem::take(self) {
            Screen::Free => return,
            Screen::Above(lines) => write!(out, "\x1b[{lines}A\r\x1b[J"),
            Screen::CursorLine => write!(out, "\r\x1b[J"),
        };
        let _ = out.flush();
    }

    fn draw(&mut self, overview: &Overview, elapsed: Duration) {
        let size = size();
        let lines = frame::lines(overview, elapsed, size, bold());
        let mut out = std::io::stdout().lock();
        if size.is_flat() {
            let _ = write!(out, "{}", lines.concat());
            *self = Screen::CursorLine;
        } else {
            for line in &lines {
                let _ = writeln!(out, "{line}");
            }
            *self = Screen::Above(lines.len());
        }
        let _ = out.flush();
    }
}

fn bold() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The current size of the terminal.
fn size() -> Size {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let size = size.map(|size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() });
    size.filter(|size| size.columns > 0 && size.rows > 0).unwrap_or(DEFAULT_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_in_quiet_mode_and_lines_are_rare() {
        let now = Instant::now();
        let due = |timer: &mut FrameTimer| {
            let ticks = (0..60).map(|n| now + n * Duration::from_millis(500));
            ticks.filter(|at| timer.is_due(*at)).count()
        };
        assert_eq!(due(&mut FrameTimer { every: None, last: None }), 0);
        assert_eq!(due(&mut FrameTimer { every: Some(FRAME_EVERY), last: None }), 60);
        assert_eq!(due(&mut FrameTimer { every: Some(LINE_EVERY), last: Some(now) }), 2);
    }
}
