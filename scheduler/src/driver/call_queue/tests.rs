//! Tests of the queue with a master that accepts calls in any order, late, or only when they are repeated.

use std::sync::{Arc, Mutex};

use mesos::Subscription;
use mesos::scheduler::{Event, subscribe};
use mesos::v1::scheduler::Call as WireCall;
use mesos::v1::scheduler::call::Type;
use mesos::v1::{FrameworkInfo, Offer, TaskStatus};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use prost::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::order::tests::{accept, calls, must_keep_order};
use super::*;
use crate::mesos_api;

const DEADLINE: Duration = Duration::from_secs(60);

/// How the master treats calls.
struct Manner {
    random: StdRng,
    /// The maximum delay in milliseconds until the master carries out a call. Meanwhile, it may carry out calls of other
    /// connections.
    delay_ms: u64,
    /// The percentage of calls that the master answers with 503 and that have no effect.
    refused_percent: u32,
    /// The number of calls that the master still refuses with 503 before it accepts the first call.
    refuses: usize,
    /// The master answers no call before this number of calls have arrived.
    gathers: usize,
}

impl Manner {
    fn plain(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Manner { random, delay_ms: 0, refused_percent: 0, refuses: 0, gathers: 0 }
    }

    /// The delay until a call is answered, and whether the call is accepted.
    fn judge(&mut self) -> (Duration, bool) {
        let delay = Duration::from_millis(self.random.random_range(0..=self.delay_ms));
        let refused = self.refuses > 0 || self.random.random_range(0..100) < self.refused_percent;
        self.refuses = self.refuses.saturating_sub(1);
        (delay, !refused)
    }
}

struct Master {
    delays: CallDelays,
    taken: Arc<Mutex<Vec<WireCall>>>,
    queue: CallQueue,
    _subscription: Subscription<Event>,
}

impl Master {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = SchedulerClient::new(listener.local_addr().unwrap().into());
        let (manner, taken) = (Arc::new(Mutex::new(manner)), Arc::<Mutex<Vec<_>>>::default());
        let (shared, came) = (taken.clone(), Arc::new(watch::Sender::new(0)));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, manner.clone(), shared.clone(), came.clone()));
            }
        });
        let info = FrameworkInfo { user: "u".into(), name: "n".into(), ..FrameworkInfo::default() };
        let subscription = client.subscribe(&subscribe(info)).await.unwrap();
        let delays = CallDelays::default();
        let queue = CallQueue::start(client, delays.clone());
        queue.set_framework_id(&"f".into());
        Master { delays, taken, queue, _subscription: subscription }
    }

    /// Sends these calls and waits until all are answered. Returns the accepted calls in the order in which they took effect.
    async fn take(mut self, calls: &[Call]) -> Vec<WireCall> {
        calls.iter().for_each(|call| self.queue.send(call.clone()));
        timeout(DEADLINE, self.queue.flush()).await.expect("an end").expect("no failure");
        self.taken.lock().unwrap().clone()
    }
}

/// Handles the calls of a connection in sequence.
async fn connection(
    mut socket: TcpStream,
    manner: Arc<Mutex<Manner>>,
    taken: Arc<Mutex<Vec<WireCall>>>,
    came: Arc<watch::Sender<usize>>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(call) = request(&mut socket, &mut buffer).await? {
        if call.r#type() == Type::Subscribe {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: s\r\n\r\n";
            socket.write_all(head.as_bytes()).await?;
            // The event stream lasts until the scheduler closes it.
            return socket.read_u8().await.map(drop);
        }
        let ((delay, takes), gathers) = {
            let mut manner = manner.lock().unwrap();
            (manner.judge(), manner.gathers)
        };
        came.send_modify(|came| *came += 1);
        let _ = came.subscribe().wait_for(|came| *came >= gathers).await;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if takes {
            taken.lock().unwrap().push(call);
        }
        let status = if takes { "202 Accepted" } else { "503 Service Unavailable" };
        let body = if takes { "" } else { "too much" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<WireCall>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let whole = end + 4 + length.parse::<usize>().unwrap();
            if buffer.len() >= whole {
                let call = WireCall::decode(&buffer[end + 4..whole]).expect("a call");
                buffer.drain(..whole);
                return Ok(Some(call));
            }
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn kill(task: usize) -> Call {
    Call::Kill { task: format!("t{task}"), agent: "a".into() }
}

/// For each call, its position among the calls that the master accepted. Equal calls are distinguished by their order.
fn places(calls: &[Call], taken: &[WireCall]) -> Vec<usize> {
    let mut free: Vec<_> = taken.iter().map(Some).collect();
    let place = |call: &Call| {
        let wire = mesos_api::call(&"f".into(), call.clone());
        let place = free.iter().position(|taken| *taken == wire.as_ref()).expect("it was taken");
        free[place] = None;
        place
    };
    calls.iter().map(place).collect()
}

fn check_order(calls: &[Call], taken: &[WireCall]) -> Result<(), TestCaseError> {
    prop_assert_eq!(calls.len(), taken.len(), "each is taken once");
    let places = places(calls, taken);
    for (second, later) in calls.iter().enumerate() {
        for (first, earlier) in calls[..second].iter().enumerate() {
            let in_order = places[first] < places[second] || !must_keep_order(earlier, later);
            prop_assert!(in_order, "{later:?} ({second}) has overtaken {earlier:?} ({first}) of {calls:?}");
        }
    }
    Ok(())
}

#[test]
fn related_calls_keep_their_order_on_all_connections() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = Cases { cases: 60, max_shrink_iters: 50, ..Cases::default() };
    let overtaken = std::cell::Cell::new(0);
    let run = TestRunner::new(cases).run(&(calls(), any::<u64>()), |(calls, seed)| {
        // Refusals cause pauses, so the master refuses calls only in some test cases.
        let refused_percent = if seed.is_multiple_of(8) { 5 } else { 0 };
        let manner = Manner { delay_ms: 4, refused_percent, ..Manner::plain(seed) };
        let taken = runtime.block_on(async { Master::start(manner).await.take(&calls).await });
        let places = places(&calls, &taken);
        overtaken.set(overtaken.get() + places.windows(2).filter(|two| two[0] > two[1]).count());
        check_order(&calls, &taken)
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    assert!(overtaken.get() > 100, "only {} calls were overtaken: the test shows nothing", overtaken.get());
}

#[tokio::test]
async fn calls_of_different_tasks_do_not_wait_for_each_others_answers() {
    let manner = Manner { gathers: 16, ..Manner::plain(1) };
    let calls: Vec<_> = (0..200).map(kill).collect();
    assert_eq!(Master::start(manner).await.take(&calls).await.len(), calls.len());
}

#[tokio::test]
async fn an_overloaded_master_gets_calls_later_and_the_user_is_told() {
    let mut master = Master::start(Manner { refuses: 300, ..Manner::plain(2) }).await;
    let calls: Vec<_> = (0..1000).map(kill).collect();
    calls.iter().for_each(|call| master.queue.send(call.clone()));
    let mut said = Vec::new();
    for _ in 0..2 {
        match timeout(DEADLINE, master.queue.event()).await.expect("an event") {
            QueueEvent::Message(text) => said.push(text),
            other => panic!("{other:?}"),
        }
    }
    assert!(said[0].contains("HTTP 503: too much") && said[0].contains("at a time"), "{said:?}");
    assert!(said[1].contains("again"), "{said:?}");
    let taken = master.take(&[]).await;
    check_order(&calls, &taken).unwrap();
}

#[tokio::test]
async fn later_calls_wait_for_a_refused_launch() {
    for seed in 0..20 {
        let manner = Manner { refuses: 1 + seed as usize % 3, ..Manner::plain(seed) };
        let launch = accept("t1", "o1", Duration::from_secs(60));
        let asks = Call::Reconcile(vec![("t1".into(), "a".into())]);
        let calls = [launch, asks, kill(1), Call::Revive, Call::Teardown];
        let taken = Master::start(manner).await.take(&calls).await;
        check_order(&calls, &taken).unwrap();
    }
}

#[tokio::test]
async fn a_mark_reports_when_all_earlier_calls_are_answered() {
    let mut master = Master::start(Manner { delay_ms: 4, refuses: 3, ..Manner::plain(3) }).await;
    let calls: Vec<_> = (0..500).map(kill).collect();
    let (before, after) = calls.split_at(400);
    before.iter().for_each(|call| master.queue.send(call.clone()));
    let now = Instant::now();
    master.queue.mark(now);
    after.iter().for_each(|call| master.queue.send(call.clone()));
    loop {
        match timeout(DEADLINE, master.queue.event()).await.expect("an event") {
            QueueEvent::Message(_) => {}
            QueueEvent::Answered(decided_before) => break assert_eq!(decided_before, now),
            QueueEvent::CallFailed(why) => panic!("{why}"),
        }
    }
    let taken = master.taken.lock().unwrap().clone();
    let is_taken = |call: &Call| taken.contains(&mesos_api::call(&"f".into(), call.clone()).unwrap());
    assert!(before.iter().all(is_taken));
    // The sender also finishes if the last entry of the queue is a mark, for which no answer comes.
    master.queue.mark(now);
    assert_eq!(master.take(&[]).await.len(), calls.len());
}

#[tokio::test]
async fn waits_of_the_master_end_when_it_has_taken_the_call() {
    let mut master = Master::start(Manner { refuses: 1, ..Manner::plain(4) }).await;
    let update = TaskStatus { uuid: Some(b"u".to_vec()), ..TaskStatus::default() };
    let offers = ["o1", "o2"].map(|id| Offer { id: id.into(), ..Offer::default() });
    master.queue.received(&Event::Update(Box::new(update)));
    master.queue.received(&Event::Offers(offers.into()));
    let acknowledge =
        |uuid: &[u8]| Call::Acknowledge { task: "t".into(), agent: "a".into(), uuid: uuid.to_vec() };
    let decline = Call::Decline { offers: vec!["o2".into()], refuse: Duration::ZERO };
    let launch = accept("t1", "o1", Duration::from_secs(60));
    let delays = master.delays.clone();
    let counts = || {
        let delays = delays.histograms();
        (delays.update_to_acknowledgement.count(), delays.offer_to_launch.count())
    };
    assert_eq!(counts(), (0, 0));
    let calls = [launch, acknowledge(b"u"), acknowledge(b"of another subscription"), decline, kill(1)];
    assert_eq!(master.take(&calls).await.len(), calls.len());
    assert_eq!(counts(), (1, 1));
}
