//! The Mesos side of the executor: talks to the agent and runs one task.
//!
//! [`state`] makes the decisions. This file does the I/O: it reads the event stream, sends calls, runs the task and provides
//! the clock. Calls use other connections than the event stream, because a call on the same connection would end the stream.

mod calls;
pub mod events;
mod outbox;
pub mod state;
mod task;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::task::{Instruction, ProgramSpec, Report, TaskSpec};
use anyhow::Context;
use command_line::Hangups;
use futures_util::FutureExt;
use logging::error_chain;
use mesos::env::ExecutorEnv;
use mesos::executor::{Event as AgentEvent, ExecutorClient};
use mesos::v1::executor::Call;
use mesos::{CallError, Subscription, token};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::calls::Calls;
use self::events::{Effect, Event};
use self::state::State;
use crate::runner::{Runner, Runners, TaskContext, TaskError, TaskEvent};
use crate::worker;

/// Pause between two attempts to subscribe. It is short because a recovered agent waits only 2 s for its executors.
const RETRY_PAUSE: Duration = Duration::from_millis(400);
/// Capacity of the queue of events from the task.
const TASK_EVENTS: usize = 64;
/// Capacity of the queue of instructions to the task.
const INSTRUCTIONS: usize = 4;

/// The format of the log, from the same environment variable as that of the other subcommands.
fn log_format() -> logging::Format {
    let name = std::env::var("MINER_LOG_FORMAT").unwrap_or_default();
    logging::Format::from_name(&name).unwrap_or_default()
}

/// Runs as a Mesos executor until the task has ended or the agent refuses this executor. `server` runs pool server tasks.
///
/// # Errors
/// If no Mesos agent started this process, if the agent refuses the executor, or if a lost agent does not return in time.
pub fn run(server: Runner) -> anyhow::Result<ExitCode> {
    logging::init_bounded("info", log_format());
    let token = token::hide().unwrap_or_else(|error| {
        warn!(%error, "cannot hide the agent's token: it stays in the environment of this process");
        None
    });
    let env = ExecutorEnv::from_process_with_token(token)
        .context("an executor is started by a Mesos agent; to mine without Mesos, use `mesos-miner mine`")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let runners = Runners { server, worker: worker::runner() };
    let result = runtime.block_on(async { Executor::new(env, runners).run().await });
    // A hanging task must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result.map(|()| ExitCode::SUCCESS)
}

type Connecting = Pin<Box<dyn Future<Output = Result<Subscription<AgentEvent>, CallError>> + Send>>;

/// The subscription with the agent.
enum Link {
    None,
    Connecting(Connecting),
    Open(Box<Subscription<AgentEvent>>),
}

/// The running task.
struct Running {
    instructions: mpsc::Sender<Instruction>,
    events: mpsc::Receiver<TaskEvent>,
    stop: CancellationToken,
    task: JoinHandle<Result<Report, TaskError>>,
}

struct Executor {
    client: ExecutorClient,
    env: ExecutorEnv,
    state: State,
    runners: Runners,
    link: Link,
    calls: Calls,
    running: Option<Running>,
}

impl Executor {
    fn new(env: ExecutorEnv, runners: Runners) -> Self {
        let client = ExecutorClient::from_env(&env);
        Executor {
            calls: Calls::start(client.clone()),
            client,
            env: env.clone(),
            state: State::new(env, Instant::now()),
            runners,
            link: Link::None,
            running: None,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        // The second signal ends the process at once.
        let mut stop = Some(command_line::stop_token().context("cannot listen for signals")?);
        self.reread_on_hangup().context("cannot listen for signals")?;
        self.subscribe(Duration::ZERO);
        loop {
            let event = self.next_event(&mut stop).await;
            for effect in self.state.on_event(event, Instant::now()) {
                if let Effect::Exit(result) = effect {
                    self.abort();
                    self.calls.flush().await;
                    return result.map_err(anyhow::Error::msg);
                }
                self.carry_out(effect);
            }
        }
    }

    /// Reads the certificates for the agent again on SIGHUP.
    fn reread_on_hangup(&self) -> std::io::Result<()> {
        let Some(mut hangups) = Hangups::new()? else { return Ok(()) };
        let (client, env) = (self.client.clone(), self.env.clone());
        tokio::spawn(async move {
            loop {
                hangups.next().await;
                match client.reread_certificates(&env) {
                    Ok(true) => {
                        info!("SIGHUP: read again: the certificates for the agent (LIBPROCESS_SSL_…)")
                    }
                    Ok(false) => info!("SIGHUP: there is nothing to read again: the agent has no TLS"),
                    Err(error) => {
                        let error = error_chain(&error);
                        warn!(
                            "SIGHUP: the certificates for the agent that were read before stay in use: {error}"
                        );
                    }
                }
            }
        });
        Ok(())
    }

    /// The next event. `stop` is cancelled by the first signal; it is taken with the event.
    async fn next_event(&mut self, stop: &mut Option<CancellationToken>) -> Event {
        let deadline = self.state.next_deadline();
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let waiting = stop.clone();
        let signal = async {
            match waiting {
                Some(stop) => stop.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = next_of_link(&mut self.link) => event,
            event = next_of_task(&mut self.running) => event,
            error = self.calls.failed() => {
                self.link = Link::None;
                call_failed(&error)
            }
            () = signal => {
                *stop = None;
                Event::Signal
            }
            () = timer => Event::Tick,
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Subscribe => self.subscribe(RETRY_PAUSE),
            Effect::Send(call) => self.calls.send(*call),
            Effect::Launch { task_id, spec, grace } => self.launch(task_id, *spec, grace),
            Effect::Instruct(instruction) => {
                if let Some(running) = &self.running {
                    // If the queue is full, the instruction is dropped. The scheduler repeats it.
                    let _ = running.instructions.try_send(instruction);
                }
            }
            Effect::Stop => {
                if let Some(running) = &self.running {
                    running.stop.cancel();
                }
            }
            Effect::Abort => self.abort(),
            // `run` handles this effect.
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
        let kind = match &spec.kind {
            ProgramSpec::Server(_) => "pool server",
            ProgramSpec::Worker(_) => "worker",
        };
        info!(task_id, kind, "starting");
        let (event_sender, events) = mpsc::channel(TASK_EVENTS);
        let (instructions, instruction_receiver) = mpsc::channel(INSTRUCTIONS);
        let stop = CancellationToken::new();
        let runner = self.runners.of(&spec.kind);
        let context = TaskContext {
            task_id,
            spec,
            instructions: instruction_receiver,
            events: event_sender,
            stop: stop.clone(),
            grace,
        };
        let task = tokio::spawn(runner(context));
        self.running = Some(Running { instructions, events, stop, task });
    }

    fn abort(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
        }
    }
}

async fn next_of_link(link: &mut Link) -> Event {
    if let Link::Connecting(connecting) = link {
        match connecting.await {
            Ok(subscription) => *link = Link::Open(Box::new(subscription)),
            Err(error) => {
                *link = Link::None;
                return call_failed(&error);
            }
        }
    }
    let Link::Open(stream) = link else { return std::future::pending().await };
    let reason = match stream.next().await {
        Ok(Some(event)) => return Event::Agent(Box::new(event)),
        Ok(None) => "the stream has ended".to_owned(),
        Err(error) => error_chain(&error),
    };
    *link = Link::None;
    Event::Disconnected(reason)
}

/// The event for a failed call. A refusal is final, but any other failure may be caused by a restart of the agent.
fn call_failed(error: &CallError) -> Event {
    let text = error_chain(error);
    if error.is_transient() { Event::Disconnected(text) } else { Event::Refused(text) }
}

/// Waits for the next event of the task. After the last event, waits for the task to end.
async fn next_of_task(running: &mut Option<Running>) -> Event {
    let Some(current) = running else { return std::future::pending().await };
    if let Some(event) = current.events.recv().await {
        return Event::Task(event);
    }
    let result = (&mut current.task).map(|joined| {
        joined.unwrap_or_else(|panic| {
            error!(%panic, "the task crashed");
            Err(TaskError::new(format!("the task crashed: {panic}")))
        })
    });
    let result = result.await;
    *running = None;
    Event::TaskEnded(result)
}
