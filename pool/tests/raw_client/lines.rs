//! Lines that are not one well-formed message. The pool answers them, and the connection goes on.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::client::{Client, TestPool, easy};

impl Client {
    /// Sends these bytes and a line end, and returns the next answer.
    async fn answer_to(&mut self, bytes: &[u8]) -> Value {
        self.write.write_all(&[bytes, b"\n"].concat()).await.unwrap();
        self.next_answer().await
    }

    /// The next line that is neither a job nor a difficulty.
    async fn next_answer(&mut self) -> Value {
        loop {
            let message = self.next().await.expect("the pool hung up");
            if message.get("method").is_none() {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_read_gets_an_error_with_its_id_and_the_connection_goes_on() {
    let pool = TestPool::start(easy()).await;
    let mut client = Client::ready(&pool, "w").await;
    let refused: [(&[u8], Value, &str); 14] = [
        (br#"{"id":1,"id":2,"method":"mining.ping","params":[]}"#, json!(2), r#"the key "id" occurs twice"#),
        (
            br#"{"id":3,"method":"mining.ping","params":[],"params":[1]}"#,
            json!(3),
            r#"the key "params" occurs twice"#,
        ),
        (b"{\"id\":4,\"method\":\"mining.p\0ing\",\"params\":[]}", json!(4), "control character"),
        (br#"{"id":5,"method":"mining.ping","params":[],}"#, json!(5), "trailing comma at column 44"),
        (br#"{"method":"mining.ping","params":[,],"id":"six"}"#, json!("six"), "expected value at column 35"),
        (br#"{"id":7.5,"method":"mining.ping""#, json!(7.5), "EOF while parsing"),
        (br#"{"id":8,"method":9,"params":[]}"#, json!(8), "expected a string"),
        (br#"{"id":9,"params":[]}"#, json!(9), "without a method"),
        (br#"{"id":10,"method":"mining.authorize","params":{"user":"w"}}"#, json!(10), "expected a string"),
        (br#"{"id":11,"method":"mining.submit","params":{}}"#, json!(11), "expected a string"),
        (b"GET / HTTP/1.1", Value::Null, "neither a call nor an answer"),
        (b"[]", Value::Null, "neither a call nor an answer"),
        (b"{}", Value::Null, "neither a call nor an answer"),
        (b"\xff\xfe", Value::Null, "neither a call nor an answer"),
    ];
    for (line, id, fault) in refused {
        let shown = String::from_utf8_lossy(line);
        let answer = client.answer_to(line).await;
        assert_eq!((&answer["id"], &answer["error"][0]), (&id, &json!(20)), "{shown}: {answer}");
        assert!(answer["error"][1].as_str().unwrap().contains(fault), "{shown}: {answer}");
    }
    let job = client.job();
    let nonce = client.share(&job, &[0; 8]);
    assert_eq!(client.submit("w", &job.id, &[0; 8], job.ntime, nonce).await, 0);
    pool.end().await;
}

#[tokio::test]
async fn what_is_around_a_request_does_no_harm_and_each_request_of_a_line_is_answered() {
    let pool = TestPool::start(easy()).await;
    let mut client = Client::ready(&pool, "w").await;
    let huge = "9".repeat(400);
    let lines: [(&[u8], Value); 14] = [
        (b"\xef\xbb\xbf{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}", json!(1)),
        (b"\0{\"id\":2,\"method\":\"mining.ping\",\"params\":[]}\0\0", json!(2)),
        (br#"{"id":3,"method":"mining.ping","params":[]},"#, json!(3)),
        (br#"{"id":4,"method":"mining.ping","params":[]} and more"#, json!(4)),
        (b"{\"id\":5,\"method\":\"mining.ping\",\"params\":[]}\r", json!(5)),
        (br#"{"id":6,"id":6,"method":"mining.ping"}"#, json!(6)),
        (b"\r\n\n  \n\0\n{\"id\":7,\"method\":\"mining.ping\",\"params\":[\"\xff\"]}", json!(7)),
        (br#"{"id":"8","method":"mining.ping","params":[]}"#, json!("8")),
        (br#"{"id":9.5,"method":"mining.ping"}"#, json!(9.5)),
        (br#"{"id":null,"method":"mining.ping","params":null}"#, Value::Null),
        (br#"{"method":"mining.ping","params":{}}"#, Value::Null),
        (br#"{"id":[12],"method":"mining.ping"}"#, json!([12])),
        (br#"{"id":-13,"method":"mining.ping","extra":{"id":1}}"#, json!(-13)),
        (br#"[{"id":14,"method":"mining.ping"}]"#, json!(14)),
    ];
    for (line, id) in lines {
        let answer = client.answer_to(line).await;
        assert_eq!(
            answer,
            json!({"id": id, "result": "pong", "error": null}),
            "{}",
            String::from_utf8_lossy(line)
        );
    }
    // The id comes back as it was sent, even if no number type can hold it.
    client.send(&format!(r#"{{"id":{huge},"method":"mining.ping"}}"#)).await;
    let line = client.lines.next_line().await.unwrap().unwrap();
    assert!(line.starts_with(&format!(r#"{{"id":{huge},"#)), "{line}");

    let [first, second] = [1, 2].map(|id| format!(r#"{{"id":{id},"method":"mining.ping","params":[]}}"#));
    for line in [
        format!("{first}{second}"),
        format!("{first} {second}"),
        format!("{first},{second}"),
        format!("[{first},{second}]"),
        format!("{first}\0{second}\0"),
    ] {
        assert_eq!(client.answer_to(line.as_bytes()).await["id"], 1, "{line}");
        assert_eq!(client.next_answer().await["id"], 2, "{line}");
    }
    pool.end().await;
}

#[tokio::test]
async fn a_share_counts_with_an_empty_sixth_field_and_after_a_second_subscription() {
    let pool = TestPool::start(easy()).await;
    let mut client = Client::ready(&pool, "w").await;
    client
        .ask(r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}"#)
        .await;
    let extranonce1 = client.extranonce1.clone();
    client.subscribe().await;
    assert_eq!(client.extranonce1, extranonce1);
    // The job comes after the answer.
    let before = client.job();
    client.until(|client| client.job().id != before.id).await;
    for job in [before, client.job()] {
        let nonce = client.share(&job, &[0; 8]);
        let params = json!([
            "w",
            job.id,
            "0000000000000000",
            format!("{:08x}", job.ntime),
            format!("{nonce:08x}"),
            ""
        ]);
        assert_eq!(client.submit_params(params).await, 0);
    }
    pool.end().await;
}

#[tokio::test]
async fn only_a_line_too_long_and_noise_again_and_again_end_a_connection() {
    let pool = TestPool::start(easy()).await;
    let mut good = Client::ready(&pool, "good").await;

    // A message in between makes the pool patient again.
    let mut noisy = Client::ready(&pool, "noisy").await;
    for _ in 0..3 {
        for _ in 0..9 {
            assert_eq!(noisy.answer_to(b"\x16\x03\x01 noise").await["error"][0], 20);
        }
        let ping = br#"{"id":1,"method":"mining.ping","params":[]}"#;
        assert_eq!(noisy.answer_to(ping).await["result"], "pong");
    }
    let mut answers = 0;
    for _ in 0..20 {
        let _ = noisy.write.write_all(b"noise\n").await;
    }
    while let Some(answer) = noisy.next().await {
        answers += usize::from(answer.get("method").is_none());
    }
    assert!(answers <= 10, "{answers} answers");

    let mut long = Client::connect(&pool).await;
    let line = format!(r#"{{"id":1,"method":"{}"}}"#, "x".repeat(20_000));
    // The pool may close the connection while the test still writes, and its answer may be lost then.
    let _ = long.write.write_all(format!("{line}\n").as_bytes()).await;
    while let Some(answer) = long.next().await {
        assert!(answer["error"][1].as_str().unwrap().contains("more than 16384 bytes"), "{answer}");
    }

    let job = good.job();
    let nonce = good.share(&job, &[0; 8]);
    assert_eq!(good.submit("good", &job.id, &[0; 8], job.ntime, nonce).await, 0);
    pool.end().await;
}
