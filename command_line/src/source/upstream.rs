//! Options for an upstream pool, whose work a pool server distributes.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use stratum::{PoolUrl, PoolUrlError};
use task::{PoolAccess, UpstreamSpec};

use crate::exit::UsageError;
use crate::hangup::Reread;
use crate::values::{RedactedParser, first_given, password, read_password};

/// The environment variable for the password of `--upstream-user`.
const PASSWORD: &str = "MINER_UPSTREAM_PASSWORD";
/// The password that is sent to the upstream pool if the user gives none. Pools that require no password accept it.
const NO_PASSWORD: &str = "x";

/// The upstream pools, and the account at the pools.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Mining for a pool")]
pub struct UpstreamArgs {
    /// Mine for this pool, [stratum+tcp://]HOST:PORT, and distribute its work among the workers; give several to fall back on
    /// later ones while earlier ones are unreachable
    #[arg(long = "upstream", value_name = "URL", env = "MINER_UPSTREAM", value_delimiter = ',')]
    #[arg(hide_env_values = true, value_parser = RedactedParser(pool_url))]
    pub upstreams: Vec<PoolUrl>,
    /// User name at the pool, often an address or ACCOUNT.WORKER; its password is in MINER_UPSTREAM_PASSWORD or in
    /// --upstream-password-file
    #[arg(short = 'u', long, value_name = "NAME", env = "MINER_UPSTREAM_USER")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub upstream_user: Option<String>,
    /// File with the password of --upstream-user
    #[arg(long, value_name = "FILE", env = "MINER_UPSTREAM_PASSWORD_FILE")]
    pub upstream_password_file: Option<PathBuf>,
}

impl UpstreamArgs {
    /// The name of the first of these options that was given.
    pub fn given(&self) -> Option<&'static str> {
        first_given([
            ("--upstream", !self.upstreams.is_empty()),
            ("--upstream-user", self.upstream_user.is_some()),
            ("--upstream-password-file", self.upstream_password_file.is_some()),
        ])
    }

    /// The specification of the upstream pools; `None` if no pool is given. `access` has the options for the connections.
    ///
    /// # Errors
    /// [`UsageError`] if there is a user without a pool, or a pool without a user; or if the password file cannot be read.
    pub fn spec(
        &self,
        access: PoolAccess,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<UpstreamSpec>> {
        let user = match (self.upstreams.is_empty(), &self.upstream_user, self.given()) {
            (true, _, None) => return Ok(None),
            (true, _, Some(option)) => {
                return Err(UsageError(format!("{option} needs --upstream URL")).into());
            }
            (false, None, _) => {
                let text = "--upstream needs --upstream-user NAME, the account that the pool pays";
                return Err(UsageError(text.to_owned()).into());
            }
            (false, Some(user), _) => user,
        };
        let file = &self.upstream_password_file;
        let password = password("--upstream-password-file", file, PASSWORD, env)?;
        let password = password.unwrap_or_else(|| NO_PASSWORD.to_owned());
        let pools = self.upstreams.iter().map(PoolUrl::to_string).collect();
        Ok(Some(UpstreamSpec { pools, user: user.clone(), password, access }))
    }
}

impl UpstreamArgs {
    /// Reads the password file again, if there is one. What cannot be read stays as it was.
    pub fn reread(&self, spec: &mut UpstreamSpec) -> Option<Reread> {
        let path = self.upstream_password_file.as_ref()?;
        let password = read_password("--upstream-password-file", path).map_err(|error| format!("{error:#}"));
        let outcome = password.map(|password| {
            let changed = spec.password != password;
            spec.password = password;
            changed
        });
        Some(Reread { what: format!("--upstream-password-file {}", path.display()), outcome })
    }
}

/// Parses a pool's address.
///
/// # Errors
/// If the text is not an address. The error does not show a password.
pub fn pool_url(text: &str) -> Result<PoolUrl, PoolUrlError> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        upstream: UpstreamArgs,
    }

    fn spec(arguments: &[&str], password: Option<&str>) -> anyhow::Result<Option<UpstreamSpec>> {
        let cli = Cli::try_parse_from([&["x"], arguments].concat())?;
        cli.upstream
            .spec(PoolAccess::default(), |name| password.filter(|_| name == PASSWORD).map(str::to_owned))
    }

    #[test]
    fn pools_share_user_and_password() {
        assert!(spec(&[], Some("s3cret")).unwrap().is_none());
        let two = ["--upstream", "a:1,stratum+ssl://b:2", "-u", "me.farm"];
        let given = spec(&two, Some("s3cret")).unwrap().unwrap();
        assert_eq!(given.pools, ["stratum+tcp://a:1", "stratum+ssl://b:2"]);
        assert_eq!((&*given.user, &*given.password), ("me.farm", "s3cret"));
        assert!(!format!("{given:?}").contains("s3cret"));
        assert_eq!(spec(&two, None).unwrap().unwrap().password, "x");
    }

    #[test]
    fn errors_name_the_missing_option() {
        let error = |arguments: &[&str]| spec(arguments, None).unwrap_err().to_string();
        assert!(error(&["--upstream", "a:1"]).contains("--upstream-user"));
        assert_eq!(error(&["-u", "me"]), "-u needs --upstream URL".replace("-u ", "--upstream-user "));
        assert!(error(&["--upstream", "http://a:1", "-u", "x"]).contains("http"));
        let secret = error(&["--upstream", "stratum+tcp://me:s3cret@a:1", "-u", "x"]);
        assert!(secret.contains("a:1") && !secret.contains("s3cret"), "{secret}");
        let file = ["--upstream", "a:1", "-u", "x", "--upstream-password-file", "/no/such/file"];
        assert!(error(&file).contains("/no/such/file"));
    }
}
