//! Options for the HTTP API, alike in all programs.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use api::Tokens;
use clap::Args;
use net::ServerTls;

use crate::exposed::warn_if_exposed;
use crate::hangup::Reread;
use crate::values::listen_address;

const TOKEN_FILE: &str = "--http-token-file";

/// The options for the HTTP API.
#[derive(Args, Clone, Debug, Default)]
pub struct HttpArgs {
    /// Address for /healthz, /readyz, /metrics and /api/v1/…; without it, there is no HTTP server
    #[arg(long, value_name = "ADDRESS:PORT", env = "MINER_HTTP", value_parser = listen_address)]
    pub http: Option<SocketAddr>,
    /// File with the tokens of those who may change something, one a line, as NAME:TOKEN or TOKEN; without it, nobody may. It is
    /// read again on SIGHUP
    #[arg(long, value_name = "FILE", env = "MINER_HTTP_TOKEN_FILE", requires = "http")]
    pub http_token_file: Option<PathBuf>,
    /// PEM file with the HTTP server's certificate, followed by the intermediate ones, for https. It is read again on SIGHUP, and
    /// when it has changed
    #[arg(long, value_name = "FILE", env = "MINER_HTTP_CERT", requires = "http", requires = "http_key")]
    pub http_cert: Option<PathBuf>,
    /// PEM file with the private key of --http-cert
    #[arg(long, value_name = "FILE", env = "MINER_HTTP_KEY", requires = "http_cert")]
    pub http_key: Option<PathBuf>,
}

/// Where and how the HTTP API is served.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The address to listen on.
    pub address: SocketAddr,
    /// The tokens and the certificate, as read from the files.
    pub options: api::Options,
    files: HttpArgs,
}

impl HttpArgs {
    /// Reads the files; `None` without `--http`.
    ///
    /// # Errors
    /// If a file cannot be read, or its content is invalid.
    pub fn read(&self) -> anyhow::Result<Option<HttpSettings>> {
        let Some(address) = self.http else { return Ok(None) };
        self.warn_if_exposed();
        let tokens =
            self.http_token_file.as_deref().map(Tokens::from_file).transpose().context(TOKEN_FILE)?;
        let tls = match (&self.http_cert, &self.http_key) {
            (Some(certificate), Some(key)) => Some(
                ServerTls::from_files(certificate, key)
                    .context("cannot set up TLS by --http-cert and --http-key")?,
            ),
            _ => None,
        };
        let options = api::Options { tokens, tls };
        Ok(Some(HttpSettings { address, options, files: self.clone() }))
    }

    fn warn_if_exposed(&self) {
        for (option, file) in [(TOKEN_FILE, &self.http_token_file), ("--http-key", &self.http_key)] {
            if let Some(file) = file {
                warn_if_exposed(option, file);
            }
        }
    }
}

impl HttpSettings {
    /// Settings without tokens and certificates.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, options: api::Options::default(), files: HttpArgs::default() }
    }

    /// Reads the files again, for requests and connections to come.
    pub fn reread(&self) -> Vec<Reread> {
        self.files.warn_if_exposed();
        let mut read = Vec::new();
        if let Some(tokens) = &self.options.tokens {
            let outcome = tokens.reread().map_err(|error| logging::error_chain(&error));
            read.push(Reread { what: format!("{TOKEN_FILE} {}", tokens.path().display()), outcome });
        }
        if let (Some(tls), Some(certificate), Some(key)) =
            (&self.options.tls, &self.files.http_cert, &self.files.http_key)
        {
            let what = format!("--http-cert {}, --http-key {}", certificate.display(), key.display());
            read.push(Reread { what, outcome: tls.reread().map_err(|error| logging::error_chain(&error)) });
        }
        read
    }

    /// Why others than the operator may read what is served, or worse; `None` if only this machine can connect, or connections
    /// are encrypted. `address` is the address on which the server listens.
    pub fn open_listener(&self, address: SocketAddr) -> Option<String> {
        if address.ip().to_canonical().is_loopback() || self.options.tls.is_some() {
            return None;
        }
        Some(match self.options.tokens {
            None => format!(
                "--http {address}: other machines can connect, without a token and without TLS: whoever does may read all figures, \
                 and change nothing; give a loopback address, or --http-cert and --http-key"
            ),
            Some(_) => format!(
                "--http {address}: other machines can connect without TLS: whoever listens on the way learns the tokens of \
                 {TOKEN_FILE}; give --http-cert and --http-key, or a loopback address"
            ),
        })
    }

    /// The address of the server in a browser, such as `https://127.0.0.1:8080`.
    pub fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        http: HttpArgs,
    }

    fn parse(args: &[&str]) -> Result<HttpArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("x").chain(args.iter().copied())).map(|cli| cli.http)
    }

    #[test]
    fn files_need_the_address_and_each_other() {
        assert!(parse(&[]).unwrap().read().unwrap().is_none());
        for args in [
            &["--http-token-file", "t"][..],
            &["--http", "127.0.0.1:0", "--http-cert", "c"],
            &["--http", "127.0.0.1:0", "--http-key", "k"],
            &["--http-cert", "c", "--http-key", "k"],
            &["--http", "localhost:80"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
        let absent = parse(&["--http", "127.0.0.1:0", "--http-token-file", "/no/such"]).unwrap();
        let error = format!("{:#}", absent.read().unwrap_err());
        assert!(error.starts_with("--http-token-file: cannot read /no/such: "), "{error}");
        let args = ["--http", "127.0.0.1:0", "--http-cert", "/no/c", "--http-key", "/no/k"];
        let error = format!("{:#}", parse(&args).unwrap().read().unwrap_err());
        assert!(error.contains("--http-cert") && error.contains("/no/c"), "{error}");
    }

    #[test]
    fn a_listener_that_other_machines_reach_is_told() {
        let loopback = "127.0.0.1:80".parse().unwrap();
        let open = "0.0.0.0:80".parse().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef").unwrap();
        let path = file.path().to_str().unwrap();
        let plain = HttpSettings::plain(open);
        assert!(plain.open_listener(open).unwrap().contains("without a token and without TLS"));
        assert_eq!(plain.open_listener(loopback), None);
        assert_eq!(plain.open_listener("[::ffff:127.0.0.1]:80".parse().unwrap()), None);
        assert!(plain.reread().is_empty());
        let with_token = parse(&["--http", "0.0.0.0:80", "--http-token-file", path]).unwrap();
        let with_token = with_token.read().unwrap().unwrap();
        assert!(with_token.open_listener(open).unwrap().contains("learns the tokens"));
        assert_eq!(with_token.reread()[0].outcome, Ok(false));
        assert_eq!(with_token.url(loopback), "http://127.0.0.1:80");
    }
}
