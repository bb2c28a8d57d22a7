//! Masters behind TLS, with a certificate authority of our own.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesos::env::ExecutorEnv;
use mesos::executor::{self, ExecutorClient};
use mesos::masters::Masters;
use mesos::scheduler::{self, SchedulerClient};
use mesos::tls::{Tls, TlsError, TlsFiles};
use mesos::{CallError, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use testing::http_peer::{Reply, Script, serve};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ServerConfig, WebPkiClientVerifier};

use crate::scripted::{ScriptedPeer, accepted, stream_head, subscribe};

/// A certificate authority, and a folder for its files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, uuid::Uuid::new_v4().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// The files of a client, with or without a client certificate.
    fn files(&self, client: bool) -> TlsFiles {
        let client = client.then(|| {
            let (certificate, key) = self.sign(&["miner"]);
            let (certificate_file, key_file) = (self.file("client.pem"), self.file("client.key"));
            std::fs::write(&certificate_file, certificate.pem()).unwrap();
            std::fs::write(&key_file, key.serialize_pem()).unwrap();
            (certificate_file, key_file)
        });
        TlsFiles { ca_cert: Some(self.file("ca.pem")), client }
    }

    /// A server with a certificate for these names. If `ask_clients`, it requires a client certificate.
    fn acceptor(&self, names: &[&str], ask_clients: bool) -> TlsAcceptor {
        let (certificate, key) = self.sign(names);
        let provider = Arc::new(ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = if ask_clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.unwrap().with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Starts a TLS server that sends these replies. Returns its port, and the script that records the requests.
async fn secure(acceptor: TlsAcceptor, replies: Vec<Reply>) -> (u16, Script) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = Script::new(replies);
    let for_peer = script.clone();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, script) = (acceptor.clone(), for_peer.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, connection, |request| script.reply(request)).await;
                }
            });
        }
    });
    (port, script)
}

fn client(masters: &str, files: &TlsFiles) -> SchedulerClient {
    let config = Config { tls: Some(Tls::from_files(files).unwrap()), ..Config::default() };
    SchedulerClient::with_config(masters.parse::<Masters>().unwrap(), config)
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn failure(client: &SchedulerClient) -> (CallError, String) {
    let error = client.subscribe(&subscribe()).await.expect_err("a failure");
    let text = chain(&error);
    (error, text)
}

#[tokio::test]
async fn subscribes_and_calls_over_tls_also_after_a_redirect() {
    let authority = Authority::new();
    let acceptor = || authority.acceptor(&["localhost", "127.0.0.1"], false);
    let (leader, script) = secure(acceptor(), vec![Reply::Silence(stream_head()), accepted()]).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: //127.0.0.1:{leader}/master/api/v1/scheduler\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let (other, _) = secure(acceptor(), vec![Reply::Bytes(redirect.into())]).await;

    let client = client(&format!("https://localhost:{other}"), &authority.files(false));
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.endpoint().to_string(), format!("https://127.0.0.1:{leader}/master/api/v1/scheduler"));
    client.call(&scheduler::revive(&"f".into(), vec![])).await.unwrap();
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn presents_a_client_certificate_if_the_master_asks_for_one() {
    let authority = Authority::new();
    let (port, script) =
        secure(authority.acceptor(&["127.0.0.1"], true), vec![Reply::Silence(stream_head())]).await;
    let masters = format!("https://127.0.0.1:{port}");
    let (error, text) = failure(&client(&masters, &authority.files(false))).await;
    assert!(text.contains("it wants a client certificate: give one") && !text.contains("not look"), "{text}");
    assert!(matches!(error, CallError::Connect { .. }) && !error.is_transient(), "{error:?}");
    assert!(script.requests().is_empty());
    client(&masters, &authority.files(true)).subscribe(&subscribe()).await.unwrap();
}

#[tokio::test]
async fn an_executor_calls_an_agent_over_tls() {
    let authority = Authority::new();
    let files = authority.files(true);
    let (certificate, key) = files.client.unwrap();
    let (port, script) = secure(authority.acceptor(&["127.0.0.1"], true), vec![accepted()]).await;
    let text = |path: &Path| Some(path.to_str().unwrap().to_owned());
    let env = ExecutorEnv::from_lookup(|name| match name {
        "MESOS_AGENT_ENDPOINT" => Some(format!("127.0.0.1:{port}")),
        "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".to_owned()),
        "LIBPROCESS_SSL_ENABLED" => Some("1".to_owned()),
        "LIBPROCESS_SSL_CA_FILE" => text(&authority.file("ca.pem")),
        "LIBPROCESS_SSL_CERT_FILE" => text(&certificate),
        "LIBPROCESS_SSL_KEY_FILE" => text(&key),
        _ => None,
    });
    let env = env.unwrap();
    ExecutorClient::from_env(&env).call(&executor::heartbeat(&env.identity)).await.unwrap();
    assert_eq!(script.requests().len(), 1);
}

/// The agent's certificate is like the one in Mesos' documentation: it is self-signed, is a CA certificate (`CA:TRUE`), and has
/// only a common name.
#[tokio::test]
async fn an_executor_trusts_an_agent_whose_own_certificate_is_the_ca_file() {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "127.0.0.1");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let agent = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cert.pem");
    std::fs::write(&file, agent.pem()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(agent.key().serialize_der()));
    let config = config.with_no_client_auth().with_single_cert(vec![agent.der().clone()], key).unwrap();
    let (port, script) = secure(TlsAcceptor::from(Arc::new(config)), vec![accepted()]).await;
    let env = ExecutorEnv::from_lookup(|name| match name {
        "MESOS_AGENT_ENDPOINT" => Some(format!("127.0.0.1:{port}")),
        "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".to_owned()),
        "LIBPROCESS_SSL_ENABLED" => Some("1".to_owned()),
        "LIBPROCESS_SSL_CA_FILE" => Some(file.to_str().unwrap().to_owned()),
        _ => None,
    });
    let env = env.unwrap();
    ExecutorClient::from_env(&env).call(&executor::heartbeat(&env.identity)).await.unwrap();
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn trusts_only_its_authority_and_only_the_right_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (port, script) = secure(authority.acceptor(&["localhost"], false), vec![]).await;
    for (host, files, hint) in [
        ("localhost", stranger.files(false), "give the CA"),
        ("127.0.0.1", authority.files(false), "use a name that is in the certificate"),
    ] {
        let (error, text) = failure(&client(&format!("https://{host}:{port}"), &files)).await;
        assert!(text.contains(hint), "{text}");
        assert!(!error.is_transient(), "{text}");
    }
    assert!(script.requests().is_empty());
}

#[tokio::test]
async fn never_uses_plain_http_instead_of_tls() {
    let authority = Authority::new();
    let masters: Masters = "https://127.0.0.1:1".parse().unwrap();
    let (error, text) = failure(&SchedulerClient::new(masters)).await;
    assert!(text.contains("no settings for TLS are given") && !error.is_transient(), "{text}");

    // The server does not use TLS.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        let bad = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, bad).await.unwrap();
    });
    let (error, text) = failure(&client(&format!("https://127.0.0.1:{port}"), &authority.files(false))).await;
    assert!(text.contains("does not look like TLS") && !error.is_transient(), "{text}");

    // A redirect to plain HTTP is refused.
    let peer = ScriptedPeer::start(vec![]).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        peer.address
    );
    let acceptor = authority.acceptor(&["127.0.0.1"], false);
    let (port, _) = secure(acceptor, vec![Reply::Bytes(redirect.into())]).await;
    let (error, _) = failure(&client(&format!("https://127.0.0.1:{port}"), &authority.files(false))).await;
    assert!(matches!(error, CallError::BadRedirect { .. }), "{error:?}");
    assert!(peer.requests().is_empty());
}

#[tokio::test]
async fn a_tls_port_that_is_spoken_to_in_plain_text_is_named() {
    let authority = Authority::new();
    let (port, script) = secure(authority.acceptor(&["localhost"], false), vec![]).await;
    let masters: Masters = format!("127.0.0.1:{port}").parse().unwrap();
    let (error, text) = failure(&SchedulerClient::new(masters)).await;
    assert!(text.contains("it speaks TLS on that port: use https://") && !error.is_transient(), "{text}");
    assert!(script.requests().is_empty());

    // Some servers end the connection without an alert.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let masters: Masters = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap();
    });
    let (error, text) = failure(&SchedulerClient::new(masters)).await;
    assert!(text.contains("use https://") && error.is_transient(), "{text}");
}

#[test]
fn errors_name_the_file_and_its_problem() {
    let authority = Authority::new();
    let good = authority.files(true);
    let (certificate, key) = good.client.clone().unwrap();
    let ca = good.ca_cert.clone().unwrap();
    let tls = |ca: &Path, certificate: &Path, key: &Path| {
        let client = Some((certificate.to_owned(), key.to_owned()));
        Tls::from_files(&TlsFiles { ca_cert: Some(ca.to_owned()), client }).unwrap_err()
    };
    assert!(Tls::from_files(&good).is_ok());
    let missing = authority.file("missing");
    assert!(matches!(tls(&missing, &certificate, &key), TlsError::Read { path, .. } if path == missing));
    assert!(matches!(tls(&key, &certificate, &key), TlsError::Pem { path, .. } if path == key));
    assert!(matches!(tls(&ca, &certificate, &ca), TlsError::Pem { path, .. } if path == ca));
    let another = Authority::new();
    let (_, other) = another.files(true).client.unwrap();
    let error = tls(&ca, &certificate, &other);
    assert!(matches!(&error, TlsError::Unusable { .. }), "{error:?}");
}
