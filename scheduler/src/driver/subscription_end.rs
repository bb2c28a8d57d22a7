//! The ways in which a subscription ends, and how the driver continues after each of them.

use std::time::Duration;

use anyhow::anyhow;
use logging::error_chain;
use mesos::masters::Masters;
use mesos::recordio::RecordError;
use mesos::v1::FrameworkId;
use mesos::{CallError, Refusal, StreamError, Subscription, scheduler};
use problem::{Problem, ProblemKind};
use text::InWords;

use super::credentials::Registered;
use super::{Driver, credentials};
use crate::election::{self, RunError};
use crate::subscription_problem::{kind_of_call, not_subscribed};

/// After a failed call, the driver waits at most this long for the master's ERROR event, which says why the subscription has
/// ended.
const ERROR_TIMEOUT: Duration = Duration::from_secs(1);

/// If the master registers a new framework instead of continuing ours, TEARDOWN is sent for the new one. This is how long to wait
/// for the answer.
const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a subscription, or an attempt to subscribe, ended.
pub(super) enum SubscriptionEnd {
    /// The state machine has finished. The result is an error if the master did not accept all calls.
    Finished(Result<(), String>),
    /// There is no subscription any more, or none yet: subscribe again after a pause.
    Lost(Loss),
    /// The master has removed the framework. The state machine decides whether a new one begins.
    Removed,
}

impl SubscriptionEnd {
    /// The end of a subscription that the master had accepted.
    pub fn ended(why: String) -> Self {
        Self::Lost(Loss { what: LossKind::Ended, problem: ProblemKind::NotSubscribed, why })
    }
}

/// Why there is no subscription.
pub(super) struct Loss {
    what: LossKind,
    problem: ProblemKind,
    /// The cause, as text for the user.
    pub why: String,
}

/// What happened to a subscription.
enum LossKind {
    /// SUBSCRIBE did not reach a leading master.
    Unreachable,
    /// The master refused SUBSCRIBE.
    Refused,
    /// The subscription had begun, and has ended. The master may be gone, or it has removed the framework, or another scheduler
    /// has subscribed; the next SUBSCRIBE shows which.
    Ended,
}

impl Loss {
    /// The problem that exists until the next subscription.
    pub fn problem(&self) -> Problem {
        let ended = if matches!(self.what, LossKind::Ended) { "the subscription has ended, " } else { "" };
        not_subscribed(self.problem, &format!("{ended}{}", self.why))
    }

    /// What happened, and when the scheduler subscribes again, as text for the user.
    pub fn text(&self, master: &Masters, pause: Duration) -> String {
        let (why, pause) = (&self.why, InWords(pause));
        match self.what {
            LossKind::Unreachable => {
                format!("cannot reach master {master}, retrying in {pause} ({why})")
            }
            LossKind::Refused => {
                format!("master {master} refuses the subscription, retrying in {pause} ({why})")
            }
            LossKind::Ended => {
                format!("the subscription at master {master} has ended, subscribing again in {pause} ({why})")
            }
        }
    }
}

impl Driver {
    /// Decides how to continue after a failed SUBSCRIBE.
    pub(super) fn on_subscribe_error(
        &mut self,
        error: CallError,
        ever: bool,
    ) -> Result<SubscriptionEnd, RunError> {
        let master = &self.config.master;
        // If an earlier SUBSCRIBE succeeded, this is a Mesos master, so its failure is temporary.
        let fatal = !ever && !error.is_transient() || !self.config.retry;
        let advice = credentials::advice_on_call(&error, &self.config, self.registered(), !fatal);
        if !ever && !error.is_transient() {
            if let Some(advice) = advice {
                return Err(RunError::Failed(anyhow!(
                    "cannot run a framework on the master at {master}: {advice}"
                )));
            }
            let what = format!("cannot run a framework on the master at {master}{}", hint(&error));
            return Err(RunError::Failed(anyhow::Error::from(error).context(what)));
        }
        if !self.config.retry {
            let what = format!("giving up on master {master}, because --no-retry is set");
            return Err(RunError::Failed(anyhow::Error::from(error).context(what)));
        }
        let why = advice.clone().unwrap_or_else(|| format!("{}{}", error_chain(&error), hint(&error)));
        if let Some(advice) = advice.filter(|_| !std::mem::replace(&mut self.advised, true)) {
            self.display.warn(advice);
        }
        let what = if error.is_transient() { LossKind::Unreachable } else { LossKind::Refused };
        Ok(SubscriptionEnd::Lost(Loss { what, problem: kind_of_call(&error), why }))
    }

    /// The framework that the scheduler's records name; `None` if they name none.
    fn registered(&self) -> Option<Registered<'_>> {
        let id = self.state.framework()?;
        // Records of an earlier version of this program lack the failover timeout, so the configured one is used.
        let failover_timeout =
            self.state.failover_timeout().unwrap_or(self.config.framework.failover_timeout);
        Some(Registered { id, failover_timeout })
    }

    /// Handles SUBSCRIBED with another framework id than the one that was asked for: the master knows no framework with that id
    /// any more, and has registered a new one. This means the same as "Framework has been removed". The new framework is torn
    /// down, because nobody has asked for it.
    pub(super) async fn on_other_framework(&mut self, other: &FrameworkId) -> SubscriptionEnd {
        let call = scheduler::teardown(other);
        let why = match tokio::time::timeout(TEARDOWN_TIMEOUT, self.client.call(&call)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error_chain(&error)),
            Err(_) => Some(format!("no answer within {}", InWords(TEARDOWN_TIMEOUT))),
        };
        let known = self.state.framework().unwrap_or_default();
        let mut text =
            format!("the master does not continue framework {known}, but has begun {}", other.value);
        match why {
            None => text.push_str(", which is torn down"),
            Some(why) => text.push_str(&format!(", which could not be torn down ({why})")),
        }
        self.display.warn(text);
        SubscriptionEnd::Removed
    }

    /// Decides how to continue after an error of the event stream.
    pub(super) fn on_stream_error(&self, error: StreamError) -> Result<SubscriptionEnd, RunError> {
        if let StreamError::Record { source: RecordError::TooLong { .. }, .. } = &error {
            // Subscribing again would not help, because the master would send the event again.
            let what = "the master sends an event that is too long for this program";
            return Err(RunError::Failed(anyhow::Error::from(error).context(what)));
        }
        Ok(SubscriptionEnd::ended(error_chain(&error)))
    }

    /// Decides how to continue after a failed call. If the master has ended the subscription, perhaps because another scheduler
    /// has subscribed with the framework's id, an ERROR event says why. That event may arrive after the answer to the call, so
    /// this function waits for it, but at most [`ERROR_TIMEOUT`].
    pub(super) async fn on_failed_call(
        &mut self,
        subscription: &mut Subscription<scheduler::Event>,
        why: String,
    ) -> Result<SubscriptionEnd, RunError> {
        let error = async {
            loop {
                match subscription.next().await {
                    Ok(Some(scheduler::Event::Error(message))) => return Some(message),
                    // The master sends the content of other events again after the next subscription.
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        };
        let error = tokio::time::timeout(ERROR_TIMEOUT, error).await;
        match error.ok().flatten() {
            Some(message) => self.on_error_event(&message).await,
            None => Ok(SubscriptionEnd::ended(why)),
        }
    }

    /// Decides how to continue after ERROR, which is the last event of a subscription.
    pub(super) async fn on_error_event(&mut self, message: &str) -> Result<SubscriptionEnd, RunError> {
        if message.contains("failed over") {
            if self.leadership.is_some() {
                election::confirm(self.leadership.as_deref()).await?;
                let why = "a scheduler that does not lead has subscribed meanwhile";
                return Ok(SubscriptionEnd::ended(why.to_owned()));
            }
            return Err(RunError::Failed(anyhow!(
                "another scheduler has subscribed with this framework's id and continues its tasks (the master \
                 says: {message}); to run standby schedulers, start each with --zk"
            )));
        }
        if says_removed(message) && self.state.framework().is_some() {
            return Ok(SubscriptionEnd::Removed);
        }
        Err(RunError::Failed(match credentials::advice_on_error(message, &self.config, self.registered()) {
            Some(advice) => anyhow!("the master refuses the framework: {advice}"),
            None => anyhow!("the master refuses the framework: {message}"),
        }))
    }
}

/// Whether the master says in an ERROR event that it has removed the framework. The whole text is compared, because other errors
/// contain words of the user, such as the name of a role.
fn says_removed(message: &str) -> bool {
    // The second text is that of masters before version 0.23.
    ["Framework has been removed", "Completed framework attempted to re-register"].contains(&message.trim())
}

/// The command-line options that probably caused the error, for the message to the user.
pub(crate) fn hint(error: &CallError) -> &'static str {
    match error.cause() {
        CallError::Refused { refusal: Refusal::Forbidden, .. } => " (--principal, --role)",
        CallError::Refused { refusal: Refusal::CredentialsNeeded | Refusal::CredentialsWrong, .. } => {
            " (--principal, --secret-file)"
        }
        CallError::NeedsTls { .. } => " (write https:// in --master, or, with zk://, give --ca-cert FILE)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use mesos::CallError;

    use super::{hint, says_removed};

    #[test]
    fn a_redirect_to_tls_names_the_options_that_are_missing() {
        let (from, to) = ("a:5050".parse().unwrap(), "b:5050".parse().unwrap());
        let source = Box::new(CallError::NeedsTls { address: "b:5050".parse().unwrap() });
        let error = CallError::Redirected { from, to, source };
        assert!(hint(&error).contains("https:// in --master") && hint(&error).contains("--ca-cert"));
        let told = logging::error_chain(&error);
        assert!(told.starts_with("a:5050 redirects to b:5050: b:5050 uses TLS"), "{told}");
        assert!(!told.contains("Config::tls") && !error.is_transient(), "{told}");
    }

    #[test]
    fn only_the_masters_own_words_mean_that_the_framework_is_removed() {
        assert!(says_removed("Framework has been removed"));
        assert!(says_removed("Completed framework attempted to re-register"));
        for other in [
            "Framework failed over",
            "",
            "'FrameworkInfo.roles' contains invalid role: Role 'Framework has been removed' contains a space",
            "Framework at 127.0.0.1 is not authorized to subscribe with role 'removed'",
        ] {
            assert!(!says_removed(other), "{other}");
        }
    }
}
