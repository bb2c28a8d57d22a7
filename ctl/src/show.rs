//! Answers as text for people.

use serde_json::Value;
use text::printable_lines;

use crate::args::Command;

/// The longest line that is shown, in characters.
const LONGEST_LINE: usize = 8192;

/// An answer to a command as text.
pub(crate) fn answer(command: &Command, body: &Value) -> String {
    let text = match command {
        Command::Status => status(body),
        Command::Changes => changes(body),
        _ => done(body),
    };
    printable_lines(&text, LONGEST_LINE).into_owned()
}

/// What a command has done.
fn done(body: &Value) -> String {
    let text = body["change"]["text"].as_str().unwrap_or("done");
    let ends = match body["tasks"].as_u64() {
        Some(0) | None => String::new(),
        Some(1) => "; 1 task ends".to_owned(),
        Some(tasks) => format!("; {tasks} tasks end"),
    };
    let limits = &body["limits"];
    let limits = if limits.is_object() {
        format!(
            "; the limits are now {} workers and {} CPUs",
            limit(&limits["max_workers"]),
            limit(&limits["max_cpus"])
        )
    } else {
        String::new()
    };
    format!("recorded: {text}{ends}{limits}")
}

fn limit(limit: &Value) -> String {
    if limit.is_null() { "unlimited".to_owned() } else { limit.to_string() }
}

fn status(body: &Value) -> String {
    let mut lines = vec![state(body)];
    if let Some(hashrate) = body["hashrate"].as_f64() {
        let shares = &body["accounts"]["pool"]["shares"];
        let count = |verdict: &str| shares[verdict].as_u64().unwrap_or(0);
        lines.push(format!(
            "{} by {} workers; shares: {} accepted, {} rejected, {} stale; blocks: {}",
            rate(hashrate),
            body["running_workers"].as_u64().unwrap_or(0),
            count("accepted"),
            count("rejected"),
            count("stale"),
            body["blocks"].as_u64().unwrap_or(0),
        ));
    }
    let steering = &body["steering"];
    let holds = ["pause", "scale"].map(|name| &steering[name]);
    lines.extend(
        holds
            .into_iter()
            .filter(|change| change.is_object())
            .map(|change| format!("holds: {}", line(change))),
    );
    if let Some(avoided @ 1..) = steering["avoided_agents"].as_u64() {
        lines.push(format!("agents to avoid: {avoided}"));
    }
    let reasons = body["reasons"].as_array().into_iter().flatten();
    lines.extend(reasons.filter_map(|reason| Some(format!("- {}", reason["text"].as_str()?))));
    lines.join("\n")
}

fn state(body: &Value) -> String {
    let framework = body["framework"].as_str().unwrap_or("no framework yet");
    match (body["leads"].as_bool(), body["connected"].as_bool()) {
        (Some(false), _) => "stands by: another scheduler leads".to_owned(),
        (_, Some(true)) => format!("framework {framework}, subscribed"),
        _ => format!("framework {framework}, not subscribed"),
    }
}

fn rate(hashrate: f64) -> String {
    let units = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s", "PH/s"];
    let mut rate = hashrate;
    let mut unit = 0;
    while rate >= 1000.0 && unit + 1 < units.len() {
        (rate, unit) = (rate / 1000.0, unit + 1);
    }
    format!("{rate:.2} {}", units[unit])
}

fn changes(body: &Value) -> String {
    let items: Vec<String> = body["items"].as_array().into_iter().flatten().map(line).collect();
    if items.is_empty() { "no command was given".to_owned() } else { items.join("\n") }
}

/// A change: when, who and what.
fn line(change: &Value) -> String {
    let text = |field: &Value| field.as_str().unwrap_or("?").to_owned();
    let address = change["by"]["address"].as_str().map(|it| format!(" ({it})")).unwrap_or_default();
    format!("{}  {}{address}: {}", text(&change["time"]), text(&change["by"]["name"]), text(&change["text"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_told() {
        let body = json!({"change": {"text": "kill x"}, "tasks": 1});
        assert_eq!(answer(&Command::Resume, &body), "recorded: kill x; 1 task ends");
        let body = json!({"change": {"text": "scale to max_workers 3"}, "tasks": 0,
            "limits": {"max_workers": 3, "max_cpus": null}});
        let text = answer(&Command::Resume, &body);
        assert_eq!(text, "recorded: scale to max_workers 3; the limits are now 3 workers and unlimited CPUs");
    }

    #[test]
    fn the_status_is_told() {
        let body = json!({"leads": true, "connected": true, "framework": "f", "hashrate": 1.5e6, "blocks": 2,
            "running_workers": 3, "accounts": {"pool": {"shares": {"accepted": 7}}},
            "steering": {"pause": {"time": "T", "by": {"name": "alice"}, "text": "pause"}, "avoided_agents": 1},
            "reasons": [{"text": "something is wrong"}]});
        let text = answer(&Command::Status, &body);
        assert_eq!(
            text,
            "framework f, subscribed\n1.50 MH/s by 3 workers; shares: 7 accepted, 0 rejected, 0 stale; blocks: 2\n\
             holds: T  alice: pause\nagents to avoid: 1\n- something is wrong"
        );
        assert!(answer(&Command::Status, &json!({"leads": false})).starts_with("stands by"));
        assert!(answer(&Command::Status, &Value::Null).contains("not subscribed"));
    }

    #[test]
    fn changes_are_lines() {
        assert_eq!(answer(&Command::Changes, &json!({"items": []})), "no command was given");
        let change = json!({"time": "T", "by": {"name": "alice", "address": "127.0.0.1"}, "text": "pause"});
        assert_eq!(answer(&Command::Changes, &json!({"items": [change]})), "T  alice (127.0.0.1): pause");
    }
}
