//! The Mesos side of the executor: talks to the agent and runs one task.
//!
//! [`state`] decides; here is the I/O: the event stream, a queue of calls on connections of their own (a call on the
//! stream's connection would ruin it), the task, and the clock.

mod calls;
mod outbox;
pub mod state;
mod task;
pub mod terms;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::task::{Instruction, Report, TaskKind, TaskSpec};
use anyhow::Context;
use command_line::Signals;
use futures_util::FutureExt;
use logging::error_chain;
use mesos::CallError;
use mesos::Subscription;
use mesos::env::ExecutorEnv;
use mesos::executor::{Event, ExecutorClient};
use mesos::token;
use mesos::v1::executor::Call;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::calls::Calls;
use self::state::State;
use self::terms::{Effect, Input, Profile};
use crate::cli::ExecutorArgs;
use crate::runner::{Runners, TaskContext, TaskError, TaskEvent};

/// Pause between two tries to subscribe: a recovered agent waits only 2 s for its executors.
const RETRY: Duration = Duration::from_millis(400);
/// Events of the task that may wait.
const TASK_EVENTS: usize = 64;
/// Instructions to the task that may wait.
const INSTRUCTIONS: usize = 4;

/// Runs as a Mesos executor until the task has ended, or the agent has no use for this process any more.
///
/// # Errors
/// If this process was not started by a Mesos agent, the agent refuses it, or goes away for good.
pub fn run(_args: &ExecutorArgs, runners: Runners) -> anyhow::Result<ExitCode> {
    let token = token::hide().unwrap_or_else(|error| {
        warn!(%error, "can't hide the agent's token: it stays in this process's environment");
        None
    });
    let env = ExecutorEnv::from_process_and(token)
        .context("an executor is started by a Mesos agent; to mine without Mesos, use `mesos-miner mine`")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    let result = runtime.block_on(async { Executor::new(&env, runners).run().await });
    // A task that hangs must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result.map(|()| ExitCode::SUCCESS)
}

type Connecting = Pin<Box<dyn Future<Output = Result<Subscription<Event>, CallError>> + Send>>;

/// The way to the agent.
enum Link {
    None,
    Connecting(Connecting),
    Open(Box<Subscription<Event>>),
}

/// The task, while it runs.
struct Running {
    instructions: mpsc::Sender<Instruction>,
    events: mpsc::Receiver<TaskEvent>,
    stop: CancellationToken,
    task: JoinHandle<Result<Report, TaskError>>,
}

struct Executor {
    client: ExecutorClient,
    state: State,
    runners: Runners,
    link: Link,
    calls: Calls,
    running: Option<Running>,
}

impl Executor {
    fn new(env: &ExecutorEnv, runners: Runners) -> Executor {
        let client = ExecutorClient::from_env(env);
        Executor {
            calls: Calls::start(client.clone()),
            client,
            state: State::new(Profile::from(env), Instant::now()),
            runners,
            link: Link::None,
            running: None,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut signals = Signals::new().context("can't listen for signals")?;
        self.subscribe(Duration::ZERO);
        loop {
            let input = self.next(&mut signals).await;
            for effect in self.state.on(input, Instant::now()) {
                if let Effect::Exit(end) = effect {
                    self.abort();
                    self.calls.flush().await;
                    return end.map_err(anyhow::Error::msg);
                }
                self.perform(effect);
            }
        }
    }

    /// Waits for whatever happens next.
    async fn next(&mut self, signals: &mut Signals) -> Input {
        let deadline = self.state.deadline();
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            input = next_of_link(&mut self.link) => input,
            input = next_of_task(&mut self.running) => input,
            why = self.calls.failed() => {
                self.link = Link::None;
                failure(&why)
            }
            _ = signals.next() => Input::Signal,
            () = timer => Input::Tick,
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Subscribe => self.subscribe(RETRY),
            Effect::Send(call) => self.calls.send(*call),
            Effect::Launch { task_id, spec, grace } => self.launch(task_id, *spec, grace),
            Effect::Instruct(instruction) => {
                if let Some(running) = &self.running {
                    // A task that does not listen is told again.
                    let _ = running.instructions.try_send(instruction);
                }
            }
            Effect::Stop => {
                if let Some(running) = &self.running {
                    running.stop.cancel();
                }
            }
            Effect::Abort => self.abort(),
            // Taken out by the caller.
            Effect::Exit(_) => {}
        }
    }

    fn subscribe(&mut self, pause: Duration) {
        let client = self.client.clone();
        let call: Call = self.state.subscription();
        self.link = Link::Connecting(Box::pin(async move {
            tokio::time::sleep(pause).await;
            client.subscribe(&call).await
        }));
    }

    fn launch(&mut self, task_id: String, spec: TaskSpec, grace: Duration) {
        // Not the whole specification: it holds the pool's password.
        let kind = match &spec.kind {
            TaskKind::Server(_) => "pool server",
            TaskKind::Worker(_) => "worker",
        };
        info!(task_id, kind, "starting");
        let (events, receiver) = mpsc::channel(TASK_EVENTS);
        let (instructions, instructed) = mpsc::channel(INSTRUCTIONS);
        let stop = CancellationToken::new();
        let runner = self.runners.of(&spec.kind);
        let context =
            TaskContext { task_id, spec, instructions: instructed, events, stop: stop.clone(), grace };
        let task = tokio::spawn(async move { runner?(context).await });
        self.running = Some(Running { instructions, events: receiver, stop, task });
    }

    fn abort(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
        }
    }
}

async fn next_of_link(link: &mut Link) -> Input {
    match link {
        Link::None => std::future::pending().await,
        Link::Connecting(connecting) => match connecting.await {
            Ok(subscription) => {
                *link = Link::Open(Box::new(subscription));
                next_of_stream(link).await
            }
            Err(error) => {
                *link = Link::None;
                failure(&error)
            }
        },
        Link::Open(_) => next_of_stream(link).await,
    }
}

async fn next_of_stream(link: &mut Link) -> Input {
    let Link::Open(stream) = link else { return std::future::pending().await };
    let why = match stream.next().await {
        Ok(Some(event)) => return Input::Mesos(Box::new(event)),
        Ok(None) => "the stream has ended".to_owned(),
        Err(error) => error_chain(&error),
    };
    *link = Link::None;
    Input::Disconnected(why)
}

/// A refusal is for good; all else may be the agent's restart.
fn failure(error: &CallError) -> Input {
    let text = error_chain(error);
    if error.is_transient() { Input::Disconnected(text) } else { Input::Disowned(text) }
}

/// The next event of the task, or, when all of them were taken, its end.
async fn next_of_task(running: &mut Option<Running>) -> Input {
    let Some(now) = running else { return std::future::pending().await };
    if let Some(event) = now.events.recv().await {
        return Input::Task(event);
    }
    let result = (&mut now.task).map(|joined| {
        joined.unwrap_or_else(|panic| {
            error!(%panic, "the task crashed");
            Err(TaskError::new(format!("the task crashed: {panic}")))
        })
    });
    let result = result.await;
    *running = None;
    Input::Ended(result)
}
