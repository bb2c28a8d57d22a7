//! One line of a log: its parts, and how they are written.
//!
//! | format | a line |
//! |---|---|
//! | text | `2026-03-01T12:00:00Z WARN  not connected to an upstream pool retry_in="2.5 s"` |
//! | JSON | `{"time":"2026-03-01T12:00:00Z","level":"warn","target":"pool","message":"…","retry_in":"2.5 s"}` |
//!
//! Times are in UTC, because an operator puts the lines of a scheduler, of agents and of executors side by side, from machines in
//! several time zones; and an agent without a time zone database has no other.
//!
//! Messages and values may contain what peers have said, so all of them pass through [`text::printable`] here. No text can break
//! out of its line, or control a terminal. A message of several lines, such as the end of a file, becomes lines of the log, each
//! with time and level; from the second one on they begin with a bar.

use std::fmt::{self, Write};
use std::time::SystemTime;

use text::{escape_json, printable};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::Level;

/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 8192;
/// The maximum number of lines of a message. Further lines are left out.
const MOST_LINES: usize = 100;
/// The longest value of a field, in characters.
const LONGEST_VALUE: usize = 2048;
/// The keys that every JSON line has. A field of the same name gets another one.
const KEYS: [&str; 4] = ["time", "level", "target", "message"];

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 2] = [Format::Text, Format::Json];

    /// The format's name in options.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
        }
    }

    /// The format with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// The format of the lines, and whether levels have colours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub format: Format,
    /// Only for [`Format::Text`].
    pub color: bool,
}

/// The value of a field.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    /// A number or a truth value, as JSON writes it.
    Plain(String),
}

/// The parts of a line, except its time.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub level: Level,
    /// The module from which the line comes. Only JSON lines show it.
    pub target: &'a str,
    pub message: &'a str,
    pub fields: &'a [(&'static str, Value)],
}

impl Line<'_> {
    /// The line as it is written, with the line break at its end.
    pub fn render(&self, time: SystemTime, style: Style) -> String {
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = match style.format {
            Format::Text => self.write_text(&mut line, &date(time), style.color),
            Format::Json => {
                line.push('{');
                self.write_json(&mut line, &date(time), &KEYS)
            }
        };
        line.push('\n');
        line
    }

    /// The line as a JSON object that begins with an id, without a line break.
    pub fn json_with_id(&self, id: u64, time: SystemTime) -> String {
        let mut line = format!("{{\"id\":{id},");
        // Writing to a String cannot fail.
        let _ = self.write_json(&mut line, &date(time), &["id", "time", "level", "target", "message"]);
        line
    }

    fn write_text(&self, line: &mut String, time: &str, color: bool) -> fmt::Result {
        let level = self.level.as_str();
        let head = if color {
            format!("\x1b[2m{time}\x1b[0m \x1b[{}m{level:5}\x1b[0m", color_code(self.level))
        } else {
            format!("{time} {level:5}")
        };
        line.push_str(&head);
        for (i, part) in self.message.split('\n').take(MOST_LINES).enumerate() {
            if i > 0 {
                write!(line, "\n{head}   |")?;
            }
            if !part.is_empty() {
                write!(line, " {}", printable(part, LONGEST_MESSAGE))?;
            }
        }
        for (name, value) in self.fields {
            match value {
                Value::Plain(value) => write!(line, " {name}={value}")?,
                Value::Text(value) => write!(line, " {name}={}", quoted(value))?,
            }
        }
        Ok(())
    }

    /// Writes the object after its opening brace. A field whose name is one of `keys` gets another one.
    fn write_json(&self, line: &mut String, time: &str, keys: &[&str]) -> fmt::Result {
        let level = self.level.as_str().to_ascii_lowercase();
        let message = json_string(self.message, LONGEST_MESSAGE);
        write!(line, r#""time":"{time}","level":"{level}","#)?;
        write!(line, r#""target":{},"message":{message}"#, json_string(self.target, LONGEST_VALUE))?;
        for (name, value) in self.fields {
            let end = if keys.contains(name) { "_" } else { "" };
            write!(line, r#","{name}{end}":"#)?;
            match value {
                Value::Plain(value) => line.push_str(value),
                Value::Text(value) => line.push_str(&json_string(value, LONGEST_VALUE)),
            }
        }
        line.push('}');
        Ok(())
    }
}

/// A time as RFC 3339 writes it, in UTC and whole seconds.
fn date(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let seconds = time.replace_nanosecond(0).unwrap_or(time);
    // Only years after 9999 have no such form.
    seconds.format(&Rfc3339).unwrap_or_else(|_| seconds.unix_timestamp().to_string())
}

/// The usual colour of a level, as the parameter of ANSI's SGR.
fn color_code(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// The value as it is shown: in quotation marks if its end could not be seen otherwise.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    let value = printable(&escaped, LONGEST_VALUE);
    let is_plain = !value.is_empty() && !value.contains([' ', '"', '=', '\\']);
    if is_plain { value.into_owned() } else { format!("\"{value}\"") }
}

/// A JSON string of at most about `longest` characters.
fn json_string(value: &str, longest: usize) -> String {
    let cut = value.char_indices().nth(longest).map(|(cut, _)| &value[..cut]);
    let json = match cut {
        None => serde_json::to_string(value),
        Some(cut) => serde_json::to_string(&format!("{cut}…")),
    };
    // A string always has a JSON form.
    escape_json(&json.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn rendered(message: &str, fields: &[(&'static str, Value)], style: Style) -> String {
        let time = UNIX_EPOCH + Duration::from_millis(1_772_366_400_900);
        Line { level: Level::WARN, target: "pool::server", message, fields }.render(time, style)
    }

    fn text(message: &str, fields: &[(&'static str, Value)]) -> String {
        rendered(message, fields, Style::default())
    }

    fn json(message: &str, fields: &[(&'static str, Value)]) -> String {
        rendered(message, fields, Style { format: Format::Json, color: true })
    }

    #[test]
    fn a_text_line_has_time_level_message_and_fields() {
        let fields =
            [("height", Value::Plain("7".to_owned())), ("node", Value::Text("http://h:1".to_owned()))];
        assert_eq!(text("no work", &fields), "2026-03-01T12:00:00Z WARN  no work height=7 node=http://h:1\n");
        let fields = [("error", Value::Text("say \"no\"".to_owned())), ("why", Value::Text(String::new()))];
        assert_eq!(text("", &fields), "2026-03-01T12:00:00Z WARN  error=\"say \\\"no\\\"\" why=\"\"\n");
        let forged = [("worker", Value::Text(r#"b\" forged=0"#.to_owned()))];
        assert!(
            text("", &forged).ends_with(concat!(r#" worker="b\\\" forged=0""#, "\n")),
            "{}",
            text("", &forged)
        );
    }

    #[test]
    fn a_json_line_is_an_object_with_the_same_parts() {
        let fields =
            [("height", Value::Plain("7".to_owned())), ("level", Value::Text("a\nb\u{202e}".to_owned()))];
        let line = json("no \"work\"\x1b\u{9b}", &fields);
        let expected = r#"{"time":"2026-03-01T12:00:00Z","level":"warn","target":"pool::server","message":"no \"work\"\u001b\u009b","height":7,"level_":"a\nb\u202e"}"#;
        assert_eq!(line, format!("{expected}\n"));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&read["message"], &read["level_"]),
            (&"no \"work\"\x1b\u{9b}".into(), &"a\nb\u{202e}".into())
        );
    }

    #[test]
    fn what_peers_say_cannot_break_out_of_a_line() {
        let said = "x\n2026-03-01T12:00:00Z ERROR forged\x1b[2J\u{202e}";
        let line = text("no work", &[("reason", Value::Text(said.to_owned()))]);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.trim_end().chars().all(text::is_printable), "{line:?}");
        let lines = text(said, &[]);
        let lines: Vec<_> = lines.lines().collect();
        let forged = r"2026-03-01T12:00:00Z WARN    | 2026-03-01T12:00:00Z ERROR forged\u{1b}[2J\u{202e}";
        assert_eq!(lines, ["2026-03-01T12:00:00Z WARN  x", forged]);
        let colored = rendered(said, &[], Style { color: true, ..Style::default() });
        assert_eq!(colored.matches('\x1b').count(), 8, "only our own colours: {colored:?}");
    }

    #[test]
    fn lines_have_a_bounded_length() {
        let long = "\u{202e}".repeat(100_000);
        let fields = || [("reason", Value::Text(long.clone()))];
        assert!(text(&long, &fields()).len() < 20_000);
        let line = json(&long, &fields());
        assert!(line.len() < 100_000);
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }

    #[test]
    fn formats_have_names() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
        }
        assert_eq!(Format::from_name("xml"), None);
    }
}
