//! A pool that replays what a real pool was recorded to send. It uses none of this project's Stratum code.
//! `tests/fixtures/pools/README.md` describes the recordings.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// The difficulty that replaces the first recorded one; others keep their ratio to it. A share takes some 200,000 hashes.
const DIFFICULTY: f64 = 0.000_05;

/// A recording: what the pool sends when a request comes.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The lines by the method of the request that they follow.
    on: HashMap<String, Vec<Line>>,
    /// The lines that follow the answer to a share, by the number of shares before.
    after: Vec<(usize, Vec<Line>)>,
}

#[derive(Clone, Debug)]
struct Line {
    text: String,
    /// Whether the line is the answer to the request.
    is_answer: bool,
}

/// Where lines of a recording belong.
enum Section {
    On(String),
    After(usize),
}

impl Recording {
    pub fn parse(text: &str) -> Self {
        let mut recording = Recording::default();
        let mut section = None;
        let mut first_difficulty = None;
        for line in text.lines() {
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            match mark {
                "#" => {}
                "on" => section = Some(Section::On(rest.to_owned())),
                "after" => {
                    let count = rest.strip_suffix(" shares").and_then(|count| count.parse().ok());
                    section = Some(Section::After(count.expect("after N shares")));
                }
                "=" | "<" => {
                    let text = with_difficulty(rest, &mut first_difficulty);
                    let line = Line { text, is_answer: mark == "=" };
                    match section.as_ref().expect("a section") {
                        Section::On(method) => recording.on.entry(method.clone()).or_default().push(line),
                        Section::After(count) => match recording.after.last_mut() {
                            Some((last, lines)) if last == count => lines.push(line),
                            _ => recording.after.push((*count, vec![line])),
                        },
                    }
                }
                other => panic!("unknown mark {other:?}"),
            }
        }
        recording
    }
}

/// The same line with a lower difficulty, if it sets one.
fn with_difficulty(line: &str, first: &mut Option<f64>) -> String {
    let message: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    if message["method"] != "mining.set_difficulty" {
        return line.to_owned();
    }
    let recorded = message["params"][0].as_f64().expect("a difficulty");
    let lower = DIFFICULTY * recorded / *first.get_or_insert(recorded);
    let (before, after) = line.split_once("\"params\"").expect("parameters");
    let (colon, after) = after.split_once('[').expect("an array");
    let (_, after) = after.split_once(']').expect("an array");
    format!("{before}\"params\"{colon}[{lower}]{after}")
}

/// The same line as an answer to the request with this id.
fn with_id(line: &str, id: &Value) -> String {
    let (before, after) = line.split_once("\"id\":").expect("an id");
    let end = after.find([',', '}']).expect("more than an id");
    let space = if after.starts_with(' ') { " " } else { "" };
    format!("{before}\"id\":{space}{id}{}", after.get(end..).unwrap_or_default())
}

/// The pool, and what it and its miner have said.
pub struct RecordedPool {
    pub address: SocketAddr,
    conversation: Arc<Mutex<Vec<String>>>,
}

impl RecordedPool {
    pub fn start(recording: Recording) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let conversation: Arc<Mutex<Vec<String>>> = Arc::default();
        let said = conversation.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                said.lock().expect("no thread panics").push("# connected".to_owned());
                // Ignore errors, because the client closes the connection at the end.
                let _ = serve(&stream, &recording, &said);
            }
        });
        RecordedPool { address, conversation }
    }

    /// The lines of the pool after `< `, and of the miner after `> `, in their order.
    pub fn conversation(&self) -> Vec<String> {
        self.conversation.lock().expect("no thread panics").clone()
    }

    /// The requests of the miner.
    pub fn requests(&self) -> Vec<Value> {
        let lines = self.conversation();
        let sent = lines.iter().filter_map(|line| line.strip_prefix("> "));
        sent.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

fn serve(mut stream: &TcpStream, recording: &Recording, said: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let say = |direction: char, line: &str| {
        said.lock().expect("no thread panics").push(format!("{direction} {line}"));
    };
    let mut shares = 0;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        say('>', &line);
        let request: Value = serde_json::from_str(&line)?;
        let (id, method) = (&request["id"], request["method"].as_str().unwrap_or_default());
        let recorded = recording.on.get(method).cloned().unwrap_or_else(|| vec![unknown_method()]);
        let lines = if method == "mining.submit" {
            // One answer for each share. The last one is repeated.
            let answer = recorded.get(shares).or(recorded.last()).expect("an answer").clone();
            shares += 1;
            let more = recording.after.iter().filter(|(count, _)| *count == shares);
            std::iter::once(answer).chain(more.flat_map(|(_, lines)| lines.clone())).collect()
        } else {
            recorded
        };
        for Line { text, is_answer } in lines {
            let text = if is_answer { with_id(&text, id) } else { text };
            say('<', &text);
            writeln!(stream, "{text}")?;
        }
    }
    Ok(())
}

/// The answer to a request that the pool was not recorded to get.
fn unknown_method() -> Line {
    let text = r#"{"id":0,"result":null,"error":[20,"Not supported.",null]}"#.to_owned();
    Line { text, is_answer: true }
}
