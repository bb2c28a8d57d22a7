//! TLS: clients, with the servers to trust and the certificate to present; and servers.

mod certificate;
mod connection;
pub(crate) mod explain;
mod failure;
mod server;
mod supported;
mod verifier;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

pub use self::connection::TlsConnection;
use self::explain::{Handshake, file_problem, pem_problem};
use self::failure::ClientCertificate;
pub use self::failure::Failure;
pub use self::server::ServerTls;
use self::verifier::{ServerVerifier, Trusted};
use crate::fingerprint::{Fingerprint, FingerprintVerifier};

/// The PEM files of certificates and keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities (`CA:TRUE`), or of servers, to trust, instead of the authorities that the system trusts.
    pub ca_cert: Option<PathBuf>,
    /// The client's certificate, followed by the intermediate ones, and its private key; for servers that require a
    /// client certificate.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The servers to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Servers with a certificate from one of the system's authorities.
    #[default]
    System,
    /// Servers whose certificate is in this PEM text, or is signed by an authority (`CA:TRUE`) whose certificate is in this text.
    Authorities(String),
    /// Only servers whose certificate has one of these fingerprints. The certificate's names and dates are ignored.
    Pinned(Vec<Fingerprint>),
}

impl Trust {
    /// Reads and checks a file with the certificates of authorities.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a PEM file with certificates.
    pub fn from_file(path: &Path) -> Result<Self, TlsError> {
        given_in(path)?;
        String::from_utf8(read(path)?).map(Self::Authorities).map_err(|_| TlsError::Pem {
            path: path.to_owned(),
            wanted: "text",
            problem: None,
        })
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file does not contain the expected kind of data.
    #[error("{path} has no {wanted} in PEM format{}", problem.as_ref().map(pem_problem).unwrap_or_default())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the file should contain.
        wanted: &'static str,
        /// The parser's error, if the file looks like PEM. It is not the error's `source`, because its text shows Rust types.
        problem: Option<pem::Error>,
    },
    /// A certificate or key cannot be used; for instance, the key belongs to another certificate.
    #[error("cannot use {path}: {}", file_problem(problem))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The library's error. It is not the error's `source`, because its text shows Rust types.
        problem: rustls::Error,
    },
    /// The authorities to trust cannot be used.
    #[error("the authorities to trust are not certificates in PEM format")]
    Authorities,
    /// The system has no trusted certificates, or its certificates cannot be read.
    #[error("no trusted certificates found on this system ({found}); give a CA file")]
    NoRoots {
        /// What was found.
        found: String,
    },
    /// The TLS library rejects the configuration that this module gives it.
    #[error("TLS is not available")]
    Library(#[source] rustls::Error),
}

/// Secures connections. The server's certificate must be for the host name, or the IP address, of the connection. Clones share
/// their certificates.
#[derive(Clone, derive_more::Debug)]
pub struct Tls {
    #[debug(skip)]
    settings: Arc<RwLock<Settings>>,
    #[debug(skip)]
    client: ClientCertificate,
    /// The application protocol to offer (ALPN), if any.
    protocol: Option<&'static str>,
}

#[derive(Clone)]
struct Settings {
    config: Arc<ClientConfig>,
    /// See [`Trusted::unsupported_key`].
    unsupported_key: Option<Arc<str>>,
}

impl Tls {
    /// TLS with certificates from files. Without a CA file, the system's authorities are trusted.
    ///
    /// # Errors
    /// If there are no certificates to trust, or a file has the wrong content.
    pub fn from_files(files: &TlsFiles) -> Result<Self, TlsError> {
        let trusted = match &files.ca_cert {
            Some(path) => given_in(path)?,
            None => system_authorities()?,
        };
        let unsupported_key = trusted.unsupported_key.clone();
        let builder = trusting(builder()?, trusted)?;
        let config = match &files.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|problem| TlsError::Unusable { path: certificate.clone(), problem })?,
        };
        let client = match &files.client {
            None => ClientCertificate::Missing("give one, with its key"),
            Some((certificate, _)) => ClientCertificate::Given(certificate.clone()),
        };
        Ok(Self::of(config, unsupported_key, client))
    }

    fn of(config: ClientConfig, unsupported_key: Option<String>, client: ClientCertificate) -> Self {
        let settings =
            Settings { config: Arc::new(config), unsupported_key: unsupported_key.map(Into::into) };
        Self { settings: Arc::new(RwLock::new(settings)), client, protocol: None }
    }

    /// Says how the user can give the missing client certificate, such as `give one with --client-cert`. Errors show it if a server
    /// wants one.
    #[must_use]
    pub fn client_certificate_advice(mut self, how: &'static str) -> Self {
        if let ClientCertificate::Missing(advice) = &mut self.client {
            *advice = how;
        }
        self
    }

    /// TLS without a client certificate.
    ///
    /// # Errors
    /// If there are no certificates to trust, or the authorities are not certificates.
    pub fn new(trust: &Trust) -> Result<Self, TlsError> {
        let builder = builder()?;
        let mut unsupported_key = None;
        let builder = match trust {
            Trust::System => trusting(builder, system_authorities()?)?,
            Trust::Authorities(pem) => {
                let trusted = given_as(pem)?;
                unsupported_key = trusted.unsupported_key.clone();
                trusting(builder, trusted)?
            }
            Trust::Pinned(any_of) => {
                let (any_of, provider) = (any_of.clone(), builder.crypto_provider().clone());
                let verifier = Arc::new(FingerprintVerifier { any_of, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        Ok(Self::of(builder.with_no_client_auth(), unsupported_key, ClientCertificate::Unsupported))
    }

    /// Returns a copy that offers this application protocol (ALPN), such as `http/1.1`.
    #[must_use]
    pub fn for_protocol(&self, name: &'static str) -> Self {
        Self { protocol: Some(name), ..self.clone() }
    }

    /// Uses the certificates of `new` for all further connections, also those of clones.
    pub fn replace(&self, new: &Tls) {
        let new = new.current();
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    fn current(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Secures a connection to `host`, which is a name, or an IP address without brackets, perhaps with a network interface.
    ///
    /// # Errors
    /// If the stream fails, or the server is not trusted. The message gives advice where possible.
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsConnection<S>> {
        // In `fe80::1%eth0`, `eth0` is a network interface of this machine. Certificates do not contain it.
        let host = host.split('%').next().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let Settings { mut config, unsupported_key } = self.current();
        if let Some(protocol) = self.protocol {
            Arc::make_mut(&mut config).alpn_protocols = vec![protocol.as_bytes().to_vec()];
        }
        let connected = TlsConnector::from(config).connect(name.clone(), stream).await;
        let handshake =
            Handshake { client: &self.client, unsupported_key: unsupported_key.as_deref(), host: &name };
        connected
            .map(|stream| TlsConnection::new(stream, self.client.clone()))
            .map_err(|error| explain::plain(error, &handshake))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)
}

fn trusting(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    trusted: Trusted,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let provider = builder.crypto_provider().clone();
    let verifier = ServerVerifier::new(trusted, provider).ok_or(TlsError::Authorities)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

fn system_authorities() -> Result<Trusted, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    // Some systems have malformed certificates among the trusted ones. Ignore them if at least one certificate is well-formed.
    let (good, malformed) = authorities.add_parsable_certificates(found.certs);
    if good == 0 {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let found = if errors.is_empty() { format!("{malformed} are malformed") } else { errors.join("; ") };
        return Err(TlsError::NoRoots { found });
    }
    Ok(Trusted { authorities, given: Vec::new(), unsupported_key: None })
}

fn given_in(path: &Path) -> Result<Trusted, TlsError> {
    Trusted::given(certificates(path)?)
        .map_err(|problem| TlsError::Unusable { path: path.to_owned(), problem })
}

fn given_as(pem: &str) -> Result<Trusted, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>();
    Trusted::given(certificates.map_err(|_| TlsError::Authorities)?).map_err(|_| TlsError::Authorities)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |problem| TlsError::Pem { path: path.to_owned(), wanted: "certificate", problem };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(Some(error)))?;
    if found.is_empty() { Err(wrong(None)) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|problem| TlsError::Pem {
        path: path.to_owned(),
        wanted: "private key",
        problem: Some(problem),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
