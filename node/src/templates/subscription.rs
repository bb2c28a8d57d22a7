//! The subscription to the new tips that a node publishes (`-zmqpubhashblock`).

use std::io;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use net::{Backoff, HostPort, ip_address};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::tip_watch::Event;
use super::zmtp::Subscriber;

const TOPIC: &[u8] = b"hashblock";
/// Time limit for connecting and subscribing.
const CONNECT: Duration = Duration::from_secs(5);
/// The first and the longest pause before the next try to subscribe.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How many events may wait to be handled.
const QUEUE: usize = 16;

/// A subscription, which is tried until it succeeds, and again when it breaks. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<Event>,
    _task: JoinSet<()>,
}

impl Subscription {
    /// Begins to subscribe. Panics outside of a Tokio runtime.
    pub fn begin(publisher: HostPort) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut backoff = Backoff::new(RETRY.0, RETRY.1);
            loop {
                let (error, worked) = listen(&publisher, &sender).await;
                tracing::debug!(%publisher, %error, "no subscription to the node's new tips");
                // A try that fails changes nothing about the way in which the node is watched meanwhile.
                if worked {
                    backoff.reset();
                    let _ = sender.send(Event::Unsubscribed).await;
                }
                sleep(backoff.delay()).await;
            }
        });
        Subscription { events, _task: task }
    }

    /// The next event: `Subscribed`, `Published` or `Unsubscribed`. Safe to cancel.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

/// Subscribes, and passes on what is published until the connection breaks. Returns why, and whether the subscription worked
/// before.
async fn listen(publisher: &HostPort, events: &mpsc::Sender<Event>) -> (io::Error, bool) {
    let subscribe = async {
        let stream = net::dial::tcp(&publisher.host, publisher.port).await?;
        Subscriber::subscribe(stream, TOPIC).await
    };
    let mut subscriber = match timeout(CONNECT, subscribe).await {
        Ok(Ok(subscriber)) => subscriber,
        Ok(Err(error)) => return (error, false),
        Err(late) => return (late.into(), false),
    };
    tracing::info!(%publisher, "the node publishes its new tips here");
    let _ = events.send(Event::Subscribed).await;
    loop {
        let frames = match subscriber.message().await {
            Ok(frames) => frames,
            Err(error) => return (error, true),
        };
        if let Some(tip) = published_tip(&frames) {
            let _ = events.send(Event::Published { tip }).await;
        }
    }
}

/// The hash in a message: its bytes are in the order in which people write hashes.
fn published_tip(frames: &[Vec<u8>]) -> Option<BlockHash> {
    let [topic, hash, ..] = frames else { return None };
    let mut bytes = <[u8; 32]>::try_from(&hash[..]).ok().filter(|_| topic == TOPIC)?;
    bytes.reverse();
    Some(BlockHash::from_byte_array(bytes))
}

/// Where to subscribe, by the address to which the node has bound its publisher; `None` if that cannot be reached from here.
/// `node_host` is where we reach the node itself.
pub fn reachable(bound_to: &str, node_host: &str) -> Option<HostPort> {
    let bound = bound_to.strip_prefix("tcp://")?.replace('*', "0.0.0.0");
    let HostPort { host, port } = HostPort::parse(&bound, None).ok()?;
    let is_local = |host: &str| match ip_address(host) {
        Some(ip) => ip.is_loopback(),
        None => host.eq_ignore_ascii_case("localhost"),
    };
    if ip_address(&host).is_some_and(|ip| ip.is_unspecified()) {
        return Some(HostPort { host: node_host.to_owned(), port });
    }
    (!is_local(&host) || is_local(node_host)).then_some(HostPort { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_used_where_it_can_be_reached() {
        let reach = |bound: &str, node: &str| reachable(bound, node).map(|address| address.to_string());
        assert_eq!(reach("tcp://127.0.0.1:28332", "localhost").as_deref(), Some("127.0.0.1:28332"));
        assert_eq!(reach("tcp://127.0.0.1:28332", "192.0.2.7"), None);
        for all in ["tcp://*:28332", "tcp://0.0.0.0:28332", "tcp://[::]:28332"] {
            assert_eq!(reach(all, "node.example").as_deref(), Some("node.example:28332"), "{all}");
        }
        assert_eq!(reach("tcp://192.0.2.9:28332", "192.0.2.7").as_deref(), Some("192.0.2.9:28332"));
        for other in ["ipc:///tmp/zmq", "tcp://127.0.0.1", "tcp://eth0;x:1", ""] {
            assert_eq!(reach(other, "localhost"), None, "{other}");
        }
    }

    #[test]
    fn tips_are_read_in_the_order_of_people() {
        let mut hash = [0; 32];
        hash[31] = 1;
        let message = |topic: &[u8], body: &[u8]| vec![topic.to_vec(), body.to_vec(), vec![0; 4]];
        let tip = published_tip(&message(TOPIC, &hash)).unwrap();
        assert!(tip.to_string().ends_with("01"), "{tip}");
        assert_eq!(published_tip(&message(b"rawblock", &hash)), None);
        assert_eq!(published_tip(&message(TOPIC, &hash[1..])), None);
        assert_eq!(published_tip(&[TOPIC.to_vec()]), None);
    }
}
