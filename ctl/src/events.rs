//! Follows the scheduler's events: server-sent events, of which each has the line of the log as JSON.

use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context, bail};
use command_line::print_result;
use http_body_util::BodyExt;
use serde_json::Value;
use text::printable_lines;

use crate::http::Server;
use crate::request::{Request, segment};

/// Maximum length of a line of the stream, in bytes.
const MAX_LINE: usize = 1 << 20;
/// The fields of an event that have their own place in its line, or none.
const SHOWN: [&str; 5] = ["id", "time", "level", "target", "message"];
/// The longest line that is shown, in characters.
const LONGEST_LINE: usize = 8192;

/// Prints each event, until the scheduler ends the stream or standard output is closed. `after` is the id of the event after which to
/// begin.
///
/// # Errors
/// If the scheduler does not send events, or ends the stream.
pub(crate) async fn follow(server: &Server, after: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let query = after.map(|id| format!("?after={}", segment(id))).unwrap_or_default();
    let request = Request { method: "GET", path: format!("/api/v1/events{query}"), body: None };
    let response = server.send(&request).await?;
    if response.status() != 200 {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.context("the answer breaks off")?.to_bytes();
        let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        bail!(
            "no events ({status}): {}",
            body["detail"].as_str().unwrap_or("the scheduler does not say why")
        );
    }
    let (mut body, mut lines) = (response.into_body(), Lines::default());
    let mut closed = pin!(command_line::stdout_closed());
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // The reader, such as `head`, wants no more.
            () = &mut closed => return Ok(ExitCode::SUCCESS),
        };
        let Some(frame) = frame else { bail!("the scheduler has ended the stream of events") };
        let frame = frame.context("the stream of events breaks off")?;
        let Some(data) = frame.data_ref() else { continue };
        for event in lines.add(data)? {
            print_result(if json { event } else { text_of(&event) })?;
        }
    }
}

/// The lines of a stream that comes in pieces.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Adds a piece, and returns the data of the events that are complete now.
    fn add(&mut self, piece: &[u8]) -> anyhow::Result<Vec<String>> {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.trim_end_matches(['\r', '\n']).strip_prefix("data:") {
                events.push(data.trim_start().to_owned());
            }
        }
        anyhow::ensure!(self.rest.len() <= MAX_LINE, "an event is longer than {MAX_LINE} bytes");
        Ok(events)
    }
}

/// An event as a line for people.
fn text_of(event: &str) -> String {
    let Ok(event) = serde_json::from_str::<Value>(event) else {
        return printable_lines(event, LONGEST_LINE).into_owned();
    };
    let field = |name: &str| event[name].as_str().unwrap_or_default();
    let further = event.as_object().into_iter().flatten().filter(|(name, _)| !SHOWN.contains(&name.as_str()));
    let further: String = further.map(|(name, value)| format!(" {name}={value}")).collect();
    let level = field("level").to_ascii_uppercase();
    let line = format!("{} {level:5} {}{further}", field("time"), field("message"));
    printable_lines(line.trim(), LONGEST_LINE).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_pieces() {
        let mut lines = Lines::default();
        assert!(lines.add(b": comment\n\nid: 3\nda").unwrap().is_empty());
        assert_eq!(lines.add(b"ta: {\"message\":\"a\"}\r\n\ndata:b\n").unwrap(), [r#"{"message":"a"}"#, "b"]);
        assert!(lines.add(&vec![b'x'; MAX_LINE + 1]).is_err());
    }

    #[test]
    fn an_event_is_a_line() {
        let event = r#"{"id":1,"time":"T","level":"info","target":"x","message":"hello","n":3}"#;
        assert_eq!(text_of(event), "T INFO  hello n=3");
        assert_eq!(text_of("no json"), "no json");
    }
}
