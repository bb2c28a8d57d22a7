//! Where lines go: to standard error, or to a sink that shares the terminal with other output.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use tracing::Level;

use crate::bounded::BoundedWriter;
use crate::events::EVENTS;
use crate::line::{Format, Line, Style};

/// The longest line of a final error, in characters.
const LONGEST_ERROR: usize = 8192;

/// Takes lines, each with its line break.
pub type Sink = Box<dyn Fn(Vec<String>) + Send>;

static STYLE: OnceLock<Style> = OnceLock::new();
static TARGET: Mutex<Target> = Mutex::new(Target::Stderr);

/// Where lines go.
enum Target {
    Stderr,
    Bounded(BoundedWriter<io::Stderr>),
    Sink(Sink),
}

/// The style of all lines. Before [`set_style`], lines are text without colours.
pub(crate) fn style() -> Style {
    STYLE.get().copied().unwrap_or_default()
}

/// Sets the style. Only the first call in a process has an effect.
pub(crate) fn set_style(style: Style) {
    let _ = STYLE.set(style);
}

/// From now on, the size of what is written to standard error is bounded.
pub(crate) fn bound() {
    set_target(Target::Bounded(BoundedWriter::new(io::stderr())));
}

/// From now on, lines go to `sink` and not to standard error, until the returned guard is dropped. `sink` must return at once, and
/// must not log anything.
#[must_use = "lines go to standard error again when the guard is dropped"]
pub fn redirect(sink: Sink) -> Redirection {
    set_target(Target::Sink(sink));
    Redirection(())
}

/// While this exists, lines go to a sink; see [`redirect`].
#[derive(Debug)]
pub struct Redirection(());

impl Drop for Redirection {
    fn drop(&mut self) {
        set_target(Target::Stderr);
    }
}

fn set_target(target: Target) {
    *TARGET.lock().unwrap_or_else(PoisonError::into_inner) = target;
}

/// Writes lines. Errors are ignored, because they mean that nobody reads standard error any more.
pub(crate) fn write(lines: &[Line<'_>]) {
    let (time, style) = (SystemTime::now(), style());
    EVENTS.record(lines, time);
    let lines: Vec<String> = lines.iter().map(|line| line.render(time, style)).collect();
    let _ = match &mut *TARGET.lock().unwrap_or_else(PoisonError::into_inner) {
        // Lines that come together are written together, because thousands of them may do so.
        Target::Stderr => io::stderr().write_all(lines.concat().as_bytes()),
        Target::Bounded(writer) => lines.iter().try_for_each(|line| writer.write_all(line.as_bytes())),
        Target::Sink(sink) => {
            sink(lines);
            Ok(())
        }
    };
}

/// Tells the user something. It is a line of the log that is always written, whatever the filter is.
pub fn notice(level: Level, message: impl std::fmt::Display) {
    notices(&[(level, message.to_string())]);
}

/// Like [`notice`], for several lines.
pub fn notices(notices: &[(Level, String)]) {
    let lines: Vec<_> = notices.iter().map(|(level, message)| notice_line(*level, message)).collect();
    write(&lines);
}

fn notice_line(level: Level, message: &str) -> Line<'_> {
    Line { level, target: "notice", message, fields: &[] }
}

/// A notice as a line of the log, with the line break at its end, for output that is not the log's.
pub fn rendered_notice(level: Level, message: &str) -> String {
    notice_line(level, message).render(SystemTime::now(), style())
}

/// Writes the error that ends a program: as the command line's `error: …`, or as a JSON line if the log's lines are JSON.
pub fn final_error(message: &str) {
    match style().format {
        Format::Json => notice(Level::ERROR, message),
        Format::Text => {
            // The mark shows that further lines belong to the error: a peer's text may contain line breaks.
            let message = text::printable_lines(message, LONGEST_ERROR).replace('\n', "\n  | ");
            let _ = writeln!(io::stderr().lock(), "error: {message}");
        }
    }
}
