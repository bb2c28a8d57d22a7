//! A framework on a real Mesos that a test controls directly, for actions that our scheduler never performs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesos::Subscription;
use mesos::resources::{Quantity, scalar};
use mesos::scheduler::{self, Event, SchedulerClient, operation};
use mesos::v1::framework_info::{Capability, capability::Type};
use mesos::v1::offer::Operation;
use mesos::v1::scheduler::Call;
use mesos::v1::{
    CommandInfo, DurationInfo, ExecutorInfo, FrameworkId, FrameworkInfo, Offer, Resource, TaskInfo,
    TaskState, TaskStatus, executor_info,
};
use task::{ProgramSpec, TaskSpec, WorkerSpec};
use tokio::runtime::Runtime;

use super::DEADLINE;

/// A subscribed framework that acknowledges every update. Dropping it ends all of its tasks.
pub struct Framework {
    runtime: Runtime,
    client: SchedulerClient,
    events: Subscription<Event>,
    pub id: FrameworkId,
    offers: Vec<Offer>,
    /// All updates so far.
    pub updates: Vec<TaskStatus>,
    /// All messages from executors so far.
    pub messages: Vec<Vec<u8>>,
}

impl Framework {
    pub fn on(master: SocketAddr, checkpoint: bool) -> Self {
        let runtime = Runtime::new().expect("threads");
        let client = SchedulerClient::new(master.to_string().parse().expect("an address"));
        let capability = |kind: Type| Capability { r#type: Some(kind.into()) };
        let info = FrameworkInfo {
            user: "root".into(),
            name: "test".into(),
            checkpoint: Some(checkpoint),
            roles: vec!["*".into()],
            capabilities: [Type::MultiRole, Type::TaskKillingState, Type::PartitionAware]
                .map(capability)
                .into(),
            ..FrameworkInfo::default()
        };
        let (events, id) = runtime.block_on(async {
            let mut events = client.subscribe(&scheduler::subscribe(info)).await.expect("a subscription");
            let first = events.next().await.expect("an event").expect("no end");
            let Event::Subscribed(subscribed) = first else { panic!("{first:?}") };
            (events, subscribed.framework_id)
        });
        Framework { runtime, client, events, id, offers: vec![], updates: vec![], messages: vec![] }
    }

    /// Sends a call.
    pub fn call(&self, call: &Call) {
        self.runtime.block_on(self.client.call(call)).expect("a call that the master takes");
    }

    /// Accepts the next offer with an operation. Every offer is assumed to be large enough.
    pub fn accept(&mut self, operation: impl FnOnce(&Offer) -> Operation) {
        while self.offers.is_empty() {
            self.next("an offer");
        }
        let offer = self.offers.remove(0);
        self.call(&scheduler::accept(&self.id, vec![offer.id.clone()], vec![operation(&offer)], None));
    }

    /// Waits for an update of a task with this state.
    pub fn until(&mut self, task: &str, state: TaskState) -> TaskStatus {
        let what = format!("{task} is {state:?}");
        let limit = Instant::now() + DEADLINE;
        loop {
            let is_it = |u: &&TaskStatus| u.task_id.value == task && u.known_state() == Some(state);
            if let Some(update) = self.updates.iter().find(is_it) {
                return update.clone();
            }
            // Because of the heartbeats, there is always a next event.
            assert!(Instant::now() < limit, "not in time: {what}; {:#?}", self.updates);
            self.next(&what);
        }
    }

    /// The names of the states of a task so far.
    pub fn states(&self, task: &str) -> Vec<&'static str> {
        let of = self.updates.iter().filter(|u| u.task_id.value == task);
        let mut states: Vec<_> = of.filter_map(|u| Some(u.known_state()?.as_str_name())).collect();
        states.dedup();
        states
    }

    /// Handles the next event.
    pub fn next(&mut self, what: &str) {
        let next = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, self.events.next()).await });
        match next.unwrap_or_else(|_| panic!("not in time: {what}; {:#?}", self.updates)) {
            Ok(Some(Event::Offers(offers))) => self.offers.extend(offers),
            Ok(Some(Event::Rescind(id))) => self.offers.retain(|offer| offer.id != id),
            Ok(Some(Event::Update(status))) => {
                if let Some(call) = scheduler::acknowledge(&self.id, &status) {
                    self.call(&call);
                }
                self.updates.push(*status);
            }
            Ok(Some(Event::Message(message))) => self.messages.push(message.data),
            Ok(Some(_)) => {}
            end => panic!("the event stream has ended: {end:?}"),
        }
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        // The call fails if Mesos has already ended.
        let _ = self.runtime.block_on(self.client.call(&scheduler::teardown(&self.id)));
    }
}

fn resources(role: Option<&Resource>) -> Vec<Resource> {
    let mut resources = vec![scalar("cpus", Quantity::new(0.1)), scalar("mem", Quantity::whole(64))];
    for resource in &mut resources {
        resource.allocation_info = role.and_then(|role| role.allocation_info.clone());
    }
    resources
}

/// An ExecutorInfo with this id that runs the program under test.
pub fn executor(offer: &Offer, id: &str) -> ExecutorInfo {
    let program = env!("CARGO_BIN_EXE_mesos-miner").to_owned();
    ExecutorInfo {
        r#type: Some(executor_info::Type::Custom.into()),
        executor_id: id.into(),
        command: Some(CommandInfo {
            shell: Some(false),
            arguments: vec![program.clone(), "executor".into()],
            value: Some(program),
            ..CommandInfo::default()
        }),
        resources: resources(offer.resources.first()),
        shutdown_grace_period: Some(DurationInfo { nanoseconds: 5_000_000_000 }),
        ..ExecutorInfo::default()
    }
}

/// A worker task that mines at a pool. The `TaskInfo` names no executor.
pub fn worker(offer: &Offer, id: &str, pool: &str) -> TaskInfo {
    let spec = TaskSpec {
        intervals: task::Intervals::new(Duration::from_secs(1), Duration::from_millis(200)),
        max_updates: None,
        kind: ProgramSpec::Worker(WorkerSpec {
            pool: pool.into(),
            alternatives: Vec::new(),
            user: id.into(),
            password: "x".into(),
            access: task::PoolAccess::default(),
            cpus: 0.2,
            backend: None,
        }),
    };
    TaskInfo {
        name: id.into(),
        task_id: id.into(),
        agent_id: offer.agent_id.clone(),
        resources: resources(offer.resources.first()),
        data: Some(spec.encode()),
        ..TaskInfo::default()
    }
}

/// The LAUNCH operation of a worker task, with an executor of the same id.
pub fn launch(offer: &Offer, id: &str, pool: &str) -> Operation {
    let executor = Some(executor(offer, id));
    operation::launch(vec![TaskInfo { executor, ..worker(offer, id, pool) }])
}
