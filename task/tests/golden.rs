//! Messages as each version encoded them: schedulers and executors of different versions must understand each other.
//!
//! `data/version-N.txt` holds the messages that version N wrote; each line has a name and the bytes in hexadecimal. A new
//! version adds a file with the messages that it writes differently. No file is ever changed or removed.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use problem::{Problem, ProblemKind};
use task::{
    Account, BlockSourceSpec, DelayQuantiles, Instruction, Intervals, Live, Message, NodeAccess, PoolLive,
    ProgramSpec, Report, ServerAddress, ServerSpec, ShareRow, TaskSpec, Totals, VERSION, Verdict,
    WorkerDelays, WorkerLive, WorkerSpec, version,
};

const VERSION_1: &str = include_str!("data/version-1.txt");
const VERSION_2: &str = include_str!("data/version-2.txt");
const VERSION_3: &str = include_str!("data/version-3.txt");
const VERSION_4: &str = include_str!("data/version-4.txt");
const VERSION_5: &str = include_str!("data/version-5.txt");
const PROBLEMS: &str = include_str!("data/version-3-problems.txt");
const ALTERNATIVES: &str = include_str!("data/version-3-alternatives.txt");

fn golden(text: &str) -> BTreeMap<&str, Vec<u8>> {
    let byte = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
    let line = |line: &'static str| line.split_once(' ').unwrap();
    let text: &'static str = String::leak(text.to_owned());
    text.lines().map(line).map(|(name, hex)| (name, hex.as_bytes().chunks(2).map(byte).collect())).collect()
}

fn worker_specification() -> TaskSpec {
    TaskSpec {
        intervals: Intervals::new(Duration::from_secs(5), Duration::from_secs(60)),
        max_updates: None,
        kind: ProgramSpec::Worker(WorkerSpec {
            pool: "stratum+tcp://[::1]:3333".into(),
            alternatives: Vec::new(),
            user: "miner-worker-7".into(),
            password: "x".into(),
            access: task::PoolAccess::default(),
            cpus: 1.5,
            backend: Some("avx2".into()),
        }),
    }
}

fn server_specification() -> TaskSpec {
    TaskSpec {
        intervals: Intervals::new(Duration::from_secs(5), Duration::from_secs(1)),
        max_updates: None,
        kind: ProgramSpec::Server(ServerSpec {
            host: "agent-1".into(),
            stratum_port: 31001,
            http_port: 31000,
            share_interval: Duration::from_secs(1),
            block_source: BlockSourceSpec::Builtin { block_interval: Duration::from_secs(20) },
            data_dir: None,
            max_connections: None,
        }),
    }
}

fn report() -> Report {
    let row = |verdict| ShareRow {
        job: "1f".into(),
        extranonce2: vec![0, 0, 0, 7],
        ntime: 1_700_000_000,
        version: 0x2000_2000,
        nonce: 0x1234_5678,
        difficulty: 0.25,
        verdict,
        round_trip: Duration::from_micros(1500),
    };
    let totals = Totals {
        hashes: (3 << 64) + 5,
        accepted_work: (1 << 64) + 9,
        accepted: 10,
        rejected: 2,
        stale: 3,
        unanswered: 1,
        blocks: 4,
        // Earlier programs did not count these.
        candidates: 0,
        orphaned: 0,
    };
    let account = Account {
        worker: "miner-worker-7".into(),
        totals,
        rows: [Verdict::Accepted, Verdict::Rejected(23), Verdict::Stale, Verdict::Unanswered].map(row).into(),
        rows_omitted: 6,
    };
    let server = ServerAddress { host: "agent-1".into(), stratum_port: 31001, http_port: 31000 };
    Report { sequence: 300, accounts: vec![account], server: Some(server) }
}

fn live_worker() -> WorkerLive {
    let backend = "avx512".into();
    let pool = String::new();
    WorkerLive { hashrate: 4.2e7, threads: 2, backend, difficulty: 0.01, pool, ..WorkerLive::default() }
}

fn live_pool() -> Live {
    Live::Pool(PoolLive { connections: 3, height: 170, difficulty: 1.5, ..PoolLive::default() })
}

fn text(written: &[(&str, Vec<u8>)]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    written.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect()
}

#[test]
fn version_1_is_read() {
    let bytes = golden(VERSION_1);
    assert!(bytes.values().all(|bytes| version(bytes) == Some(1)));
    assert_eq!(TaskSpec::decode(&bytes["worker-specification"]).unwrap(), worker_specification());
    assert_eq!(TaskSpec::decode(&bytes["server-specification"]).unwrap(), server_specification());
    assert_eq!(Report::decode(&bytes["report"]).unwrap(), report());
    assert_eq!(
        Message::decode(&bytes["live-worker"]).unwrap(),
        Message::Live(Box::new(Live::Worker(live_worker())))
    );
    assert_eq!(Message::decode(&bytes["live-pool"]).unwrap(), Message::Live(live_pool().into()));
}

#[test]
fn version_2_is_still_written_and_read() {
    let limited = TaskSpec { max_updates: NonZeroU64::new(100_000), ..worker_specification() };
    let pool = "stratum+tcp://[::1]:3334".to_owned();
    let live = Live::Worker(WorkerLive { pool: pool.clone(), ..live_worker() });
    let instruction = Instruction::MineAt { pool, alternatives: Vec::new() };
    let written = [
        ("worker-specification", limited.encode()),
        ("server-specification", server_specification().encode()),
        ("report", report().encode()),
        ("live-worker", live.encode()),
        ("live-pool", live_pool().encode()),
        ("instruction", instruction.encode()),
    ];
    assert_eq!(text(&written), VERSION_2);
    let bytes = golden(VERSION_2);
    assert_eq!(TaskSpec::decode(&bytes["worker-specification"]).unwrap(), limited);
    assert_eq!(TaskSpec::decode(&bytes["server-specification"]).unwrap(), server_specification());
    assert_eq!(Report::decode(&bytes["report"]).unwrap(), report());
    assert_eq!(Message::decode(&bytes["live-worker"]).unwrap(), Message::Live(live.into()));
    assert_eq!(Message::decode(&bytes["live-pool"]).unwrap(), Message::Live(live_pool().into()));
    assert_eq!(Instruction::decode(&bytes["instruction"]).unwrap(), instruction);
}

#[test]
fn version_3_is_written_and_read() {
    let intervals = Intervals::new(Duration::from_secs(20), Duration::from_millis(62_500));
    let worker = Live::Worker(WorkerLive { intervals: Some(intervals), ..live_worker() });
    let pool = PoolLive {
        connections: 3,
        height: 170,
        difficulty: 1.5,
        intervals: Some(intervals),
        ..PoolLive::default()
    };
    let instruction = Instruction::SetIntervals(intervals);
    let written = [
        ("live-worker", worker.encode()),
        ("live-pool", Live::Pool(pool.clone()).encode()),
        ("set-intervals", instruction.encode()),
    ];
    assert_eq!(text(&written), VERSION_3);
    let bytes = golden(VERSION_3);
    assert_eq!(Message::decode(&bytes["live-worker"]).unwrap(), Message::Live(worker.into()));
    assert_eq!(Message::decode(&bytes["live-pool"]).unwrap(), Message::Live(Box::new(Live::Pool(pool))));
    assert_eq!(Instruction::decode(&bytes["set-intervals"]).unwrap(), instruction);
    let versions = ["live-worker", "live-pool", "set-intervals"].map(|name| version(&bytes[name]));
    // Readers of version 2 skip the new fields of live messages, so live messages keep version 2. The same readers must refuse
    // the instruction that they do not know, so it has version 3.
    assert_eq!(versions, [Some(2), Some(2), Some(3)]);
}

#[test]
fn version_4_is_written_and_read() {
    let live = Live::Pool(PoolLive { connections: 3, credentials: Some(77), ..PoolLive::default() });
    let node = |url: &str, user: &str, password: &str| NodeAccess {
        url: url.into(),
        user: Some(user.into()),
        password: Some(password.into()),
    };
    let nodes = vec![node("http://a:8332", "__cookie__", "one"), node("http://[::1]:8332/x", "u", "two")];
    let instruction = Instruction::SetNodeCredentials { revision: 77, nodes };
    assert!(!format!("{instruction:?}").contains("one"), "{instruction:?}");
    let written = [("live-pool", live.encode()), ("set-node-credentials", instruction.encode())];
    assert_eq!(text(&written), VERSION_4);
    let bytes = golden(VERSION_4);
    assert_eq!(Message::decode(&bytes["live-pool"]).unwrap(), Message::Live(live.into()));
    assert_eq!(Instruction::decode(&bytes["set-node-credentials"]).unwrap(), instruction);
    // Earlier schedulers skip the new field of live messages. Earlier executors refuse the instruction.
    assert_eq!(["live-pool", "set-node-credentials"].map(|name| version(&bytes[name])), [Some(2), Some(4)]);
}

#[test]
fn version_5_is_written_and_read() {
    let worker = |paused, cpu_model: &str, delays| {
        let cpu_model = cpu_model.to_owned();
        Live::Worker(WorkerLive { paused: Some(paused), cpu_model, delays: Some(delays), ..live_worker() })
    };
    let delays = WorkerDelays {
        notify_to_first_hash: Some(DelayQuantiles { median: 180, p99: 2_000 }),
        share_round_trip: Some(DelayQuantiles { median: 900, p99: 70_000 }),
    };
    let full = worker(true, "AMD EPYC 9B14", delays);
    let empty = worker(false, "", WorkerDelays::default());
    let [pause, resume] = [true, false].map(Instruction::Pause);
    let written = [
        ("live-worker", full.encode()),
        ("live-worker-without-delays", empty.encode()),
        ("pause", pause.encode()),
        ("resume", resume.encode()),
    ];
    assert_eq!((VERSION, text(&written).as_str()), (5, VERSION_5));
    let bytes = golden(VERSION_5);
    assert_eq!(Message::decode(&bytes["live-worker"]).unwrap(), Message::Live(full.into()));
    assert_eq!(Message::decode(&bytes["live-worker-without-delays"]).unwrap(), Message::Live(empty.into()));
    assert_eq!(Instruction::decode(&bytes["pause"]).unwrap(), pause);
    assert_eq!(Instruction::decode(&bytes["resume"]).unwrap(), resume);
    // Earlier schedulers skip the new fields of live messages. Earlier executors refuse the instruction.
    assert_eq!(
        ["live-worker", "pause", "resume"].map(|name| version(&bytes[name])),
        [Some(2), Some(5), Some(5)]
    );
}

/// The field `alternatives` was added without a new version number, because readers that do not know the field skip it.
#[test]
fn alternatives_are_written_as_fields_that_may_be_skipped() {
    let alternatives = ["stratum+tcp://10.0.0.1:3333", "stratum+tcp://[fd00::1]:3333"].map(str::to_owned);
    let mut specification = worker_specification();
    if let ProgramSpec::Worker(worker) = &mut specification.kind {
        worker.alternatives = alternatives.to_vec();
    }
    let pool = "stratum+tcp://[::1]:3334".to_owned();
    let instruction = Instruction::MineAt { pool, alternatives: alternatives.to_vec() };
    let written = [("worker-specification", specification.encode()), ("instruction", instruction.encode())];
    assert_eq!(text(&written), ALTERNATIVES);
    let bytes = golden(ALTERNATIVES);
    assert_eq!(TaskSpec::decode(&bytes["worker-specification"]).unwrap(), specification);
    assert_eq!(Instruction::decode(&bytes["instruction"]).unwrap(), instruction);
    assert!(bytes.values().all(|bytes| version(bytes) == Some(2)), "executors since version 2 read them");
}

/// Problems and live totals were added without a new version number: earlier schedulers skip the fields, and drop a message that
/// only says what a task waits for.
#[test]
fn problems_and_live_totals_are_written_as_fields_that_may_be_skipped() {
    let problem = Problem::new(ProblemKind::PoolUnreachable, "cannot connect to pool.example:3333");
    let totals = Totals { hashes: (3 << 64) + 5, accepted: 12, stale: 1, ..Totals::default() };
    let worker = WorkerLive { problem: Some(problem.clone()), totals: Some(totals), ..live_worker() };
    let pool = PoolLive { connections: 3, problem: Some(problem.clone()), ..PoolLive::default() };
    let messages = [
        ("live-worker", Message::Live(Box::new(Live::Worker(worker)))),
        ("live-pool", Message::Live(Box::new(Live::Pool(pool)))),
        ("waiting", Message::Waiting(problem)),
    ];
    let written = messages.clone().map(|(name, message)| (name, message.encode()));
    assert_eq!(text(&written), PROBLEMS);
    let bytes = golden(PROBLEMS);
    for (name, message) in messages {
        assert_eq!(Message::decode(&bytes[name]).unwrap(), message);
    }
    assert!(bytes.values().all(|bytes| version(bytes) == Some(2)), "schedulers since version 2 read them");
}

#[test]
fn other_bytes_have_no_version() {
    assert_eq!([version(&[]), version(&[0xff]), version(&[0x10, 3])], [None; 3]);
}
