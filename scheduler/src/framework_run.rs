//! Runs the framework while this scheduler leads: from opening the store to the framework's end, or until another scheduler
//! leads.

use std::sync::Arc;
use std::time::Instant;

use database::now_ms;
use mesos::scheduler::SchedulerClient;
use series::SeriesHandle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::artifact::ArtifactServer;
use crate::closing::{close, end_before_subscription};
use crate::config::Config;
use crate::control;
use crate::cookie_watch;
use crate::core::{Ages, State};
use crate::display::Display;
use crate::driver::{CallDelays, Driver, Inquiry, InternalEvents, SandboxReader, run_on_own_thread};
use crate::election::{Leadership, RunError, lost};
use crate::executor_delivery::prepare_delivery;
use crate::framework_fate::refusal;
use crate::query::{self, SchedulerPhase};
use crate::scheduler_end::SchedulerEnd;
use crate::series_recorder::SeriesRecorder;
use crate::store::Store;
use crate::time_limit::TimeLimit;
use crate::unix_time::elapsed_since;

/// What a run of the framework needs.
#[derive(Clone, Copy)]
pub(crate) struct FrameworkRun<'a> {
    pub config: &'a Arc<Config>,
    /// The leadership won in the election; `None` without an election, because this is the only scheduler.
    pub leadership: Option<&'a Arc<Leadership>>,
    pub time: TimeLimit,
    pub display: &'a Arc<Display>,
    /// Where the run publishes the scheduler's phase, for the HTTP API.
    pub phase: &'a watch::Sender<SchedulerPhase>,
    /// Where the run records its figures over time, for the HTTP API.
    pub series: &'a SeriesHandle,
    /// Where the run records how long the master waits for it, for the HTTP API.
    pub delays: &'a CallDelays,
    pub stop: &'a CancellationToken,
}

impl FrameworkRun<'_> {
    /// Runs the framework until it ends.
    ///
    /// # Errors
    /// If another scheduler leads, or for one of the reasons for which [`run`](crate::run) fails.
    pub async fn run(self) -> Result<SchedulerEnd, RunError> {
        let config = self.config;
        self.phase.send_replace(SchedulerPhase::Starting(None));
        let client = SchedulerClient::with_config(config.master.clone(), config.master_access.settings());
        let (sender, store_events) = mpsc::unbounded_channel();
        let on_event = move |event| drop(sender.send(event));
        let (mut store, recovered) =
            Store::open(&config.state_dir, config.share_limits, on_event).map_err(anyhow::Error::from)?;
        let leadership = self.leadership.map(|it| &**it);
        let framework = tokio::select! {
            biased;
            why = lost(leadership) => return Err(RunError::LeadershipLost(why)),
            framework = Store::current_framework(leadership, &recovered) => framework?,
        };
        if let Some(error) = refusal(config, framework.as_ref()) {
            return Err(RunError::Failed(error));
        }
        let prepared = tokio::select! {
            prepared = prepare_delivery(config, client.detector(), self.display, self.phase, self.stop) => prepared?,
            () = self.time.reached() => None,
            why = lost(leadership) => return Err(RunError::LeadershipLost(why)),
        };
        let Some((delivery, artifact)) = prepared else {
            return Ok(end_before_subscription(config, &recovered, self.time.elapsed()));
        };
        let recovered = match self.leadership {
            Some(leadership) => store.take_over(leadership, recovered).await?,
            None => recovered,
        };
        // The age of a new framework is counted from the start of this scheduler. The time limit of --duration is counted from
        // there, too.
        let age = recovered.framework.as_ref().map_or(self.time.elapsed(), |it| elapsed_since(it.started_ms));
        let launches = store.launch_times().iter().map(|(task, ms)| (task.clone(), elapsed_since(*ms)));
        let ages = Ages { framework: age, launches: launches.collect(), now_ms: now_ms() };
        let settings = config.framework_settings(delivery, self.time.remaining());
        let (queries, query_queue) = query::channel();
        let recorder =
            SeriesRecorder::start(queries.clone(), self.series.clone(), &config.state_dir, self.display);
        let (orders, controls) = control::channel();
        self.phase.send_replace(SchedulerPhase::Leading(queries, orders));
        let mut state = State::new(settings, recovered, &ages, Instant::now());
        if let Some(last) = store.last_recorded_ms() {
            state.heard_before(elapsed_since(last));
        }
        let (answers, answered) = mpsc::unbounded_channel();
        cookie_watch::start(&config.programs, answers.clone());
        let sandboxes = SandboxReader::new(config.agent_access.clone(), answers.clone());
        let driver = Driver {
            config: Arc::clone(config),
            access: config.master_access.clone(),
            client,
            state,
            store,
            display: Arc::clone(self.display),
            advised: false,
            frames: self.display.frame_timer(),
            leadership: self.leadership.cloned(),
            inquiry: Inquiry::new(answers),
            queries: query_queue,
            controls,
            sandboxes,
            delays: self.delays.clone(),
        };
        let downloads = artifact.as_ref().map(ArtifactServer::downloads);
        let stop = self.stop.clone();
        let events = move || InternalEvents::new(store_events, downloads, answered, stop);
        let exit = run_on_own_thread(driver, events).await?;
        self.phase.send_replace(SchedulerPhase::Ending);
        recorder.stop().await;
        drop(artifact);
        close(config, exit, self.display).await
    }
}
