//! Pools behind TLS and proxies.

#[path = "../../../net/tests/support/mod.rs"]
mod support;

use client::{Config, Fate};
use net::{DialOptions, Dialer, Fingerprint, Trust};
use serde_json::{Value, json};
use support::authority::Authority;
use support::socks::Socks;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::rig::{Rig, config, pool};
use crate::scripted::{Pool, listen, port};

/// Speaks TLS to one client after the other, and plainly to the pool.
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
    let dialer = Dialer::new(access, true).expect("somebody to trust");
    Config { pools: vec![pool(url)], dialer, ..config(&[]) }
}

#[tokio::test]
async fn a_pool_with_an_authority_of_its_own_behind_a_proxy_that_wants_a_password() {
    let authority = Authority::new();
    let listener = listen().await;
    let port = terminator(authority.server(&["pool.invalid"]).0, port(&listener)).await;
    let proxy = Socks::start(Some(("me", "pass"))).await;
    let access = DialOptions {
        trust: Trust::from_file(&authority.file()).expect("a certificate"),
        proxy: Some(format!("socks5://me:pass@{}", proxy.address).parse().expect("a proxy")),
    };
    let mut rig = Rig::start(secured(&format!("stratum+ssl://pool.invalid:{port}"), &access));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    let job = rig.job("a").await;
    let ticket = rig.submit(&job).await.expect("sent");
    let call = pool.hear("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(rig.fate(ticket).await, Fate::Accepted);
    assert_eq!(*proxy.asked.lock().expect("no panic"), [("pool.invalid".to_owned(), port)]);
    rig.close().await;
}

#[tokio::test]
async fn a_pinned_pool_and_a_stranger_in_its_place() {
    let (acceptor, certificate) = Authority::new().server(&["localhost"]);
    let listener = listen().await;
    let port = terminator(acceptor, port(&listener)).await;
    let url = format!("stratum+tls://127.0.0.1:{port}");
    let pinned = |fingerprint| DialOptions { trust: Trust::Pinned(vec![fingerprint]), proxy: None };
    let rig = Rig::start(secured(&url, &pinned(Fingerprint::of(&certificate))));
    Pool::accept(&listener).await.welcome("0a").await;
    rig.close().await;

    let stranger = secured(&url, &pinned(Fingerprint([1; 32])));
    let mut rig = Rig::start(Config { retries: Some(0), ..stranger });
    let error = rig.end().await;
    assert!(error.contains("stratum+ssl://127.0.0.1") && error.contains("fingerprint is"), "{error}");
}
