//! Shares and their verdicts.

use std::fmt;

use serde_json::{Value, json};

use crate::text::printable;

/// A solution that a miner submits: together with its job it gives one header whose digest meets the job's target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// The job's id, as the pool gave it.
    pub job: String,
    /// The bytes between extranonce1 and coinb2.
    pub extranonce2: Vec<u8>,
    /// The header's time, seconds since the Unix epoch.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The whole version that was hashed, with rolled bits.
    pub version: u32,
}

/// A pool's answer to a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The share counts.
    Accepted,
    /// It does not, and why.
    Rejected(Reason),
}

/// Why a pool refused something: code and text of its answer's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// One of the codes of the field, see the constants. [`Reason::OTHER`] where the pool gave none and its text
    /// tells nothing, and for codes that are no `u32`.
    pub code: u32,
    /// The pool's text, on one line and of bounded length.
    pub message: String,
}

impl Reason {
    /// Anything else.
    pub const OTHER: u32 = 20;
    /// The job is not, or no longer, known: the share is stale.
    pub const JOB_NOT_FOUND: u32 = 21;
    /// The same share was submitted before.
    pub const DUPLICATE: u32 = 22;
    /// The digest does not meet the target.
    pub const LOW_DIFFICULTY: u32 = 23;
    /// The worker is not authorized.
    pub const UNAUTHORIZED: u32 = 24;
    /// The connection has not subscribed.
    pub const NOT_SUBSCRIBED: u32 = 25;

    /// A reason with this code; `message` is cleaned and cut as everything that peers write.
    pub fn new(code: u32, message: &str) -> Reason {
        Reason { code, message: printable(message) }
    }

    /// A reason known only by its text; the code is told from the words pools use.
    pub fn from_text(message: &str) -> Reason {
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

    /// Whether the share came too late: code 21, or a text that says so under another code.
    pub fn is_stale(&self) -> bool {
        self.code == Reason::JOB_NOT_FOUND || says_stale(&self.message.to_lowercase())
    }

    /// Whether the pool had this share already.
    pub fn is_duplicate(&self) -> bool {
        self.code == Reason::DUPLICATE || self.message.to_lowercase().contains("duplicate")
    }

    /// Reads the `error` member of an answer in any of its dialects: `[code, message, traceback]`,
    /// `{"code", "message"}`, a string, a number. Empty values mean that there is no error.
    pub fn from_json(error: &Value) -> Option<Reason> {
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

    fn from_parts(code: Option<&Value>, message: Option<&Value>) -> Reason {
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
            // JSON-RPC's own codes are negative: the number is kept where a person can read it.
            Some(Err(_)) => {
                Reason::new(Reason::OTHER, &format!("{message} ({})", number.unwrap_or_default()))
            }
            None => Reason::from_text(&message),
        }
    }

    /// The `error` member as pools commonly write it: `[code, message, null]`.
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

/// What pools write when a share came too late, some with the job's id in the middle.
fn says_stale(lower_case: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|words| lower_case.contains(words));
    has(&["stale", "unknown job", "invalid job", "old job"])
        || has(&["job"]) && has(&["not found", "not exist"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_all_dialects() {
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
    fn stale_and_duplicate_are_told_by_code_or_text() {
        assert!(Reason::new(21, "").is_stale());
        assert!(Reason::new(20, "Stale share").is_stale());
        assert!(Reason::new(20, "Job '62345' not found").is_stale());
        assert!(!Reason::new(23, "Low difficulty share").is_stale());
        assert!(Reason::new(22, "").is_duplicate());
        assert!(Reason::new(20, "DUPLICATE").is_duplicate());
        assert!(!Reason::new(21, "Job not found").is_duplicate());
    }
}
