//! The launch: from the first offers until all workers run.

use std::time::{Duration, Instant};

use super::{between, pages, space};
use crate::cluster::Cluster;
use crate::report::{Row, cpu, seconds};
use crate::run::{Cost, Meter, Run};

/// The duration and the cost. If the time limit was exceeded, the error says how far the launch came, such as `90 of 100`.
type Taken = Result<(Duration, Cost), String>;

/// The duration and the cost of the workers' launch. The durations begin with the first offers for workers.
pub struct Launched {
    /// Time and cost until all offers for workers are answered and all workers are launched.
    pub burst: (Duration, Cost),
    /// Time and cost until all workers run and their updates are acknowledged.
    pub running: (Duration, Cost),
}

/// Starts the scheduler and launches all workers. Tasks send neither live messages nor reports.
pub fn measure(run: &mut Run<'_>, suffix: &str) -> Vec<Row> {
    run.start_scheduler();
    let limit = run.options.limit;
    let row = |run: &Run<'_>, figure: &str, taken: Taken| {
        let value = taken.map(|(time, cost)| format!("{} ({})", seconds(time), cpu(&cost)));
        Row::within(format!("{figure}{suffix}"), run.agents, limit, value)
    };
    let first = first_offers(run);
    let mut rows = vec![row(run, "burst of offers for the server, all answered", first)];
    let asked = suffix.is_empty().then(|| pages::Asked::start(run.scheduler().http));
    let (meter, offers) = begin_workers(run);
    let burst = until_all(run, &meter, offers, launched);
    rows.push(row(run, "burst of offers for workers, the last answered, all launched", burst));
    let running = until_all(run, &meter, offers, running);
    rows.push(row(run, "all running and acknowledged", running));
    if let Some(asked) = asked {
        rows.extend(asked.stop().row(run, "pages during the launch"));
        rows.push(bytes(run));
        rows.extend(space::rows(run, "all running"));
    }
    rows
}

/// The average sizes of an offer and of each type of call, in bytes.
fn bytes(run: &Run<'_>) -> Row {
    let counters = run.master.cluster().counters().clone();
    let calls = counters.call_bytes.iter().map(|(kind, bytes)| {
        let number = counters.calls.get(kind).copied().unwrap_or(1);
        format!("{kind} {}", bytes / number)
    });
    let offer = counters.offer_bytes / counters.offers_sent.max(1);
    let text = format!("offer {offer}; {}", calls.collect::<Vec<_>>().join(", "));
    Row::new("bytes in the launch", run.agents, text)
}

/// Like [`measure`], but without output.
///
/// # Errors
/// If the launch exceeds the time limit. The error says how far the launch came, such as `90 of 100`.
pub fn quietly(run: &mut Run<'_>) -> Result<Launched, String> {
    run.start_scheduler();
    first_offers(run)?;
    let (meter, offers) = begin_workers(run);
    let burst = until_all(run, &meter, offers, launched)?;
    Ok(Launched { burst, running: until_all(run, &meter, offers, running)? })
}

/// Waits until the scheduler has launched the server on one of the first offers and declined all other offers.
fn first_offers(run: &mut Run<'_>) -> Taken {
    let meter = Meter::from_its_start(run);
    let agents = run.agents as u64;
    let answered = run.wait(run.options.limit, |cluster| {
        let counters = cluster.counters();
        let all = counters.last_accept.is_some() && counters.offers_answered >= agents;
        all.then_some((counters.last_offers, counters.last_answer))
    });
    match answered {
        Some((sent, answered)) => Ok((between(sent, answered), meter.stop(run))),
        None => Err(format!("{} answers", run.master.cluster().counters().offers_answered)),
    }
}

/// Lets the server run, so that offers for workers follow. Returns the time of the first of these offers, and a meter that
/// started just before the server ran.
fn begin_workers(run: &mut Run<'_>) -> (Meter, Option<Instant>) {
    let meter = Meter::start(run);
    {
        let mut cluster = run.master.cluster();
        cluster.watch_offers();
        cluster.server_comes_up(Instant::now());
    }
    let offers = run.wait(run.options.limit, |cluster| cluster.watched_since());
    (meter, offers)
}

/// A function that counts the workers that fulfil a condition, and returns the count with the time at which the last of them
/// fulfilled it.
type Progress = fn(&Cluster) -> (u64, Option<Instant>);

/// Counts the launched workers. Their records are already on the scheduler's disk, because the scheduler sends ACCEPT only once
/// the launch is stored.
fn launched(cluster: &Cluster) -> (u64, Option<Instant>) {
    let counters = cluster.counters();
    let last =
        cluster.watched_answered().zip(counters.last_accept).map(|(answer, accept)| answer.max(accept));
    (counters.workers, last)
}

fn running(cluster: &Cluster) -> (u64, Option<Instant>) {
    (cluster.counters().running, cluster.counters().last_acknowledgement)
}

fn until_all(run: &mut Run<'_>, meter: &Meter, offers: Option<Instant>, progress: Progress) -> Taken {
    let wanted = run.options.workers(run.agents) as u64;
    let done = run.wait(run.options.limit, |cluster| {
        let (workers, last) = progress(cluster);
        last.filter(|_| workers >= wanted)
    });
    match done {
        Some(last) => Ok((between(offers, Some(last)), meter.stop(run))),
        None => Err(format!("{} of {wanted}", progress(&run.master.cluster()).0)),
    }
}
