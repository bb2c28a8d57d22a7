//! A pool that checks each share itself, with none of this project's Stratum code, and that the test directs while it runs.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use hasher::{CompactTarget, Header, Target, sha256d};
use serde_json::{Value, json};

use super::tcp_server;

/// How the pool treats a client.
#[derive(Clone)]
pub struct Rules {
    /// The pool's part of the coinbase, hexadecimal.
    pub extranonce1: &'static str,
    /// The number of bytes of extranonce2.
    pub extranonce2_len: usize,
    pub difficulty: f64,
    /// The network's target, as in a header.
    pub nbits: u32,
    /// The reason for which each share is rejected; `None`: right shares are accepted.
    pub refusal: Option<&'static str>,
    /// The reason for which each share is rejected whose time is over 5 s later than the job's own.
    pub late_refusal: Option<&'static str>,
    /// The method on which the pool hangs up, if there is any.
    pub hangs_up_on: Option<&'static str>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            extranonce1: "0a0b0c0d",
            extranonce2_len: 8,
            difficulty: 1e-5,
            nbits: 0x1d00_ffff,
            refusal: None,
            late_refusal: None,
            hangs_up_on: None,
        }
    }
}

/// A share that was right.
#[derive(Clone, Debug)]
pub struct RightShare {
    pub extranonce2: Vec<u8>,
    pub ntime: u32,
    /// Whether the share meets the pool's difficulty, not only the network's.
    pub meets_difficulty: bool,
}

#[derive(Clone)]
struct Job {
    rules: Rules,
    ntime: u32,
}

/// What the pool has seen so far.
#[derive(Default)]
pub struct Seen {
    pub connections: usize,
    pub right: Vec<RightShare>,
    /// The number of shares that were rejected by [`Rules::late_refusal`] only.
    pub late: usize,
    /// Why shares were wrong.
    pub wrong: Vec<String>,
    headers: HashSet<Vec<u8>>,
    jobs: HashMap<String, Job>,
    clients: Vec<TcpStream>,
}

pub struct CheckingPool {
    pub address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    seen: Arc<Mutex<Seen>>,
}

/// The header time of all jobs.
pub const NTIME: u32 = 1_800_000_000;
const COINB1: [u8; 50] = [1; 50];
const COINB2: [u8; 50] = [2; 50];
const BRANCH: [u8; 32] = [3; 32];

impl CheckingPool {
    pub fn start(rules: Rules) -> Self {
        let (rules, seen) = (Arc::new(Mutex::new(rules)), Arc::<Mutex<Seen>>::default());
        let state = (rules.clone(), seen.clone());
        let address = tcp_server::serve(move |stream| serve(stream, &state.0, &state.1));
        CheckingPool { address, rules, seen }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    /// The number of right shares. Panics if there is a wrong one.
    pub fn right(&self) -> usize {
        let seen = self.seen();
        assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
        seen.right.len()
    }

    pub fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().expect("no panic"));
    }

    /// Changes the extranonces by `mining.set_extranonce`, and sends a clean job.
    pub fn set_extranonce(&self, extranonce1: &'static str, extranonce2_len: usize) {
        self.change_rules(|rules| {
            (rules.extranonce1, rules.extranonce2_len) = (extranonce1, extranonce2_len)
        });
        let set =
            json!({"id": null, "method": "mining.set_extranonce", "params": [extranonce1, extranonce2_len]});
        let rules = self.rules.lock().expect("no panic").clone();
        let mut seen = self.seen();
        let notify = new_job(&mut seen, &rules);
        seen.clients.retain_mut(|client| writeln!(client, "{set}\n{notify}").is_ok());
    }
}

fn new_job(seen: &mut Seen, rules: &Rules) -> Value {
    let id = format!("job{}", seen.jobs.len());
    seen.jobs.insert(id.clone(), Job { rules: rules.clone(), ntime: NTIME });
    let [coinb1, coinb2] = [COINB1, COINB2].map(hex::encode);
    let (previous, nbits) = ("00".repeat(32), format!("{:08x}", rules.nbits));
    let ntime = format!("{NTIME:08x}");
    let job = json!([id, previous, coinb1, coinb2, [hex::encode(BRANCH)], "20000000", nbits, ntime, true]);
    json!({"id": null, "method": "mining.notify", "params": job})
}

fn serve(mut stream: &TcpStream, rules: &Mutex<Rules>, seen: &Mutex<Seen>) -> std::io::Result<()> {
    {
        let mut seen = seen.lock().expect("no panic");
        seen.connections += 1;
        seen.clients.push(stream.try_clone()?);
    }
    for line in BufReader::new(stream).lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let method = request["method"].as_str().unwrap_or_default();
        let present = rules.lock().expect("no panic").clone();
        if present.hangs_up_on == Some(method) {
            return stream.shutdown(std::net::Shutdown::Both);
        }
        let mut seen = seen.lock().expect("no panic");
        let (result, error) = match method {
            "mining.subscribe" => {
                (json!([[["mining.notify", "s"]], present.extranonce1, present.extranonce2_len]), Value::Null)
            }
            "mining.authorize" => (json!(true), Value::Null),
            "mining.submit" => match seen.judge(&request["params"], &present) {
                Ok(()) => (json!(true), Value::Null),
                Err(reason) => (json!(false), json!([20, reason, null])),
            },
            _ => (Value::Null, json!([-3, "Method not found", null])),
        };
        writeln!(stream, "{}", json!({"id": request["id"], "result": result, "error": error}))?;
        if method == "mining.authorize" {
            let difficulty =
                json!({"id": null, "method": "mining.set_difficulty", "params": [present.difficulty]});
            let notify = new_job(&mut seen, &present);
            writeln!(stream, "{difficulty}\n{notify}")?;
        }
    }
    Ok(())
}

impl Seen {
    /// Judges the parameters of a `mining.submit`.
    fn judge(&mut self, params: &Value, present: &Rules) -> Result<(), String> {
        let text = |index: usize| params[index].as_str().unwrap_or_default();
        let bits = |index: usize| u32::from_str_radix(text(index), 16).expect("a number");
        let Some(job) = self.jobs.get(text(1)).cloned() else { return Err("Job not found".to_owned()) };
        let right = self.check(&job, &hex::decode(text(2)).expect("hexadecimal"), bits(3), bits(4));
        if let (Ok(share), Some(reason)) = (&right, present.late_refusal)
            && share.ntime > job.ntime + 5
        {
            self.late += 1;
            return Err(reason.to_owned());
        }
        match right {
            Ok(share) => self.right.push(share),
            Err(reason) => {
                self.wrong.push(format!("{reason}: {params}"));
                return Err(reason);
            }
        }
        present.refusal.map_or(Ok(()), |refusal| Err(refusal.to_owned()))
    }

    fn check(&mut self, job: &Job, extranonce2: &[u8], ntime: u32, nonce: u32) -> Result<RightShare, String> {
        let rules = &job.rules;
        if extranonce2.len() != rules.extranonce2_len {
            return Err("wrong size of extranonce2".to_owned());
        }
        if !(job.ntime..job.ntime + 7_000).contains(&ntime) {
            return Err("ntime out of range".to_owned());
        }
        let extranonce1 = hex::decode(rules.extranonce1).expect("hexadecimal");
        let coinbase = [&COINB1[..], &extranonce1, extranonce2, &COINB2].concat();
        let header = Header {
            version: 0x2000_0000,
            prev_hash: [0; 32],
            merkle_root: sha256d(&[sha256d(&coinbase), BRANCH].concat()),
            ntime,
            nbits: CompactTarget(rules.nbits),
            nonce,
        };
        let network = Target::from_compact(header.nbits).expect("a target");
        let meets_difficulty = Target::from_difficulty(rules.difficulty).is_met_by(&header.digest());
        if !meets_difficulty && !network.is_met_by(&header.digest()) {
            return Err("low difficulty".to_owned());
        }
        if !self.headers.insert(header.to_bytes().to_vec()) {
            return Err("duplicate".to_owned());
        }
        Ok(RightShare { extranonce2: extranonce2.to_vec(), ntime, meets_difficulty })
    }
}
