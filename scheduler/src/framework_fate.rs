//! What the user is told about a framework that stays registered without a scheduler, or that the master has removed.

use std::time::Duration;

use mesos::masters::Masters;
use text::InWords;

use crate::config::Config;
use crate::journal::{FrameworkRecord, Removal};
use crate::unix_time::date;

/// A framework that stays registered at the master after this scheduler has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftFramework {
    /// The framework's id.
    pub id: String,
    /// How long the master keeps the framework while no scheduler is connected.
    pub failover_timeout: Duration,
    /// The command with which an operator ends the framework without a scheduler.
    pub teardown: String,
}

impl LeftFramework {
    /// `failover_timeout` is the one that the master knows; `None` if it is not recorded.
    pub(crate) fn new(config: &Config, id: &str, failover_timeout: Option<Duration>) -> Self {
        Self {
            id: id.to_owned(),
            // Records of an earlier version of this program lack the failover timeout, so the configured one is used.
            failover_timeout: failover_timeout.unwrap_or(config.framework.failover_timeout),
            teardown: teardown_command(&config.master, id),
        }
    }

    /// Tells the user how long the framework stays registered. `tasks` is whether it has tasks, or may have some.
    pub(crate) fn how_long(&self, tasks: bool) -> String {
        let what = if tasks { " and its tasks" } else { "" };
        format!(
            "the master keeps framework {}{what} for {} without a scheduler (--failover-timeout)",
            self.id,
            InWords(self.failover_timeout)
        )
    }
}

/// The command with which an operator ends a framework without a scheduler.
fn teardown_command(masters: &Masters, framework: &str) -> String {
    let master = match (masters.scheme(), masters.addresses()) {
        (Some(scheme), [only]) => format!("{scheme}://{only}"),
        _ => "LEADING-MASTER:5050".to_owned(),
    };
    format!("curl -d frameworkId={framework} {master}/master/teardown")
}

/// The message that the master has removed the framework. It names the probable cause, and what the user can do.
pub(crate) fn removed(
    config: &Config,
    framework: &str,
    failover_timeout: Option<Duration>,
    removal: &Removal,
) -> String {
    let way_out = if config.new_cluster {
        "the next start begins a new framework"
    } else {
        "no other framework begins unless the scheduler is started with --new-framework; the ledger is kept in either case"
    };
    // Records of an earlier version of this program lack the failover timeout, so the configured one is used.
    let failover_timeout = failover_timeout.unwrap_or(config.framework.failover_timeout);
    let (removed, cause) = (date(removal.removed_ms), cause(removal, failover_timeout));
    format!(
        "the master has removed framework {framework} and ended its tasks (noticed on {removed}): {cause}; {way_out}"
    )
}

/// What probably made the master remove the framework. The master does not say it. Either no scheduler was connected for the
/// failover timeout, or an operator tore the framework down.
fn cause(removal: &Removal, failover_timeout: Duration) -> String {
    let timeout = InWords(failover_timeout);
    let Some(silence) = removal.silent_ms.map(Duration::from_millis) else {
        return format!(
            "either an operator tore it down (/master/teardown), or no scheduler was connected for the failover timeout of \
             {timeout} (--failover-timeout)"
        );
    };
    let times = format!(
        "the last known contact with the master was {} before that, and the framework's failover timeout was {timeout}",
        InWords(silence)
    );
    if silence >= failover_timeout {
        format!(
            "probably because no scheduler was connected for its failover timeout ({times}; see --failover-timeout)"
        )
    } else {
        format!("probably because an operator tore it down with /master/teardown ({times})")
    }
}

/// The error if this scheduler must not run, because the master has removed the framework and the user has not asked for a new
/// one.
pub(crate) fn refusal(config: &Config, framework: Option<&FrameworkRecord>) -> Option<anyhow::Error> {
    let allowed = config.framework.new_framework || config.new_cluster;
    let framework = framework.filter(|_| !allowed)?;
    let removal = framework.removal.as_ref()?;
    let failover_timeout = framework.failover_ms.map(Duration::from_millis);
    Some(anyhow::anyhow!(removed(config, &framework.id, failover_timeout, removal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(failover_timeout: u64) -> Config {
        let mut config = Config::new("m1:5050".parse::<Masters>().unwrap(), "/x");
        config.framework.failover_timeout = Duration::from_secs(failover_timeout);
        config
    }

    fn removal(silent_ms: Option<u64>) -> Removal {
        Removal { removed_ms: 1_500_000_000_000, silent_ms }
    }

    #[test]
    fn the_likelier_cause_and_both_times_are_named() {
        let week = config(7 * 24 * 3600);
        let text = removed(&week, "f-1", None, &removal(Some(2500)));
        for part in [
            "framework f-1",
            "the last known contact with the master was",
            "Fri, 14 Jul 2017",
            "probably because an operator",
            "2.5 s",
            "7 days",
            "--new-framework",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = removed(&week, "f-1", None, &removal(Some(8 * 24 * 3_600_000)));
        assert!(text.contains("probably because no scheduler") && text.contains("8 days before"), "{text}");
        let known = Some(Duration::from_secs(2));
        let text = removed(&week, "f-1", known, &removal(Some(2500)));
        assert!(text.contains("probably because no scheduler") && text.contains("was 2 s"), "{text}");
        let text = removed(&week, "f-1", None, &removal(None));
        assert!(text.contains("either an operator") && text.contains("or no scheduler"), "{text}");
    }

    #[test]
    fn a_removed_framework_is_refused_unless_a_new_one_is_wanted() {
        let framework = |removal| FrameworkRecord {
            id: "f".into(),
            failover_ms: Some(5000),
            removal,
            ..FrameworkRecord::default()
        };
        let (alive, gone) = (framework(None), framework(Some(removal(Some(1)))));
        let mut config = config(60);
        assert!(refusal(&config, None).is_none() && refusal(&config, Some(&alive)).is_none());
        let text = refusal(&config, Some(&gone)).unwrap().to_string();
        let known = Some(Duration::from_secs(5));
        let when_removed = removed(&config, "f", known, &removal(Some(1)));
        assert_eq!(text, when_removed, "the same words, whatever the option is now");
        config.framework.new_framework = true;
        assert!(refusal(&config, Some(&gone)).is_none());
    }

    #[test]
    fn the_teardown_command_names_the_master_if_there_is_only_one() {
        let command = |masters: &str| teardown_command(&masters.parse().unwrap(), "f");
        assert_eq!(command("m1"), "curl -d frameworkId=f http://m1:5050/master/teardown");
        assert_eq!(command("https://[::1]:1"), "curl -d frameworkId=f https://[::1]:1/master/teardown");
        let elected = command("zk://miner:secret@z1/mesos");
        assert_eq!(elected, "curl -d frameworkId=f LEADING-MASTER:5050/master/teardown");
        assert_eq!(command("m1,m2"), elected);
    }
}
