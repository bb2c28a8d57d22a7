//! The credentials for masters, and the trusted authorities of their certificates. Both are read from files, which may be
//! replaced while the scheduler runs.

use std::path::PathBuf;

use anyhow::Context;
use command_line::read_password;
use mesos::auth::Auth;
use mesos::tls::{Tls, TlsFiles};

/// Principal, secret and certificates, as last read from their files. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct MasterAccess {
    principal: Option<String>,
    secret_file: Option<PathBuf>,
    tls_files: Option<TlsFiles>,
    settings: mesos::Config,
}

impl MasterAccess {
    /// Reads the file with the principal's secret, and the TLS files for `https://` masters. A secret without a principal is
    /// ignored.
    ///
    /// # Errors
    /// If a file cannot be read, or its content is invalid.
    pub fn read(
        principal: Option<String>,
        secret_file: Option<PathBuf>,
        tls_files: Option<TlsFiles>,
    ) -> anyhow::Result<Self> {
        let mut access =
            MasterAccess { principal, secret_file, tls_files, settings: mesos::Config::default() };
        access.settings.auth = access.auth()?;
        access.settings.tls = access.tls()?;
        Ok(access)
    }

    /// The principal with which the framework authenticates.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// The settings for connections to masters, as last read.
    pub fn settings(&self) -> &mesos::Config {
        &self.settings
    }

    /// Reads the files again. If a file cannot be used, perhaps because it is being written, its previous content stays in use.
    pub(crate) fn reload(&mut self) -> &mesos::Config {
        match self.auth() {
            Ok(auth) if auth != self.settings.auth => {
                tracing::info!("the secret was replaced: using the new one");
                self.settings.auth = auth;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("using the secret that was read before: {error:#}"),
        }
        match self.tls() {
            Ok(tls) => self.settings.tls = tls,
            Err(error) => tracing::warn!("using the certificates that were read before: {error:#}"),
        }
        &self.settings
    }

    fn auth(&self) -> anyhow::Result<Auth> {
        match (&self.principal, &self.secret_file) {
            (Some(principal), Some(path)) => {
                Ok(Auth::basic(principal, read_password("--secret-file", path)?))
            }
            _ => Ok(Auth::None),
        }
    }

    fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let files = self.tls_files.as_ref();
        files.map(Tls::from_files).transpose().context("cannot set up TLS to the master")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_replaced_secret_is_used_as_soon_as_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let basic = |secret: &str| Auth::basic("miner", secret);
        fs::write(&path, "old\n").unwrap();
        let mut access = MasterAccess::read(Some("miner".into()), Some(path.clone()), None).unwrap();
        assert_eq!(access.settings().auth, basic("old"));
        fs::remove_file(&path).unwrap();
        assert_eq!(access.reload().auth, basic("old"), "it is gone for a moment");
        fs::write(&path, "").unwrap();
        assert_eq!(access.reload().auth, basic("old"), "it is not yet written");
        fs::write(&path, "new\n").unwrap();
        assert_eq!(access.reload().auth, basic("new"));
        assert!(!format!("{access:?}").contains("new"));
    }

    #[test]
    fn invalid_certificates_do_not_replace_the_previous_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let authority = rcgen::generate_simple_self_signed(vec!["master".to_owned()]).unwrap().cert.pem();
        fs::write(&path, &authority).unwrap();
        let files = TlsFiles { ca_cert: Some(path.clone()), client: None };
        let mut access = MasterAccess::read(None, None, Some(files)).unwrap();
        fs::write(&path, &authority[..40]).unwrap();
        assert!(access.tls().is_err() && access.reload().tls.is_some());
    }
}
