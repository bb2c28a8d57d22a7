//! The credentials for agents, of which only the end of an executor's standard error is read. They are other ones than those of
//! the framework: a framework's secret must not be sent to every agent.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use command_line::{Reread, read_password};
use mesos::auth::Auth;
use mesos::tls::{Tls, TlsFiles};

use crate::master_access::MasterAccess;

/// Time limit for opening a connection to an agent.
const CONNECT: Duration = Duration::from_secs(2);

/// How to authenticate with agents, as last read from the file. Clones share it. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct AgentAccess {
    /// The principal and the file with its secret.
    given: Option<(String, PathBuf)>,
    /// Agents are trusted like masters.
    masters: MasterAccess,
    last: Arc<Mutex<Auth>>,
}

impl AgentAccess {
    /// Reads the file with the principal's secret. `masters` says which authorities are trusted.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(given: Option<(String, PathBuf)>, masters: MasterAccess) -> anyhow::Result<Self> {
        let access = AgentAccess { given, masters, last: Arc::default() };
        let auth = access.auth()?;
        *access.last() = auth;
        Ok(access)
    }

    /// The principal, if there is one.
    pub fn principal(&self) -> Option<&str> {
        self.given.as_ref().map(|(principal, _)| principal.as_str())
    }

    /// Reads the file again. Returns what became of it; `None` if there is no file.
    pub(crate) fn reread(&self) -> Option<Reread> {
        let (_, file) = self.given.as_ref()?;
        let outcome = self.auth().map_err(|error| format!("{error:#}")).map(|auth| {
            let mut last = self.last();
            let changed = auth != *last;
            *last = auth;
            changed
        });
        Some(Reread { what: format!("--agent-secret-file {}", file.display()), outcome })
    }

    /// The settings for connections to agents, as last read. `secure` says whether the agent's URL is `https://`. An agent that uses
    /// TLS although the masters do not is checked with the authorities that the system trusts.
    pub(crate) fn settings(&self, secure: bool) -> mesos::Config {
        let tls = if secure {
            self.masters.settings().tls.or_else(|| Tls::from_files(&TlsFiles::default()).ok())
        } else {
            None
        };
        let auth = self.last().clone();
        mesos::Config { auth, tls, connect_timeout: CONNECT, ..mesos::Config::default() }
    }

    fn last(&self) -> MutexGuard<'_, Auth> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn auth(&self) -> anyhow::Result<Auth> {
        Ok(match &self.given {
            Some((principal, file)) => Auth::basic(principal, read_password("--agent-secret-file", file)?),
            None => Auth::None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn agents_get_their_own_secret_which_is_read_again_and_never_the_frameworks() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["framework", "agent"].map(|name| folder.path().join(name));
        fs::write(&ours, "of-framework\n").unwrap();
        fs::write(&theirs, "of-agents\n").unwrap();
        let masters = MasterAccess::read(Some("miner".into()), Some(ours), None).unwrap();
        let without = AgentAccess::read(None, masters.clone()).unwrap();
        assert_eq!(without.settings(false).auth, Auth::None);
        assert_eq!(without.reread(), None);
        let access = AgentAccess::read(Some(("reader".into(), theirs.clone())), masters).unwrap();
        assert_eq!(access.settings(false).auth, Auth::basic("reader", "of-agents"));
        fs::write(&theirs, "new\n").unwrap();
        let read = access.clone().reread().unwrap();
        assert!(read.what.contains("--agent-secret-file") && read.outcome == Ok(true), "{read:?}");
        assert_eq!(access.settings(true).auth, Auth::basic("reader", "new"));
        assert!(access.settings(true).tls.is_some());
        fs::remove_file(&theirs).unwrap();
        assert!(access.reread().unwrap().outcome.is_err());
        assert_eq!(access.settings(false).auth, Auth::basic("reader", "new"), "it is gone for a moment");
        assert!(!format!("{access:?}").contains("new"));
    }
}
