//! A harness that runs a client and records its events.

use std::sync::Arc;
use std::time::Duration;

use client::{Answer, Client, ClientError, Config, Event, Outcome, Pool, Ticket};
use logging::error_chain;
use stratum::{Job, Share};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::scripted::{self, DEADLINE};

/// A client that runs in its own task.
pub struct Harness {
    events: mpsc::UnboundedReceiver<Result<Event, ClientError>>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<Vec<Answer>>,
    nonce: u32,
    /// The answers so far.
    pub answers: Vec<Answer>,
    /// The errors of all [`Event::Lost`] so far.
    pub losses: Vec<String>,
}

enum Command {
    Submit(Arc<Job>, Share, tokio::sync::oneshot::Sender<Option<Ticket>>),
    Close,
    Finish(Duration),
}

pub fn pool(url: &str) -> Pool {
    Pool { url: url.parse().expect("a URL"), user: "me.rig".into(), password: "secret".into() }
}

pub fn config(ports: &[u16]) -> Config {
    let pools = ports.iter().map(|port| pool(&format!("127.0.0.1:{port}"))).collect();
    Config {
        retry_pause: Duration::from_millis(20),
        probe_interval: Duration::from_millis(20),
        // These timeouts are too long to expire in a test by accident.
        first_job_timeout: 10 * DEADLINE,
        silence_timeout: 10 * DEADLINE,
        resume_timeout: 10 * DEADLINE,
        drain_timeout: 10 * DEADLINE,
        ..Config::new(pools)
    }
}

impl Harness {
    pub fn start(config: Config) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (commands, mut inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut client = Client::new(config);
            loop {
                tokio::select! {
                    event = client.next() => {
                        let end = event.is_err();
                        let _ = sender.send(event);
                        if end {
                            return client.close();
                        }
                    }
                    command = inbox.recv() => match command {
                        Some(Command::Submit(job, share, reply)) => {
                            let _ = reply.send(client.submit(&job, share));
                        }
                        Some(Command::Close) | None => return client.close(),
                        Some(Command::Finish(within)) => return finish(client, within).await,
                    }
                }
            }
        });
        Harness { events, commands, task, nonce: 0, answers: Vec::new(), losses: Vec::new() }
    }

    async fn event(&mut self) -> Result<Event, ClientError> {
        let event = timeout(DEADLINE, self.events.recv()).await.expect("an event in time").expect("a client");
        match &event {
            Ok(Event::Answer(answer)) => self.answers.push(answer.clone()),
            Ok(Event::Lost { error, .. }) => self.losses.push(error_chain(error)),
            _ => {}
        }
        event
    }

    /// Waits for a job and submits a share for it. On return, the pool has received the share but not answered it.
    pub async fn submit_share(&mut self, pool: &mut scripted::Pool, job: &str) -> Ticket {
        let job = self.job(job).await;
        let ticket = self.submit(&job).await.expect("sent");
        pool.expect_call("mining.submit").await;
        ticket
    }

    /// Waits for the first event that `wanted` accepts.
    pub async fn wait<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await.expect("no end")) {
                return found;
            }
        }
    }

    pub async fn job(&mut self, id: &str) -> Arc<Job> {
        let wanted = |event| match event {
            Event::Job { job, .. } if job.id == id => Some(job),
            _ => None,
        };
        self.wait(wanted).await
    }

    pub async fn loss(&mut self) -> String {
        let wanted = |event| match event {
            Event::Lost { error, .. } => Some(error_chain(&error)),
            _ => None,
        };
        self.wait(wanted).await
    }

    /// Waits for the error with which the client stops trying.
    pub async fn end(&mut self) -> String {
        loop {
            if let Err(error) = self.event().await {
                return error_chain(&error);
            }
        }
    }

    /// Submits a new share.
    pub async fn submit(&mut self, job: &Arc<Job>) -> Option<Ticket> {
        self.nonce += 1;
        let extranonce2 = vec![0; job.extranonce2_len];
        let share = Share {
            job: job.id.clone(),
            extranonce2,
            ntime: job.ntime,
            nonce: self.nonce,
            version: job.version,
        };
        let (reply, ticket) = tokio::sync::oneshot::channel();
        assert!(self.commands.send(Command::Submit(job.clone(), share, reply)).is_ok(), "no client");
        ticket.await.expect("a client")
    }

    pub async fn outcome(&mut self, ticket: Ticket) -> Outcome {
        loop {
            if let Some(answer) = self.answers.iter().find(|answer| answer.ticket == ticket) {
                return answer.outcome.clone();
            }
            self.event().await.expect("no end");
        }
    }

    /// Closes the client and returns the outcomes that it had not yet delivered.
    pub async fn close(self) -> Vec<Outcome> {
        self.end_by(Command::Close).await
    }

    /// Waits for answers for at most `within`, then closes the client like [`Harness::close`].
    pub async fn finish(self, within: Duration) -> Vec<Outcome> {
        self.end_by(Command::Finish(within)).await
    }

    async fn end_by(self, command: Command) -> Vec<Outcome> {
        let _ = self.commands.send(command);
        let answers = timeout(DEADLINE, self.task).await.expect("an end in time").expect("no panic");
        answers.into_iter().map(|answer| answer.outcome).collect()
    }
}

/// Waits for the answers until the deadline and then closes the client, as a miner does.
async fn finish(mut client: Client, within: Duration) -> Vec<Answer> {
    let (deadline, mut answers) = (Instant::now() + within, Vec::new());
    while client.is_connected()
        && client.outstanding() > 0
        && let Some(event) = client.next_until(deadline).await
    {
        if let Event::Answer(answer) = event {
            answers.push(answer);
        }
    }
    answers.extend(client.close());
    answers
}
