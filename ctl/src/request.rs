//! The request to the scheduler that a command means.

use serde_json::{Map, Value, json};

use crate::args::{Command, Limit, ScaleArgs};

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub method: &'static str,
    pub path: String,
    /// The body, if there is one.
    pub body: Option<Value>,
}

/// The request that a command means. Events are no single request.
pub(crate) fn request(command: &Command) -> Request {
    let get = |path: &str| Request { method: "GET", path: path.to_owned(), body: None };
    let post = |path: String, body: Option<Value>| Request { method: "POST", path, body };
    match command {
        Command::Status => get("/api/v1/summary"),
        Command::Changes => get("/api/v1/changes"),
        Command::Events { .. } => get("/api/v1/events"),
        Command::Scale(limits) => {
            Request { method: "PUT", path: "/api/v1/scale".to_owned(), body: Some(scale(limits)) }
        }
        Command::Pause { release } => post("/api/v1/pause".to_owned(), Some(json!({"release": release}))),
        Command::Resume => post("/api/v1/resume".to_owned(), None),
        Command::Kill { task } => post(format!("/api/v1/tasks/{}/kill", segment(task)), None),
        Command::Avoid { agent } => post(avoid(agent), None),
        Command::Allow { agent } => Request { method: "DELETE", path: avoid(agent), body: None },
        Command::Teardown => post("/api/v1/teardown".to_owned(), None),
    }
}

fn avoid(agent: &str) -> String {
    format!("/api/v1/agents/{}/avoid", segment(agent))
}

fn scale(limits: &ScaleArgs) -> Value {
    let mut body = Map::new();
    if let Some(most) = limits.max_workers {
        body.insert("max_workers".to_owned(), value(most));
    }
    if let Some(most) = limits.max_cpus {
        body.insert("max_cpus".to_owned(), value(most));
    }
    Value::Object(body)
}

fn value<T: Into<Value>>(limit: Limit<T>) -> Value {
    match limit {
        Limit::Most(most) => most.into(),
        Limit::Cleared => Value::Null,
    }
}

/// Text as one segment of a path: all that is not unreserved (RFC 3986, 2.3) is percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_a_request() {
        let limits = ScaleArgs { max_workers: Some(Limit::Most(3)), max_cpus: Some(Limit::Cleared) };
        let scaled = request(&Command::Scale(limits));
        assert_eq!((scaled.method, scaled.body), ("PUT", Some(json!({"max_workers": 3, "max_cpus": null}))));
        let kill = request(&Command::Kill { task: "a/b c".into() });
        assert_eq!((kill.method, kill.path.as_str()), ("POST", "/api/v1/tasks/a%2Fb%20c/kill"));
        let allow = request(&Command::Allow { agent: "ä".into() });
        assert_eq!((allow.method, allow.path.as_str()), ("DELETE", "/api/v1/agents/%C3%A4/avoid"));
        assert_eq!(request(&Command::Pause { release: true }).body, Some(json!({"release": true})));
    }
}
