//! An answer in JSON, as text.

use hyper::body::Bytes;
use serde_json::Value;

/// JSON as text, with a line end. Clones share the text, so that one answer can be given to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Bytes);

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        Json(format!("{value}\n").into())
    }
}

impl Json {
    /// The text.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The value that the text stands for.
    ///
    /// # Errors
    /// If it is not JSON, which never happens.
    pub fn parse(&self) -> serde_json::Result<Value> {
        serde_json::from_slice(&self.0)
    }
}
