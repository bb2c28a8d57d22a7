//! The connection to carbon, and the clock.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::MetricsSource;
use logging::Level;
use net::{Backoff, HostPort};
use text::InWords;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::lines::lines;
use crate::notices::Notices;
use crate::queue::{Batch, Queue};

/// The time between two samples: Graphite's own interval in its example of `storage-schemas.conf`.
const PERIOD: Duration = Duration::from_secs(10);
/// The pauses between tries to connect grow from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a name and a connection may take, and how long the peer may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// A connection that lasts so long is one that works, although carbon never answers anything.
const LASTING: Duration = Duration::from_secs(5);

/// Sends the figures every ten seconds until `stop` is cancelled.
pub async fn send(settings: Settings, source: MetricsSource, stop: CancellationToken) {
    let waiting = Waiting::default();
    let both =
        async { tokio::join!(take_samples(&settings, &source, &waiting), deliver(&settings, &waiting)) };
    stop.run_until_cancelled(both).await;
}

/// What one half of [`send`] gives the other.
#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    more: Notify,
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take_samples(settings: &Settings, source: &MetricsSource, waiting: &Waiting) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A program that starts or ends has no figures.
        let Some(metrics) = source.metrics().await else { continue };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        waiting.queue().push(Batch(lines(&metrics, &settings.prefix, at)));
        waiting.more.notify_one();
    }
}

async fn deliver(settings: &Settings, waiting: &Waiting) {
    let mut notices = Notices::new(settings.address.clone());
    let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let error = match connect(&settings.address).await {
            Ok(stream) => {
                say(Level::INFO, notices.on_connected());
                let lasting = || {
                    pauses.reset();
                    let dropped = waiting.queue().take_dropped();
                    say(Level::INFO, notices.on_lasting(dropped));
                };
                write_all(stream, waiting, lasting).await
            }
            Err(error) => error,
        };
        say(Level::WARN, notices.on_failed(&error.to_string()));
        sleep(pauses.delay()).await;
    }
}

fn say(level: Level, line: Option<String>) {
    if let Some(line) = line {
        logging::notice(level, line);
    }
}

async fn connect(HostPort { host, port }: &HostPort) -> io::Result<TcpStream> {
    let stream =
        timeout(PATIENCE, net::dial::tcp(host, *port)).await.map_err(|_| too_late("no connection"))??;
    // Otherwise the system would keep for a quarter of an hour what a peer that is gone does not take.
    let patience = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&stream, patience)?;
    Ok(stream)
}

/// Writes what waits, until the connection ends; returns why. Calls `lasting` when the connection has lasted for a while.
async fn write_all(mut stream: TcpStream, waiting: &Waiting, lasting: impl FnOnce()) -> io::Error {
    let (mut reader, mut writer) = stream.split();
    let lasts_from = Instant::now() + LASTING;
    let mut lasting = Some(lasting);
    loop {
        let batch = waiting.queue().take();
        if let Some(batch) = batch {
            let written = timeout(PATIENCE, writer.write_all(batch.0.as_bytes())).await;
            if let Err(error) = written.unwrap_or_else(|_| Err(too_late("it takes nothing"))) {
                waiting.queue().put_back(batch);
                return error;
            }
            continue;
        }
        tokio::select! {
            // The end comes first: what is written after it would be lost.
            biased;
            error = closed(&mut reader) => return error,
            () = waiting.more.notified() => {}
            () = sleep_until(lasts_from), if lasting.is_some() => {
                if let Some(lasting) = lasting.take() {
                    lasting();
                }
            }
        }
    }
}

/// Completes when the connection ends. Carbon sends nothing, so only the end is of interest.
async fn closed(reader: &mut ReadHalf<'_>) -> io::Error {
    let mut ignored = [0; 256];
    loop {
        match reader.read(&mut ignored).await {
            Ok(0) => return io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

fn too_late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {}", InWords(PATIENCE)))
}
