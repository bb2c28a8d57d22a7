//! A proxy that simulates network latency between scheduler and master. It delays all bytes but does not limit the bandwidth,
//! so only a client that waits for each response becomes slower.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Maximum number of bytes that the proxy reads from a connection in one call.
const PIECE: usize = 64 * 1024;

/// A proxy that runs until it is dropped.
pub struct DelayProxy {
    /// The address that the proxy listens on.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl DelayProxy {
    /// Starts a proxy in front of a master, with this round-trip time.
    pub fn start(master: SocketAddr, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let accept = move || {
            for scheduler in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // If the master is gone, the scheduler's connection is closed without data.
                if let Ok(master) = TcpStream::connect(master) {
                    carry(&scheduler, &master, round_trip / 2);
                    carry(&master, &scheduler, round_trip / 2);
                }
            }
        };
        spawn("network", accept);
        Self { address, stop }
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(self.address);
    }
}

/// Starts a thread. The proxy uses threads because the timers of an async runtime are no finer than a millisecond.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
}

/// Forwards the bytes and the end of the stream in one direction.
fn carry(from: &TcpStream, to: &TcpStream, time: Duration) {
    let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
    to.set_nodelay(true).expect("a socket");
    let (pieces, on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>();
    spawn("leaves", move || {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            if pieces.send((Instant::now() + time, piece[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    spawn("arrives", move || {
        for (due, piece) in on_the_way {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
