//! The scheduler from its configuration to its end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context;
use command_line::Summary;
use monitor::Server;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Zk};
use crate::display::Display;
use crate::election::{self, Leadership, TermError};
use crate::end::SchedulerEnd;
use crate::page::Page;
use crate::query::Role;
use crate::term::Term;
use crate::time_limit::TimeLimit;

/// Runs the framework until `stop` is cancelled, or `duration` or `blocks` are reached, and everything that has to
/// end has ended. With several schedulers, this one waits until it leads, and waits again when it no longer leads.
///
/// # Errors
/// If the configuration is no good, the state folder or the executable cannot be used, or the master is no Mesos
/// master or refuses the framework; with `retry` off also if master or ZooKeeper cannot be reached.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<SchedulerEnd> {
    let (display, config) = (Arc::new(Display::start(config.quiet)), Arc::new(config));
    for image in config.programs.images() {
        display.log(format!(
            "of {image} only whether it runs is known: its work is in no account but a pool server's of ours"
        ));
    }
    let role = watch::Sender::new(if config.zk.is_some() { Role::Standby } else { Role::Starting });
    let end = CancellationToken::new();
    let _end = end.clone().drop_guard();
    if let Some(address) = config.http {
        let server = listen(address, Page::new(role.subscribe())).await?;
        display.log(format!("HTTP on http://{}", server.local_addr()));
        tokio::spawn(server.run(end));
    }
    let time = TimeLimit::start(config.duration);
    let alone = Term { config: &config, leadership: None, time, display: &display, role: &role, stop: &stop };
    match &config.zk {
        None => Ok(alone.run().await?),
        Some(zk) => terms(zk, alone).await,
    }
}

/// One term as the leader after the other, until the framework has ended or this scheduler is stopped while it waits.
async fn terms(zk: &Zk, term: Term<'_>) -> anyhow::Result<SchedulerEnd> {
    let Term { config, time, display, .. } = term;
    loop {
        let Some(leadership) = stand_for_election(zk, config.retry, time, display, term.stop).await? else {
            let summary = Summary { seconds: time.elapsed().as_secs_f64(), ..Summary::default() };
            return Ok(SchedulerEnd::Standby { summary });
        };
        tracing::debug!(zk = %zk.ensemble, "leading");
        let leadership = Arc::new(leadership);
        let ended = Term { leadership: Some(&leadership), ..term }.run().await;
        leadership.release().await;
        match ended {
            Ok(end) => return Ok(end),
            Err(TermError::Failed(error)) => return Err(error),
            Err(TermError::Deposed(why)) => {
                term.role.send_replace(Role::Standby);
                display.log(format!("not leading any more ({why})"));
            }
        }
    }
}

/// Waits until this scheduler leads; `None` if it is stopped or its time is over before that.
async fn stand_for_election(
    zk: &Zk,
    retry: bool,
    time: TimeLimit,
    display: &Display,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Leadership>> {
    let waiting = stop.child_token();
    let mut won = pin!(election::win(zk, retry, display, &waiting));
    tokio::select! {
        won = &mut won => won,
        () = time.reached() => {
            waiting.cancel();
            won.await
        }
    }
}

/// The HTTP server of `--http`.
async fn listen(address: SocketAddr, page: Page) -> anyhow::Result<Server<Page>> {
    let listening = net::listen(&[address]).await.context("--http")?;
    Ok(Server::new(listening, page))
}
