//! The HTTP API of running programs: clients that misbehave, streams of events, and TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

use crate::page::page_of;
use crate::support::embedded::EmbeddedCluster;
use crate::support::process::{Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, http, until};

/// A connection that waits at most so long for an answer.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream
}

/// The first line of the answer to these bytes; empty if the connection is closed.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

/// Opens a stream of events. Returns it with the first line of the answer.
fn open_events(address: SocketAddr) -> (BufReader<TcpStream>, String) {
    let mut stream = connect(address);
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer");
    (reader, line)
}

fn accepted(page: SocketAddr) -> Option<u64> {
    http::get_json(page, "/api/v1/summary")?["accounts"]["workers"]["shares"]["accepted"].as_u64()
}

/// Opens 1,000 connections that send nothing, or never end their head, and closes them once the server has closed one.
fn occupy(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connections = tokio::task::JoinSet::new();
        for n in 0..1000 {
            connections.spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await?;
                let head: &[u8] = if n % 2 == 0 { b"" } else { b"GET /healthz HTTP/1.1\r\nX: " };
                stream.write_all(head).await?;
                stream.read(&mut [0; 100]).await
            });
        }
        tokio::time::timeout(DEADLINE, connections.join_next()).await.expect("one is closed in time");
    });
}

/// The scheduler mines on, and its page answers, whatever clients send.
#[test]
fn bad_input_leaves_the_scheduler_mining() {
    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let master = cluster.master.to_string();
    let mut scheduler = mesos_miner([
        "scheduler",
        "--http",
        "127.0.0.1:0",
        "--report-interval",
        "1s",
        "--server-cpus",
        "0.1",
        "--teardown-on-exit",
        "--master",
        &master,
    ]);
    let page = page_of(&mut scheduler);
    let before = until("it mines", LONG_DEADLINE, || accepted(page).filter(|shares| *shares > 0));
    for (request, status) in [
        ("GET /api/v1/tasks?limit=99999999999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET /api/v1/tasks?limit=-1 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET /api/v1/tasks?after=%00%ff HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET /api/v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET /%2e%2e/%00 HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("POST /api/v1/summary HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", "405"),
        ("\0\0\0\0\r\n\r\n", "400"),
    ] {
        let answer = answer_to(page, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
    }
    // A body of a gigabyte that really comes, and a head that has no end.
    for start in ["POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", "GET /"] {
        let mut stream = connect(page);
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket");
        let piece = [b'x'; 64 << 10];
        let mut sent = stream.write_all(start.as_bytes());
        let mut bytes = 0;
        while sent.is_ok() && bytes < 1_000_000_000 {
            sent = stream.write_all(&piece);
            bytes += piece.len();
        }
        assert!(sent.is_err() && bytes < 100_000_000, "{start}: it is cut off, after {bytes} bytes");
    }
    occupy(page);
    until("its page answers", DEADLINE, || (http::get_text(page, "/healthz")? == "ok\n").then_some(()));
    until("it mines on", LONG_DEADLINE, || accepted(page).filter(|shares| *shares > before));
    let ended = scheduler.interrupt(LONG_DEADLINE);
    assert!(!ended.errors().contains("panicked"), "{ended:#?}");
}

/// A pool with its HTTP address. Its chain has no blocks meanwhile.
fn pool(more: &[&str]) -> (Process, SocketAddr) {
    let arguments = ["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--block-interval", "1h"];
    let mut pool = mesos_miner(arguments.iter().chain(more));
    let http = pool.wait_for_output(DEADLINE, |line| line.split("HTTP on http").nth(1).map(str::to_owned));
    let address = http.trim_start_matches('s').trim_start_matches("://");
    let address = address.parse().expect("an address");
    pool.wait_for_output(DEADLINE, |line| line.starts_with("listening on ").then_some(()));
    (pool, address)
}

#[test]
fn a_stream_of_events_follows_the_log() {
    let (pool, address) = pool(&[]);
    let mut streams = Vec::new();
    for _ in 0..32 {
        let (stream, line) = open_events(address);
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        streams.push(stream);
    }
    let (mut refused, line) = open_events(address);
    assert!(line.starts_with("HTTP/1.1 503"), "{line}");
    let mut rest = String::new();
    let _ = refused.read_to_string(&mut rest);
    assert!(rest.contains("32 streams"), "{rest}");
    assert_eq!(http::get_text(address, "/healthz").as_deref(), Some("ok\n"));
    assert_eq!(http::get_text(address, "/readyz").as_deref(), Some("ready\n"));
    // SIGHUP is answered by a line of the log.
    pool.signal(Signal::HUP);
    for stream in &mut streams {
        let mut line = String::new();
        until("the event", DEADLINE, || {
            line.clear();
            stream.read_line(&mut line).expect("it is open");
            (line.starts_with("data: ") && line.contains("SIGHUP")).then_some(())
        });
    }
}

/// The answer of a TLS server to a GET of `/healthz`, if its certificate is this one.
fn healthz(address: SocketAddr, certificate: &str) -> std::io::Result<String> {
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(client, connect(address));
    stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        // The server need not say that it closes the connection.
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(answer),
    }
}

#[test]
fn a_replaced_certificate_is_used_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        std::fs::write(&certificate, made.cert.pem()).expect("written");
        made.cert.pem()
    };
    let first = renew();
    let paths = [&certificate, &key].map(|path| path.to_str().expect("UTF-8"));
    let (mut pool, address) = pool(&["--http-cert", paths[0], "--http-key", paths[1]]);
    assert!(healthz(address, &first).expect("it is trusted").ends_with("ok\n"));
    let second = renew();
    pool.signal(Signal::HUP);
    pool.wait_for_error(DEADLINE, |line| {
        (line.contains("--http-cert") && line.contains("(changed)")).then_some(())
    });
    assert!(healthz(address, &second).expect("it is trusted").ends_with("ok\n"));
    assert!(healthz(address, &first).is_err());
    let third = renew();
    until("the files are looked at", DEADLINE, || {
        std::thread::sleep(Duration::from_millis(100));
        healthz(address, &third).ok()
    });
    std::fs::write(&key, "no key").expect("written");
    pool.signal(Signal::HUP);
    pool.wait_for_error(DEADLINE, |line| line.contains("what was read before stays in use").then_some(()));
    assert!(healthz(address, &third).is_ok());
}

#[test]
fn a_listener_that_other_machines_reach_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef\n").expect("written");
    for (options, expected) in [
        (vec![], "without a token and without TLS"),
        (vec!["--http-token-file", token.to_str().expect("UTF-8")], "learns the tokens"),
    ] {
        let arguments = ["pool", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"];
        let mut pool = mesos_miner(arguments.into_iter().chain(options));
        pool.wait_for_error(DEADLINE, |line| line.contains(expected).then_some(()));
    }
    let (pool, _) = pool(&[]);
    assert!(!pool.stderr().iter().any(|line| line.contains("WARN")), "{:?}", pool.stderr());
}
