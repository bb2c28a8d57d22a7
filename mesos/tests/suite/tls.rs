//! Masters behind TLS, with an authority of our own.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use mesos::env::ExecutorEnv;
use mesos::executor::{self, ExecutorClient};
use mesos::masters::Masters;
use mesos::scheduler::{self, SchedulerClient};
use mesos::tls::{Tls, TlsError, TlsFiles};
use mesos::{CallError, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ServerConfig, WebPkiClientVerifier};

use crate::fake::{Answer, Asked, Fake, accepted, serve, stream_head, subscribe};

/// An authority, and the files that it gives out.
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

    /// Whom to trust, with or without a certificate of one's own.
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

    /// A server with a certificate for these names, and if it wants clients to have one, too.
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

/// Gives these answers over TLS, on a port of its own; what was asked is kept.
async fn secure(acceptor: TlsAcceptor, answers: Vec<Answer>) -> (u16, Arc<Mutex<Vec<Asked>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let kept = asked.clone();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, kept, answers) = (acceptor.clone(), kept.clone(), answers.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, connection, kept, answers).await;
                }
            });
        }
    });
    (port, asked)
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
    let (leader, asked) = secure(acceptor(), vec![Answer::Silence(stream_head()), accepted()]).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: //127.0.0.1:{leader}/master/api/v1/scheduler\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let (other, _) = secure(acceptor(), vec![Answer::Bytes(redirect.into())]).await;

    let client = client(&format!("https://localhost:{other}"), &authority.files(false));
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.endpoint().to_string(), format!("https://127.0.0.1:{leader}/master/api/v1/scheduler"));
    client.call(&scheduler::revive(&"f".into(), vec![])).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn shows_its_own_certificate_where_one_is_wanted() {
    let authority = Authority::new();
    let (port, asked) =
        secure(authority.acceptor(&["127.0.0.1"], true), vec![Answer::Silence(stream_head())]).await;
    let masters = format!("https://127.0.0.1:{port}");
    let (_, text) = failure(&client(&masters, &authority.files(false))).await;
    assert!(text.to_lowercase().contains("certificate"), "{text}");
    assert!(asked.lock().unwrap().is_empty());
    client(&masters, &authority.files(true)).subscribe(&subscribe()).await.unwrap();
}

#[tokio::test]
async fn an_executor_calls_an_agent_that_talks_tls() {
    let authority = Authority::new();
    let files = authority.files(true);
    let (certificate, key) = files.client.unwrap();
    let (port, asked) = secure(authority.acceptor(&["127.0.0.1"], true), vec![accepted()]).await;
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
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn trusts_only_its_authority_and_only_the_right_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (port, asked) = secure(authority.acceptor(&["localhost"], false), vec![]).await;
    for (host, files, hint) in [
        ("localhost", stranger.files(false), "give the CA"),
        ("127.0.0.1", authority.files(false), "use a name that is in the certificate"),
    ] {
        let (error, text) = failure(&client(&format!("https://{host}:{port}"), &files)).await;
        assert!(text.contains(hint), "{text}");
        assert!(!error.is_transient(), "{text}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn never_speaks_plainly_where_tls_is_wanted() {
    let authority = Authority::new();
    let masters: Masters = "https://127.0.0.1:1".parse().unwrap();
    let (error, text) = failure(&SchedulerClient::new(masters)).await;
    assert!(text.contains("Config::tls") && !error.is_transient(), "{text}");

    // A plain server cannot have understood a word.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        let bad = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, bad).await.unwrap();
    });
    let (error, text) = failure(&client(&format!("https://127.0.0.1:{port}"), &authority.files(false))).await;
    assert!(text.contains("does not look like TLS") && !error.is_transient(), "{text}");

    // Nor after a redirect.
    let fake = Fake::start(vec![]).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        fake.address
    );
    let acceptor = authority.acceptor(&["127.0.0.1"], false);
    let (port, _) = secure(acceptor, vec![Answer::Bytes(redirect.into())]).await;
    let (error, _) = failure(&client(&format!("https://127.0.0.1:{port}"), &authority.files(false))).await;
    assert!(matches!(error, CallError::Redirect { .. }), "{error:?}");
    assert!(fake.asked().is_empty());
}

#[test]
fn says_which_file_is_wrong_and_how() {
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
