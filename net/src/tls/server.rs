//! TLS servers: the certificate to present, which may be replaced while the server runs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::server::TlsStream;

use super::{TlsError, certificates, private_key, read};

/// How long the files are not looked at again after that was done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificate of a server, and its private key, as last read from their files. Clones share what was read.
#[derive(Clone, derive_more::Debug)]
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    #[debug(skip)]
    last: Arc<Mutex<LastRead>>,
}

/// What was last read.
struct LastRead {
    config: Arc<ServerConfig>,
    /// The bytes of both files.
    content: (Vec<u8>, Vec<u8>),
    /// When the files were last looked at, and what the system said about them then.
    looked: Instant,
    stamps: Stamps,
}

/// What the system says about both files: change time, inode and size. `None` for a file that is not there.
type Stamps = [Option<(SystemTime, u64, u64)>; 2];

impl ServerTls {
    /// Reads the server's certificate, followed by the intermediate ones, and its private key, both as PEM.
    ///
    /// # Errors
    /// If a file cannot be read or has the wrong content, or the key belongs to another certificate.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let stamps = stamps(certificate, key);
        let (config, content) = load(certificate, key)?;
        let last = LastRead { config, content, looked: Instant::now(), stamps };
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Self { certificate, key, last: Arc::new(Mutex::new(last)) })
    }

    /// Reads the files again, for all further connections. Returns whether they have changed.
    ///
    /// # Errors
    /// As [`from_files`](ServerTls::from_files). What was read before then stays in use.
    pub fn reread(&self) -> Result<bool, TlsError> {
        self.reread_into(&mut self.last())
    }

    fn reread_into(&self, last: &mut LastRead) -> Result<bool, TlsError> {
        (last.looked, last.stamps) = (Instant::now(), stamps(&self.certificate, &self.key));
        let (config, content) = load(&self.certificate, &self.key)?;
        let changed = content != last.content;
        if changed {
            (last.config, last.content) = (config, content);
        }
        Ok(changed)
    }

    fn last(&self) -> MutexGuard<'_, LastRead> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present settings. Files that have changed are read again; if they cannot be used, perhaps because they are being
    /// written, what was read before stays in use until they change again.
    fn current(&self) -> Arc<ServerConfig> {
        let mut last = self.last();
        if last.looked.elapsed() >= LOOK_EVERY {
            last.looked = Instant::now();
            if stamps(&self.certificate, &self.key) != last.stamps {
                let (certificate, key) = (self.certificate.display(), self.key.display());
                match self.reread_into(&mut last) {
                    Ok(true) => tracing::info!("{certificate} and {key} have changed: using the new ones"),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!("using what was read before from {certificate} and {key}: {error}")
                    }
                }
            }
        }
        last.config.clone()
    }

    /// Secures a connection that a client has opened.
    ///
    /// # Errors
    /// If the stream fails, or the client wants something else.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        TlsAcceptor::from(self.current()).accept(stream).await
    }
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    [certificate, key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.ino(), file.len()))
    })
}

type Loaded = (Arc<ServerConfig>, (Vec<u8>, Vec<u8>));

fn load(certificate: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let content = (read(certificate)?, read(key)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?
        .with_no_client_auth()
        .with_single_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|problem| TlsError::Unusable { path: certificate.to_owned(), problem })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), content))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Writes a new certificate and its key.
    fn write(folder: &TempDir) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn replaced_files_are_used_when_both_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(&folder);
        let tls = ServerTls::from_files(&certificate, &key).unwrap();
        let first = tls.current();
        assert!(!tls.reread().unwrap());
        let old_key = std::fs::read(&key).unwrap();
        write(&folder);
        let new_key = std::fs::read(&key).unwrap();
        std::fs::write(&key, old_key).unwrap();
        let error = tls.reread().unwrap_err().to_string();
        assert!(error.contains("cert.pem"), "{error}");
        assert!(Arc::ptr_eq(&tls.current(), &first), "the key is that of another certificate");
        std::fs::write(&key, new_key).unwrap();
        assert!(tls.clone().reread().unwrap());
        assert!(!Arc::ptr_eq(&tls.current(), &first));
    }

    #[test]
    fn changed_files_are_noticed_without_being_told() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(&folder);
        let tls = ServerTls::from_files(&certificate, &key).unwrap();
        let first = tls.current();
        write(&folder);
        assert!(Arc::ptr_eq(&tls.current(), &first), "not looked at again so soon");
        tls.last().looked -= LOOK_EVERY;
        assert!(!Arc::ptr_eq(&tls.current(), &first));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(&folder);
        let none = folder.path().join("none");
        for (certificate, key, expected) in [
            (&none, &key, "cannot read"),
            (&key, &key, "key.pem has no certificate"),
            (&certificate, &certificate, "cert.pem has no private key"),
        ] {
            let error = ServerTls::from_files(certificate, key).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
