//! Shares, and the reasons why pools reject them.

use std::fmt;

use serde_json::{Value, json};

use crate::text::printable;

/// A share that a miner submits. Share and job determine one header, whose hash meets the target of the job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// The id of the job.
    pub job: String,
    /// The bytes between extranonce1 and coinb2.
    pub extranonce2: Vec<u8>,
    /// Header time, seconds since the Unix epoch.
    pub ntime: u32,
    /// Header nonce.
    pub nonce: u32,
    /// The complete header version, with rolled bits.
    pub version: u32,
}

/// Why a pool refused a request: the code and text of the `error` in its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The error code; the constants name the usual codes. [`Reason::OTHER`] if the pool sent no code and its text suggests
    /// none, or if its code is not a `u32`.
    pub code: u32,
    /// The pool's text, put on one line and cut if it is long.
    pub message: String,
}

impl Reason {
    /// Any other reason.
    pub const OTHER: u32 = 20;
    /// The pool does not know the job, or no longer knows it: the share is stale.
    pub const JOB_NOT_FOUND: u32 = 21;
    /// The same share was submitted before.
    pub const DUPLICATE: u32 = 22;
    /// The hash does not meet the target.
    pub const LOW_DIFFICULTY: u32 = 23;
    /// The worker is not authorized.
    pub const UNAUTHORIZED: u32 = 24;
    /// The connection has not subscribed.
    pub const NOT_SUBSCRIBED: u32 = 25;

    /// A reason with this code. `message` is made printable and cut, like all text from peers.
    pub fn new(code: u32, message: &str) -> Self {
        Reason { code, message: printable(message) }
    }

    /// A reason that the pool gave as text, without a code. The code is derived from typical words in the text.
    pub fn from_text(message: &str) -> Self {
        let text = message.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let code = match () {
            () if says_stale(&text) => Reason::JOB_NOT_FOUND,
            () if has(&["duplicate"]) => Reason::DUPLICATE,
            () if has(&["low diff", "low-diff", "high-hash", "high hash", "above target"]) => {
                Reason::LOW_DIFFICULTY
            }
            () if has(&["unauthori", "not authori"]) => Reason::UNAUTHORIZED,
            () if has(&["not subscribed"]) => Reason::NOT_SUBSCRIBED,
            () => Reason::OTHER,
        };
        Reason::new(code, message)
    }

    /// Whether the share is stale, according to code 21 or to the text.
    pub fn is_stale(&self) -> bool {
        self.code == Reason::JOB_NOT_FOUND || says_stale(&self.message.to_lowercase())
    }

    /// Whether the pool has already received this share.
    pub fn is_duplicate(&self) -> bool {
        self.code == Reason::DUPLICATE || self.message.to_lowercase().contains("duplicate")
    }

    /// Reads the `error` member of an answer in any of its forms: `[code, message, traceback]`, `{"code", "message"}`, a
    /// string, or a number. An empty value means no error.
    pub fn from_json(error: &Value) -> Option<Self> {
        match error {
            Value::Null | Value::Bool(false) => None,
            Value::Bool(true) => Some(Reason::new(Reason::OTHER, "")),
            Value::Number(_) => Some(Reason::from_parts(Some(error), None)),
            Value::String(text) => (!text.is_empty()).then(|| Reason::from_text(text)),
            Value::Array(parts) => match parts.as_slice() {
                [] => None,
                [Value::String(text)] => Some(Reason::from_text(text)),
                [code, rest @ ..] => Some(Reason::from_parts(Some(code), rest.first())),
            },
            Value::Object(members) if members.is_empty() => None,
            Value::Object(members) => {
                let message = members.get("message").or_else(|| members.get("error"));
                Some(Reason::from_parts(members.get("code"), message))
            }
        }
    }

    fn from_parts(code: Option<&Value>, message: Option<&Value>) -> Self {
        let message = match message {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let number = match code {
            Some(Value::String(digits)) => digits.trim().parse().ok(),
            Some(value) => value.as_i64(),
            None => None,
        };
        match number.map(u32::try_from) {
            Some(Ok(code)) => Reason::new(code, &message),
            // A code that is not a `u32` is appended to the text. The codes that JSON-RPC defines are negative, for example.
            Some(Err(_)) => {
                Reason::new(Reason::OTHER, &format!("{message} ({})", number.unwrap_or_default()))
            }
            None => Reason::from_text(&message),
        }
    }

    /// Writes the `error` member as most pools do: `[code, message, null]`.
    pub fn to_json(&self) -> Value {
        json!([self.code, self.message, null])
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(f, "code {}", self.code)
        } else {
            write!(f, "{} (code {})", self.message, self.code)
        }
    }
}

/// Whether the text says that a share is stale. Some pools put the job id in the middle of the text.
fn says_stale(lower_case: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|words| lower_case.contains(words));
    has(&["stale", "unknown job", "invalid job", "old job"])
        || has(&["job"]) && has(&["not found", "not exist"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_all_forms() {
        let read = |text: &str| Reason::from_json(&serde_json::from_str(text).unwrap());
        for none in ["null", "false", "[]", "{}", "\"\""] {
            assert_eq!(read(none), None, "{none}");
        }
        let stale = Some(Reason::new(21, "Job not found"));
        assert_eq!(read(r#"[21, "Job not found", null]"#), stale);
        assert_eq!(read(r#"["21", "Job not found"]"#), stale);
        assert_eq!(read(r#"{"code": 21, "message": "Job not found", "traceback": null}"#), stale);
        assert_eq!(read(r#""Job not found""#), stale);
        assert_eq!(read(r#"["Job not found"]"#), stale);
        assert_eq!(read("23"), Some(Reason::new(23, "")));
        assert_eq!(read("true"), Some(Reason::new(20, "")));
        assert_eq!(read(r#"[null, "high-hash"]"#), Some(Reason::new(23, "high-hash")));
        assert_eq!(
            read(r#"{"code": -32601, "message": "Method not found"}"#),
            Some(Reason::new(20, "Method not found (-32601)"))
        );
        assert_eq!(read(r#"[1e300, {"a": 1}]"#), Some(Reason::new(20, r#"{"a":1}"#)));
        assert_eq!(read(r#"{"error": "Duplicate share"}"#), Some(Reason::new(22, "Duplicate share")));
    }

    #[test]
    fn stale_and_duplicate_are_recognized_by_code_or_text() {
        assert!(Reason::new(21, "").is_stale());
        assert!(Reason::new(20, "Stale share").is_stale());
        assert!(Reason::new(20, "Job '62345' not found").is_stale());
        assert!(!Reason::new(23, "Low difficulty share").is_stale());
        assert!(Reason::new(22, "").is_duplicate());
        assert!(Reason::new(20, "DUPLICATE").is_duplicate());
        assert!(!Reason::new(21, "Job not found").is_duplicate());
    }
}
