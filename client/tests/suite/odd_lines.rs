//! Pools whose lines are not one well-formed message each.

use serde_json::json;

use crate::harness::{Harness, config};
use crate::scripted::{Pool, listen, port};

/// The lines of a pool that sends several messages in one line, byte order marks, zero bytes, keys that occur twice, and the answer to
/// the subscription with id null.
#[tokio::test]
async fn what_is_around_the_messages_of_a_pool_does_no_harm() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::accept(&listener).await;
    pool.expect_call("mining.subscribe").await;
    let subscribed = json!({"id": null, "result": [[["mining.notify", "s"]], "0a", 4], "error": null});
    pool.send_line(&format!("\u{feff}{subscribed}\0")).await;
    let authorize = pool.expect_call("mining.authorize").await;
    let id = &authorize["id"];
    let notify = |job: &str| {
        let params = json!([job, "00".repeat(32), "01", "02", [], "20000000", "1d00ffff", "65000000", true]);
        json!({"id": null, "method": "mining.notify", "params": params}).to_string()
    };
    let difficulty = r#"{"id":null,"id":null,"method":"mining.set_difficulty","params":[2.5]}"#;
    pool.send_line(&format!(r#"{{"id":{id},"result":true,"error":null}}{difficulty}{}"#, notify("a"))).await;
    let job = harness.job("a").await;
    assert_eq!(job.target, hasher::Target::from_difficulty(2.5));
    pool.send_line(&format!("[{},{}]", notify("b"), notify("c"))).await;
    harness.job("b").await;
    harness.job("c").await;
    harness.close().await;
}
