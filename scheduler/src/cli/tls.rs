//! Options for TLS to masters.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use mesos::address::Scheme;
use mesos::masters::Masters;
use mesos::tls::TlsFiles;

/// TLS to masters.
#[derive(Clone, Debug, Args)]
pub struct TlsArgs {
    /// Authorities to trust for an https:// master, a PEM file [default: those that the system trusts]. With zk:// it
    /// says that masters talk TLS.
    #[arg(long, value_name = "FILE", env = "MINER_CA_CERT")]
    pub ca_cert: Option<PathBuf>,
    /// Our certificate, for masters that ask for one, a PEM file.
    #[arg(long, value_name = "FILE", env = "MINER_CLIENT_CERT", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// The private key of our certificate, a PEM file.
    #[arg(long, value_name = "FILE", env = "MINER_CLIENT_KEY", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The files for TLS to these masters; `None` for plain HTTP.
    ///
    /// # Errors
    /// If there are files although the masters use plain HTTP.
    pub(super) fn check(self, masters: &Masters) -> anyhow::Result<Option<TlsFiles>> {
        let files = TlsFiles { ca_cert: self.ca_cert, client: self.client_cert.zip(self.client_key) };
        let wanted = match masters.scheme() {
            Some(Scheme::Https) => true,
            Some(Scheme::Http) => {
                ensure!(
                    files == TlsFiles::default(),
                    "--ca-cert and --client-cert are for TLS, but --master {masters} is plain HTTP: write https://"
                );
                false
            }
            // ZooKeeper does not say whether its masters use TLS.
            None => files != TlsFiles::default(),
        };
        Ok(wanted.then_some(files))
    }
}
