//! The last lines of the log as events, for those who follow it from elsewhere.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tracing::Level;

use crate::line::Line;

/// The most events that are kept.
const MOST: usize = 1000;
/// The most bytes of events that are kept. Lines have some 200 bytes; those with the words of peers may have many more.
const MOST_BYTES: usize = 1 << 20;
/// Ids begin with the time of the first event in seconds, times this number: so the ids of a later run are greater, and all are
/// numbers that JSON readers can represent.
const IDS_PER_SECOND: u64 = 1_000_000;

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Ids rise by one from event to event; those of a later run of the program are greater.
    pub id: u64,
    /// The line as JSON, in the log's own format, with the id before its other parts.
    pub json: String,
}

/// The last lines of the log: at most 1,000, and at most 1 MiB. Only lines that matter to an operator are events: those of the
/// levels info, warn and error. (Lines of lower levels may be about serving events.)
#[derive(Debug, Default)]
pub struct Events {
    /// Nothing is kept before [`keep`](Events::keep).
    kept: AtomicBool,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// 0 before the first event.
    next_id: u64,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    readers: Vec<Weak<Reader>>,
}

/// The events of this process.
pub static EVENTS: Events = Events::new();

impl Events {
    /// No events yet.
    pub const fn new() -> Self {
        let ring = Ring { next_id: 0, events: VecDeque::new(), bytes: 0, readers: Vec::new() };
        Self { kept: AtomicBool::new(false), ring: Mutex::new(ring) }
    }

    /// From now on, lines are kept.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Adds lines.
    pub(crate) fn record(&self, lines: &[Line<'_>], time: SystemTime) {
        if !self.kept.load(Ordering::Relaxed) {
            return;
        }
        for line in lines.iter().filter(|line| line.level <= Level::INFO) {
            self.add(line, time);
        }
    }

    fn add(&self, line: &Line<'_>, time: SystemTime) {
        let mut ring = self.ring();
        if ring.next_id == 0 {
            let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            ring.next_id = seconds.saturating_mul(IDS_PER_SECOND).max(1);
        }
        let id = ring.next_id;
        ring.next_id += 1;
        let json = line.json_with_id(id, time);
        ring.bytes += json.len();
        ring.events.push_back(Arc::new(Event { id, json }));
        while ring.events.len() > MOST || (ring.bytes > MOST_BYTES && ring.events.len() > 1) {
            ring.bytes -= ring.events.pop_front().map_or(0, |oldest| oldest.json.len());
        }
        let oldest = ring.oldest_id();
        ring.readers.retain(|reader| reader.upgrade().is_some_and(|reader| reader.tell(oldest)));
    }

    /// Follows the log: all kept events after the one with this id, and then all further ones. Without an id, and with one that
    /// there was not yet, the first event is the next one, and the oldest kept one.
    pub fn subscribe(&'static self, after: Option<u64>) -> Subscription {
        let mut ring = self.ring();
        let next = match after {
            None => ring.next_id,
            Some(after) if after >= ring.next_id => ring.oldest_id(),
            Some(after) => (after + 1).max(ring.oldest_id()),
        };
        let reader = Arc::new(Reader { next: next.into(), ..Reader::default() });
        ring.readers.push(Arc::downgrade(&reader));
        Subscription { events: self, reader }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn oldest_id(&self) -> u64 {
        self.events.front().map_or(self.next_id, |event| event.id)
    }

    /// The events from this id on, at most so many.
    fn from(&self, id: u64, most: usize) -> Vec<Arc<Event>> {
        let first = self.events.partition_point(|event| event.id < id);
        self.events.range(first..).take(most).cloned().collect()
    }
}

/// Where a reader is.
#[derive(Debug, Default)]
struct Reader {
    /// The id of the next event that it gets; 0 before the first event. It changes only while the ring is locked.
    next: AtomicU64,
    news: Notify,
    left_behind: AtomicBool,
    fell_behind: Notify,
}

impl Reader {
    /// Tells it that there is a new event. Returns `false` if events that it has not got are not kept any more.
    fn tell(&self, oldest: u64) -> bool {
        // A reader that came before the first event begins with that one, which is the oldest now.
        let next = match self.next.load(Ordering::Relaxed) {
            0 => oldest,
            next => next,
        };
        self.next.store(next, Ordering::Relaxed);
        if next < oldest {
            self.left_behind.store(true, Ordering::Relaxed);
            self.fell_behind.notify_one();
        }
        self.news.notify_one();
        next >= oldest
    }
}

/// A reader of the log. Nothing is copied for it: what it has not read yet is kept with the other events, and a reader that is so
/// slow that the next event for it is not kept any more gets none.
#[derive(Debug)]
pub struct Subscription {
    events: &'static Events,
    reader: Arc<Reader>,
}

impl Subscription {
    /// Waits for events, and returns at most so many; `None` if this reader was too slow. Safe to cancel: no event is lost.
    pub async fn next(&mut self, most: usize) -> Option<Vec<Arc<Event>>> {
        loop {
            if self.reader.left_behind.load(Ordering::Relaxed) {
                return None;
            }
            let news = self.take(most);
            if !news.is_empty() {
                return Some(news);
            }
            self.reader.news.notified().await;
        }
    }

    fn take(&self, most: usize) -> Vec<Arc<Event>> {
        let ring = self.events.ring();
        let news = ring.from(self.reader.next.load(Ordering::Relaxed), most);
        if let Some(last) = news.last() {
            self.reader.next.store(last.id + 1, Ordering::Relaxed);
        }
        news
    }

    /// Completes when this reader was too slow, even while nobody waits for its next event.
    pub fn fell_behind(&self) -> impl Future<Output = ()> + Send + 'static {
        let reader = self.reader.clone();
        async move {
            while !reader.left_behind.load(Ordering::Relaxed) {
                reader.fell_behind.notified().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn events() -> &'static Events {
        let events = Box::leak(Box::new(Events::new()));
        events.keep();
        events
    }

    fn say(events: &Events, level: Level, message: &str) {
        let line = Line { level, target: "pool", message, fields: &[] };
        events.record(&[line], UNIX_EPOCH + Duration::from_secs(1_772_366_400));
    }

    async fn texts(subscription: &mut Subscription) -> Vec<String> {
        let events = subscription.next(usize::MAX).await.expect("it is fast enough");
        let message = |event: &Arc<Event>| {
            let json: serde_json::Value = serde_json::from_str(&event.json).unwrap();
            assert_eq!(json["id"], event.id);
            json["message"].as_str().unwrap().to_owned()
        };
        events.iter().map(message).collect()
    }

    #[tokio::test]
    async fn a_reader_gets_what_is_said_and_can_resume() {
        let events = events();
        let mut first = events.subscribe(None);
        say(events, Level::INFO, "a");
        say(events, Level::DEBUG, "not for operators");
        say(events, Level::WARN, "b");
        assert_eq!(texts(&mut first).await, ["a", "b"]);
        let id = 1_772_366_400_000_000;
        assert_eq!(texts(&mut events.subscribe(Some(id))).await, ["b"]);
        assert_eq!(texts(&mut events.subscribe(Some(0))).await, ["a", "b"], "of an earlier run");
        assert_eq!(
            texts(&mut events.subscribe(Some(id + 99))).await,
            ["a", "b"],
            "of a run by another clock"
        );
        let mut newest = events.subscribe(Some(id + 1));
        say(events, Level::ERROR, "c");
        assert_eq!(texts(&mut newest).await, ["c"]);
        assert_eq!(texts(&mut first).await, ["c"]);
    }

    #[tokio::test]
    async fn nothing_is_kept_until_somebody_may_ask() {
        let events: &'static Events = Box::leak(Box::new(Events::new()));
        say(events, Level::INFO, "a");
        events.keep();
        say(events, Level::INFO, "b");
        assert_eq!(texts(&mut events.subscribe(Some(0))).await, ["b"]);
    }

    #[tokio::test]
    async fn a_slow_reader_is_left_behind_and_memory_is_bounded() {
        let events = events();
        let (mut slow, mut early) = (events.subscribe(None), events.subscribe(Some(0)));
        for n in 0..=MOST {
            say(events, Level::INFO, &n.to_string());
            if n == 0 {
                assert_eq!(texts(&mut early).await, ["0"]);
            }
        }
        slow.fell_behind().await;
        assert!(slow.next(1).await.is_none());
        assert_eq!(texts(&mut early).await.len(), MOST);
        for _ in 0..MOST {
            say(events, Level::INFO, &"\u{202e}".repeat(8000));
        }
        let ring = events.ring();
        assert!(ring.bytes <= MOST_BYTES && ring.events.len() < 30);
        assert_eq!(ring.bytes, ring.events.iter().map(|event| event.json.len()).sum::<usize>());
        assert!(ring.readers.is_empty(), "those that were left behind, and those that are gone");
    }
}
