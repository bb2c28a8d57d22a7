//! TLS: whom to trust, and who we are.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::fingerprint::{Fingerprint, Pinned};

/// Where certificates and keys are, as PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the authorities to trust, instead of those that the system trusts.
    pub ca_cert: Option<PathBuf>,
    /// Our own certificate, followed by those between it and its authority, and its private key. For peers that
    /// want to know who we are.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Whom to trust as a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Whoever the system's authorities vouch for.
    #[default]
    System,
    /// Whoever these authorities vouch for: certificates in PEM format.
    Authorities(String),
    /// Servers whose certificate has one of these fingerprints, and nobody else. Neither the certificate's names nor its
    /// dates matter then.
    Pinned(Vec<Fingerprint>),
}

impl Trust {
    /// The authorities in a file, which is checked.
    ///
    /// # Errors
    /// If it can't be read, or is no PEM file with certificates.
    pub fn in_file(path: &Path) -> Result<Trust, TlsError> {
        roots_in(path)?;
        String::from_utf8(read(path)?).map(Trust::Authorities).map_err(|_| TlsError::Pem {
            path: path.to_owned(),
            wanted: "text",
            source: None,
        })
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file has something else in it.
    #[error("{path} has no {wanted} in PEM format")]
    Pem {
        /// Which one.
        path: PathBuf,
        /// What it should have.
        wanted: &'static str,
        /// What is wrong with it, if it looked like the right thing.
        #[source]
        source: Option<pem::Error>,
    },
    /// A certificate or key that is of no use, such as a key that does not belong to its certificate.
    #[error("cannot use {path}")]
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Authorities that can't be used.
    #[error("the authorities to trust are no certificates in PEM format")]
    Authorities,
    /// The system trusts nobody, or does not say whom.
    #[error("no trusted certificates found on this system ({found}); give a CA file")]
    NoRoots {
        /// What was found instead.
        found: String,
    },
    /// The library does not work as it is built.
    #[error("TLS is not available")]
    Library(#[source] rustls::Error),
}

/// Makes connections secure. The peer's certificate must be for the host name, or IP address, that is connected to.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// With certificates from files; without them, trusts whom the system trusts and presents nothing.
    ///
    /// # Errors
    /// When there is nobody to trust, or a file is not what it should be.
    pub fn from_files(files: &Files) -> Result<Self, TlsError> {
        let roots = match &files.ca_cert {
            Some(path) => roots_in(path)?,
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_root_certificates(roots);
        let config = match &files.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|source| TlsError::Unusable { path: certificate.clone(), source })?,
        };
        Ok(Self { config: Arc::new(config) })
    }

    /// Trusts those, and presents nothing.
    ///
    /// # Errors
    /// If there is nobody to trust, or the authorities are no certificates.
    pub fn trusting(trust: &Trust) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?;
        let builder = match trust {
            Trust::System => builder.with_root_certificates(system_roots()?),
            Trust::Authorities(pem) => builder.with_root_certificates(roots_of(pem)?),
            Trust::Pinned(any_of) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned { any_of: any_of.clone(), provider })),
        };
        Ok(Self { config: Arc::new(builder.with_no_client_auth()) })
    }

    /// The same, asking for this application protocol (ALPN), such as `http/1.1`.
    #[must_use]
    pub fn for_protocol(&self, name: &str) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![name.as_bytes().to_vec()];
        Self { config: Arc::new(config) }
    }

    /// Makes a connection to `host` (a name, or an IP address without brackets) secure.
    ///
    /// # Errors
    /// If the stream fails, or the server is not to be trusted; says what to do where that is known.
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(self.config.clone()).connect(name, stream).await.map_err(explain)
    }
}

/// Says what to do about a handshake that failed.
fn explain(error: io::Error) -> io::Error {
    use rustls::{CertificateError, Error};
    let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    if closed.contains(&error.kind()) {
        let text =
            "the server ended the connection instead of agreeing on TLS; does it speak TLS on this port?";
        return io::Error::new(error.kind(), text);
    }
    let hint = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "; give the CA that has signed it as a CA file, or pin the certificate's fingerprint"
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; use a name that is in the certificate",
        Some(Error::InvalidMessage(_)) => {
            "; what answers does not look like TLS: try the address without TLS, or another port"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}{hint}"))
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems trust certificates that are odd in one way or another.
    let (good, odd) = roots.add_parsable_certificates(found.certs);
    if good == 0 {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let found = if errors.is_empty() { format!("{odd} are malformed") } else { errors.join("; ") };
        return Err(TlsError::NoRoots { found });
    }
    Ok(roots)
}

fn roots_in(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Unusable { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn roots_of(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or(TlsError::Authorities)?;
    }
    if roots.is_empty() { Err(TlsError::Authorities) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { path: path.to_owned(), wanted: "certificate", source };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(Some(error)))?;
    if found.is_empty() { Err(wrong(None)) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        wanted: "private key",
        source: Some(source),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
