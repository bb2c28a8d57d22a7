//! A third party that asks a Bitcoin node for its height again and again, as a user's own programs do, and sees whether the
//! node still answers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bitcoin_core::BitcoinCore;
use crate::json_rpc;

/// The pause between two calls.
const PAUSE: Duration = Duration::from_millis(40);

/// A thread that calls `getblockcount`, each time on a new connection. It ends when this value is dropped.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Answers>>,
}

/// What a [`Bystander`] has seen.
#[derive(Debug, Default)]
pub struct Answers {
    /// How long each call took.
    pub times: Vec<Duration>,
    /// What went wrong with calls that were not answered.
    pub failures: Vec<String>,
}

impl Bystander {
    /// Begins to call. A call that is not answered within `limit` is a failure.
    pub fn start(core: &BitcoinCore, limit: Duration) -> Self {
        let (node, credentials) = (core.rpc_address(), core.credentials());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let ask = move || {
            let mut answers = Answers::default();
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                let answer = json_rpc::call(node, &credentials, limit, "getblockcount", &json!([]));
                answers.times.push(start.elapsed());
                if let Err(error) = answer {
                    answers.failures.push(format!("after {:?}: {error:?}", start.elapsed()));
                }
                std::thread::sleep(PAUSE);
            }
            answers
        };
        Bystander { stop, thread: Some(std::thread::spawn(ask)) }
    }

    /// Ends the calls.
    pub fn end(mut self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is taken only here").join().expect("it does not panic")
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
