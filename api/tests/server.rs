//! The server over real connections: streams of events, tokens, TLS, and clients that misbehave.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::{Caller, Json, Metrics, Options, Program, RequestError, Resources, Server, Tokens};
use logging::Level;
use net::{ServerTls, Tls, Trust};
use serde_json::Value;
use testing::DEADLINE;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[derive(Clone)]
struct Idle;

impl Program for Idle {
    async fn problem(&self) -> Option<String> {
        None
    }

    async fn not_ready(&self) -> Option<String> {
        None
    }

    async fn metrics(&self) -> Result<Metrics, RequestError> {
        Ok(Metrics::default())
    }

    fn resources(&self) -> Resources {
        Resources::new("{}").put("/api/v1/change", change)
    }
}

async fn change(caller: Caller, Json(value): Json<Value>) -> Json<Value> {
    assert!(caller.address.ip().is_loopback());
    Json(serde_json::json!({"by": caller.name, "value": value}))
}

async fn start(options: Options) -> (SocketAddr, DropGuard) {
    let listening = net::listen(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let server = Server::new(listening, &Idle, options);
    let (address, stop) = (server.local_addr(), CancellationToken::new());
    tokio::spawn(server.run(stop.clone()));
    (address, stop.drop_guard())
}

/// Sends a request and reads the whole answer.
async fn ask(address: SocketAddr, head: &str, body: &str) -> String {
    talk(TcpStream::connect(address).await.unwrap(), head, body).await
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str, body: &str) -> String {
    let length = body.len();
    let request = format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("an answer in time");
    String::from_utf8(answer).unwrap()
}

async fn is_healthy(address: SocketAddr) -> bool {
    ask(address, "GET /healthz HTTP/1.1\r\nHost: x", "").await.ends_with("\r\n\r\nok\n")
}

/// Opens a stream of events, and reads until its first bytes.
async fn open(address: SocketAddr, query: &str, header: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let begun = read_until(&mut stream, "\r\n\r\n").await;
    (stream, begun)
}

async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        loop {
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the stream has ended: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..n]);
            let so_far = String::from_utf8_lossy(&read).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
        }
    };
    timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("no {text:?}"))
}

/// The log is one for the whole process, so tests that read it take turns.
static LOG: Mutex<()> = Mutex::new(());

#[tokio::test]
async fn streams_have_places_of_their_own_and_their_number_is_limited() {
    let (address, _stop) = start(Options::default()).await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        let (stream, begun) = open(address, "", "").await;
        assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
        assert!(begun.contains("content-type: text/event-stream"), "{begun}");
        streams.push(stream);
    }
    let (_, refused) = open(address, "", "").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    // All places for other connections are left, too.
    let mut others = Vec::new();
    for _ in 0..63 {
        others.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(is_healthy(address).await);
    drop(streams.pop());
    let reopening = async {
        while !open(address, "", "").await.1.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, reopening).await.expect("a place is free again");
    let head = ask(address, "HEAD /api/v1/events HTTP/1.1\r\nHost: x", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[expect(clippy::await_holding_lock, reason = "each test has a thread and a runtime of its own")]
#[tokio::test]
async fn a_stream_has_what_the_log_says_and_resumes() {
    let _turn = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let (address, _stop) = start(Options::default()).await;
    let (mut stream, _) = open(address, "", "").await;
    logging::notice(Level::WARN, "first \u{202e}\nline");
    let event = read_until(&mut stream, "\n\n").await;
    let id: u64 = event.split("id: ").nth(1).and_then(|id| id.lines().next()).unwrap().parse().unwrap();
    let data = event.split("data: ").nth(1).and_then(|data| data.lines().next()).unwrap();
    assert!(data.is_ascii(), "{data}");
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["level"], &data["message"]), (&"warn".into(), &"first \u{202e}\nline".into()));
    assert_eq!(data["id"], id);
    drop(stream);
    logging::notice(Level::INFO, "second");
    for (query, header) in
        [(format!("?after={id}"), String::new()), (String::new(), format!("Last-Event-ID: {id}\r\n"))]
    {
        let (mut stream, begun) = open(address, &query, &header).await;
        let events = if begun.contains("second") { begun } else { read_until(&mut stream, "second").await };
        assert!(!events.contains("first"), "{events}");
    }
    let (_, refused) = open(address, "?after=x", "").await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
}

#[expect(clippy::await_holding_lock, reason = "each test has a thread and a runtime of its own")]
#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_off() {
    let _turn = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let _quiet = logging::redirect(Box::new(drop));
    let (address, _stop) = start(Options::default()).await;
    let (slow, _) = open(address, "", "").await;
    let (mut fast, _) = open(address, "", "").await;
    let (ended, mut is_over) = tokio::sync::oneshot::channel();
    let reading = tokio::spawn(async move {
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 20];
        while is_over.try_recv().is_err() {
            bytes += fast.read(&mut buffer).await.unwrap();
        }
        bytes
    });
    // The kernel takes some megabytes before the server notices that nobody reads.
    let text = "x".repeat(8000);
    for _ in 0..8000 {
        logging::notice(Level::INFO, &text);
        tokio::task::yield_now().await;
    }
    let cut_off = async {
        let mut received = 0;
        let mut slow = slow;
        let mut buffer = vec![0; 1 << 20];
        // What the kernel holds comes first.
        while let Ok(n @ 1..) = slow.read(&mut buffer).await {
            received += n;
        }
        received
    };
    let received = timeout(DEADLINE, cut_off).await.expect("the connection is closed");
    let _ = ended.send(());
    logging::notice(Level::INFO, "the end");
    let bytes = timeout(DEADLINE, reading).await.expect("the other one goes on").unwrap();
    assert!(received < bytes, "{received} of {bytes} bytes");
    assert!(is_healthy(address).await);
}

#[tokio::test]
async fn a_change_needs_a_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("alice:{TOKEN}\n")).unwrap();
    let tokens = Tokens::from_file(file.path()).unwrap();
    let (address, _stop) = start(Options { tokens: Some(tokens), ..Options::default() }).await;
    let put = async |address, more: &str, body: &str| {
        let head = format!("PUT /api/v1/change HTTP/1.1\r\nHost: x\r\nContent-Type: application/json{more}");
        ask(address, &head, body).await
    };
    let answer = put(address, "", "7").await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"), "{answer}");
    let answer = put(address, "\r\nAuthorization: Bearer 0123456789abcdef", "7").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("application/problem+json"), "{answer}");
    let bearer = format!("\r\nAuthorization: Bearer {TOKEN}");
    let answer = put(address, &bearer, "7").await;
    assert!(answer.ends_with("{\"by\":\"alice\",\"value\":7}\n"), "{answer}");
    assert!(put(address, &bearer, "{").await.starts_with("HTTP/1.1 400"));
    let answer = ask(address, "GET /api/v1/change HTTP/1.1\r\nHost: x", "").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: PUT"), "{answer}");
    let (closed, _stop) = start(Options::default()).await;
    let answer = put(closed, &bearer, "7").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("--http-token-file"), "{answer}");
}

#[tokio::test]
async fn requests_that_are_too_large_or_too_slow_end() {
    let (address, _stop) = start(Options::default()).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x", "x".repeat(20_000));
    assert!(ask(address, &long, "").await.starts_with("HTTP/1.1 4"));
    let mut announced = TcpStream::connect(address).await.unwrap();
    let head = "PUT /api/v1/change HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n";
    announced.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut announced, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "the token is asked for before the body: {answer}");
    // 1,000 connections whose heads have no end. The first ones have ten seconds for them; the others wait for a place.
    let mut slow = JoinSet::new();
    for _ in 0..1000 {
        slow.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET /healthz HT").await?;
            stream.read(&mut [0; 100]).await
        });
    }
    timeout(DEADLINE, slow.join_next()).await.expect("one is closed in time");
    drop(slow);
    assert!(is_healthy(address).await);
}

#[tokio::test]
async fn tls_uses_a_replaced_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Tls::new(&Trust::Authorities(made.cert.pem())).unwrap()
    };
    let first = renew();
    let tls = ServerTls::from_files(&certificate, &key).unwrap();
    let (address, _stop) = start(Options { tls: Some(tls.clone()), ..Options::default() }).await;
    let ask = async |trust: &Tls| {
        let stream = trust.secure("localhost", TcpStream::connect(address).await.unwrap()).await?;
        Ok::<_, std::io::Error>(talk(stream, "GET /healthz HTTP/1.1\r\nHost: x", "").await)
    };
    assert!(ask(&first).await.unwrap().ends_with("ok\n"));
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, plain.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(!answer.starts_with(b"HTTP"), "no answer without TLS");
    let second = renew();
    assert!(tls.reread().unwrap());
    assert!(ask(&second).await.unwrap().ends_with("ok\n"));
    assert!(ask(&first).await.is_err());
}
