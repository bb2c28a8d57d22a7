//! `zk://` addresses: a ZooKeeper ensemble and the node under which masters stand for election.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use zookeeper_client::{Client, Error};

use crate::address::{AddressError, HostPort, parse_host_port};

/// A ZooKeeper server's port if the address does not name one.
pub const DEFAULT_PORT: u16 = 2181;

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
    /// If no server can be reached.
    pub async fn connect(&self, session_timeout: Duration) -> Result<Client, Error> {
        let mut connector = Client::connector().with_session_timeout(session_timeout).with_fail_eagerly();
        if let Some(credentials) = &self.credentials {
            connector = connector.with_auth("digest", credentials.as_bytes());
        }
        connector.connect(&connect_string(&self.resolved_servers().await?)).await
    }

    /// The addresses of all servers. The names are resolved here, because the ZooKeeper client would let the system resolve them
    /// (see [`net::resolve`](mod@net::resolve)). A server whose name cannot be resolved is left out. An error is returned only if
    /// no server is left.
    async fn resolved_servers(&self) -> Result<Vec<SocketAddr>, Error> {
        let (mut found, mut failure) = (Vec::new(), None);
        for HostPort { host, port } in &self.servers {
            match net::resolve(host, *port).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => {
                    tracing::debug!(server = host, %error, "a ZooKeeper server is left out");
                    failure = Some(Error::UnexpectedError(error.to_string()));
                }
            }
        }
        match failure {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(found),
        }
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
