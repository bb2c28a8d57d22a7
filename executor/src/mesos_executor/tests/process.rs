//! The whole executor against a fake agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mesos::env::ExecutorEnv;
use mesos::executor::Event;
use mesos::v1::executor::Call;
use mesos::v1::{TaskState, TaskStatus};
use task::Report;
use testing::mesos_peer::{EventSender, TestAgent};
use testing::ports::closed_address;
use testing::{DEADLINE, in_time};
use tokio::task::JoinHandle;

use super::events::{acknowledged, kill, launch, subscribed};
use crate::mesos_executor::Executor;
use crate::runner::{Runner, Runners, TaskEvent};

type Events = EventSender<Call>;

/// A runner that reports when it starts and, once it is asked to stop, when it ends.
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

/// A runner that never ends.
fn stubborn() -> Runner {
    Arc::new(|_| Box::pin(std::future::pending()))
}

fn start(agent: &TestAgent, worker: Runner, checkpoint: bool) -> JoinHandle<anyhow::Result<()>> {
    start_at(agent.address().to_string(), worker, checkpoint)
}

/// Starts an executor whose agent is at this address.
fn start_at(address: String, worker: Runner, checkpoint: bool) -> JoinHandle<anyhow::Result<()>> {
    let env = ExecutorEnv::from_lookup(|name| match name {
        "MESOS_AGENT_ENDPOINT" => Some(address.clone()),
        "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".into()),
        "MESOS_CHECKPOINT" => checkpoint.then(|| "1".into()),
        _ => None,
    });
    let env = env.expect("a complete environment");
    tokio::spawn(async move { Executor::new(env, Runners { server: worker.clone(), worker }).run().await })
}

/// Waits for the next subscription and launches the task. Returns the event stream.
async fn launched(agent: &mut TestAgent) -> Events {
    let (_, events) = agent.subscription().await;
    events.send(subscribed(false));
    events.send(launch("t"));
    events
}

/// Receives the next update, which must have this state, and acknowledges it.
async fn update(agent: &mut TestAgent, events: &Events, state: TaskState) -> TaskStatus {
    let (call, _) = agent.next_call().await;
    let status = call.update.expect("an update").status;
    assert_eq!(status.state(), state, "{:?}", status.message);
    events.send(acknowledged(&status));
    status
}

async fn end(executor: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    in_time("the executor ends", executor).await.expect("no panic")
}

#[tokio::test]
async fn launch_kill_and_the_last_report() {
    let mut agent = TestAgent::start().await;
    let executor = start(&agent, obedient(), true);
    let events = launched(&mut agent).await;
    update(&mut agent, &events, TaskState::TaskStarting).await;
    update(&mut agent, &events, TaskState::TaskRunning).await;
    events.send(kill("t", Some(Duration::from_secs(20))));
    let status = update(&mut agent, &events, TaskState::TaskKilled).await;
    let report = Report::decode(status.data.as_deref().expect("data")).expect("a report");
    assert_eq!(report.sequence, 2);
    end(executor).await.expect("a good end");
}

#[tokio::test]
async fn a_task_that_does_not_end_is_aborted() {
    let mut agent = TestAgent::start().await;
    let executor = start(&agent, stubborn(), true);
    let events = launched(&mut agent).await;
    update(&mut agent, &events, TaskState::TaskStarting).await;
    let asked = Instant::now();
    events.send(kill("t", Some(Duration::from_millis(300))));
    update(&mut agent, &events, TaskState::TaskKilled).await;
    assert!(asked.elapsed() >= Duration::from_millis(300), "not before its grace period");
    end(executor).await.expect("a good end");
}

#[tokio::test]
async fn after_a_lost_stream_the_subscription_carries_unacknowledged_updates() {
    let mut agent = TestAgent::start().await;
    let executor = start(&agent, obedient(), true);
    let events = launched(&mut agent).await;
    let (starting, _) = agent.next_call().await;
    let (running, _) = agent.next_call().await;
    drop(events);
    let (call, events) = agent.next_call().await;
    let events = events.expect("a subscription");
    let subscribe = call.subscribe.expect("a SUBSCRIBE call");
    assert_eq!(subscribe.unacknowledged_tasks.len(), 1);
    let sent = [starting, running].map(|call| call.update.expect("an update").status);
    let resent = subscribe.unacknowledged_updates.into_iter().map(|update| update.status.uuid);
    assert!(resent.eq(sent.iter().map(|status| status.uuid.clone())));
    events.send(subscribed(false));
    events.send(Event::Shutdown);
    update(&mut agent, &events, TaskState::TaskKilled).await;
    for status in &sent {
        events.send(acknowledged(status));
    }
    end(executor).await.expect("a good end");
}

#[tokio::test]
async fn without_checkpointing_a_dead_agent_ends_the_executor() {
    let mut agent = TestAgent::start().await;
    let executor = start(&agent, obedient(), false);
    let events = launched(&mut agent).await;
    update(&mut agent, &events, TaskState::TaskStarting).await;
    agent.stop_listening();
    drop(events);
    let error = end(executor).await.expect_err("a bad end");
    assert!(error.to_string().contains("checkpointing"), "{error}");
}

#[tokio::test]
async fn the_executor_gives_up_an_agent_that_cannot_be_reached() {
    let executor = start_at(closed_address().to_string(), obedient(), true);
    let error = end(executor).await.expect_err("a bad end");
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn an_error_event_ends_task_and_executor_with_its_text() {
    let mut agent = TestAgent::start().await;
    let executor = start(&agent, obedient(), true);
    let events = launched(&mut agent).await;
    update(&mut agent, &events, TaskState::TaskStarting).await;
    update(&mut agent, &events, TaskState::TaskRunning).await;
    events.send(Event::Error("no such framework".into()));
    let status = update(&mut agent, &events, TaskState::TaskFailed).await;
    assert!(status.message.as_deref().is_some_and(|text| text.contains("no such framework")), "{status:?}");
    assert!(status.data.is_some(), "with its last report");
    let error = end(executor).await.expect_err("a bad end");
    assert!(error.to_string().contains("no such framework"), "{error}");
}

/// A restarted agent waits only 2 s for its executors to subscribe, so they must try more often than that.
#[tokio::test]
async fn a_lost_agent_is_tried_twice_per_second() {
    let mut agent = TestAgent::start().await;
    let executor = start(&agent, obedient(), true);
    let (_, events) = agent.subscription().await;
    events.send(subscribed(false));
    // The agent ends each subscription immediately.
    let lost = Instant::now();
    drop(events);
    let (mut pauses, mut last) = (Vec::new(), None::<Instant>);
    // On a busy machine pauses are longer, but not all of them.
    let often = |pauses: &[Duration]| pauses.iter().any(|pause| *pause <= Duration::from_millis(500));
    while pauses.len() < 6 || !often(&pauses) {
        assert!(lost.elapsed() < DEADLINE, "{pauses:?}");
        drop(agent.subscription().await);
        let now = Instant::now();
        pauses.extend(last.replace(now).map(|last| now - last));
    }
    // The total time is checked, not each pause: if the test notices a subscription late, the next pause looks too short.
    let tries = u32::try_from(pauses.len() + 1).expect("a few");
    assert!(lost.elapsed() >= Duration::from_millis(100) * tries, "not too often: {pauses:?}");
    executor.abort();
}

/// A recovering agent accepts subscriptions and may send events, but refuses updates.
#[tokio::test]
async fn the_subscription_with_a_recovering_agent_is_kept() {
    let recovers = Arc::new(AtomicBool::new(true));
    let for_agent = recovers.clone();
    let refusal = move |_| for_agent.load(Relaxed).then_some("503 Service Unavailable");
    let mut agent = TestAgent::refusing(refusal).await;
    let executor = start(&agent, obedient(), true);
    let events = launched(&mut agent).await;
    let (first, _) = agent.next_call().await;
    let (again, subscribed) = agent.next_call().await;
    assert!(subscribed.is_none() && again == first, "the same update once more: {again:?}");
    recovers.store(false, Relaxed);
    // The agent sends the kill on the first subscription, which must still be open.
    events.send(kill("t", Some(Duration::from_secs(20))));
    let mut states = Vec::new();
    while states.last() != Some(&TaskState::TaskKilled) {
        let (call, subscribed) = agent.next_call().await;
        assert!(subscribed.is_none(), "{states:?}");
        let status = call.update.expect("an update").status;
        events.send(acknowledged(&status));
        states.push(status.state());
        states.dedup();
    }
    use TaskState::{TaskKilled, TaskRunning, TaskStarting};
    assert_eq!(states, [TaskStarting, TaskRunning, TaskKilled]);
    end(executor).await.expect("a good end");
}
