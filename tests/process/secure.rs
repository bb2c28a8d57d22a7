//! `mine` and the scheduler's workers reach pools over TLS and through a SOCKS5 proxy.

#[path = "../../net/tests/support/support.rs"]
pub mod peers;

use std::fs;

use peers::authority::Authority;
use peers::socks::Socks;
use rustix::process::Signal;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::standalone::{Pool, mines_and_ends};
use crate::support::process::{mesos_miner, start};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// A pool behind TLS, with a certificate for `pool.invalid`. Only the SOCKS5 proxy can resolve this name.
struct Secure {
    pool: Pool,
    authority: Authority,
    fingerprint: String,
    port: u16,
    proxy: Socks,
    /// The runtime in which the TLS server and the SOCKS5 proxy run. Dropping it ends both.
    _runtime: Runtime,
}

impl Secure {
    fn start() -> Self {
        let pool = Pool::start();
        let authority = Authority::new();
        let (acceptor, certificate) = authority.server(&["pool.invalid"]);
        let runtime = Runtime::new().expect("a runtime");
        let port = runtime.block_on(terminate(acceptor, pool.stratum.clone()));
        let proxy = runtime.block_on(Socks::start(Some(("me", "s3cret"))));
        let fingerprint = net::Fingerprint::of(&certificate).to_string();
        Secure { pool, authority, fingerprint, port, proxy, _runtime: runtime }
    }

    fn proxy(&self) -> String {
        format!("socks5://me@{}", self.proxy.address)
    }
}

/// Starts a TLS proxy for a server without TLS. Returns the proxy's port.
pub async fn terminate(acceptor: TlsAcceptor, pool: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, pool) = (acceptor.clone(), pool.clone());
            tokio::spawn(async move {
                let mut secure = acceptor.accept(stream).await?;
                let mut plain = TcpStream::connect(pool).await?;
                tokio::io::copy_bidirectional(&mut secure, &mut plain).await
            });
        }
    });
    port
}

#[test]
fn mine_trusts_a_given_authority_and_uses_a_proxy() {
    let secure = Secure::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (password, ca) = (folder.path().join("password"), secure.authority.file());
    fs::write(&password, "s3cret\n").expect("written");
    let url = format!("stratum+ssl://pool.invalid:{}", secure.port);
    let (ca, password, proxy) =
        (ca.to_str().expect("UTF-8"), password.to_str().expect("UTF-8"), secure.proxy());
    let options = ["--tls-ca", ca, "--proxy", &proxy, "--proxy-password-file", password];
    let line = [["mine", "-o", &url, "-t", "1", "--json"].as_slice(), &options].concat();
    mines_and_ends(&secure.pool, &line);
    let asked = secure.proxy.asked.lock().expect("no panic").clone();
    assert_eq!(asked.first(), Some(&("pool.invalid".to_owned(), secure.port)));

    // Neither a plain connection nor an untrusted certificate is accepted.
    for (url, hint) in [
        (format!("127.0.0.1:{}", secure.port), "stratum+ssl://"),
        (format!("stratum+ssl://127.0.0.1:{}", secure.port), "use a name that is in the certificate"),
    ] {
        let ended = mesos_miner(["mine", "-o", &url, "--no-retry", "--tls-ca", ca]).wait(DEADLINE);
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        assert!(ended.errors().contains(hint), "{ended:#?}");
    }
}

#[test]
fn mine_trusts_the_systems_authorities() {
    let pool = Pool::start();
    let authority = Authority::new();
    let runtime = Runtime::new().expect("a runtime");
    let acceptor = authority.server(&["localhost"]).0;
    let port = runtime.block_on(terminate(acceptor, pool.stratum.clone()));
    // SSL_CERT_FILE is OpenSSL's variable that replaces the system's certificates.
    let system = format!("SSL_CERT_FILE={}", authority.file().display());
    let url = format!("stratum+ssl://localhost:{port}");
    let line = [system.as_str(), env!("CARGO_BIN_EXE_mesos-miner"), "mine", "-t", "1", "-o", &url];
    let mut miner = start("env", line);
    miner.wait_for_error(LONG_DEADLINE, |line| line.contains("accepted: 1/").then_some(()));
    miner.signal(Signal::TERM);
    assert!(miner.wait(DEADLINE).status.success());
    let ended = mesos_miner(["mine", "-o", &url, "-t", "1", "--no-retry"]).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
}

/// Starts a cluster and a scheduler. The tasks reach the pool through the proxy and trust only the pinned certificate. Returns
/// the scheduler's summary.
fn scheduler_mines(secure: &Secure, options: &[&str]) -> Summary {
    let mut cluster = mesos_miner(["local", "--cluster-only", "--port", "0", "--cpus", "2"]);
    let master =
        cluster.wait_for_output(DEADLINE, |line| line.strip_prefix("master: http://").map(str::to_owned));
    let folder = tempfile::tempdir().expect("a folder");
    let (password, state) = (folder.path().join("password"), folder.path().join("state"));
    fs::write(&password, "s3cret\n").expect("written");
    let proxy = secure.proxy();
    let common = [
        "scheduler",
        "--master",
        &master,
        "--state-dir",
        state.to_str().expect("UTF-8"),
        "--tls-fingerprint",
        &secure.fingerprint,
        "--proxy",
        &proxy,
        "--proxy-password-file",
        password.to_str().expect("UTF-8"),
        "--teardown-on-exit",
        "--json",
    ];
    let mut scheduler = mesos_miner([&common, options].concat());
    until("the pool accepts shares", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        (secure.pool.count("accepted") >= 1).then_some(())
    });
    assert!(!secure.proxy.asked.lock().expect("no panic").is_empty());
    let ended = scheduler.interrupt(LONG_DEADLINE);
    Summary::of(&ended)
}

#[test]
fn workers_reach_a_pinned_pool_through_a_proxy() {
    let secure = Secure::start();
    let url = format!("stratum+tls://pool.invalid:{}", secure.port);
    let summary = scheduler_mines(&secure, &["--pool", &url]);
    assert!(summary.shares.accepted >= 1, "{summary:?}");
}

#[test]
fn a_server_task_reaches_a_pinned_pool_through_a_proxy() {
    let secure = Secure::start();
    let url = format!("stratum+tls://pool.invalid:{}", secure.port);
    let summary = scheduler_mines(&secure, &["--upstream", &url, "-u", "farm"]);
    assert!(summary.shares.accepted >= 1, "{summary:?}");
}
