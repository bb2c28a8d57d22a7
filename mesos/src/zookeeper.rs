//! `zk://` addresses: a ZooKeeper ensemble and the node under which masters stand for election.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;
use zookeeper_client::{Client, Error};

use crate::address::{AddressError, HostPort, parse_host_port};

/// A ZooKeeper server's port if the address does not name one.
pub const DEFAULT_PORT: u16 = 2181;

/// Why there is no session with ZooKeeper.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No server of the ensemble can be reached. The text says why, for each server: the host name is unknown, or the port is
    /// closed, for example.
    #[error("{0}")]
    Unreachable(String),
    /// A server answered, or none did in time.
    #[error(transparent)]
    ZooKeeper(#[from] Error),
}

/// How long a server is tried again to find out why it cannot be reached.
const DIAGNOSIS: Duration = Duration::from_secs(1);

/// An address `zk://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/PATH`. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Ensemble {
    /// `USER:PASSWORD` for ZooKeeper's digest scheme.
    credentials: Option<String>,
    servers: Vec<HostPort>,
    path: String,
}

impl Ensemble {
    /// Parses the text after `zk://`.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        // Split at the last `@`, because a password may contain an `@`.
        let (credentials, rest) = match text.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials.to_owned()), rest),
            None => (None, text),
        };
        if credentials
            .as_ref()
            .is_some_and(|text| text.split_once(':').is_none_or(|(user, _)| user.is_empty()))
        {
            return Err(AddressError::ZooKeeperCredentials);
        }
        let (servers, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let path = path.trim_end_matches('/');
        let plain =
            |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(char::is_control);
        if path.is_empty() || !path.split('/').skip(1).all(plain) {
            return Err(AddressError::ZooKeeperPath(rest.to_owned()));
        }
        let servers = servers.split(',').map(|server| parse_host_port(server.trim(), Some(DEFAULT_PORT)));
        Ok(Self { credentials, servers: servers.collect::<Result<_, _>>()?, path: path.to_owned() })
    }

    /// The servers; at least one.
    pub fn servers(&self) -> &[HostPort] {
        &self.servers
    }

    /// The path of the candidates' parent node, with its leading slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the address has credentials.
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Begins a session, and authenticates with the credentials, if any, by ZooKeeper's digest scheme. ZooKeeper may choose a
    /// session timeout other than `session_timeout`. The session survives a short loss of the connection.
    ///
    /// # Errors
    /// If no server can be reached, or the servers refuse the session.
    pub async fn connect(&self, session_timeout: Duration) -> Result<Client, SessionError> {
        let mut connector = Client::connector().with_session_timeout(session_timeout).with_fail_eagerly();
        if let Some(credentials) = &self.credentials {
            connector = connector.with_auth("digest", credentials.as_bytes());
        }
        let (servers, unresolved) = self.resolved_servers().await;
        if servers.is_empty() {
            return Err(SessionError::Unreachable(unresolved.join(", ")));
        }
        match connector.connect(&connect_string(&servers)).await {
            // The library does not say why it has no server left, so each one is tried again.
            Err(Error::NoHosts) => Err(SessionError::Unreachable(self.why_unreachable().await)),
            connected => Ok(connected?),
        }
    }

    /// For each server, why no session with it begins.
    async fn why_unreachable(&self) -> String {
        let mut reasons = Vec::new();
        for server in &self.servers {
            let reason = match timeout(DIAGNOSIS, net::dial::tcp(&server.host, server.port)).await {
                Ok(Ok(_)) => format!("{server} begins no session: it has no quorum, or is not ZooKeeper"),
                // Errors of name resolution name the host.
                Ok(Err(error)) if error.to_string().contains(&server.host) => error.to_string(),
                Ok(Err(error)) => format!("{server}: {error}"),
                Err(_) => format!("{server} does not answer"),
            };
            reasons.push(reason);
        }
        reasons.join(", ")
    }

    /// The addresses of all servers. The names are resolved here, because the ZooKeeper client would let the system resolve them
    /// (see [`net::resolve`](mod@net::resolve)). A server whose name cannot be resolved is left out. The second list says why.
    async fn resolved_servers(&self) -> (Vec<SocketAddr>, Vec<String>) {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for HostPort { host, port } in &self.servers {
            match net::resolve(host, *port).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => {
                    tracing::debug!(server = host, %error, "a ZooKeeper server is left out");
                    failures.push(error.to_string());
                }
            }
        }
        (found, failures)
    }
}

/// Servers in the form of ZooKeeper's connect strings.
fn connect_string(servers: &[impl fmt::Display]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.credentials.is_some() { "…@" } else { "" };
        write!(f, "zk://{secret}{}{}", connect_string(&self.servers), self.path)
    }
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ensemble({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_port_is_told_from_a_server_that_begins_no_session() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let closed = testing::ports::closed_address();
        let why = |servers: String| async move {
            let ensemble = Ensemble::parse(&format!("{servers}/miner")).unwrap();
            match ensemble.connect(Duration::from_secs(1)).await {
                Err(SessionError::Unreachable(why)) => why,
                other => panic!("{:?}", other.err()),
            }
        };
        let refused = why(closed.to_string()).await;
        assert!(refused.starts_with(&format!("{closed}: Connection refused")), "{refused}");
        let both = why(format!("{closed},{open}")).await;
        assert!(both.contains("refused") && both.contains(&format!("{open} begins no session")), "{both}");
        closing.abort();
    }

    #[test]
    fn reads_servers_path_and_credentials() {
        for (text, shown) in [
            ("h/mesos", "zk://h:2181/mesos"),
            ("h1:1,[::1]:2, h3/a/b/", "zk://h1:1,[::1]:2,h3:2181/a/b"),
            ("user:pa/ss@wo:rd@h/mesos", "zk://…@h:2181/mesos"),
        ] {
            let ensemble = Ensemble::parse(text).unwrap();
            assert_eq!(ensemble.to_string(), shown);
            assert_eq!(format!("{ensemble:?}"), format!("Ensemble({shown})"));
        }
        let secret = Ensemble::parse("user:pa/ss@wo:rd@h/mesos").unwrap();
        assert_eq!(secret.credentials.as_deref(), Some("user:pa/ss@wo:rd"));
        assert!(secret.has_credentials());
        assert_eq!(secret.servers(), ["h:2181".parse().unwrap()]);
        assert_eq!(secret.path(), "/mesos");
    }

    #[test]
    fn errors_name_the_problem_without_secrets() {
        use AddressError::*;
        for (text, error) in [
            ("", ZooKeeperPath(String::new())),
            ("h", ZooKeeperPath("h".into())),
            ("u:secret@h/", ZooKeeperPath("h/".into())),
            ("h/a//b", ZooKeeperPath("h/a//b".into())),
            ("h/a/../b", ZooKeeperPath("h/a/../b".into())),
            ("/mesos", Empty),
            ("h,,i/mesos", Empty),
            ("u:secret@h:0/mesos", Port("h:0".into())),
            ("secret@h/mesos", ZooKeeperCredentials),
            (":secret@h/mesos", ZooKeeperCredentials),
        ] {
            let found = Ensemble::parse(text).unwrap_err();
            assert!(!found.to_string().contains("secret"), "{found}");
            assert_eq!(found, error, "{text}");
        }
    }
}
