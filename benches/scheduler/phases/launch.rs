//! From the first offers until all workers run.

use std::time::Instant;

use super::{between, space};
use crate::cluster::Counters;
use crate::report::{Row, cpu, seconds};
use crate::run::{Meter, Run};

/// Starts the scheduler and has it launch all its workers. Tasks say nothing by themselves meanwhile.
pub fn measure(run: &mut Run<'_>, suffix: &str) -> Vec<Row> {
    run.start_scheduler();
    let mut rows = vec![server(run, suffix)];
    rows.extend(workers(run, suffix));
    if suffix.is_empty() {
        rows.extend(space::rows(run, "all running"));
    }
    rows
}

/// The first offers: one of them for the server, all others to be given back.
fn server(run: &mut Run<'_>, suffix: &str) -> Row {
    let meter = Meter::from_its_start(run);
    let (figure, limit) =
        (format!("burst of offers for the server, all answered{suffix}"), run.options.limit);
    let agents = run.agents as u64;
    let answered = run.wait(limit, |cluster| {
        let counters = cluster.counters();
        let all = counters.last_accept.is_some() && counters.offers_answered >= agents;
        all.then_some((counters.last_offers, counters.last_answer))
    });
    let value = match answered {
        Some((sent, answered)) => {
            Ok(format!("{} ({})", seconds(between(sent, answered)), cpu(&meter.stop(run))))
        }
        None => Err(format!("{} answers", run.master.cluster().counters().offers_answered)),
    };
    Row::within(figure, run.agents, limit, value)
}

/// The server runs: offers for workers. Both figures count from these offers; the CPU is that of all until then.
fn workers(run: &mut Run<'_>, suffix: &str) -> Vec<Row> {
    let meter = Meter::start(run);
    run.master.cluster().server_comes_up(Instant::now());
    let since = |counters: &Counters| counters.last_offers.filter(|at| *at > meter.since);
    let offers = run.wait(run.options.limit, |cluster| since(cluster.counters()));
    let launched: Progress =
        ("burst of offers for workers, last ACCEPT", |counters| (counters.workers, counters.last_accept));
    let running: Progress =
        ("all running and acknowledged", |counters| (counters.running, counters.last_acknowledgement));
    [launched, running].map(|progress| until_all(run, &meter, offers, progress, suffix)).into()
}

/// A figure, and what shows how far it is and when that was reached.
type Progress = (&'static str, fn(&Counters) -> (u64, Option<Instant>));

fn until_all(
    run: &mut Run<'_>,
    meter: &Meter,
    offers: Option<Instant>,
    (figure, progress): Progress,
    suffix: &str,
) -> Row {
    let (wanted, limit) = (run.options.workers(run.agents) as u64, run.options.limit);
    let done = run.wait(limit, |cluster| {
        let (workers, last) = progress(cluster.counters());
        (workers >= wanted).then_some(last)
    });
    let value = match done {
        Some(last) => Ok(format!("{} ({})", seconds(between(offers, last)), cpu(&meter.stop(run)))),
        None => Err(format!("{} of {wanted}", progress(run.master.cluster().counters()).0)),
    };
    Row::within(format!("{figure}{suffix}"), run.agents, limit, value)
}
