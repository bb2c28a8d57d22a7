//! One term of a scheduler as the leader: from its store to the framework's end, or until another scheduler leads.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use command_line::Summary;
use mesos::scheduler::SchedulerClient;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::artifact::ArtifactServer;
use crate::config::Config;
use crate::core::State;
use crate::delivery::prepare_delivery;
use crate::display::Display;
use crate::driver::{Driven, Driver, Inputs, run_on_own_thread};
use crate::election::{Leadership, TermError, lost};
use crate::end::SchedulerEnd;
use crate::journal::{Change, RecoveredState};
use crate::query::{Role, channel};
use crate::store::{SharedError, Store};
use crate::task_info::Delivery;
use crate::time_limit::TimeLimit;

/// What a term needs.
#[derive(Clone, Copy)]
pub(crate) struct Term<'a> {
    pub config: &'a Arc<Config>,
    /// Without it, no other scheduler ever leads.
    pub leadership: Option<&'a Arc<Leadership>>,
    pub time: TimeLimit,
    pub display: &'a Arc<Display>,
    /// Tells who can be asked about the framework.
    pub role: &'a watch::Sender<Role>,
    pub stop: &'a CancellationToken,
}

impl Term<'_> {
    /// Runs the framework until it ends.
    ///
    /// # Errors
    /// If another scheduler leads, and as [`run`](crate::run).
    pub async fn run(self) -> Result<SchedulerEnd, TermError> {
        let config = self.config;
        self.role.send_replace(Role::Starting);
        let client =
            SchedulerClient::with_config(config.master.clone(), config.master_access.settings().clone());
        let (sender, notices) = mpsc::unbounded_channel();
        let notify = move |notice| drop(sender.send(notice));
        let (mut store, recovered) =
            Store::open(&config.state_dir, config.share_limits(), notify).map_err(anyhow::Error::from)?;
        let delivered = tokio::select! {
            delivered = prepare_delivery(config, client.detector(), self.display, self.stop) => delivered?,
            () = self.time.reached() => None,
            why = lost(self.leadership.map(|it| &**it)) => return Err(TermError::Deposed(why)),
        };
        let Some((delivery, artifact)) = delivered else { return Ok(self.before_subscription(&recovered)) };
        let recovered = self.share(&mut store, recovered).await?;
        let state = self.state(delivery, recovered);
        let (queries, queue) = channel();
        self.role.send_replace(Role::Leader(queries));
        let driver = Driver {
            config: Arc::clone(config),
            access: config.master_access.clone(),
            client,
            state,
            store,
            display: Arc::clone(self.display),
            frames: self.display.frame_timer(),
            leadership: self.leadership.cloned(),
            queries: queue,
        };
        let fetching = artifact.as_ref().map(ArtifactServer::fetching);
        let stop = self.stop.clone();
        let inputs = move || Inputs::new(notices, fetching, stop);
        let Driven { state, store, ran } = run_on_own_thread(driver, inputs).await?;
        self.role.send_replace(Role::Ending);
        drop(artifact);
        self.close(state, store, ran).await
    }

    /// Reads what other schedulers have left in ZooKeeper, if there are others.
    async fn share(&self, store: &mut Store, recovered: RecoveredState) -> Result<RecoveredState, TermError> {
        let Some(leadership) = self.leadership else { return Ok(recovered) };
        store.share(leadership, recovered).await.map_err(|error| match error {
            SharedError::Deposed { why } => TermError::Deposed(why),
            error => TermError::Failed(error.into()),
        })
    }

    fn state(&self, delivery: Delivery, recovered: RecoveredState) -> State {
        // A new framework is as old as this run, whose time --duration limits.
        let age = recovered.framework.as_ref().map_or(self.time.elapsed(), |it| since(it.started_ms));
        let settings = self.config.framework_settings(delivery, self.time.remaining());
        State::new(settings, recovered, age, Instant::now())
    }

    /// Waits for the last records. `ran` is how the driver ended.
    async fn close(
        &self,
        state: State,
        store: Store,
        ran: Result<Result<(), String>, TermError>,
    ) -> Result<SchedulerEnd, TermError> {
        match ran {
            Ok(flushed) => {
                let end = self.end(state, flushed, &store);
                match store.finish().await {
                    Ok(()) => Ok(end),
                    Err(error) => Ok(end.unrecorded(format!("{error:#}"))),
                }
            }
            Err(TermError::Deposed(why)) => {
                // What is not in ZooKeeper never counted, so it does not matter here.
                let _ = store.abandon().await.inspect_err(|error| tracing::warn!(%error));
                Err(TermError::Deposed(why))
            }
            Err(TermError::Failed(error)) => {
                // What went wrong first is what the user must know.
                let _ = store.finish().await.inspect_err(|error| tracing::error!(%error));
                Err(TermError::Failed(error))
            }
        }
    }

    /// The last records, and what is left. `flushed` is whether the master took the last calls, or why not.
    fn end(&self, mut state: State, flushed: Result<(), String>, store: &Store) -> SchedulerEnd {
        let teardown = self.config.teardown_on_exit;
        if teardown && flushed.is_ok() {
            for change in state.torn_down(Instant::now()) {
                store.persist(0, change);
            }
        }
        let summary = state.summary(Instant::now());
        match (state.framework(), flushed) {
            (None, _) => SchedulerEnd::NoFramework { summary },
            (Some(_), _) if !teardown => SchedulerEnd::TasksLeft { summary, tasks: state.live_tasks() },
            // The id is of no more use.
            (Some(_), Ok(())) => {
                store.persist(0, Change::FrameworkEnded);
                SchedulerEnd::TornDown { summary }
            }
            (Some(framework), Err(why)) => self.not_torn_down(framework, &why, summary),
        }
    }

    /// It ended before it knew how to subscribe: all is as its earlier life has left it.
    fn before_subscription(&self, recovered: &RecoveredState) -> SchedulerEnd {
        let summary = Summary { seconds: self.time.elapsed().as_secs_f64(), ..Summary::default() };
        match &recovered.framework {
            _ if self.leadership.is_some() => SchedulerEnd::Standby { summary },
            None => SchedulerEnd::NoFramework { summary },
            Some(framework) if self.config.teardown_on_exit => {
                self.not_torn_down(&framework.id, "there is no subscription", summary)
            }
            Some(_) => SchedulerEnd::TasksLeft { summary, tasks: recovered.live_tasks() },
        }
    }

    fn not_torn_down(&self, framework: &str, why: &str, summary: Summary) -> SchedulerEnd {
        let limit = self.config.failover_timeout().as_secs();
        let why = format!(
            "framework {framework} could not be torn down ({why}); the master ends it {limit} s after it lost this \
             scheduler"
        );
        SchedulerEnd::Failed { summary, why }
    }
}

fn since(started_ms: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(started_ms))
}
