//! Tests the client with nodes that answer correctly, incorrectly or not at all.

use std::error::Error;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use problem::ProblemKind;

use super::*;
use crate::testing::fake::{FakeNode, Reply, soon};

const BASIC: &str = "Basic bWU6c2VjcmV0";

fn basic() -> Credentials {
    Credentials::Basic { user: "me".into(), password: "secret".into() }
}

/// All texts of an error and its sources, as they might appear in a log.
fn all_texts(error: &RpcError) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!("\n{cause}\n{cause:?}");
        source = cause.source();
    }
    text
}

async fn height(client: &RpcClient) -> Result<u32, RpcError> {
    soon(client.call("getblockcount", json!([]))).await
}

#[tokio::test]
async fn calls_and_is_answered() {
    let node = FakeNode::start(|_| async { Reply::result(json!(7)) }).await;
    let client = node.client_as(basic());
    assert_eq!(height(&client).await.unwrap(), 7);
    assert_eq!(height(&client).await.unwrap(), 7);
    let call = node.calls().pop().unwrap();
    assert_eq!((call.method.as_str(), call.params), ("getblockcount", json!([])));
    assert_eq!((call.path.as_str(), call.authorization.as_deref()), ("/wallet/w", Some(BASIC)));
    assert!(!format!("{client:?}").contains("secret"));
}

#[tokio::test]
async fn a_port_where_tls_is_spoken_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: NodeUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        // One server sends an alert, another one only ends the connection.
        for answer in [[0x15, 3, 3, 0, 2, 2, 50].as_slice(), &[]] {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(answer).await.unwrap();
        }
    });
    let client = RpcClient::new(url, basic(), RpcLimits::default()).unwrap();
    for found in ["speaks TLS", "ended the connection"] {
        let text = all_texts(&height(&client).await.unwrap_err());
        assert!(text.contains(found) && text.contains("nodes do not speak TLS"), "{text}");
    }
}

#[tokio::test]
async fn a_new_cookie_is_read_when_the_old_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".cookie");
    let valid = Arc::new(Mutex::new("Basic X19jb29raWVfXzphYWE=".to_owned()));
    let shared = valid.clone();
    let node = FakeNode::start(move |call| {
        let known = call.authorization.as_ref() == Some(&*shared.lock().unwrap());
        async move { if known { Reply::result(json!(7)) } else { Reply::text(401, "") } }
    });
    let node = node.await;
    let client = node.client_as(Credentials::CookieFile(path.clone()));

    // The node is not running yet.
    let error = height(&client).await.unwrap_err();
    assert!(matches!(&error, RpcError::Cookie { path: named, .. } if *named == path) && error.is_transient());
    std::fs::write(&path, "__cookie__:aaa").unwrap();
    assert_eq!(height(&client).await.unwrap(), 7);

    // The node restarts and writes a new cookie.
    *valid.lock().unwrap() = "Basic X19jb29raWVfXzpiYmI=".to_owned();
    std::fs::write(&path, "__cookie__:bbb").unwrap();
    assert_eq!(height(&client).await.unwrap(), 7);
    assert_eq!(node.calls().len(), 3);

    // The cookie file belongs to another node.
    *valid.lock().unwrap() = String::new();
    let error = height(&client).await.unwrap_err();
    assert!(matches!(error, RpcError::Unauthorized { status: 401, .. }), "{error}");
    assert_eq!(node.calls().len(), 4);
    assert!(!all_texts(&error).contains("bbb"));
}

#[tokio::test]
async fn refusals_say_what_to_do_but_no_secret() {
    let node = FakeNode::start(|call| async move {
        let forbidden = call.method == "getblockcount";
        Reply::text(if forbidden { 403 } else { 401 }, "go away")
    });
    let node = node.await;
    let client = node.client_as(basic());
    let error = height(&client).await.unwrap_err();
    assert!(error.to_string().contains("rpcallowip"), "{error}");
    let error = soon(client.call::<u32>("uptime", json!([]))).await.unwrap_err();
    assert!(error.to_string().contains("password is wrong"), "{error}");
    assert!(!all_texts(&error).contains("secret") && !all_texts(&error).contains(BASIC));
    assert!(!error.is_transient());
    let error = soon(node.client().call::<u32>("uptime", json!([]))).await.unwrap_err();
    assert!(error.to_string().contains("wants a user"), "{error}");
}

#[tokio::test]
async fn a_method_that_is_not_whitelisted_is_named() {
    // The answers of Bitcoin Core with rpcwhitelist=me:getblockcount.
    let node = FakeNode::start(|call| async move {
        match (call.authorization, call.method.as_str()) {
            (None, _) => Reply::text(401, ""),
            (Some(_), "getblockcount") => Reply::result(json!(7)),
            (Some(_), _) => Reply::text(403, ""),
        }
    });
    let node = node.await;
    let client = node.client_as(basic());
    assert_eq!(height(&client).await.unwrap(), 7);
    let error = soon(client.call::<u32>("getblocktemplate", json!([]))).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("does not allow user me to call getblocktemplate: add it to"), "{text}");
    assert!(text.contains("rpcwhitelist, which needs me:") && text.contains(",submitblock"), "{text}");
    assert!(!text.contains("rpcallowip") && !all_texts(&error).contains("secret"), "{text}");
    assert_eq!(error.problem().kind, ProblemKind::NodeWhitelist);
    assert!(error.lacks_method() && !error.is_transient());
}

#[tokio::test]
async fn a_node_without_peers_or_in_its_initial_download_is_said_as_such() {
    for (code, message, said) in [
        (
            -9,
            "Bitcoin Core is not connected!",
            "has no peers, so it gives no block template: Bitcoin Core is not",
        ),
        (
            -10,
            "Bitcoin Core is in initial sync",
            "is still in its initial block download, so it gives no block",
        ),
        (-28, "Loading block index…", "is starting: Loading block index… (code -28)"),
        (-1, "exception", "refuses getblockcount: exception (code -1)"),
    ] {
        let node = FakeNode::start(move |_| async move { Reply::error(500, code, message) }).await;
        let error = height(&node.client()).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.problem().kind == ProblemKind::NodeLoading, code != -1);
    }
}

#[tokio::test]
async fn errors_are_read_under_every_status() {
    let turn = AtomicUsize::new(0);
    let node = FakeNode::start(move |_| {
        let reply = match turn.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::error(500, -28, "Verifying blocks…"),
            1 => Reply::error(404, -32601, "Method not found"),
            2 => Reply::error(200, -32601, "Method not found: x."),
            3 => Reply::text(503, "Work queue depth exceeded"),
            4 => Reply::text(404, "<html>\nnothing here"),
            5 => Reply::text(502, "<html>Bad Gateway"),
            6 => Reply::result(json!("seven")),
            _ => Reply::text(200, ""),
        };
        async { reply }
    });
    let node = node.await;
    let client = node.client();
    for (part, transient) in [
        ("Verifying blocks… (code -28)", true),
        ("Method not found (code -32601)", false),
        ("Method not found: x. (code -32601)", false),
        ("HTTP 503 and no JSON-RPC: Work queue depth exceeded", true),
        ("HTTP 404 and no JSON-RPC: <html> nothing here", false),
        ("HTTP 502 and no JSON-RPC: <html>Bad Gateway", true),
        ("unexpected result", false),
        ("no JSON-RPC: no text", false),
    ] {
        let error = height(&client).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.is_transient(), transient, "{error}");
        let loads = error.to_string().contains("(code -28)");
        assert_eq!(error.problem().kind == ProblemKind::NodeLoading, loads, "{error}");
        assert!(error.to_string().contains(&node.url.to_string()), "{error}");
    }
}

#[tokio::test]
async fn answers_are_bounded_in_length_and_time() {
    let node = FakeNode::start(|call| async move {
        if call.method == "getblockcount" {
            return Reply::result(json!("7".repeat(2000)));
        }
        std::future::pending().await
    });
    let node = node.await;
    let limits = RpcLimits { answer: 1000, call: Duration::from_millis(50), ..RpcLimits::default() };
    let client = RpcClient::new(node.url.clone(), Credentials::None, limits).unwrap();
    let patient = Duration::from_secs(60);
    let error = client.call_within::<u32>(patient, "getblockcount", json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::TooLong { limit: 1000, .. }), "{error}");
    let error = soon(client.call::<u32>("uptime", json!([]))).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { method: "uptime", .. }) && error.is_transient());
}

#[tokio::test]
async fn a_closed_port_is_a_transient_error() {
    let url = format!("http://{}", testing::ports::closed_address()).parse().unwrap();
    let client = RpcClient::new(url, basic(), RpcLimits::default()).unwrap();
    let error = height(&client).await.unwrap_err();
    assert!(matches!(error, RpcError::Connection { .. }) && error.is_transient());
    assert!(!all_texts(&error).contains("secret"));
}
