//! Connections over TLS and through proxies, to servers that the tests start.

#[path = "support/support.rs"]
mod support;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use net::tls::{Failure, TlsError, TlsFiles, Trust};
use net::{DialError, DialOptions, Dialer, Fingerprint, Proxy, Tls};
use support::authority::Authority;
use support::socks::Socks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Starts a server that echoes the first four bytes of each connection, over TLS if `tls` is given. Returns its port.
async fn echo(tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let mut stream: Box<dyn net::ByteStream> = match tls {
                    None => Box::new(stream),
                    Some(tls) => Box::new(tls.accept(stream).await?),
                };
                let mut four = [0; 4];
                stream.read_exact(&mut four).await?;
                stream.write_all(&four).await?;
                stream.flush().await
            });
        }
    });
    port
}

async fn works(dialer: &Dialer, host: &str, port: u16, secure: bool) {
    let mut stream = dialer.connect(host, port, secure).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    stream.flush().await.unwrap();
    let mut four = [0; 4];
    stream.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"ping");
}

async fn failure(dialer: &Dialer, host: &str, port: u16, secure: bool) -> (DialError, String) {
    let Err(error) = dialer.connect(host, port, secure).await else { panic!("connected to {host}") };
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    (error, text)
}

fn trusting(file: &Path) -> Dialer {
    let options = DialOptions { trust: Trust::from_file(file).unwrap(), proxy: None };
    Dialer::new(&options, true).unwrap()
}

fn pinning(fingerprints: &[Fingerprint]) -> Dialer {
    Dialer { tls: Some(Tls::new(&Trust::Pinned(fingerprints.to_vec())).unwrap()), ..Dialer::default() }
}

fn through(proxy: &str) -> Dialer {
    Dialer { proxy: Some(proxy.parse::<Proxy>().unwrap()), ..Dialer::default() }
}

#[tokio::test]
async fn an_authority_is_trusted_for_the_names_in_its_certificates() {
    let authority = Authority::new();
    let port = echo(Some(authority.server(&["localhost"]).0)).await;
    let dialer = trusting(&authority.file());
    works(&dialer, "localhost", port, true).await;
    let (_, text) = failure(&dialer, "127.0.0.1", port, true).await;
    assert!(text.contains("use a name that is in the certificate"), "{text}");
    let linked = Authority::new();
    let acceptor = linked.server(&["::1"]).0;
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let ipv6 = listener.local_addr().unwrap().port();
    tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
    trusting(&linked.file())
        .connect("::1%lo", ipv6, true)
        .await
        .expect("the interface is not in the certificate");
    let (error, text) = failure(&dialer, "not a name", port, true).await;
    assert!(matches!(error, DialError::Connect(_)), "{text}");
    let stranger = Authority::new();
    let other = trusting(&stranger.file());
    let (_, text) = failure(&other, "localhost", port, true).await;
    assert!(text.contains("give the CA") && text.contains("fingerprint"), "{text}");
}

#[tokio::test]
async fn a_pinned_server_needs_no_authority_and_no_name() {
    let (acceptor, certificate) = Authority::new().server(&["elsewhere.example"]);
    let port = echo(Some(acceptor)).await;
    let (right, wrong) = (Fingerprint::of(&certificate), Fingerprint([7; 32]));
    works(&pinning(&[wrong, right]), "127.0.0.1", port, true).await;
    let (error, text) = failure(&pinning(&[wrong]), "127.0.0.1", port, true).await;
    assert!(matches!(error, DialError::Tls(_)), "{error:?}");
    assert!(text.contains(&right.to_string()), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_and_a_dialer_without_tls_are_different_errors() {
    let port = echo(None).await;
    works(&Dialer::default(), "127.0.0.1", port, false).await;
    let secure = echo(Some(Authority::new().server(&["localhost"]).0)).await;
    let mut stream = Dialer::default().connect("127.0.0.1", secure, false).await.unwrap();
    stream.write_all(b"{\"id\":1}\n").await.unwrap();
    let text = stream.read(&mut [0; 64]).await.unwrap_err().to_string();
    assert!(text.contains("TLS") && text.contains("stratum+ssl://"), "{text}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut talks, _) = listener.accept().await.unwrap();
        talks.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let (closes, _) = listener.accept().await.unwrap();
        drop(closes);
        talks
    });
    let (_, text) = failure(&pinning(&[]), "127.0.0.1", plain, true).await;
    assert!(text.contains("does not look like TLS"), "{text}");
    let (_, text) = failure(&pinning(&[]), "127.0.0.1", plain, true).await;
    assert!(text.contains("does it speak TLS"), "{text}");
    assert!(text.contains("http://") && text.contains("stratum+tcp://"), "{text}");
    drop(server);
    let (error, _) = failure(&Dialer::default(), "127.0.0.1", port, true).await;
    assert!(matches!(error, DialError::NoTls));
}

#[tokio::test]
async fn a_proxy_resolves_names_and_carries_tls() {
    let (acceptor, certificate) = Authority::new().server(&["pool.invalid"]);
    let (plain, secure) = (echo(None).await, echo(Some(acceptor)).await);
    let proxy = Socks::start(None).await;
    let mut dialer = through(&format!("socks5://{}", proxy.address));
    works(&dialer, "pool.invalid", plain, false).await;
    dialer.tls = pinning(&[Fingerprint::of(&certificate)]).tls;
    works(&dialer, "pool.invalid", secure, true).await;
    works(&dialer, "::1", plain, false).await;
    let asked = proxy.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [("pool.invalid".into(), plain), ("pool.invalid".into(), secure), ("::1".into(), plain)]
    );
}

#[tokio::test]
async fn a_proxy_may_require_a_user() {
    let port = echo(None).await;
    let proxy = Socks::start(Some(("me", "p@ss"))).await;
    let at = proxy.address;
    works(&through(&format!("socks5://me:p%40ss@{at}")), "127.0.0.1", port, false).await;
    let (_, text) = failure(&through(&format!("socks5://me:wrong@{at}")), "127.0.0.1", port, false).await;
    assert!(text.contains("check its user and password") && !text.contains("wrong"), "{text}");
    let (_, text) = failure(&through(&format!("socks5://{at}")), "127.0.0.1", port, false).await;
    assert!(text.contains("requires a user and password"), "{text}");
    assert_eq!(proxy.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn errors_say_whether_proxy_or_server_cannot_be_reached() {
    let closed = testing::ports::closed_address().port();
    let (error, _) = failure(&Dialer::default(), "127.0.0.1", closed, false).await;
    assert!(matches!(error, DialError::Connect(_)), "{error:?}");
    let (error, text) = failure(&through(&format!("127.0.0.1:{closed}")), "h", 1, false).await;
    assert!(
        matches!(error, DialError::Proxy { .. }) && text.contains("cannot connect to the proxy"),
        "{text}"
    );
    let proxy = Socks::start(None).await;
    let (error, _) = failure(&through(&proxy.address.to_string()), "h", closed, false).await;
    assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn the_whole_has_a_time_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let after = Duration::from_millis(50);
    for (dialer, secure) in [(pinning(&[]), true), (through(&format!("127.0.0.1:{port}")), false)] {
        let (error, text) = failure(&Dialer { timeout: after, ..dialer }, "127.0.0.1", port, secure).await;
        assert!(matches!(error, DialError::Timeout { .. }) && text.contains("50 ms"), "{text}");
        assert_eq!(
            text.contains("does not answer in TLS") && text.contains("stratum+tcp://"),
            secure,
            "{text}"
        );
    }
}

#[test]
fn invalid_authorities_are_refused_early() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    assert!(matches!(Trust::from_file(&file), Err(TlsError::Read { .. })));
    std::fs::write(&file, "no certificate").unwrap();
    let error = Trust::from_file(&file).unwrap_err();
    assert!(error.to_string().contains("has no certificate"), "{error}");
    let trust = Trust::Authorities("no certificate".to_owned());
    assert!(matches!(Dialer::new(&DialOptions { trust, proxy: None }, true), Err(TlsError::Authorities)));
}

/// With TLS 1.3, the server refuses the client only after the client's handshake.
#[tokio::test]
async fn a_server_that_wants_a_client_certificate_says_so_in_plain_words() {
    let authority = Authority::new();
    let port = echo(Some(authority.strict_server(&["localhost"]))).await;
    let files = |client| TlsFiles { ca_cert: Some(authority.file()), client };
    let stranger = Authority::new();
    let missing = Tls::from_files(&files(None)).unwrap().client_certificate_advice("give --client-cert");
    let tls = |tls| Dialer { tls: Some(tls), ..Dialer::default() };
    works(&tls(Tls::from_files(&files(Some(authority.client()))).unwrap()), "localhost", port, true).await;
    for (dialer, parts) in [
        (trusting(&authority.file()), vec!["wants a client certificate", "cannot be given"]),
        (tls(missing), vec!["wants a client certificate: give --client-cert"]),
        (tls(Tls::from_files(&files(Some(stranger.client()))).unwrap()), vec!["client.pem"]),
    ] {
        let mut stream = dialer.connect("localhost", port, true).await.unwrap();
        let _ = stream.write_all(b"ping").await;
        let error = stream.read_u8().await.unwrap_err();
        assert!(matches!(Failure::of(&error), Some(Failure::Refused(_))), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("refuses the connection") && !text.contains("received"), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
    }
}

#[test]
fn a_malformed_certificate_file_is_named_without_names_of_rust() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for body in ["AAAA", "MAMCAQU=", "%%%%"] {
        let text = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        std::fs::write(&file, text).unwrap();
        let error = Trust::from_file(&file).unwrap_err();
        let text = error.to_string();
        assert!(error.source().is_none(), "{error:?}");
        assert!(text.contains("ca.pem") && !text.contains("Error") && !text.contains("Encoding"), "{text}");
    }
}
