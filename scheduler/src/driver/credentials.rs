//! What to do when the master refuses the framework for its principal or secret.
//!
//! A framework cannot change the principal with which it first subscribed. If it subscribed without a principal, it cannot get
//! one later. A refusal changes nothing at the master: tasks run on, and the framework's id can be used again.

use std::time::Duration;

use mesos::{CallError, Refusal};
use text::InWords;

use crate::config::Config;

/// Why the master refuses the framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The master requires authentication, and the call had no credentials.
    NoCredentials,
    /// The master does not know the principal, or the secret is wrong.
    WrongCredentials,
    /// The framework has another principal.
    OtherPrincipal,
}

/// The framework of an earlier subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered<'a> {
    /// The framework's id.
    pub id: &'a str,
    /// How long the master keeps the framework without a scheduler.
    pub failover_timeout: Duration,
}

/// A refusal, and what else determines the advice to the user.
struct Refused<'a> {
    why: Why,
    framework: Option<Registered<'a>>,
    principal: Option<&'a str>,
    /// The file with the secret.
    secret_file: Option<String>,
    /// Whether the scheduler tries again after the refusal.
    retries: bool,
}

/// What to do about a failed call; `None` if it was not refused for its credentials. `retries` says whether the scheduler tries
/// again.
pub(super) fn advice_on_call(
    error: &CallError,
    config: &Config,
    framework: Option<Registered<'_>>,
    retries: bool,
) -> Option<String> {
    let CallError::Refused { refusal, status, .. } = error.cause() else { return None };
    let why = match refusal {
        Refusal::CredentialsNeeded => Why::NoCredentials,
        Refusal::CredentialsWrong => Why::WrongCredentials,
        _ => return None,
    };
    let redirect = redirect(error);
    Some(format!("{redirect}HTTP {status}: {}", refused(why, config, framework, retries).advice()))
}

/// The redirect that led to the peer with the error, with a colon and a space after it: the configured master may not be the one
/// that refuses.
fn redirect(error: &CallError) -> String {
    match error {
        CallError::Redirected { .. } => format!("{error}: "),
        _ => String::new(),
    }
}

/// What to do about an ERROR event; `None` if it does not concern the principal. Mesos says "Changing framework's principal is not
/// allowed."
pub(super) fn advice_on_error(
    message: &str,
    config: &Config,
    framework: Option<Registered<'_>>,
) -> Option<String> {
    let concerned = message.contains("principal") && message.contains("hanging");
    concerned.then(|| refused(Why::OtherPrincipal, config, framework, false).advice())
}

fn refused<'a>(
    why: Why,
    config: &'a Config,
    framework: Option<Registered<'a>>,
    retries: bool,
) -> Refused<'a> {
    Refused {
        why,
        framework,
        principal: config.master_access.principal(),
        secret_file: config.master_access.secret_file().map(|path| path.display().to_string()),
        retries,
    }
}

impl Refused<'_> {
    /// What the user is told about the refusal, in at most three short sentences.
    fn advice(&self) -> String {
        let Some(Registered { id, failover_timeout }) = self.framework else { return self.what_to_give() };
        let kept = InWords(failover_timeout);
        let mut text = format!(
            "{}; framework {id} and its tasks stay until no scheduler was connected for {kept}",
            self.what_to_give()
        );
        if self.may_have_no_principal() {
            text.push_str(&format!(
                ". If it never had a principal, run the master without --authenticate_http_frameworks, or give the framework up: \
                 POST frameworkId={id} to /master/teardown, then start with --new-framework"
            ));
        }
        text
    }

    fn what_to_give(&self) -> String {
        match (self.why, self.principal, &self.secret_file) {
            (Why::NoCredentials, None, _) => {
                "the master requires authentication: give --principal NAME and --secret-file FILE from the master's --credentials"
                    .to_owned()
            }
            (Why::NoCredentials, Some(principal), None) => format!(
                "the master requires authentication: give --secret-file FILE with the secret of --principal {principal}"
            ),
            (Why::NoCredentials | Why::WrongCredentials, principal, file) => format!(
                "the master knows no principal {:?} with the secret in {}: correct one of them, or the master's --credentials{}",
                principal.unwrap_or_default(),
                file.as_deref().unwrap_or("--secret-file"),
                if self.retries { "; the file is read again for each try" } else { "" },
            ),
            (Why::OtherPrincipal, Some(principal), _) => format!(
                "it first subscribed with another principal than {principal:?}, or with none, and Mesos never changes it: give \
                 the first one with --principal, or leave it out"
            ),
            (Why::OtherPrincipal, None, _) => {
                "it first subscribed with a principal, and Mesos never changes it: give that one with --principal (and \
                 --secret-file)"
                    .to_owned()
            }
        }
    }

    /// Whether the framework may have first subscribed without a principal. Such a framework can never get one, so it cannot
    /// subscribe at a master that requires authentication.
    fn may_have_no_principal(&self) -> bool {
        match self.why {
            Why::NoCredentials => self.principal.is_none(),
            Why::WrongCredentials => false,
            Why::OtherPrincipal => self.principal.is_some(),
        }
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
        let framework = |id| Registered { id, failover_timeout: Duration::from_secs(90) };
        let refusal = |refusal, config: &Config, id: Option<&'static str>, retries| {
            advice_on_call(&call(refusal), config, id.map(framework), retries)
        };
        let needed = |config: &Config, id| refusal(Refusal::CredentialsNeeded, config, id, false).unwrap();
        assert!(needed(&none, None).contains("give --principal NAME and --secret-file FILE"));
        assert!(!needed(&none, None).contains("tasks stay"), "there is no framework yet");
        assert!(needed(&named, None).contains("--secret-file FILE with the secret of --principal miner"));
        let text = needed(&none, Some("F-1"));
        for part in [
            "framework F-1 and its tasks stay",
            "for 1 min 30 s",
            "--authenticate_http_frameworks",
            "--new-framework",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let wrong = |retries| refusal(Refusal::CredentialsWrong, &full, Some("F-1"), retries).unwrap();
        let again = "read again for each try";
        assert!(wrong(true).contains(again) && !wrong(false).contains(again), "{}", wrong(false));
        let wrong = wrong(true);
        let file = secret.path().display().to_string();
        assert!(wrong.contains("\"miner\"") && wrong.contains(&file) && !wrong.contains("s3cret"), "{wrong}");
        assert_eq!(refusal(Refusal::Forbidden, &full, None, false), None);
    }

    #[test]
    fn a_refusal_after_a_redirect_names_who_redirected() {
        let redirected = |from: &str, to: &str, source| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            CallError::Redirected { from, to, source: Box::new(source) }
        };
        let config = config(None, None);
        let told = |error: &CallError| advice_on_call(error, &config, None, false).unwrap();
        let refused = call(Refusal::CredentialsNeeded);
        let direct = told(&refused);
        assert!(direct.starts_with("HTTP 401: the master requires"), "{direct}");
        let once = redirected("b:2", "127.0.0.1:5050", refused);
        assert_eq!(told(&once), format!("b:2 redirects to 127.0.0.1:5050: {direct}"));
    }

    #[test]
    fn the_advice_is_short() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s3cret\n").unwrap();
        let framework = Registered { id: "F-1", failover_timeout: Duration::from_secs(90) };
        for config in
            [config(None, None), config(Some("miner"), None), config(Some("miner"), Some(secret.path()))]
        {
            let said = "Changing framework's principal is not allowed.";
            let texts = [Refusal::CredentialsNeeded, Refusal::CredentialsWrong]
                .map(|refusal| advice_on_call(&call(refusal), &config, Some(framework), true));
            for text in texts.into_iter().chain([advice_on_error(said, &config, Some(framework))]).flatten() {
                let sentences = text.split(". ").flat_map(|part| part.split("; ")).count();
                assert!(sentences <= 3 && text.len() <= 420, "{sentences}, {}: {text}", text.len());
            }
        }
    }

    #[test]
    fn a_changed_principal_is_told_by_the_masters_words() {
        let said = "Changing framework's principal is not allowed.";
        let framework = Some(Registered { id: "F-1", failover_timeout: Duration::from_secs(90) });
        let text = advice_on_error(said, &config(Some("miner"), None), framework).unwrap();
        assert!(text.contains("another principal than \"miner\"") && text.contains("F-1"), "{text}");
        let text = advice_on_error(said, &config(None, None), framework).unwrap();
        assert!(text.contains("give that one with --principal"), "{text}");
        assert_eq!(advice_on_error("Framework has been removed", &config(None, None), framework), None);
    }
}
