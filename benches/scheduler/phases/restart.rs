//! A restart of a killed scheduler, with all of its tasks.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::report::{Row, cpu, seconds};
use crate::run::{Cost, Meter, Run};

/// Kills the scheduler, waits for `pause`, and starts it again. Tasks continue to send live messages and reports.
pub fn measure(run: &mut Run<'_>, pause: Duration, suffix: &str) -> Row {
    run.master.cluster().be_lively(true, Instant::now());
    run.end_scheduler(Signal::KILL);
    std::thread::sleep(pause);
    let before = run.master.cluster().counters().kills;
    let figure = format!("kill -9, restart, all reconciled{suffix}");
    let limit = run.options.limit;
    let value = match restart(run, limit) {
        Some((time, cost)) => Ok(format!("{} ({})", seconds(time), cpu(&cost))),
        None => Err(format!("it says: {}", run.scheduler().last_line())),
    };
    match run.master.cluster().counters().kills - before {
        0 => Row::within(figure, run.agents, limit, value),
        kills => {
            let time = value.unwrap_or_else(|_| format!("not within {}", seconds(limit)));
            Row::wrong(figure, run.agents, format!("{time}, and {kills} KILL calls"))
        }
    }
}

/// Starts the scheduler. Returns the time until the scheduler has handled the state of each task, and the cost of the restart.
pub fn restart(run: &mut Run<'_>, limit: Duration) -> Option<(Duration, Cost)> {
    let asked = |run: &Run<'_>| run.master.cluster().counters().calls.get("RECONCILE").copied();
    run.start_scheduler();
    let started = run.scheduler().started;
    let until = started + limit;
    run.wait(limit, |cluster| {
        let subscribed = cluster.subscribed().is_some_and(|at| at > started);
        (subscribed && cluster.all_reconciled()).then_some(())
    })?;
    let meter = Meter::from_its_start(run);
    let mut before = asked(run);
    let done = run.catch_up(until.saturating_duration_since(Instant::now()))?;
    // `catch_up` has sent a marker and waited for it. If the scheduler has sent another RECONCILE, the responses to it may
    // follow the marker, so a new marker is needed.
    while asked(run) != before {
        before = asked(run);
        run.catch_up(until.saturating_duration_since(Instant::now()))?;
    }
    Some((done.saturating_duration_since(started), meter.stop(run)))
}
