//! Reads lines that are not one message: several objects in one line, keys that occur twice, bytes around an object that do not
//! belong there, broken JSON.
//!
//! What the sender means is read where only one meaning is possible. Otherwise, the error has the id of the request, so
//! that a pool can answer it.

use std::collections::VecDeque;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Id, Message, MessageError};
use crate::text::printable;

/// Maximum number of objects that are read from one line; further objects are dropped.
const MAX_OBJECTS: usize = 1_000;
/// Maximum number of members of an object that may have the same key twice. Messages have at most seven.
const MAX_MEMBERS: usize = 64;

/// Whether a line has no content: only white space, the zero bytes with which some miners end their messages, and byte order
/// marks.
pub fn is_blank(line: &str) -> bool {
    line.chars().all(|c| c.is_whitespace() || matches!(c, '\0' | '\u{feff}'))
}

/// The messages of a line that [`Message::from_line`] refused with `error`: one for each object in the line, in their order.
/// What is between the objects is ignored. If there is no object, the only result is `error`.
pub fn salvage(line: &str, error: MessageError) -> VecDeque<Result<Message, MessageError>> {
    let found = objects(line);
    if found.is_empty() {
        return VecDeque::from([Err(error)]);
    }
    found.into_iter().map(read_object).collect()
}

/// Reads one object that may have the same key twice. Such keys are harmless if their values are the same.
fn read_object(object: &str) -> Result<Message, MessageError> {
    let error = match Message::from_line(object) {
        Err(MessageError::Json { source, .. }) => {
            MessageError::Json { id: find_id(object), line: printable(object), source }
        }
        read => return read,
    };
    let members = match serde_json::from_str(object) {
        Ok(Members(members)) if members.len() <= MAX_MEMBERS => members,
        _ => return Err(error),
    };
    let mut single: Vec<(String, &RawValue)> = Vec::new();
    let mut ambiguous = None;
    for (key, value) in members {
        match single.iter_mut().find(|(known, _)| *known == key) {
            None => single.push((key, value)),
            Some((_, known)) => {
                if known.get() != value.get() {
                    ambiguous = Some(key);
                }
                *known = value;
            }
        }
    }
    if let Some(key) = ambiguous {
        return Err(MessageError::Ambiguous { id: find_id(object), key: printable(&key) });
    }
    let texts =
        single.iter().map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_str())));
    let object = format!("{{{}}}", texts.collect::<Vec<_>>().join(","));
    Message::from_line(&object).map_err(|_| error)
}

/// The members of an object in their order, also those with the same key.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Follows JSON byte by byte, just far enough to know what is nested and what is text. The JSON may be broken.
#[derive(Default)]
struct Scanner {
    /// The number of objects and arrays that are open.
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Scanner {
    fn step(&mut self, byte: u8) {
        match (self.in_text, byte) {
            (true, _) if self.escaped => self.escaped = false,
            (true, b'\\') => self.escaped = true,
            (_, b'"') => self.in_text = !self.in_text,
            (false, b'{' | b'[') => self.depth += 1,
            (false, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// The objects in a line. An array around them is ignored. The last one may be incomplete.
fn objects(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Scanner)> = None;
    for (at, byte) in line.bytes().enumerate() {
        if open.is_none() && byte == b'{' {
            open = Some((at, Scanner::default()));
        }
        let Some((start, scanner)) = &mut open else { continue };
        scanner.step(byte);
        if scanner.depth == 0 {
            found.extend(line.get(*start..=at));
            open = None;
            if found.len() == MAX_OBJECTS {
                break;
            }
        }
    }
    found.extend(open.and_then(|(start, _)| line.get(start..)));
    found
}

/// The id of an object whose JSON may be broken; [`Id::Null`] if it cannot be read. If there are several ids, the last one is
/// returned, as most readers of JSON do.
pub(crate) fn find_id(object: &str) -> Id {
    let mut id = Id::Null;
    let mut scanner = Scanner::default();
    let mut text_start = 0;
    for (at, byte) in object.bytes().enumerate() {
        let was_in_text = scanner.in_text;
        scanner.step(byte);
        match (was_in_text, scanner.in_text) {
            (false, true) => text_start = at + 1,
            (true, false) if scanner.depth == 1 && object.get(text_start..at) == Some("id") => {
                let value = object.get(at + 1..).and_then(|rest| rest.trim_start().strip_prefix(':'));
                let value =
                    value.map(|rest| serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>());
                if let Some(Ok(value)) = value.and_then(|mut values| values.next()) {
                    id = Id::from_raw(Some(value));
                }
            }
            _ => {}
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<Result<Message, MessageError>> {
        match Message::from_line(line) {
            Ok(message) => vec![Ok(message)],
            Err(error) => salvage(line, error).into(),
        }
    }

    /// Reads a line that has one message.
    fn one(line: &str) -> Result<Message, MessageError> {
        let mut read = read(line);
        assert_eq!(read.len(), 1, "{line:?}: {read:?}");
        read.remove(0)
    }

    #[test]
    fn what_is_around_an_object_does_no_harm() {
        let plain = r#"{"id":1,"method":"mining.ping","params":["}{"]}"#;
        let expected = Message::from_line(plain).unwrap();
        for line in [
            format!("\u{feff}{plain}"),
            format!("\0{plain}"),
            format!("{plain}\0\0"),
            format!("{plain},"),
            format!("{plain} ;"),
            format!("{plain}}}]"),
            format!("\u{fffd}{plain}"),
            format!("[{plain}]"),
            format!("{plain}\r"),
        ] {
            assert_eq!(one(&line).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn all_objects_of_a_line_are_read_in_their_order() {
        let [first, second] =
            [1, 2].map(|id| format!(r#"{{"id":{id},"method":"mining.ping","params":["{{"]}}"#));
        for line in [
            format!("{first}{second}"),
            format!("{first}\0{second}"),
            format!("{first} , {second},"),
            format!("[{first},{second}]"),
        ] {
            let ids: Vec<Id> = read(&line).iter().map(|read| id_of(read.as_ref().unwrap())).collect();
            assert_eq!(ids, [Id::Number(1), Id::Number(2)], "{line}");
        }
        // The second object can be read even if the first cannot.
        let read = read(&format!(r#"{{"id":7,}}{second}"#));
        assert_eq!((error_id(&read[0]), id_of(read[1].as_ref().unwrap())), (Id::Number(7), Id::Number(2)));
        assert_eq!(super::objects(&"{}".repeat(2 * MAX_OBJECTS)).len(), MAX_OBJECTS);
    }

    fn id_of(message: &Message) -> Id {
        match message {
            Message::Call(call) => call.id.clone(),
            Message::Response(response) => response.id.clone(),
        }
    }

    fn error_id(read: &Result<Message, MessageError>) -> Id {
        read.as_ref().unwrap_err().id().cloned().unwrap()
    }

    #[test]
    fn the_id_of_broken_json_is_found() {
        for (line, id) in [
            (r#"{"id":1,"method":"x",}"#, "1"),
            (r#"{"method":"x","params":[,],"id": "a\"b" }"#, r#""a\"b""#),
            (r#"{"id" : 7.0,"method":"x","params":[}"#, "7.0"),
            (
                r#"{"id":340282366920938463463374607431768211456,"method":5}"#,
                "340282366920938463463374607431768211456",
            ),
            ("{\"id\":3,\"method\":\"a\0b\"}", "3"),
            (r#"{"id":4,"method":"x""#, "4"),
            (r#"{"params":{"id":9},"method":"x",}"#, "null"),
            (r#"{"method":"\"id\":5","params":[{"id":6}],"#, "null"),
            (r#"{"id":"#, "null"),
            (r#"{"id"}"#, "null"),
            (r#"{"id":1e400,"params":[1e400],"method":"x"}"#, "1e400"),
        ] {
            assert_eq!(error_id(&one(line).map(|message| panic!("{message:?}"))).to_string(), id, "{line}");
        }
        for line in ["GET / HTTP/1.1", "[]", "7", "\u{fffd}\u{1}", "}", "\"{\""] {
            assert_eq!(error_id(&one(line)), Id::Null, "{line}");
        }
    }

    #[test]
    fn a_key_that_occurs_twice_must_have_one_value() {
        let read = one(r#"{"id":1,"id":1,"method":"mining.ping","params":[],"params":[]}"#).unwrap();
        assert_eq!(read, Message::from_line(r#"{"id":1,"method":"mining.ping","params":[]}"#).unwrap());
        for (line, id, key) in [
            (r#"{"id":1,"id":2,"method":"mining.ping"}"#, 2, "id"),
            (r#"{"id":3,"method":"mining.ping","method":"mining.submit"}"#, 3, "method"),
            (r#"{"params":[1],"id":4,"method":"x","params":[2]}"#, 4, "params"),
        ] {
            let error = one(line).unwrap_err();
            assert_eq!(error.id(), Some(&Id::Number(id)), "{line}");
            assert!(error.to_string().contains(&format!("{key:?}")), "{error}");
        }
    }

    #[test]
    fn an_object_with_very_many_members_is_refused_at_once() {
        let members: String = (0..100_000).map(|n| format!(r#""{n}":0,"#)).collect();
        let error = one(&format!(r#"{{"id":1,"id":1,{members}"method":"x"}}"#)).unwrap_err();
        assert_eq!(error.id(), Some(&Id::Number(1)));
    }

    #[test]
    fn blank_lines_have_no_content() {
        for line in ["", " \t\r", "\0", "\u{feff}", "\0 \r"] {
            assert!(is_blank(line), "{line:?}");
        }
        assert!(!is_blank("\0{") && !is_blank("\u{1}"));
    }
}
