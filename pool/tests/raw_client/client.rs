//! The pool under test, and a miner that reads the pool's lines without the pool's code.

use std::time::Duration;

use pool::{Config, PoolHandle, Server, ServerOptions, VardiffConfig};
use serde_json::{Value, json};
use task::BlockSourceSpec;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far more time than any step takes, even on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct TestPool {
    pub address: std::net::SocketAddr,
    pub handle: PoolHandle,
    pub stop: CancellationToken,
    pub run: JoinHandle<()>,
}

impl TestPool {
    pub async fn start(config: Config) -> Self {
        // The block interval is so long that no miner finds a block by chance.
        TestPool::with_block_interval(config, Duration::from_secs(1_000)).await
    }

    pub async fn with_block_interval(config: Config, interval: Duration) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        TestPool::serve(Server::bind(options(address, config, interval)).await.unwrap())
    }

    pub fn serve(server: Server) -> Self {
        let (address, handle, stop) = (server.stratum_addr(), server.handle(), CancellationToken::new());
        let serving = server.run(stop.clone());
        let run =
            tokio::spawn(async move { serving.await.expect("there is no data folder that could fail") });
        TestPool { address, handle, stop, run }
    }

    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.run).await.unwrap().unwrap();
    }
}

/// The options of a pool that listens on this address and mines on its built-in chain.
pub fn options(address: std::net::SocketAddr, config: Config, block_interval: Duration) -> ServerOptions {
    ServerOptions {
        stratum: vec![address],
        http: None,
        api: api::Options::default(),
        config,
        source: BlockSourceSpec::Builtin { block_interval },
        cookies: command_line::CookieFiles::default(),
        data: None,
    }
}

/// A configuration in which a share takes a few hundred hashes.
pub fn easy() -> Config {
    with_difficulty(1e-7)
}

/// A configuration in which each miner starts with this difficulty and never gets a lower one.
pub fn with_difficulty(difficulty: f64) -> Config {
    let (start_difficulty, minimum_difficulty) = (difficulty, difficulty);
    let vardiff = VardiffConfig { start_difficulty, minimum_difficulty, ..VardiffConfig::default() };
    Config { vardiff, ..Config::default() }
}

pub fn now() -> u32 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as u32
}

#[derive(Clone, Debug)]
pub struct WireJob {
    pub id: String,
    pub prev_hash: Vec<u8>,
    pub coinb1: Vec<u8>,
    pub coinb2: Vec<u8>,
    pub branch: Vec<Vec<u8>>,
    pub version: u32,
    pub nbits: u32,
    pub ntime: u32,
    pub clean: bool,
    /// The last difficulty that was sent before the job.
    pub difficulty: f64,
}

pub struct Client {
    pub lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    pub write: OwnedWriteHalf,
    pub extranonce1: Vec<u8>,
    pub difficulty: f64,
    pub jobs: Vec<WireJob>,
}

impl Client {
    pub async fn connect(pool: &TestPool) -> Self {
        let (read, write) = TcpStream::connect(pool.address).await.unwrap().into_split();
        let lines = BufReader::new(read).lines();
        Client { lines, write, extranonce1: vec![], difficulty: 0.0, jobs: vec![] }
    }

    /// Connects, subscribes, authorizes a worker, and waits for a job.
    pub async fn ready(pool: &TestPool, worker: &str) -> Self {
        let mut client = Client::connect(pool).await;
        client.subscribe().await;
        let line = json!({"id": 3, "method": "mining.authorize", "params": [worker, "x"]});
        assert_eq!(client.ask(&line.to_string()).await["result"], true);
        client.until(|client| !client.jobs.is_empty()).await;
        client
    }

    pub async fn subscribe(&mut self) {
        let answer = self.ask(r#"{"id": 2, "method": "mining.subscribe", "params": ["raw/1"]}"#).await;
        assert_eq!(answer["error"], Value::Null);
        assert_eq!(answer["result"][0][1][0], "mining.notify");
        self.extranonce1 = unhex(&answer["result"][1]);
        assert_eq!(answer["result"][2], 8);
    }

    pub async fn send(&mut self, line: &str) {
        self.write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Reads the next line, and records jobs and difficulties; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await.expect("the pool is silent");
        let message: Value = serde_json::from_str(&line.ok()??).unwrap();
        let params = &message["params"];
        if message["method"] == "mining.set_difficulty" {
            self.difficulty = params[0].as_f64().unwrap();
        }
        if message["method"] == "mining.notify" {
            let job = WireJob {
                id: params[0].as_str().unwrap().to_owned(),
                // The bytes of each group of four are reversed.
                prev_hash: unhex(&params[1]).chunks(4).flat_map(|word| word.iter().rev().copied()).collect(),
                coinb1: unhex(&params[2]),
                coinb2: unhex(&params[3]),
                branch: params[4].as_array().unwrap().iter().map(unhex).collect(),
                version: u32::from_str_radix(params[5].as_str().unwrap(), 16).unwrap(),
                nbits: u32::from_str_radix(params[6].as_str().unwrap(), 16).unwrap(),
                ntime: u32::from_str_radix(params[7].as_str().unwrap(), 16).unwrap(),
                clean: params[8].as_bool().unwrap(),
                difficulty: self.difficulty,
            };
            if job.clean {
                self.jobs.clear();
            }
            self.jobs.push(job);
        }
        Some(message)
    }

    pub async fn until(&mut self, done: impl Fn(&Client) -> bool) {
        let wait = async {
            while !done(self) {
                self.next().await.expect("the pool hung up");
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("the awaited line did not come");
    }

    /// Sends a line and waits for its answer.
    pub async fn ask(&mut self, line: &str) -> Value {
        self.send(line).await;
        let id = serde_json::from_str::<Value>(line).unwrap()["id"].clone();
        loop {
            let message = self.next().await.expect("the pool hung up");
            if message.get("method").is_none() && message["id"] == id {
                return message;
            }
        }
    }

    pub fn job(&self) -> WireJob {
        self.jobs.last().unwrap().clone()
    }

    pub fn header(
        &self,
        job: &WireJob,
        extranonce2: &[u8; 8],
        version: u32,
        ntime: u32,
        nonce: u32,
    ) -> [u8; 80] {
        let coinbase = [&job.coinb1[..], &self.extranonce1, extranonce2, &job.coinb2].concat();
        let mut root = hasher::sha256d(&coinbase).to_vec();
        for node in &job.branch {
            root = hasher::sha256d(&[&root[..], node].concat()).to_vec();
        }
        let mut header = [0; 80];
        header[..4].copy_from_slice(&version.to_le_bytes());
        header[4..36].copy_from_slice(&job.prev_hash);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&ntime.to_le_bytes());
        header[72..76].copy_from_slice(&job.nbits.to_le_bytes());
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        header
    }

    /// Finds a nonce whose digest has a difficulty in the range.
    pub fn search(
        &self,
        job: &WireJob,
        extranonce2: &[u8; 8],
        version: u32,
        wanted: std::ops::Range<f64>,
    ) -> u32 {
        let header = self.header(job, extranonce2, version, job.ntime, 0);
        assert!(wanted.start < wanted.end, "no digest is in {wanted:?}");
        (0..20_000_000u32)
            .find(|nonce| {
                let mut header = header;
                header[76..].copy_from_slice(&nonce.to_le_bytes());
                wanted.contains(&difficulty(&hasher::sha256d(&header)))
            })
            .expect("a digest in the range")
    }

    /// Finds a nonce that makes a share but no block.
    pub fn share(&self, job: &WireJob, extranonce2: &[u8; 8]) -> u32 {
        self.search(job, extranonce2, job.version, self.difficulty * 1.001..network(job) * 0.999)
    }

    /// Submits a share and returns the error's code, or 0 if it was accepted.
    pub async fn submit(
        &mut self,
        worker: &str,
        job: &str,
        extranonce2: &[u8],
        ntime: u32,
        nonce: u32,
    ) -> u64 {
        let params =
            json!([worker, job, hex::encode(extranonce2), format!("{ntime:08x}"), format!("{nonce:08x}")]);
        self.submit_params(params).await
    }

    pub async fn submit_params(&mut self, params: Value) -> u64 {
        let line = json!({"id": 4, "method": "mining.submit", "params": params});
        let answer = self.ask(&line.to_string()).await;
        match answer["error"][0].as_u64() {
            None => {
                assert_eq!(answer["result"], true);
                0
            }
            Some(code) => code,
        }
    }
}

pub fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// The difficulty that a digest reaches. The digest is read as a little-endian number.
pub fn difficulty(digest: &[u8; 32]) -> f64 {
    let number = digest.iter().rev().fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte));
    65535.0 * 2f64.powi(208) / number
}

pub fn network(job: &WireJob) -> f64 {
    let (exponent, mantissa) = ((job.nbits >> 24) as i32, f64::from(job.nbits & 0x7f_ffff));
    65535.0 * 2f64.powi(208) / (mantissa * 2f64.powi(8 * (exponent - 3)))
}
