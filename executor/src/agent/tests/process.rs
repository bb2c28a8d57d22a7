use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::env::ExecutorEnv;
use mesos::executor::Event;
use mesos::v1::{TaskState, TaskStatus};
use task::Report;
use tokio::task::JoinHandle;

use super::events::{acknowledged, kill, launch, subscribed};
use super::fake::{Agent, Stream};
use crate::agent::Executor;
use crate::runner::{Runner, Runners, TaskEvent};

/// Generous: only a hang should meet it.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// Reports once, and again at the end.
fn obedient() -> Runner {
    Arc::new(|context| {
        Box::pin(async move {
            let report = |sequence| Report { sequence, ..Report::default() };
            let _ = context.events.send(TaskEvent::Running(report(1))).await;
            context.stop.cancelled().await;
            Ok(report(2))
        })
    })
}

fn stubborn() -> Runner {
    Arc::new(|_| Box::pin(std::future::pending()))
}

fn start(agent: &Agent, worker: Runner, checkpoint: bool) -> JoinHandle<anyhow::Result<()>> {
    let address = agent.address.clone();
    let env = ExecutorEnv::from_lookup(|name| match name {
        "MESOS_AGENT_ENDPOINT" => Some(address.clone()),
        "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".into()),
        "MESOS_CHECKPOINT" => checkpoint.then(|| "1".into()),
        _ => None,
    });
    let env = env.expect("a complete environment");
    tokio::spawn(async move { Executor::new(env, Runners { server: None, worker }).run().await })
}

/// The stream of the next subscription, with the task launched on it.
async fn launched(agent: &mut Agent) -> Stream {
    let mut stream = agent.subscribed().await;
    stream.send(subscribed(false)).await;
    stream.send(launch("t")).await;
    stream
}

/// Takes the next update, which must be of that state, and acknowledges it.
async fn update(agent: &mut Agent, stream: &mut Stream, state: TaskState) -> TaskStatus {
    let (call, _) = agent.call().await;
    let status = call.update.expect("an update").status;
    assert_eq!(status.state(), state, "{:?}", status.message);
    stream.send(acknowledged(&status)).await;
    status
}

async fn end(executor: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::time::timeout(DEADLINE, executor).await.expect("an end in time").expect("no panic")
}

#[tokio::test]
async fn launch_kill_and_the_last_report() {
    let mut agent = Agent::start().await;
    let executor = start(&agent, obedient(), true);
    let mut stream = launched(&mut agent).await;
    update(&mut agent, &mut stream, TaskState::TaskStarting).await;
    update(&mut agent, &mut stream, TaskState::TaskRunning).await;
    stream.send(kill("t", Some(Duration::from_secs(20)))).await;
    let status = update(&mut agent, &mut stream, TaskState::TaskKilled).await;
    let report = Report::decode(status.data.as_deref().expect("data")).expect("a report");
    assert_eq!(report.sequence, 2);
    end(executor).await.expect("a good end");
}

#[tokio::test]
async fn a_stubborn_task_is_ended_by_force() {
    let mut agent = Agent::start().await;
    let executor = start(&agent, stubborn(), true);
    let mut stream = launched(&mut agent).await;
    update(&mut agent, &mut stream, TaskState::TaskStarting).await;
    let asked = Instant::now();
    stream.send(kill("t", Some(Duration::from_millis(300)))).await;
    update(&mut agent, &mut stream, TaskState::TaskKilled).await;
    assert!(asked.elapsed() >= Duration::from_millis(300), "not before its time");
    end(executor).await.expect("a good end");
}

#[tokio::test]
async fn a_broken_stream_is_subscribed_again_with_what_is_unacknowledged() {
    let mut agent = Agent::start().await;
    let executor = start(&agent, obedient(), true);
    let stream = launched(&mut agent).await;
    let (starting, _) = agent.call().await;
    let (running, _) = agent.call().await;
    drop(stream);
    let (call, stream) = agent.call().await;
    let mut stream = stream.expect("a subscription");
    let subscribe = call.subscribe.expect("a SUBSCRIBE call");
    assert_eq!(subscribe.unacknowledged_tasks.len(), 1);
    let sent = [starting, running].map(|call| call.update.expect("an update").status);
    let resent = subscribe.unacknowledged_updates.into_iter().map(|update| update.status.uuid);
    assert!(resent.eq(sent.iter().map(|status| status.uuid.clone())));
    stream.send(subscribed(false)).await;
    stream.send(Event::Shutdown).await;
    update(&mut agent, &mut stream, TaskState::TaskKilled).await;
    for status in &sent {
        stream.send(acknowledged(status)).await;
    }
    end(executor).await.expect("a good end");
}

#[tokio::test]
async fn without_checkpointing_a_dead_agent_means_the_end() {
    let mut agent = Agent::start().await;
    let executor = start(&agent, obedient(), false);
    let mut stream = launched(&mut agent).await;
    update(&mut agent, &mut stream, TaskState::TaskStarting).await;
    agent.die();
    drop(stream);
    let error = end(executor).await.expect_err("a bad end");
    assert!(error.to_string().contains("checkpointing"), "{error}");
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_given_up() {
    let mut agent = Agent::start().await;
    agent.die();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    agent.address = gone.local_addr().expect("an address").to_string();
    drop(gone);
    let error = end(start(&agent, obedient(), true)).await.expect_err("a bad end");
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn an_error_ends_task_and_executor_with_its_text() {
    let mut agent = Agent::start().await;
    let executor = start(&agent, obedient(), true);
    let mut stream = launched(&mut agent).await;
    update(&mut agent, &mut stream, TaskState::TaskStarting).await;
    update(&mut agent, &mut stream, TaskState::TaskRunning).await;
    stream.send(Event::Error("no such framework".into())).await;
    let status = update(&mut agent, &mut stream, TaskState::TaskFailed).await;
    assert!(status.message.as_deref().is_some_and(|text| text.contains("no such framework")), "{status:?}");
    assert!(status.data.is_some(), "with its last report");
    let error = end(executor).await.expect_err("a bad end");
    assert!(error.to_string().contains("no such framework"), "{error}");
}

/// An agent that has recovered waits only 2 s for its executors.
#[tokio::test]
async fn a_lost_agent_is_tried_twice_a_second() {
    let mut agent = Agent::start().await;
    let executor = start(&agent, obedient(), true);
    let mut stream = agent.subscribed().await;
    stream.send(subscribed(false)).await;
    // Each subscription ends at once.
    drop(stream);
    let (mut pauses, mut last) = (Vec::new(), None::<Instant>);
    while pauses.len() < 6 {
        drop(agent.subscribed().await);
        let now = Instant::now();
        pauses.extend(last.replace(now).map(|last| now - last));
    }
    // A busy machine makes some of them longer, but never all of them.
    let shortest = pauses.iter().min().expect("some");
    assert!(*shortest <= Duration::from_millis(500), "{pauses:?}");
    assert!(*shortest >= Duration::from_millis(100), "no storm: {pauses:?}");
    executor.abort();
}

/// While an agent recovers it takes subscriptions but no updates; it may send events all the same.
#[tokio::test]
async fn an_agent_that_recovers_keeps_its_subscription() {
    let mut agent = Agent::start().await;
    agent.recovers.store(true, std::sync::atomic::Ordering::Relaxed);
    let executor = start(&agent, obedient(), true);
    let mut stream = launched(&mut agent).await;
    let (first, _) = agent.call().await;
    let (again, subscribed) = agent.call().await;
    assert!(subscribed.is_none() && again == first, "the same update once more: {again:?}");
    agent.recovers.store(false, std::sync::atomic::Ordering::Relaxed);
    // On the subscription that there was all the while.
    stream.send(kill("t", Some(Duration::from_secs(20)))).await;
    let mut states = Vec::new();
    while states.last() != Some(&TaskState::TaskKilled) {
        let (call, subscribed) = agent.call().await;
        assert!(subscribed.is_none(), "{states:?}");
        let status = call.update.expect("an update").status;
        stream.send(acknowledged(&status)).await;
        states.push(status.state());
        states.dedup();
    }
    use TaskState::{TaskKilled, TaskRunning, TaskStarting};
    assert_eq!(states, [TaskStarting, TaskRunning, TaskKilled]);
    end(executor).await.expect("a good end");
}
