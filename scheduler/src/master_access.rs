//! The credentials for masters, and the trusted authorities of their certificates. Both are read from files, which may be
//! replaced while the scheduler runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use command_line::{Reread, read_password, warn_if_exposed};
use mesos::auth::Auth;
use mesos::tls::{Tls, TlsFiles};

/// Principal, secret and certificates, as last read from their files. Clones share them. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct MasterAccess {
    principal: Option<String>,
    secret_file: Option<PathBuf>,
    tls_files: Option<TlsFiles>,
    last: Arc<Mutex<LastRead>>,
}

/// What was last read from the files.
#[derive(Debug, Default)]
struct LastRead {
    settings: mesos::Config,
    /// The hash of the TLS files' bytes; 0 if there are no such files. Another hash shows that the files have changed.
    tls_hash: u64,
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
        let access = MasterAccess { principal, secret_file, tls_files, last: Arc::default() };
        let auth = access.auth()?;
        let (tls, tls_hash) = access.tls()?;
        let settings = mesos::Config { auth, tls, ..mesos::Config::default() };
        *access.last() = LastRead { settings, tls_hash };
        Ok(access)
    }

    /// The principal with which the framework authenticates.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// The file with the principal's secret.
    pub fn secret_file(&self) -> Option<&Path> {
        self.secret_file.as_deref()
    }

    /// The settings for connections to masters, as last read.
    pub fn settings(&self) -> mesos::Config {
        self.last().settings.clone()
    }

    /// Reads the files again, and returns the settings. If a file cannot be used, perhaps because it is being written, its
    /// previous content stays in use.
    pub(crate) fn reload(&self) -> mesos::Config {
        for Reread { what, outcome } in self.reread() {
            match outcome {
                Ok(true) => tracing::info!("{what} was replaced: using the new one"),
                Ok(false) => {}
                Err(error) => tracing::warn!("using what was read before from {what}: {error}"),
            }
        }
        self.settings()
    }

    /// Reads the files again, for the next subscription. Returns what became of each.
    pub(crate) fn reread(&self) -> Vec<Reread> {
        let mut read = Vec::new();
        let mut last = self.last();
        if let Some(file) = self.secret_file.as_ref().filter(|_| self.principal.is_some()) {
            let outcome = self.auth().map_err(|error| format!("{error:#}")).map(|auth| {
                let changed = auth != last.settings.auth;
                last.settings.auth = auth;
                changed
            });
            read.push(Reread { what: format!("--secret-file {}", file.display()), outcome });
        }
        let files = self.tls_paths();
        if !files.is_empty() {
            let outcome = self.tls().map_err(|error| format!("{error:#}")).map(|(tls, hash)| {
                let changed = hash != last.tls_hash;
                (last.settings.tls, last.tls_hash) = (tls, hash);
                changed
            });
            let what: Vec<_> =
                files.iter().map(|(option, file)| format!("{option} {}", file.display())).collect();
            read.push(Reread { what: what.join(", "), outcome });
        }
        read
    }

    fn last(&self) -> MutexGuard<'_, LastRead> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The TLS files, with the options that give them.
    fn tls_paths(&self) -> Vec<(&'static str, &Path)> {
        let Some(files) = &self.tls_files else { return Vec::new() };
        let client = files.client.as_ref();
        let given = [
            ("--ca-cert", files.ca_cert.as_deref()),
            ("--client-cert", client.map(|(certificate, _)| certificate.as_path())),
            ("--client-key", client.map(|(_, key)| key.as_path())),
        ];
        given.into_iter().filter_map(|(option, file)| Some((option, file?))).collect()
    }

    fn auth(&self) -> anyhow::Result<Auth> {
        match (&self.principal, &self.secret_file) {
            (Some(principal), Some(path)) => {
                Ok(Auth::basic(principal, read_password("--secret-file", path)?))
            }
            _ => Ok(Auth::None),
        }
    }

    /// TLS to the masters, and the hash of the files' bytes, 0 without files.
    fn tls(&self) -> anyhow::Result<(Option<Tls>, u64)> {
        if let Some((_, key)) = self.tls_files.as_ref().and_then(|files| files.client.as_ref()) {
            warn_if_exposed("--client-key", key);
        }
        let tls = self.tls_files.as_ref().map(Tls::from_files).transpose();
        let tls = tls.context("cannot set up TLS to the master")?;
        let tls =
            tls.map(|tls| tls.client_certificate_advice("give one with --client-cert and --client-key"));
        let mut hasher = DefaultHasher::new();
        let paths = self.tls_paths();
        for (_, file) in &paths {
            std::fs::read(file).unwrap_or_default().hash(&mut hasher);
        }
        Ok((tls, if paths.is_empty() { 0 } else { hasher.finish() }))
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
        let access = MasterAccess::read(Some("miner".into()), Some(path.clone()), None).unwrap();
        assert_eq!(access.settings().auth, basic("old"));
        fs::remove_file(&path).unwrap();
        assert_eq!(access.reload().auth, basic("old"), "it is gone for a moment");
        fs::write(&path, "").unwrap();
        assert_eq!(access.reload().auth, basic("old"), "it is not yet written");
        fs::write(&path, "new\n").unwrap();
        let shared = access.clone();
        let read = shared.reread();
        assert!(read[0].what.contains("--secret-file") && read[0].outcome == Ok(true), "{read:?}");
        assert_eq!(access.settings().auth, basic("new"), "clones share what was read");
        assert_eq!(shared.reread()[0].outcome, Ok(false));
        assert_eq!(access.reload().auth, basic("new"));
        fs::remove_file(&path).unwrap();
        assert!(access.reread()[0].outcome.is_err());
        assert_eq!(access.settings().auth, basic("new"));
        assert!(!format!("{access:?}").contains("new"));
    }

    #[test]
    fn invalid_certificates_do_not_replace_the_previous_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let authority = rcgen::generate_simple_self_signed(vec!["master".to_owned()]).unwrap().cert.pem();
        fs::write(&path, &authority).unwrap();
        let files = TlsFiles { ca_cert: Some(path.clone()), client: None };
        let access = MasterAccess::read(None, None, Some(files)).unwrap();
        fs::write(&path, &authority[..40]).unwrap();
        assert!(access.tls().is_err() && access.reload().tls.is_some());
        let other = rcgen::generate_simple_self_signed(vec!["master".to_owned()]).unwrap().cert.pem();
        for (content, changed) in [(&authority, false), (&other, true), (&other, false)] {
            fs::write(&path, content).unwrap();
            assert_eq!(access.reread()[0].outcome, Ok(changed));
        }
        assert!(MasterAccess::read(None, None, None).unwrap().reread().is_empty());
    }
}
