//! The pool with a third-party miner: npm's stratum-client.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::process::mesos_miner;
use crate::support::{DEADLINE, peer};

#[test]
fn a_third_party_client_gets_jobs_and_answers_to_shares() {
    let Some(packages) = peer::stratum_client() else { return };
    let mut pool = mesos_miner(["pool", "--chain", "builtin", "--listen", "127.0.0.1:0"]);
    let after = |line: &str| line.strip_prefix("listening on 127.0.0.1:").map(str::to_owned);
    let port = pool.wait_for_output(DEADLINE, after);
    let output = Command::new("timeout")
        .args([&DEADLINE.as_secs().to_string(), "node"])
        .arg(peer::root().join("tests/stratum-client/mine.js"))
        .args(["127.0.0.1", &port, "rig.1"])
        .env("NODE_PATH", packages)
        .output()
        .expect("Node.js is there with the package");
    let said = String::from_utf8_lossy(&output.stdout);
    let result: Value =
        serde_json::from_str(said.trim()).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!((&result["subscribed"], &result["authorized"]), (&json!(true), &json!(true)));
    assert!(result["jobs"].as_u64() >= Some(1), "{result}");
    // The verdicts: accepted, duplicate, low difficulty, unknown job.
    assert_eq!(result["verdicts"], json!([0, 22, 23, 21]), "{output:?}");
}
