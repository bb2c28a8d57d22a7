//! The scheduler against a master that this test plays, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use mesos::masters::Masters;
use mesos::recordio;
use mesos::resources::{Quantity, Resources, ranges, scalar};
use mesos::scheduler::Event;
use mesos::v1::scheduler::call::Type;
use mesos::v1::scheduler::{Call, Event as WireEvent, event};
use mesos::v1::{Offer, TaskState, TaskStatus, container_info};
use prost::Message;
use scheduler::config::ExecutorSource;
use scheduler::task_info::{Arguments, ImageTask, Programs, ServerProgram};
use scheduler::{Config, SchedulerEnd};
use task::{Account, Report, Totals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(60);

/// A call, and for SUBSCRIBE the way to send events.
type Heard = (Call, Option<mpsc::UnboundedSender<Event>>);

struct Master {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<Heard>,
}

/// How a master refuses calls of a type, if it does.
type Refuses = fn(Type) -> Option<&'static str>;

impl Master {
    async fn start() -> Master {
        Master::that(|_| None).await
    }

    async fn that(refuses: Refuses) -> Master {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, refuses, sender.clone()));
            }
        });
        Master { address, heard }
    }

    /// The next call of this type; others are passed over.
    async fn call(&mut self, wanted: Type) -> Heard {
        let next = async {
            loop {
                let (call, events) = self.heard.recv().await.expect("the listener lives");
                if call.r#type() == wanted {
                    return (call, events);
                }
            }
        };
        timeout(DEADLINE, next).await.unwrap_or_else(|_| panic!("no {wanted:?} came"))
    }

    /// Waits for SUBSCRIBE and says SUBSCRIBED; the id that came, and the way to send events.
    async fn subscribed(&mut self, id: &str) -> (Option<String>, mpsc::UnboundedSender<Event>) {
        let (call, events) = self.call(Type::Subscribe).await;
        let events = events.unwrap();
        let subscribed = event::Subscribed {
            framework_id: id.into(),
            heartbeat_interval_seconds: None,
            master_info: None,
        };
        events.send(Event::Subscribed(Box::new(subscribed))).unwrap();
        (call.framework_id.map(|id| id.value), events)
    }

    /// Brings a server task up; its id.
    async fn server(&mut self, events: &mpsc::UnboundedSender<Event>) -> String {
        events.send(Event::Offers(vec![offer()])).unwrap();
        let (call, _) = self.call(Type::Accept).await;
        let operation = call.accept.unwrap().operations.remove(0);
        let id = operation.launch.unwrap().task_infos.remove(0).task_id.value;
        events.send(Event::Update(Box::new(status(&id, TaskState::TaskRunning, 1)))).unwrap();
        let (call, _) = self.call(Type::Acknowledge).await;
        assert_eq!(call.acknowledge.unwrap().task_id.value, id);
        id
    }
}

/// Serves one connection; a stream of events never comes back to calls.
async fn connection(mut socket: TcpStream, refuses: Refuses, heard: mpsc::UnboundedSender<Heard>) {
    let mut buffer = Vec::new();
    while let Some(call) = request(&mut socket, &mut buffer).await {
        if call.r#type() != Type::Subscribe {
            let status = refuses(call.r#type()).unwrap_or("202 Accepted");
            heard.send((call, None)).ok();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        let (sender, mut events) = mpsc::unbounded_channel::<Event>();
        heard.send((call, Some(sender))).ok();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: s\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let mut sent = socket.write_all(head.as_bytes()).await;
        while let (Ok(()), Some(event)) = (&sent, events.recv().await) {
            let record = recordio::encode(&WireEvent::from(event).encode_to_vec());
            let chunk = [format!("{:x}\r\n", record.len()).as_bytes(), &record, b"\r\n"].concat();
            sent = socket.write_all(&chunk).await;
        }
        return;
    }
}

async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Call> {
    loop {
        let text = String::from_utf8_lossy(buffer).to_ascii_lowercase();
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let length =
                text.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
            if buffer.len() >= end + 4 + length {
                let rest = buffer.split_off(end + 4 + length);
                let request = std::mem::replace(buffer, rest);
                return Some(Call::decode(&request[end + 4..]).expect("a call"));
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
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

/// With a report in which the pool has accepted `n` shares of a worker.
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
    fn start(address: impl Into<Masters>, change: impl FnOnce(&mut Config)) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(address, "unused");
        config.executor = ExecutorSource::Path("/opt/mesos-miner".into());
        config.state_dir = folder.path().to_owned();
        config.teardown_on_exit = true;
        config.quiet = true;
        change(&mut config);
        let stop = CancellationToken::new();
        let running = tokio::spawn(scheduler::run(config, stop.clone()));
        Run { running, stop, folder }
    }

    async fn end(self) -> anyhow::Result<SchedulerEnd> {
        timeout(DEADLINE, self.running).await.expect("it ends").expect("it does not panic")
    }
}

#[tokio::test]
async fn a_framework_from_its_first_subscription_to_its_teardown() {
    let mut master = Master::start().await;
    let run = Run::start(master.address, |_| ());
    let (id, events) = master.subscribed("f").await;
    assert_eq!(id, None);
    let server = master.server(&events).await;
    run.stop.cancel();
    let (call, _) = master.call(Type::Kill).await;
    assert_eq!(call.kill.unwrap().task_id.value, server);
    events.send(Event::Update(Box::new(status(&server, TaskState::TaskKilled, 2)))).unwrap();
    let (call, _) = master.call(Type::Acknowledge).await;
    assert_eq!(call.acknowledge.unwrap().uuid, [2; 16]);
    let (call, _) = master.call(Type::Teardown).await;
    assert_eq!(call.framework_id.unwrap().value, "f");
    let SchedulerEnd::TornDown { summary } = run.end().await.unwrap() else { panic!("it is not torn down") };
    assert_eq!((summary.tasks["TASK_KILLED"], summary.blocks), (1, 1));
}

#[tokio::test]
async fn a_lost_stream_is_followed_by_a_subscription_with_the_same_id() {
    let mut master = Master::start().await;
    let run = Run::start(master.address, |config| config.teardown_on_exit = false);
    let (_, events) = master.subscribed("f").await;
    let server = master.server(&events).await;
    drop(events);
    let (id, _events) = master.subscribed("f").await;
    assert_eq!(id.as_deref(), Some("f"));
    let (call, _) = master.call(Type::Reconcile).await;
    assert_eq!(call.reconcile.unwrap().tasks[0].task_id.value, server);
    run.stop.cancel();
    let SchedulerEnd::TasksLeft { summary, tasks } = run.end().await.unwrap() else { panic!("none is left") };
    assert_eq!((tasks, summary.tasks["TASK_RUNNING"]), (1, 1));
}

#[tokio::test]
async fn a_restart_with_the_same_folder_is_the_same_framework() {
    let mut master = Master::start().await;
    let first = Run::start(master.address, |config| config.teardown_on_exit = false);
    let (_, events) = master.subscribed("f").await;
    master.server(&events).await;
    let folder = first.folder.path().to_owned();
    let (stop, running, _kept) = (first.stop, first.running, first.folder);
    stop.cancel();
    timeout(DEADLINE, running).await.unwrap().unwrap().unwrap();

    let second = Run::start(master.address, |config| {
        config.state_dir = folder;
        config.teardown_on_exit = false;
    });
    let (id, events) = master.subscribed("f").await;
    assert_eq!(id.as_deref(), Some("f"));
    events.send(Event::Offers(vec![offer()])).unwrap();
    let (call, _) = master.call(Type::Accept).await;
    let task = call.accept.unwrap().operations.remove(0).launch.unwrap().task_infos.remove(0);
    assert_eq!(task.task_id.value, "miner-worker-2", "the server runs already");
    second.stop.cancel();
    assert_eq!(second.end().await.unwrap().summary().blocks, 1);
}

#[tokio::test]
async fn an_id_that_the_master_gave_up_is_followed_by_a_new_framework() {
    let mut master = Master::start().await;
    let run = Run::start(master.address, |_| ());
    let (_, events) = master.subscribed("f").await;
    master.server(&events).await;
    events.send(Event::Error("Framework has been removed".into())).unwrap();
    let (id, events) = master.subscribed("g").await;
    assert_eq!(id, None);
    assert_eq!(master.server(&events).await, "miner-server-2");
    drop(run);
}

#[tokio::test]
async fn refusals_and_takeovers_end_the_scheduler_with_the_masters_words() {
    for (message, expected) in
        [("Framework failed over", "another scheduler"), ("role 'x' is bad", "role 'x' is bad")]
    {
        let mut master = Master::start().await;
        let run = Run::start(master.address, |_| ());
        let (_, events) = master.subscribed("f").await;
        events.send(Event::Error(message.into())).unwrap();
        let error = format!("{:#}", run.end().await.unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_refused_teardown_is_a_failure_and_the_framework_is_gone_on_with() {
    let mut master = Master::that(|kind| (kind == Type::Teardown).then_some("403 Forbidden")).await;
    let run = Run::start(master.address, |_| ());
    let (_, _events) = master.subscribed("f").await;
    master.call(Type::Reconcile).await;
    run.stop.cancel();
    master.call(Type::Teardown).await;
    let folder = run.folder.path().to_owned();
    let Run { running, folder: _kept, .. } = run;
    let end = timeout(DEADLINE, running).await.expect("it ends").expect("it does not panic").unwrap();
    let failure = end.failure().unwrap();
    assert!(failure.contains("could not be torn down") && failure.contains("403"), "{failure}");
    let again = Run::start(master.address, |config| config.state_dir = folder);
    assert_eq!(master.subscribed("f").await.0.as_deref(), Some("f"));
    again.stop.cancel();
    again.end().await.unwrap();
}

#[tokio::test]
async fn an_event_that_is_too_long_is_an_error_that_names_its_size_and_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let run = Run::start(listener.local_addr().unwrap(), |_| ());
    let (mut socket, _) = listener.accept().await.unwrap();
    assert_eq!(request(&mut socket, &mut Vec::new()).await.unwrap().r#type(), Type::Subscribe);
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: s\r\n\r\n2000000000\n";
    socket.write_all(answer.as_bytes()).await.unwrap();
    let error = format!("{:#}", run.end().await.unwrap_err());
    assert!(error.contains("2000000000 bytes") && error.contains("at most 1073741824"), "{error}");
}

#[tokio::test]
async fn where_its_credentials_are_no_good_any_more_it_subscribes_again() {
    let mut master = Master::that(|kind| (kind == Type::Reconcile).then_some("401 Unauthorized")).await;
    let run = Run::start(master.address, |config| config.teardown_on_exit = false);
    let (_, _first) = master.subscribed("f").await;
    let (id, _second) = master.subscribed("f").await;
    assert_eq!(id.as_deref(), Some("f"));
    run.stop.cancel();
    run.end().await.unwrap();
}

/// An address that refuses connections as long as its socket is kept.
fn nobody() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

#[tokio::test]
async fn without_retry_an_unreachable_master_is_an_error() {
    let (nobody, _socket) = nobody();
    let run = Run::start(nobody, |config| config.retry = false);
    let error = format!("{:#}", run.end().await.unwrap_err());
    assert!(error.contains("--no-retry") && error.contains(&nobody.to_string()), "{error}");
}

#[tokio::test]
async fn while_the_master_is_away_it_can_be_stopped() {
    let (nobody, _socket) = nobody();
    let run = Run::start(nobody, |_| ());
    run.stop.cancel();
    let end = run.end().await.unwrap();
    assert!(matches!(&end, SchedulerEnd::NoFramework { summary } if summary.tasks.is_empty()), "{end:?}");
}

/// The original's server and worker from offer to ACCEPT; their updates, from Mesos' own executor, have no reports.
#[tokio::test]
async fn images_of_others_are_launched_as_the_original_s_were() {
    let mut master = Master::start().await;
    let run = Run::start(master.address, |config| {
        let image = |image: &str, text: &str| {
            let known = ["p2pool_port", "worker_port", "server_host"];
            ImageTask { image: image.into(), arguments: Arguments::parse(text, &known).unwrap() }
        };
        let server = image("derekchiang/p2pool", "--p2pool-port {p2pool_port} -w {worker_port} user pass");
        let worker = image("derekchiang/cpuminer", "-o {server_host}:{worker_port}");
        config.programs =
            Programs { server: ServerProgram::Image(server), worker: Some(worker), data_dir: None };
    });
    let (_, events) = master.subscribed("f").await;
    let update = |id: &str, state, n| {
        events.send(Event::Update(Box::new(TaskStatus { data: None, ..status(id, state, n) }))).unwrap();
    };
    let bigger = scalar("cpus", Quantity::new(2.5));
    let bigger =
        Offer { resources: vec![bigger, scalar("mem", Quantity::whole(512))], id: "o2".into(), ..offer() };
    let mut launched = Vec::new();
    for offer in [offer(), bigger] {
        events.send(Event::Offers(vec![offer])).unwrap();
        let (call, _) = master.call(Type::Accept).await;
        let task = call.accept.unwrap().operations.remove(0).launch.unwrap().task_infos.remove(0);
        update(&task.task_id.value, TaskState::TaskRunning, launched.len() as u8 + 1);
        let (call, _) = master.call(Type::Acknowledge).await;
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
        let (call, _) = master.call(Type::Kill).await;
        assert_eq!(call.kill.unwrap().task_id, task.task_id);
        update(&task.task_id.value, TaskState::TaskKilled, 9);
    }
    master.call(Type::Teardown).await;
    let end = run.end().await.unwrap();
    let summary = end.summary();
    assert_eq!((summary.tasks["TASK_KILLED"], summary.workers, summary.hashes), (2, 1, 0));
}
