//! Runs the scheduler against a simulated master, over real sockets.

mod removal;

use mesos::masters::Masters;
use mesos::resources::{Quantity, Resources, ranges, scalar};
use mesos::scheduler::Event;
use mesos::v1::scheduler::call::Type;
use mesos::v1::scheduler::{Call, event};
use mesos::v1::{Offer, TaskInfo, TaskState, TaskStatus, container_info};
use prost::Message;
use scheduler::config::ExecutorSource;
use scheduler::task_info::{Arguments, Delivery, ImageTask, Programs, ServerProgram};
use scheduler::{Config, SchedulerEnd};
use task::{Account, Live, PoolLive, Report, Totals};
use testing::http_peer::{HttpPeer, Reply, Script};
use testing::in_time;
use testing::mesos_peer::{EventSender, TestMaster, stream_head};
use testing::ports::closed_address;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

type Events = EventSender<Call>;

/// Steps of the simulated master that several tests share.
trait MasterScript {
    /// Waits for SUBSCRIBE and sends SUBSCRIBED. Returns the framework id of the call.
    async fn subscribed(&mut self, id: &str) -> (Option<String>, Events);

    /// Offers resources, waits for the launch of the server task, and reports that the task is running. Returns the task's id.
    async fn server(&mut self, events: &Events) -> String;

    /// Waits for the next ACCEPT. Returns the first task that it launches.
    async fn launched(&mut self) -> TaskInfo;
}

impl MasterScript for TestMaster {
    async fn subscribed(&mut self, id: &str) -> (Option<String>, Events) {
        let (call, events) = self.subscription().await;
        let subscribed = event::Subscribed {
            framework_id: id.into(),
            heartbeat_interval_seconds: None,
            master_info: None,
        };
        events.send(Event::Subscribed(Box::new(subscribed)));
        (call.framework_id.map(|id| id.value), events)
    }

    async fn server(&mut self, events: &Events) -> String {
        events.send(Event::Offers(vec![offer()]));
        let id = self.launched().await.task_id.value;
        events.send(Event::Update(Box::new(status(&id, TaskState::TaskRunning, 1))));
        let call = self.call_of(Type::Acknowledge).await;
        assert_eq!(call.acknowledge.unwrap().task_id.value, id);
        id
    }

    async fn launched(&mut self) -> TaskInfo {
        let operation = self.call_of(Type::Accept).await.accept.unwrap().operations.remove(0);
        operation.launch.unwrap().task_infos.remove(0)
    }
}

fn offer() -> Offer {
    Offer {
        id: "o".into(),
        framework_id: "f".into(),
        agent_id: "a".into(),
        hostname: "h".into(),
        resources: vec![
            scalar("cpus", Quantity::new(1.0)),
            scalar("mem", Quantity::whole(512)),
            ranges("ports", [31000..=31009]),
        ],
        ..Offer::default()
    }
}

/// A status update with a report in which `n` shares of a worker have been accepted.
fn status(task: &str, state: TaskState, n: u8) -> TaskStatus {
    let totals = Totals { accepted: n.into(), blocks: 1, ..Totals::default() };
    let account = Account { worker: "w".into(), totals, ..Account::default() };
    TaskStatus {
        task_id: task.into(),
        state: state.into(),
        agent_id: Some("a".into()),
        uuid: Some(vec![n; 16]),
        data: Some(Report { sequence: n.into(), accounts: vec![account], server: None }.encode()),
        ..TaskStatus::default()
    }
}

struct Run {
    running: JoinHandle<anyhow::Result<SchedulerEnd>>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Run {
    fn start(address: impl Into<Masters>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(address, "unused");
        config.executor = ExecutorSource::Provided(Delivery::Path("/opt/mesos-miner".into()));
        config.state_dir = folder.path().to_owned();
        config.framework.teardown_on_exit = true;
        config.quiet = true;
        change(&mut config);
        let stop = CancellationToken::new();
        let running = tokio::spawn(scheduler::run(config, stop.clone()));
        Run { running, stop, folder }
    }

    async fn end(self) -> anyhow::Result<SchedulerEnd> {
        in_time("the scheduler ends", self.running).await.expect("it does not panic")
    }
}

#[tokio::test]
async fn a_framework_from_its_first_subscription_to_its_teardown() {
    let mut master = TestMaster::start().await;
    let run = Run::start(master.address(), |_| ());
    let (id, events) = master.subscribed("f").await;
    assert_eq!(id, None);
    let server = master.server(&events).await;
    run.stop.cancel();
    let call = master.call_of(Type::Kill).await;
    assert_eq!(call.kill.unwrap().task_id.value, server);
    events.send(Event::Update(Box::new(status(&server, TaskState::TaskKilled, 2))));
    let call = master.call_of(Type::Acknowledge).await;
    assert_eq!(call.acknowledge.unwrap().uuid, [2; 16]);
    let call = master.call_of(Type::Teardown).await;
    assert_eq!(call.framework_id.unwrap().value, "f");
    let SchedulerEnd::TornDown { summary } = run.end().await.unwrap() else { panic!("it is not torn down") };
    assert_eq!((summary.tasks["TASK_KILLED"], summary.blocks), (1, Some(1)));
}

#[tokio::test]
async fn a_lost_stream_is_followed_by_a_subscription_with_the_same_id() {
    let mut master = TestMaster::start().await;
    let run = Run::start(master.address(), |config| config.framework.teardown_on_exit = false);
    let (_, events) = master.subscribed("f").await;
    let server = master.server(&events).await;
    drop(events);
    let (id, _events) = master.subscribed("f").await;
    assert_eq!(id.as_deref(), Some("f"));
    let call = master.call_of(Type::Reconcile).await;
    assert_eq!(call.reconcile.unwrap().tasks[0].task_id.value, server);
    run.stop.cancel();
    let SchedulerEnd::TasksLeft { summary, tasks, running, framework } = run.end().await.unwrap() else {
        panic!("none is left")
    };
    assert_eq!((tasks, running, summary.tasks["TASK_RUNNING"]), (1, 1, 1));
    assert_eq!((&*framework.id, framework.failover_timeout.as_secs()), ("f", 604_800));
}

#[tokio::test]
async fn a_restart_with_the_same_folder_is_the_same_framework() {
    let mut master = TestMaster::start().await;
    let first = Run::start(master.address(), |config| config.framework.teardown_on_exit = false);
    let (_, events) = master.subscribed("f").await;
    let server = master.server(&events).await;
    let folder = first.folder.path().to_owned();
    let (stop, running, _kept) = (first.stop, first.running, first.folder);
    stop.cancel();
    in_time("the scheduler ends", running).await.unwrap().unwrap();

    let second = Run::start(master.address(), |config| {
        config.state_dir = folder;
        config.framework.teardown_on_exit = false;
    });
    let (id, events) = master.subscribed("f").await;
    assert_eq!(id.as_deref(), Some("f"));
    // The server is still running. Workers are launched for it once it has reported how many workers it admits.
    let live = Live::Pool(PoolLive::default()).encode();
    let (agent_id, executor_id) = ("a".into(), server.as_str().into());
    events.send(Event::Message(event::Message { agent_id, executor_id, data: live }));
    events.send(Event::Offers(vec![offer()]));
    let task = master.launched().await;
    assert_eq!(task.task_id.value, "miner-worker-2", "the server runs already");
    second.stop.cancel();
    assert_eq!(second.end().await.unwrap().summary().blocks, Some(1));
}

#[tokio::test]
async fn refusals_and_takeovers_end_the_scheduler_with_the_masters_words() {
    for (message, expected) in
        [("Framework failed over", "another scheduler"), ("role 'x' is bad", "role 'x' is bad")]
    {
        let mut master = TestMaster::start().await;
        let run = Run::start(master.address(), |_| ());
        let (_, events) = master.subscribed("f").await;
        events.send(Event::Error(message.into()));
        let error = format!("{:#}", run.end().await.unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_refused_teardown_is_a_failure_and_the_framework_is_gone_on_with() {
    let mut master = TestMaster::refusing(|kind| (kind == Type::Teardown).then_some("403 Forbidden")).await;
    let run = Run::start(master.address(), |_| ());
    let (_, _events) = master.subscribed("f").await;
    master.call_of(Type::Reconcile).await;
    run.stop.cancel();
    master.call_of(Type::Teardown).await;
    let folder = run.folder.path().to_owned();
    let Run { running, folder: _kept, .. } = run;
    let end = in_time("the scheduler ends", running).await.expect("it does not panic").unwrap();
    let failure = end.failure().unwrap();
    assert!(
        failure.contains("not confirmed that framework f is torn down") && failure.contains("403"),
        "{failure}"
    );
    let again = Run::start(master.address(), |config| config.state_dir = folder);
    assert_eq!(master.subscribed("f").await.0.as_deref(), Some("f"));
    again.stop.cancel();
    again.end().await.unwrap();
}

#[tokio::test]
async fn an_event_that_is_too_long_is_an_error_that_names_its_size_and_the_limit() {
    let announced = [stream_head::<Call>(), b"b\r\n2000000000\n\r\n".to_vec()].concat();
    let script = Script::new(vec![Reply::Silence(announced)]);
    let for_peer = script.clone();
    let peer = HttpPeer::start(move |request| for_peer.reply(request)).await;
    let run = Run::start(peer.address, |_| ());
    let error = format!("{:#}", run.end().await.unwrap_err());
    assert!(error.contains("2000000000 bytes") && error.contains("at most 1073741824"), "{error}");
    assert_eq!(Call::decode(&*script.requests()[0].body).unwrap().r#type(), Type::Subscribe);
}

#[tokio::test]
async fn where_its_credentials_are_no_good_any_more_it_subscribes_again() {
    let mut master =
        TestMaster::refusing(|kind| (kind == Type::Reconcile).then_some("401 Unauthorized")).await;
    let run = Run::start(master.address(), |config| config.framework.teardown_on_exit = false);
    let (_, _first) = master.subscribed("f").await;
    let (id, _second) = master.subscribed("f").await;
    assert_eq!(id.as_deref(), Some("f"));
    run.stop.cancel();
    run.end().await.unwrap();
}

#[tokio::test]
async fn a_takeover_ends_the_scheduler_even_if_a_call_is_refused_first() {
    let mut master =
        TestMaster::refusing(|kind| (kind == Type::Reconcile).then_some("401 Unauthorized")).await;
    let run = Run::start(master.address(), |_| ());
    let (_, events) = master.subscribed("f").await;
    master.call_of(Type::Reconcile).await;
    events.send(Event::Error("Framework failed over".into()));
    let error = format!("{:#}", run.end().await.unwrap_err());
    assert!(error.contains("another scheduler"), "{error}");
}

#[tokio::test]
async fn without_retry_an_unreachable_master_is_an_error() {
    let address = closed_address();
    let run = Run::start(address, |config| config.retry = false);
    let error = format!("{:#}", run.end().await.unwrap_err());
    assert!(error.contains("--no-retry") && error.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn while_the_master_is_away_it_can_be_stopped() {
    let address = closed_address();
    let run = Run::start(address, |_| ());
    run.stop.cancel();
    let end = run.end().await.unwrap();
    assert!(matches!(&end, SchedulerEnd::NoFramework { summary } if summary.tasks.is_empty()), "{end:?}");
}

/// Launches the server image and the worker image of the older system that this project follows. The status updates of these
/// tasks come from Mesos' own executor, so the updates contain no reports.
#[tokio::test]
async fn images_of_others_are_launched_as_the_original_s_were() {
    let mut master = TestMaster::start().await;
    let run = Run::start(master.address(), |config| {
        let image = |image: &str, text: &str| {
            let known = ["p2pool_port", "worker_port", "server_host"];
            ImageTask { image: image.into(), arguments: Arguments::parse(text, &known).unwrap() }
        };
        let server = image("derekchiang/p2pool", "--p2pool-port {p2pool_port} -w {worker_port} user pass");
        let worker = image("derekchiang/cpuminer", "-o {server_host}:{worker_port}");
        config.programs =
            Programs { server: ServerProgram::Image(server), worker: Some(worker), ..Programs::default() };
    });
    let (_, events) = master.subscribed("f").await;
    let update = |id: &str, state, n| {
        events.send(Event::Update(Box::new(TaskStatus { data: None, ..status(id, state, n) })));
    };
    let bigger = scalar("cpus", Quantity::new(2.5));
    let bigger =
        Offer { resources: vec![bigger, scalar("mem", Quantity::whole(512))], id: "o2".into(), ..offer() };
    let mut launched = Vec::new();
    for offer in [offer(), bigger] {
        events.send(Event::Offers(vec![offer]));
        let task = master.launched().await;
        update(&task.task_id.value, TaskState::TaskRunning, launched.len() as u8 + 1);
        let call = master.call_of(Type::Acknowledge).await;
        assert_eq!(call.acknowledge.unwrap().task_id, task.task_id);
        launched.push(task);
    }
    let expected = [
        ("derekchiang/p2pool", vec!["--p2pool-port", "31000", "-w", "31001", "user", "pass"], 1000, 256),
        ("derekchiang/cpuminer", vec!["-o", "h:31001"], 2500, 128),
    ];
    for (task, (image, arguments, cpus_milli, mem)) in launched.iter().zip(expected) {
        assert_eq!(task.name, format!("task-{}", task.task_id.value));
        assert!(task.executor.is_none() && task.data.is_none());
        let container = task.container.as_ref().unwrap();
        assert_eq!(container.r#type(), container_info::Type::Docker);
        let docker = container.docker.as_ref().unwrap();
        assert_eq!(
            (docker.image.as_str(), docker.network()),
            (image, container_info::docker_info::Network::Host)
        );
        let command = task.command.as_ref().unwrap();
        assert_eq!((command.shell, command.value.as_ref()), (Some(false), None));
        assert_eq!(command.arguments, arguments);
        let resources = Resources::from(task.resources.clone());
        assert_eq!((resources.sum("cpus").milli(), resources.sum("mem")), (cpus_milli, Quantity::whole(mem)));
    }
    run.stop.cancel();
    for task in launched.iter().rev() {
        let call = master.call_of(Type::Kill).await;
        assert_eq!(call.kill.unwrap().task_id, task.task_id);
        update(&task.task_id.value, TaskState::TaskKilled, 9);
    }
    master.call_of(Type::Teardown).await;
    let end = run.end().await.unwrap();
    let summary = end.summary();
    assert_eq!((summary.tasks["TASK_KILLED"], summary.workers, summary.hashes), (2, 1, 0));
}
