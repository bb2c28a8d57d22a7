//! `mesos-miner mine` with what real pools of many kinds were recorded to send: their greetings and jobs. A script that shares no code
//! with this project recomputes every share.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::peer::require;
use crate::support::process::mesos_miner;
use crate::support::recorded_pool::{RecordedPool, Recording};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// The number of shares of each recording. It is more than the number of shares after which a pool sends its second job.
const SHARES: usize = 8;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pools")
}

/// Whether Python is there.
fn python() -> Option<()> {
    require("python3", Command::new("python3").arg("--version").output().ok().map(drop))
}

/// Runs the script that recomputes shares. Returns what it prints.
fn check(file: &Path) -> String {
    let output = Command::new("python3").arg(folder().join("check.py")).arg(file).output();
    let output = output.unwrap_or_else(|e| panic!("python3: {e}"));
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file of the folder is a recording if it says what the pool sends on a request.
fn recordings() -> Vec<(String, Recording)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the fixtures") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        if text.lines().any(|line| line.starts_with("on ")) {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            found.push((name, Recording::parse(&text)));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

#[test]
fn the_script_recomputes_a_share_that_a_real_pool_accepted() {
    let Some(()) = python() else { return };
    assert!(check(&folder().join("recorded_share.txt")).contains("the best has difficulty 29588"));
}

#[test]
fn all_shares_for_recorded_pools_are_right() {
    let Some(()) = python() else { return };
    let recordings = recordings();
    assert!(recordings.len() >= 8, "{} kinds of pools", recordings.len());
    for (name, recording) in recordings {
        println!("{name}");
        mine(&name, recording);
    }
}

/// Mines for one recording, and checks what the miner says and what it counts.
fn mine(name: &str, recording: Recording) {
    let pool = RecordedPool::start(recording);
    let address = pool.address.to_string();
    let arguments = ["mine", "-o", &address, "-u", "user.worker", "-p", "x", "-t", "1", "--json"];
    let mut miner = mesos_miner(arguments);
    let is_share = |request: &Value| request["method"] == "mining.submit";
    until(&format!("{name}: the miner finds shares"), LONG_DEADLINE, || {
        assert!(miner.is_running(), "{name}: {:#?}", miner.stderr());
        (pool.requests().iter().filter(|request| is_share(request)).count() >= SHARES).then_some(())
    });
    let ended = miner.interrupt(DEADLINE);

    let conversation = pool.conversation();
    let file = miner.folder().join("conversation.txt");
    std::fs::write(&file, conversation.join("\n") + "\n").expect("a temporary file");
    let (shares, others): (Vec<Value>, Vec<Value>) = pool.requests().into_iter().partition(is_share);
    let checked = check(&file);
    assert!(checked.contains(&format!("{} shares, all right", shares.len())), "{name}: {checked}");
    assert_eq!(
        conversation.iter().filter(|line| *line == "# connected").count(),
        1,
        "{name}: one connection"
    );
    check_requests(name, &others);
    check_submits(name, &shares, &conversation);

    let summary: Value = serde_json::from_str(ended.stdout.last().expect("a summary")).expect("JSON");
    let count = |verdict: &str| summary["shares"][verdict].as_u64().unwrap_or_else(|| panic!("{summary}"));
    // Only Ocean's recording has a share that was rejected.
    assert_eq!(count("rejected"), u64::from(name == "ocean"), "{name}: {summary}");
    let judged = count("accepted") + count("rejected") + count("unanswered");
    assert!(judged >= SHARES as u64 && judged <= shares.len() as u64 + 1, "{name}: {summary}");
    assert_eq!(count("stale"), 0, "{name}: {summary}");
}

/// Checks what the miner asks of every pool, besides submitting shares.
fn check_requests(name: &str, requests: &[Value]) {
    let (suggested, others): (Vec<&Value>, Vec<&Value>) =
        requests.iter().partition(|request| request["method"] == "mining.suggest_difficulty");
    let agent = concat!("mesos-miner/", env!("CARGO_PKG_VERSION"));
    let mask = json!({"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2});
    let expected = [
        json!(["mining.configure", [["version-rolling", "subscribe-extranonce"], mask]]),
        json!(["mining.subscribe", [agent]]),
        json!(["mining.authorize", ["user.worker", "x"]]),
        json!(["mining.extranonce.subscribe", []]),
    ];
    let asked: Vec<Value> =
        others.iter().map(|request| json!([request["method"], request["params"]])).collect();
    assert_eq!(asked, expected, "{name}");
    // The number depends on how fast this machine is.
    for request in suggested {
        let params = request["params"].as_array().unwrap_or_else(|| panic!("{name}: {request}"));
        let positive = params[0].as_f64().is_some_and(|difficulty| difficulty > 0.0);
        assert!(params.len() == 1 && positive, "{name}: {request}");
    }
}

/// The form of the shares: the user, a job of the pool, and version bits only if the pool grants version rolling.
fn check_submits(name: &str, shares: &[Value], conversation: &[String]) {
    let lines = conversation.iter().filter_map(|line| line.strip_prefix("< "));
    let said: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("a recorded line")).collect();
    let grants = said.iter().any(|message| message["result"]["version-rolling"] == true);
    for share in shares {
        let params = share["params"].as_array().unwrap_or_else(|| panic!("{name}: {share}"));
        assert_eq!(params[0], "user.worker", "{name}: {share}");
        assert_eq!(params.len(), if grants { 6 } else { 5 }, "{name}: {share}");
        let hex = |at: usize, digits: usize| {
            params[at].as_str().is_some_and(|text| {
                text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            })
        };
        assert!(hex(3, 8) && hex(4, 8) && (!grants || hex(5, 8)), "{name}: {share}");
    }
    let mined: HashSet<&Value> = shares.iter().map(|share| &share["params"][1]).collect();
    let jobs = said.iter().filter(|message| message["method"] == "mining.notify");
    assert_eq!(mined, jobs.map(|job| &job["params"][0]).collect(), "{name}: shares of every job");
    let ids: Vec<u64> = shares.iter().filter_map(|share| share["id"].as_u64()).collect();
    assert!(ids.len() == shares.len() && ids.is_sorted_by(|a, b| a < b), "{name}: {ids:?}");
}
