//! Pools behind TLS and proxies.

#[path = "../../../net/tests/support/support.rs"]
mod support;

use client::{Config, Outcome};
use net::{DialOptions, Dialer, Fingerprint, Trust};
use serde_json::{Value, json};
use support::authority::Authority;
use support::socks::Socks;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Harness, config, pool};
use crate::scripted::{Pool, listen, port};

/// Terminates TLS for one client at a time and forwards the data to the pool in plain text.
async fn terminator(acceptor: TlsAcceptor, pool: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = port(&listener);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut secure) = acceptor.accept(stream).await else { continue };
            tokio::spawn(async move {
                let mut plain = TcpStream::connect(("127.0.0.1", pool)).await?;
                tokio::io::copy_bidirectional(&mut secure, &mut plain).await
            });
        }
    });
    port
}

fn secured(url: &str, access: &DialOptions) -> Config {
    let dialer = Dialer::new(access, true).expect("trusted certificates");
    Config { pools: vec![pool(url)], dialer, ..config(&[]) }
}

#[tokio::test]
async fn a_pool_with_its_own_authority_behind_a_proxy_with_a_password() {
    let authority = Authority::new();
    let listener = listen().await;
    let port = terminator(authority.server(&["pool.invalid"]).0, port(&listener)).await;
    let proxy = Socks::start(Some(("me", "pass"))).await;
    let access = DialOptions {
        trust: Trust::from_file(&authority.file()).expect("a certificate"),
        proxy: Some(format!("socks5://me:pass@{}", proxy.address).parse().expect("a proxy")),
    };
    let mut harness = Harness::start(secured(&format!("stratum+ssl://pool.invalid:{port}"), &access));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    let job = harness.job("a").await;
    let ticket = harness.submit(&job).await.expect("sent");
    let call = pool.expect_call("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(harness.outcome(ticket).await, Outcome::Accepted);
    assert_eq!(*proxy.asked.lock().expect("no panic"), [("pool.invalid".to_owned(), port)]);
    harness.close().await;
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_and_another_refused() {
    let (acceptor, certificate) = Authority::new().server(&["localhost"]);
    let listener = listen().await;
    let port = terminator(acceptor, port(&listener)).await;
    let url = format!("stratum+tls://127.0.0.1:{port}");
    let pinned = |fingerprint| DialOptions { trust: Trust::Pinned(vec![fingerprint]), proxy: None };
    let harness = Harness::start(secured(&url, &pinned(Fingerprint::of(&certificate))));
    Pool::accept(&listener).await.welcome("0a").await;
    harness.close().await;

    let impostor = secured(&url, &pinned(Fingerprint([1; 32])));
    let mut harness = Harness::start(Config { retries: Some(0), ..impostor });
    let error = harness.end().await;
    assert!(error.contains("stratum+ssl://127.0.0.1") && error.contains("fingerprint is"), "{error}");
}
