//! What to do when the master refuses the framework for its principal or secret.
//!
//! Mesos fixes a framework's principal with its first subscription, also for a framework that had none. A refusal changes
//! nothing at the master: tasks run on, and the framework's id can be used again.

use std::time::Duration;

use mesos::{CallError, Refusal};

use crate::config::Config;
use crate::unix_time::span;

/// Why the master refuses the framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It requires authentication, and the call had none.
    NoCredentials,
    /// It does not know the principal, or the secret is another.
    WrongCredentials,
    /// The framework has another principal.
    OtherPrincipal,
}

/// What the advice depends on.
struct Refused<'a> {
    why: Why,
    /// The framework of an earlier subscription.
    framework: Option<&'a str>,
    principal: Option<&'a str>,
    /// The file with the secret.
    secret_file: Option<String>,
    /// How long the master keeps the framework without a scheduler.
    failover_timeout: Duration,
}

/// What to do about a failed call; `None` if it was not refused for its credentials.
pub(super) fn advice_on_call(error: &CallError, config: &Config, framework: Option<&str>) -> Option<String> {
    let why = match error {
        CallError::Refused { refusal: Refusal::CredentialsNeeded, .. } => Why::NoCredentials,
        CallError::Refused { refusal: Refusal::CredentialsWrong, .. } => Why::WrongCredentials,
        _ => return None,
    };
    Some(refused(why, config, framework).advice())
}

/// What to do about an ERROR event; `None` if it does not concern the principal. Mesos says "Changing framework's principal is not
/// allowed."
pub(super) fn advice_on_error(message: &str, config: &Config, framework: Option<&str>) -> Option<String> {
    let concerned = message.contains("principal") && message.contains("hanging");
    concerned.then(|| refused(Why::OtherPrincipal, config, framework).advice())
}

fn refused<'a>(why: Why, config: &'a Config, framework: Option<&'a str>) -> Refused<'a> {
    Refused {
        why,
        framework,
        principal: config.master_access.principal(),
        secret_file: config.master_access.secret_file().map(|path| path.display().to_string()),
        failover_timeout: config.framework.failover_timeout,
    }
}

impl Refused<'_> {
    fn advice(&self) -> String {
        let Some(framework) = self.framework else { return self.what_to_give() };
        format!("{}; {}", self.what_to_give(), self.nothing_is_lost(framework))
    }

    fn what_to_give(&self) -> String {
        match (self.why, self.principal, &self.secret_file) {
            (Why::NoCredentials, None, _) => {
                "the master requires authentication: give --principal NAME and --secret-file FILE, \
                                              as its operator has them in the master's --credentials"
                    .to_owned()
            }
            (Why::NoCredentials, Some(principal), None) => {
                format!(
                    "the master requires authentication: give --secret-file FILE with the secret of --principal {principal}"
                )
            }
            (Why::NoCredentials | Why::WrongCredentials, principal, file) => format!(
                "the master knows no principal {:?} with the secret in {}: correct the one that is wrong, or have the master's \
                 operator add it to its --credentials; the file is read again for each try",
                principal.unwrap_or_default(),
                file.as_deref().unwrap_or("--secret-file"),
            ),
            (Why::OtherPrincipal, Some(principal), _) => format!(
                "the framework was first subscribed with another principal than {principal:?}, or with none, and Mesos never \
                 changes it: give --principal with the first one, or leave it out"
            ),
            (Why::OtherPrincipal, None, _) => {
                "the framework was first subscribed with a principal, and Mesos never changes it: \
                                               give that one with --principal (and --secret-file)"
                    .to_owned()
            }
        }
    }

    fn nothing_is_lost(&self, framework: &str) -> String {
        let kept = span(self.failover_timeout);
        // A framework without a principal cannot get one, so it cannot subscribe any more where one is required.
        let principal = match self.why {
            Why::WrongCredentials => String::new(),
            Why::NoCredentials | Why::OtherPrincipal => format!(
                ". If it never had a principal and the master now requires one, run the master without \
                 --authenticate_http_frameworks to continue it, or end it (POST frameworkId={framework} to /master/teardown) and \
                 start with --new-framework"
            ),
        };
        format!(
            "nothing is lost: framework {framework} and its tasks stay, and a start with the same state and the right principal \
             continues them, until the master has missed its scheduler for {kept}{principal}"
        )
    }
}

#[cfg(test)]
mod tests {
    use mesos::address::{Endpoint, Scheme};

    use super::*;
    use crate::master_access::MasterAccess;

    fn config(principal: Option<&str>, secret_file: Option<&std::path::Path>) -> Config {
        let access =
            MasterAccess::read(principal.map(Into::into), secret_file.map(Into::into), None).unwrap();
        let master: mesos::masters::Masters = "127.0.0.1:5050".parse().unwrap();
        Config { master_access: access, ..Config::new(master, "/x") }
    }

    fn call(refusal: Refusal) -> CallError {
        let address = "127.0.0.1:5050".parse().unwrap();
        let endpoint = Endpoint { scheme: Scheme::Http, address, path: "/api/v1/scheduler".to_owned() };
        CallError::Refused { endpoint, call: "SUBSCRIBE", status: 401, message: String::new(), refusal }
    }

    #[test]
    fn a_refusal_says_what_to_give_and_that_nothing_is_lost() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s3cret\n").unwrap();
        let (none, named) = (config(None, None), config(Some("miner"), None));
        let full = config(Some("miner"), Some(secret.path()));
        let needed =
            |config: &Config, id| advice_on_call(&call(Refusal::CredentialsNeeded), config, id).unwrap();
        assert!(needed(&none, None).contains("give --principal NAME and --secret-file FILE"));
        assert!(!needed(&none, None).contains("nothing is lost"), "there is no framework yet");
        assert!(needed(&named, None).contains("--secret-file FILE with the secret of --principal miner"));
        let text = needed(&none, Some("F-1"));
        for part in
            ["framework F-1 and its tasks stay", "7d", "--authenticate_http_frameworks", "--new-framework"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let wrong = advice_on_call(&call(Refusal::CredentialsWrong), &full, Some("F-1")).unwrap();
        let file = secret.path().display().to_string();
        assert!(wrong.contains("\"miner\"") && wrong.contains(&file) && !wrong.contains("s3cret"), "{wrong}");
        assert_eq!(advice_on_call(&call(Refusal::Forbidden), &full, None), None);
    }

    #[test]
    fn a_changed_principal_is_told_by_the_masters_words() {
        let said = "Changing framework's principal is not allowed.";
        let text = advice_on_error(said, &config(Some("miner"), None), Some("F-1")).unwrap();
        assert!(text.contains("another principal than \"miner\"") && text.contains("F-1"), "{text}");
        let text = advice_on_error(said, &config(None, None), Some("F-1")).unwrap();
        assert!(text.contains("give that one with --principal"), "{text}");
        assert_eq!(advice_on_error("Framework has been removed", &config(None, None), Some("F-1")), None);
    }
}
