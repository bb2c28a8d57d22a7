//! Tests of a whole cluster over its sockets. This test program is both the scheduler and the executor that the agents start.

use local::cluster::{AgentSize, Cluster, ClusterConfig, ClusterHandle};
use mesos::Subscription;
use mesos::env::ExecutorEnv;
use mesos::executor::{self, ExecutorClient};
use mesos::resources::{Quantity, Resources};
use mesos::scheduler::{self, Event, SchedulerClient, operation};
use mesos::v1::framework_info::{Capability, capability};
use mesos::v1::{
    CommandInfo, ExecutorInfo, FrameworkId, FrameworkInfo, Offer, TaskInfo, TaskState, TaskStatus,
};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Time limit for every step of a test. Only a hang exceeds it.
const DEADLINE: Duration = Duration::from_secs(60);

/// Not a test: agents run this function as the executor. Each task runs until it is killed.
#[tokio::test]
async fn executor_for_the_other_tests() {
    let Ok(env) = ExecutorEnv::from_process() else { return };
    let client = ExecutorClient::from_env(&env);
    let mut events = client.subscribe(&executor::subscribe(&env.identity, vec![], vec![])).await.unwrap();
    // The end of the stream means that the agent is gone, so the executor ends, too.
    while let Ok(Some(event)) = events.next().await {
        let (task, state) = match event {
            executor::Event::Launch(task) => (task.task_id.clone(), TaskState::TaskRunning),
            executor::Event::Kill(kill) => (kill.task_id, TaskState::TaskKilled),
            executor::Event::Shutdown => return,
            _ => continue,
        };
        let status = executor::status(&env.identity, task, state, SystemTime::now());
        client.call(&executor::update(&env.identity, status)).await.unwrap();
    }
}

struct Harness {
    cluster: Cluster,
    client: SchedulerClient,
    events: Subscription<Event>,
    framework: FrameworkId,
    /// Received offers that have been neither used nor rescinded.
    offers: Vec<Offer>,
    folder: TempDir,
}

impl Harness {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sizes = vec![AgentSize::new(0, 2.0, 1024.0)];
        let config = ClusterConfig {
            allocation_interval: Duration::from_millis(50),
            ..ClusterConfig::new(folder.path().join("mesos"), sizes)
        };
        let cluster = Cluster::start(config).await.unwrap();
        let client = SchedulerClient::new(cluster.address().to_string().parse().unwrap());
        let capabilities = [capability::Type::MultiRole, capability::Type::PartitionAware];
        let capabilities = capabilities.map(|kind| Capability { r#type: Some(kind.into()) });
        let info = FrameworkInfo {
            roles: vec!["*".into()],
            failover_timeout: Some(60.0),
            checkpoint: Some(true),
            capabilities: capabilities.to_vec(),
            ..Default::default()
        };
        let mut events = client.subscribe(&scheduler::subscribe(info)).await.unwrap();
        let Some(Event::Subscribed(subscribed)) = events.next().await.unwrap() else {
            panic!("not subscribed")
        };
        Self { cluster, client, events, framework: subscribed.framework_id, offers: Vec::new(), folder }
    }

    fn handle(&self) -> ClusterHandle {
        self.cluster.handle()
    }

    /// Waits for the first event for which `wanted` returns `Some`, and returns the value. Acknowledges updates, and stores
    /// offers.
    async fn next<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let find = async {
            loop {
                let event = self.events.next().await.unwrap().expect("the stream goes on");
                match &event {
                    Event::Offers(offers) => self.offers.extend(offers.iter().cloned()),
                    Event::Rescind(id) => self.offers.retain(|offer| offer.id != *id),
                    Event::Update(status) => {
                        if let Some(call) = scheduler::acknowledge(&self.framework, status) {
                            self.client.call(&call).await.unwrap();
                        }
                    }
                    _ => {}
                }
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(DEADLINE, find).await.expect("it comes")
    }

    /// Waits for an offer that is large enough. The cluster also makes small offers.
    async fn offer(&mut self) -> Offer {
        loop {
            let large =
                |offer: &Offer| Resources::from(offer.resources.clone()).sum("cpus") >= Quantity::new(0.5);
            if let Some(found) = self.offers.iter().position(large) {
                return self.offers.swap_remove(found);
            }
            self.next(|event| matches!(event, Event::Offers(_)).then_some(())).await;
        }
    }

    async fn update(&mut self, wanted: TaskState) -> TaskStatus {
        self.next(|event| match event {
            Event::Update(status) if status.state() == wanted => Some(*status),
            _ => None,
        })
        .await
    }

    async fn launch(&mut self, name: &str, command: &str) {
        let offer = self.offer().await;
        let mut offered = Resources::from(offer.resources.clone());
        let mut part = || {
            let mut part = offered.take("cpus", Quantity::new(0.1)).unwrap();
            part.extend(offered.take("mem", Quantity::whole(32)).unwrap());
            part.into()
        };
        let executor = ExecutorInfo {
            executor_id: name.into(),
            command: Some(CommandInfo { value: Some(command.to_owned()), ..Default::default() }),
            resources: part(),
            ..Default::default()
        };
        let task = TaskInfo {
            name: name.into(),
            task_id: name.into(),
            agent_id: offer.agent_id,
            resources: part(),
            executor: Some(executor),
            ..Default::default()
        };
        let operations = vec![operation::launch(vec![task])];
        let call = scheduler::accept(&self.framework, vec![offer.id], operations, Some(Duration::ZERO));
        self.client.call(&call).await.unwrap();
    }

    async fn running(&mut self, name: &str) -> TaskStatus {
        let this = std::env::current_exe().unwrap().display().to_string();
        self.launch(name, &format!("exec {this} --exact executor_for_the_other_tests --nocapture")).await;
        self.update(TaskState::TaskRunning).await
    }
}

#[tokio::test]
async fn a_task_runs_and_is_killed() {
    let mut harness = Harness::new().await;
    harness.running("t1").await;
    let state = harness.handle().state().await.unwrap();
    assert_eq!(state["frameworks"][0]["tasks"][0]["state"], "TASK_RUNNING");
    let kill = scheduler::kill(&harness.framework, "t1".into(), None, None);
    harness.client.call(&kill).await.unwrap();
    harness.update(TaskState::TaskKilled).await;
    harness.client.call(&scheduler::teardown(&harness.framework)).await.unwrap();
    let end = async {
        while harness.events.next().await.expect("the stream ends with its last chunk").is_some() {}
    };
    tokio::time::timeout(DEADLINE, end).await.expect("it ends");
    harness.cluster.stop().await;
    assert!(
        harness.folder.path().join("mesos/agent1/slaves").is_dir(),
        "sandboxes stay until the folder goes"
    );
}

#[tokio::test]
async fn the_scheduler_learns_of_the_end_of_an_executor() {
    let mut harness = Harness::new().await;
    harness.launch("t1", "exit 7").await;
    let failure = harness.next(|event| match event {
        Event::Failure(failure) => Some(failure),
        _ => None,
    });
    assert_eq!(failure.await.status, Some(0x700));
    harness.update(TaskState::TaskFailed).await;
    let running = harness.running("t2").await;
    let pid = running.container_status.unwrap().executor_pid.unwrap();
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    harness.update(TaskState::TaskFailed).await;
}

#[tokio::test]
async fn offers_are_rescinded_and_made_again() {
    let mut harness = Harness::new().await;
    let offer = harness.offer().await;
    harness.handle().rescind_offers();
    let rescinded = harness.next(|event| match event {
        Event::Rescind(id) => Some(id),
        _ => None,
    });
    assert_eq!(rescinded.await, offer.id);
    assert_ne!(harness.offer().await.id, offer.id);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let config = ClusterConfig {
        port,
        ..ClusterConfig::new(folder.path().to_owned(), vec![AgentSize::new(0, 1.0, 64.0)])
    };
    let error = Cluster::start(config).await.unwrap_err().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("--port"), "{error}");
}
