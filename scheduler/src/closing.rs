//! The end of a run: writes the last records and determines how the run ended.

use std::pin::pin;
use std::time::{Duration, Instant};

use command_line::{Summary, pluralize};
use database::CLOSE_TIMEOUT;

use crate::config::Config;
use crate::core::State;
use crate::display::Display;
use crate::driver::DriverExit;
use crate::election::RunError;
use crate::framework_fate::{LeftFramework, removed};
use crate::journal::{Change, FrameworkRecord, RecoveredState};
use crate::scheduler_end::{SchedulerEnd, stay};
use crate::store::Store;

/// The time between two lines that say what the end of the run waits for.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// Writes the last records after the driver has ended, and returns how the scheduler ended.
///
/// # Errors
/// The error with which the driver ended, if any.
pub(crate) async fn close(
    config: &Config,
    driver: DriverExit,
    display: &Display,
) -> Result<SchedulerEnd, RunError> {
    let DriverExit { state, store, result } = driver;
    match result {
        Ok(last_calls) => {
            let end = end(config, state, last_calls, &store);
            match finish(store, display).await {
                Ok(()) => Ok(end),
                Err(error) => Ok(end.unrecorded(format!("{error:#}"), config.new_cluster)),
            }
        }
        Err(RunError::LeadershipLost(why)) => {
            // The scheduler acts on a change only when the change is in ZooKeeper, so losing changes that are not there does no
            // harm.
            let _ = store.abandon().await.inspect_err(|error| tracing::warn!(%error));
            end_cut_short(config, &state, &why).ok_or(RunError::LeadershipLost(why))
        }
        Err(RunError::Failed(error)) => {
            // The user must see the error that ended the run, so an error of the store is only logged.
            let _ = finish(store, display).await.inspect_err(|error| tracing::error!(%error));
            Err(RunError::Failed(error))
        }
    }
}

/// Waits until the last records are durable, and says what it waits for.
async fn finish(store: Store, display: &Display) -> anyhow::Result<()> {
    let (failure, started) = (store.folder_failure(), Instant::now());
    let mut finished = pin!(store.finish());
    loop {
        tokio::select! {
            result = &mut finished => return result,
            () = tokio::time::sleep(SAY_EVERY) => {
                if let Some(why) = failure.get() {
                    let left = CLOSE_TIMEOUT.saturating_sub(started.elapsed()).as_secs_f64().ceil();
                    display.warn(format!("{why}: waiting up to {left:.0} s for the last records to be written"));
                }
            }
        }
    }
}

/// Records the end of the framework, if it was torn down. `last_calls` is an error if the master did not accept all calls.
fn end(config: &Config, mut state: State, last_calls: Result<(), String>, store: &Store) -> SchedulerEnd {
    if let (Some(framework), Some(removal)) = (state.framework(), state.removal()) {
        let why = removed(config, framework, state.failover_timeout(), &removal);
        return SchedulerEnd::Removed { summary: state.summary(Instant::now()), why };
    }
    let teardown = state.tears_down();
    if teardown && last_calls.is_ok() {
        for change in state.torn_down(Instant::now()) {
            store.persist(0, change);
        }
    }
    let summary = state.summary(Instant::now());
    match (state.framework(), last_calls) {
        (None, _) => SchedulerEnd::NoFramework { summary },
        (Some(id), _) if !teardown => {
            let framework = LeftFramework::new(config, id, state.failover_timeout());
            let (tasks, running) = (state.live_tasks(), state.running_tasks());
            SchedulerEnd::TasksLeft { summary, tasks, running, framework }
        }
        (Some(_), Ok(())) => {
            store.persist(0, Change::FrameworkEnded);
            SchedulerEnd::TornDown { summary }
        }
        (Some(id), Err(why)) => {
            not_torn_down(LeftFramework::new(config, id, state.failover_timeout()), &why, summary)
        }
    }
}

/// How the scheduler ends if it lost the leadership, for the reason `why`, while it was ending; `None` if it was not ending, and so
/// stands for election again.
fn end_cut_short(config: &Config, state: &State, why: &str) -> Option<SchedulerEnd> {
    let framework = state.framework().filter(|_| state.is_ending())?;
    let left = LeftFramework::new(config, framework, state.failover_timeout());
    let (tasks, summary) = (state.live_tasks(), state.summary(Instant::now()));
    let unknown = if state.tears_down() {
        let ended = if tasks > 0 {
            format!("{} ended, and whether ", pluralize(tasks, "task"))
        } else {
            String::new()
        };
        format!("it is unknown whether {ended}the framework is torn down")
    } else {
        format!("its last records may be missing in ZooKeeper; {}", stay(tasks, state.running_tasks()))
    };
    let (how_long, teardown) = (left.how_long(tasks > 0), &left.teardown);
    let why = format!(
        "this scheduler lost the leadership ({why}) while it was ending framework {framework}: {unknown}; a waiting scheduler takes \
         over what is left; otherwise {how_long}; to end it, start the scheduler again with --teardown-on-exit and stop it, or: \
         {teardown}"
    );
    Some(SchedulerEnd::Failed { summary, why })
}

/// How the scheduler ends if it was stopped before it could subscribe: the framework remains as the previous run left it.
pub(crate) fn end_before_subscription(
    config: &Config,
    recovered: &RecoveredState,
    elapsed: Duration,
) -> SchedulerEnd {
    let summary = Summary { seconds: elapsed.as_secs_f64(), ..Summary::default() };
    let left = |framework: &FrameworkRecord| {
        LeftFramework::new(config, &framework.id, framework.failover_ms.map(Duration::from_millis))
    };
    match &recovered.framework {
        _ if config.zk.is_some() => SchedulerEnd::Standby { summary },
        None | Some(FrameworkRecord { removal: Some(_), .. }) => SchedulerEnd::NoFramework { summary },
        Some(framework) if config.framework.teardown_on_exit => {
            not_torn_down(left(framework), "there is no subscription", summary)
        }
        Some(framework) => {
            let (tasks, running) = (recovered.live_tasks(), recovered.running_tasks());
            SchedulerEnd::TasksLeft { summary, tasks, running, framework: left(framework) }
        }
    }
}

fn not_torn_down(left: LeftFramework, why: &str, summary: Summary) -> SchedulerEnd {
    let (framework, how_long, teardown) = (&left.id, left.how_long(true), &left.teardown);
    let why = format!(
        "the master has not confirmed that framework {framework} is torn down ({why}); unless it is, {how_long}; to end it, start \
         the scheduler again, or: {teardown}"
    );
    SchedulerEnd::Failed { summary, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::{Script, settings_where};
    use crate::event::Event;

    #[test]
    fn an_end_that_a_lost_leadership_cuts_short_is_a_failure() {
        let mut config = Config::new("m1".parse::<mesos::masters::Masters>().unwrap(), "/x");
        let why = "ZooKeeper does not answer";
        assert_eq!(
            end_cut_short(&config, &Script::with_workers().state, why),
            None,
            "it stands for election again"
        );
        for (teardown, unknown) in [
            (true, "it is unknown whether 3 tasks ended, and whether the framework is torn down; a waiting"),
            (false, "its last records may be missing in ZooKeeper; 3 tasks keep mining; a waiting"),
        ] {
            config.framework.teardown_on_exit = teardown;
            let mut script =
                Script::workers_of(settings_where(|options| options.teardown_on_exit = teardown));
            script.event(Event::Stop);
            let end = end_cut_short(&config, &script.state, why).unwrap();
            let SchedulerEnd::Failed { summary, why } = &end else { panic!("{end:?}") };
            let began = "lost the leadership (ZooKeeper does not answer) while it was ending framework f: ";
            assert!(why.contains(&format!("{began}{unknown}")), "{why}");
            assert!(why.ends_with("curl -d frameworkId=f http://m1:5050/master/teardown"), "{why}");
            assert_eq!(summary.workers, 2, "what is known");
        }
    }
}
