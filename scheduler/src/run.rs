//! The scheduler from its configuration to its end.

use std::pin::pin;
use std::sync::Arc;

use anyhow::Context;
use api::{MetricsSource, Server};
use command_line::{HttpSettings, Summary};
use series::SeriesHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::display::Display;
use crate::driver::CallDelays;
use crate::election::{self, Leadership, RunError, ZkConfig};
use crate::framework_run::FrameworkRun;
use crate::http_api::{HttpApi, MetricsInputs};
use crate::query::{SchedulerPhase, Standby};
use crate::scheduler_end::SchedulerEnd;
use crate::time_limit::TimeLimit;
use crate::webui_url;

/// Runs the framework until `stop` is cancelled, or `duration` or `blocks` is reached, and then ends what has to end. With
/// several schedulers, waits until this one leads, and waits again whenever it has lost the leadership.
///
/// # Errors
/// If the configuration is invalid, the state folder or the executable cannot be used, or the master is not a Mesos master or
/// refuses the framework; with `retry` off, also if the master or ZooKeeper cannot be reached.
pub async fn run(mut config: Config, stop: CancellationToken) -> anyhow::Result<SchedulerEnd> {
    let display = Arc::new(Display::start(config.quiet));
    for image in config.programs.images() {
        display
            .log(format!("tasks of {image} send no reports: only our own pool server counts their shares"));
    }
    let phase = watch::Sender::new(if config.zk.is_some() {
        SchedulerPhase::Standby(Standby::default())
    } else {
        SchedulerPhase::Starting(None)
    });
    let delays = CallDelays::default();
    let series = SeriesHandle::default();
    let end = CancellationToken::new();
    let _end = end.clone().drop_guard();
    let inputs = MetricsInputs { delays: delays.clone(), per_worker: config.metrics_per_worker };
    let api = HttpApi::new(phase.subscribe(), series.clone(), inputs);
    if let Some(settings) = config.graphite.clone() {
        tokio::spawn(graphite::send(settings, MetricsSource::new(&api), end.clone()));
    }
    if let Some(http) = &config.http {
        let server = listen(http, api).await?;
        display.log(format!("HTTP on {}", http.url(server.local_addr())));
        if let Some(warning) = http.open_listener(server.local_addr()) {
            display.warn(warning);
        }
        let host = rustix::system::uname();
        let url = webui_url::of_server(
            server.local_addr(),
            http.options.tls.is_some(),
            host.nodename().to_str().ok(),
        );
        config.webui_url = config.webui_url.or(url);
        tokio::spawn(server.run(end));
    }
    let config = Arc::new(config);
    let time = TimeLimit::start(config.framework.duration);
    let single = FrameworkRun {
        config: &config,
        leadership: None,
        time,
        display: &display,
        phase: &phase,
        series: &series,
        delays: &delays,
        stop: &stop,
    };
    match &config.zk {
        None => Ok(single.run().await?),
        Some(zk) => run_while_leading(zk, single).await,
    }
}

/// Runs the framework whenever this scheduler leads, until the framework has ended or this scheduler is stopped while it waits to
/// lead.
async fn run_while_leading(zk: &ZkConfig, run: FrameworkRun<'_>) -> anyhow::Result<SchedulerEnd> {
    let FrameworkRun { config, time, display, .. } = run;
    loop {
        let Some(leadership) = stand_for_election(zk, config.retry, run).await? else {
            let summary = Summary { seconds: time.elapsed().as_secs_f64(), ..Summary::default() };
            return Ok(SchedulerEnd::Standby { summary });
        };
        tracing::debug!(zk = %zk.ensemble, "leading");
        let leadership = Arc::new(leadership);
        let ended = FrameworkRun { leadership: Some(&leadership), ..run }.run().await;
        leadership.release().await;
        match ended {
            Ok(end) => return Ok(end),
            Err(RunError::Failed(error)) => return Err(error),
            Err(RunError::LeadershipLost(why)) => {
                run.phase.send_replace(SchedulerPhase::Standby(Standby::default()));
                display.warn(format!("not leading any more ({why})"));
            }
        }
    }
}

/// Waits until this scheduler leads; returns `None` if it is stopped or reaches its time limit before that.
async fn stand_for_election(
    zk: &ZkConfig,
    retry: bool,
    run: FrameworkRun<'_>,
) -> anyhow::Result<Option<Leadership>> {
    let FrameworkRun { config, time, display, phase, stop, .. } = run;
    let waiting = stop.child_token();
    let mut won = pin!(election::win(zk, config.webui_url.as_deref(), retry, display, phase, &waiting));
    tokio::select! {
        won = &mut won => won,
        () = time.reached() => {
            waiting.cancel();
            won.await
        }
    }
}

/// Opens the HTTP server of `--http`.
async fn listen(http: &HttpSettings, api: HttpApi) -> anyhow::Result<Server> {
    let listening = net::listen(&[http.address]).await.context("--http")?;
    Ok(Server::new(listening, &api, http.options.clone()))
}
