//! A client, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use client::{Answer, Client, ClientError, Config, Event, Fate, Pool, Ticket};
use logging::error_chain;
use stratum::{Job, Share};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::scripted::{self, DEADLINE};

/// A client in a task of its own.
pub struct Rig {
    events: mpsc::UnboundedReceiver<Result<Event, ClientError>>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<Vec<Answer>>,
    nonce: u32,
    /// Answers that have come.
    pub answers: Vec<Answer>,
    /// Errors of all losses.
    pub losses: Vec<String>,
}

enum Order {
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
        // Whatever a test waits for must not come of these.
        start: 10 * DEADLINE,
        silence: 10 * DEADLINE,
        limbo: 10 * DEADLINE,
        drain: 10 * DEADLINE,
        ..Config::new(pools)
    }
}

impl Rig {
    pub fn start(config: Config) -> Rig {
        let (teller, events) = mpsc::unbounded_channel();
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut client = Client::new(config);
            loop {
                tokio::select! {
                    event = client.next() => {
                        let end = event.is_err();
                        let _ = teller.send(event);
                        if end {
                            return client.close();
                        }
                    }
                    order = inbox.recv() => match order {
                        Some(Order::Submit(job, share, reply)) => {
                            let _ = reply.send(client.submit(&job, share));
                        }
                        Some(Order::Close) | None => return client.close(),
                        Some(Order::Finish(within)) => return finish(client, within).await,
                    }
                }
            }
        });
        Rig { events, orders, task, nonce: 0, answers: Vec::new(), losses: Vec::new() }
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

    /// Waits for a job and submits a share of it; the pool has it then, and has not answered.
    pub async fn open_share(&mut self, pool: &mut scripted::Pool, job: &str) -> Ticket {
        let job = self.job(job).await;
        let ticket = self.submit(&job).await.expect("sent");
        pool.hear("mining.submit").await;
        ticket
    }

    /// The next event that is wanted.
    pub async fn wait<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await.expect("no end")) {
                return found;
            }
        }
    }

    pub async fn job(&mut self, id: &str) -> Arc<Job> {
        let wanted = |event| match event {
            Event::Job(job) if job.id == id => Some(job),
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

    /// The error that the client gives up with.
    pub async fn end(&mut self) -> String {
        loop {
            if let Err(error) = self.event().await {
                return error_chain(&error);
            }
        }
    }

    /// Submits a share that was never submitted before.
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
        assert!(self.orders.send(Order::Submit(job.clone(), share, reply)).is_ok(), "no client");
        ticket.await.expect("a client")
    }

    pub async fn fate(&mut self, ticket: Ticket) -> Fate {
        loop {
            if let Some(answer) = self.answers.iter().find(|answer| answer.ticket == ticket) {
                return answer.fate.clone();
            }
            self.event().await.expect("no end");
        }
    }

    /// Ends the client; returns what it still had to answer.
    pub async fn close(self) -> Vec<Fate> {
        self.end_by(Order::Close).await
    }

    /// The same after it has waited for answers.
    pub async fn finish(self, within: Duration) -> Vec<Fate> {
        self.end_by(Order::Finish(within)).await
    }

    async fn end_by(self, order: Order) -> Vec<Fate> {
        let _ = self.orders.send(order);
        let answers = timeout(DEADLINE, self.task).await.expect("an end in time").expect("no panic");
        answers.into_iter().map(|answer| answer.fate).collect()
    }
}

/// As a miner ends.
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
