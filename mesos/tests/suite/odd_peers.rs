//! Peers that are not Mesos, and masters and agents that misbehave.

use std::time::Duration;

use mesos::address::{Endpoint, Scheme};
use mesos::auth::Auth;
use mesos::scheduler::{self, Event};
use mesos::v1::scheduler::event;
use mesos::v1::value::Text;
use mesos::v1::{Attribute, Offer};
use mesos::{CallError, Config, Refusal, StreamError};
use testing::http_peer::Reply;
use testing::ports::closed_address;

use crate::scripted::{ScriptedPeer, chunk, refused, stream_head, subscribe};

/// A short time limit, for responses that never come.
fn impatient() -> Config {
    Config { call_timeout: Duration::from_millis(50), ..Config::default() }
}

async fn not_mesos(answer: &str) -> String {
    let error = refused(Reply::Pieces(answer.into(), 4096), Config::default()).await;
    assert!(!error.is_transient(), "{error}");
    let CallError::NotMesos { found, .. } = &error else { panic!("{error:?}") };
    assert!(
        error.to_string().contains("does not look like Mesos")
            && error.to_string().contains("check the address")
    );
    found.clone()
}

#[tokio::test]
async fn a_master_that_is_not_mesos_is_recognised() {
    for (answer, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>\nhi</html>",
            "HTTP 200 OK, text/html, to SUBSCRIBE: <html> hi</html",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
            "it answers SUBSCRIBE without a Mesos-Stream-Id",
        ),
        (
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
            "HTTP 202 Accepted, of no stated type, to SUBSCRIBE: no text",
        ),
        (
            "HTTP/1.0 501 Unsupported method ('POST')\r\nServer: SimpleHTTP\r\nContent-Type: text/html\r\n\r\nno",
            "HTTP 501 Not Implemented, text/html: no",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nnone",
            "HTTP 404 Not Found, text/plain: none",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n404 page not found",
            "HTTP 404 Not Found, text/plain: 404 page not found",
        ),
        (
            "HTTP/1.1 405 Not Allowed\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno",
            "HTTP 405 Method Not Allowed, text/html: no",
        ),
    ] {
        assert_eq!(not_mesos(answer).await, expected);
    }
    for answer in
        ["SSH-2.0-OpenSSH_9.2\r\n", "{\"id\":null,\"error\":[20,\"?\"]}\n", "\u{15}\u{3}\u{3}\0\u{2}\u{2}F"]
    {
        let found = not_mesos(answer).await;
        assert!(found.starts_with("its answer is not HTTP"), "{found}");
    }
}

#[tokio::test]
async fn an_absent_a_silent_and_a_closing_peer_are_transient_errors() {
    let address = closed_address();
    let client = scheduler::SchedulerClient::new(address.into());
    let error = client.subscribe(&subscribe()).await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));

    let error = refused(Reply::Silence(vec![]), impatient()).await;
    assert!(matches!(error, CallError::Timeout { .. }) && error.is_transient(), "{error}");
    let error = refused(Reply::Close, Config::default()).await;
    assert!(matches!(error, CallError::Broken { .. }) && error.is_transient(), "{error}");
    // The response begins, but is never completed.
    let half = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\nhalf";
    let error = refused(Reply::Silence(half.to_vec()), impatient()).await;
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_forbidden_call_does_not_concern_the_credentials() {
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let error = refused(Reply::Bytes(answer.to_vec()), Config::default()).await;
    assert!(!error.is_transient() && error.to_string().contains("(ACLs)"), "{error}");
    assert!(matches!(error, CallError::Refused { refusal: Refusal::Forbidden, status: 403, .. }), "{error}");
}

/// Overloaded proxies respond with these statuses, mostly with an HTML page.
#[tokio::test]
async fn an_overloaded_peer_is_a_transient_error() {
    for status in ["408 Request Timeout", "429 Too Many Requests", "502 Bad Gateway", "504 Gateway Timeout"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>");
        let error = refused(Reply::Bytes(answer.into()), Config::default()).await;
        assert!(matches!(error, CallError::NotReady { .. }) && error.is_transient(), "{error}");
    }
}

/// A proxy in front of the master asks for the credentials itself, with a page for browsers.
#[tokio::test]
async fn a_page_that_asks_for_credentials_concerns_the_credentials() {
    let page = "<html><head><title>401</title></head><body><h1>Authorization Required</h1></body></html>";
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let error = refused(Reply::Bytes(answer.into()), Config::default()).await;
    let CallError::Refused { refusal: Refusal::CredentialsNeeded, message, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "401 Authorization Required");
    assert!(error.concerns_credentials(), "{error}");
}

/// The pages with which common servers answer plain HTTP on a port for TLS.
#[tokio::test]
async fn a_server_that_expects_tls_gets_a_hint_at_https() {
    for page in [
        "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",
        "Client sent an HTTP request to an HTTPS server.\n",
        "<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br /></p>",
    ] {
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        );
        let found = not_mesos(&answer).await;
        assert!(found.starts_with("it speaks TLS on that port: use https://"), "{found}");
        assert!(!found.contains('<'), "{found}");
    }
}

#[tokio::test]
async fn an_error_after_a_redirect_names_who_redirected() {
    let away = closed_address();
    for scheme in ["", "https:"] {
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {scheme}//{away}/api/v1/scheduler\r\nContent-Length: 0\r\n\r\n"
        );
        let peer = ScriptedPeer::start(vec![Reply::Bytes(answer.into())]).await;
        let error = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(" redirects to ") && text.ends_with(&away.to_string()), "{text}");
        assert!(!text.starts_with(&away.to_string()), "{text}");
        // Settings for TLS are missing, which no further try changes.
        match scheme {
            "" => assert!(matches!(error.cause(), CallError::Connect { .. }), "{error:?}"),
            _ => assert!(matches!(error.cause(), CallError::NeedsTls { .. }), "{error:?}"),
        }
        assert_eq!(error.is_transient(), scheme.is_empty(), "{error:?}");
    }
}

/// An agent whose key has changed since it started an executor refuses the executor's token.
#[tokio::test]
async fn a_refused_token_is_not_called_a_secret() {
    let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let config = Config { auth: Auth::bearer("t.o.k"), ..Config::default() };
    let error = refused(Reply::Bytes(answer.to_vec()), config).await;
    assert!(
        error.concerns_credentials() && error.to_string().contains("the token was not accepted"),
        "{error}"
    );
}

/// The response of a real agent to a call on the path of a master's API.
#[tokio::test]
async fn an_agent_is_not_taken_for_a_master() {
    let answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 44\r\n\r\n\
                  Failed to parse body into a protobuf object";
    let error = refused(Reply::Pieces(format!("{answer}.").into(), 4096), Config::default()).await;
    assert!(matches!(error, CallError::Refused { refusal: Refusal::Malformed, .. }), "{error}");
    let error = refused(Reply::Pieces(answer.replace("44", "43").into(), 4096), Config::default()).await;
    assert!(
        !error.is_transient() && error.to_string().ends_with("is this an agent instead of a master?"),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let to_itself = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    let peer = ScriptedPeer::start(vec![Reply::Bytes(to_itself.into()); 6]).await;
    let error = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap_err();
    assert!(matches!(error, CallError::TooManyRedirects { count: 5, .. }) && error.is_transient(), "{error}");
    assert_eq!(peer.requests().len(), 6);

    for location in ["", "Location: ftp://elsewhere/\r\n"] {
        let answer = format!("HTTP/1.1 307 Temporary Redirect\r\n{location}Content-Length: 0\r\n\r\n");
        let error = refused(Reply::Bytes(answer.into()), Config::default()).await;
        assert!(matches!(error, CallError::BadRedirect { .. }) && !error.is_transient(), "{error}");
    }
}

fn subscribed(interval: f64) -> Event {
    let first = event::Subscribed { heartbeat_interval_seconds: Some(interval), ..Default::default() };
    Event::Subscribed(Box::new(first))
}

#[tokio::test]
async fn a_stream_without_heartbeats_is_taken_for_dead() {
    let bytes = [stream_head(), chunk([subscribed(0.02), Event::Heartbeat])].concat();
    let peer = ScriptedPeer::start(vec![Reply::Silence(bytes)]).await;
    let mut stream = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap();
    assert!(matches!(stream.next().await, Ok(Some(Event::Subscribed(_)))));
    assert!(matches!(stream.next().await, Ok(Some(Event::Heartbeat))));
    let error = stream.next().await.unwrap_err();
    let StreamError::Silent { silence, .. } = error else { panic!("{error}") };
    assert_eq!(silence, Duration::from_millis(100));
}

#[tokio::test]
async fn next_can_be_cancelled_without_loss() {
    let bytes = [stream_head(), chunk([subscribed(15.0)]), chunk([Event::Heartbeat])].concat();
    let peer = ScriptedPeer::start(vec![Reply::Pieces(bytes, 1)]).await;
    let mut stream = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 2 {
        tokio::select! {
            biased;
            event = stream.next() => events.push(event.unwrap().unwrap()),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(matches!(events[..], [Event::Subscribed(_), Event::Heartbeat]));
}

#[tokio::test]
async fn garbage_in_a_stream_is_an_error_of_its_own() {
    let with = |chunk: &str| Reply::Bytes([stream_head(), chunk.into()].concat());
    for (chunk, expected) in [
        ("5\r\nhello\r\n", "is malformed"),
        ("4\r\n2\n\u{7f}\u{7f}\r\n", "sent 2 bytes that are not an event"),
        ("3\r\n9\nx\r\n0\r\n\r\n", "is malformed"),
        ("zz\r\n", "broke"),
    ] {
        let peer = ScriptedPeer::start(vec![with(chunk)]).await;
        let mut stream = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap();
        let error = stream.next().await.unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let peer = ScriptedPeer::start(vec![with("5\r\n10\nab\r\n")]).await;
    let config = Config { record_limit: 9, ..Config::default() };
    let mut stream = peer.client(config).subscribe(&subscribe()).await.unwrap();
    assert!(matches!(stream.next().await, Err(StreamError::Record { .. })));
}

#[tokio::test]
async fn an_unknown_event_does_not_end_the_stream() {
    // Type 77 and field 99 are both unknown.
    let unknown = b"7\r\n5\n\x08\x4d\x98\x06\x01\r\n".to_vec();
    let bytes = [stream_head(), unknown, chunk([Event::Heartbeat])].concat();
    let peer = ScriptedPeer::start(vec![Reply::Bytes(bytes)]).await;
    let mut stream = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap();
    assert!(matches!(stream.next().await, Ok(Some(Event::Unknown(_)))));
    assert!(matches!(stream.next().await, Ok(Some(Event::Heartbeat))));
}

/// Real agents forward their operators' attributes unchecked.
#[tokio::test]
async fn an_event_with_text_that_is_not_utf_8_is_readable() {
    let text = Some(Text { value: "rack #7".into() });
    let offer = Offer { attributes: vec![Attribute { text, ..Default::default() }], ..Default::default() };
    let mut offers = chunk([Event::Offers(vec![offer])]);
    offers.iter_mut().filter(|byte| **byte == b'#').for_each(|byte| *byte = 0xb0);
    let peer = ScriptedPeer::start(vec![Reply::Bytes([stream_head(), offers].concat())]).await;
    let mut stream = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap();
    let Event::Offers(offers) = stream.next().await.unwrap().unwrap() else { panic!("OFFERS were sent") };
    assert_eq!(offers[0].attributes[0].text.as_ref().unwrap().value, "rack \u{fffd}7");
}

#[test]
fn an_endpoint_shows_as_a_url() {
    let endpoint =
        Endpoint { scheme: Scheme::Http, address: "[::1]:5051".parse().unwrap(), path: "/x".into() };
    assert_eq!(endpoint.to_string(), "http://[::1]:5051/x");
}
