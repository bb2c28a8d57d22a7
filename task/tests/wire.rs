//! Encoding and decoding, and bytes that must be refused.

use std::num::NonZeroU64;
use std::time::Duration;

use problem::{Problem, ProblemKind};
use proptest::prelude::*;
use task::{
    Account, BlockSourceSpec, DecodeError, Instruction, Intervals, Live, Message, NodeAccess, NodeSpec,
    PoolAccess, PoolLive, PoolRules, ProgramSpec, ProxyAccess, Report, ServerAddress, ServerSpec, ShareRow,
    TaskSpec, Totals, UpstreamSpec, Verdict, WorkerLive, WorkerSpec, version,
};

fn worker_spec() -> TaskSpec {
    TaskSpec {
        intervals: Intervals::new(Duration::from_secs(5), Duration::from_secs(60)),
        max_updates: NonZeroU64::new(100_000),
        kind: ProgramSpec::Worker(WorkerSpec {
            pool: "stratum+tcp://[::1]:3333".into(),
            alternatives: vec!["stratum+tcp://10.0.0.1:3333".into()],
            user: "miner-worker-7".into(),
            password: "x".into(),
            access: PoolAccess::default(),
            cpus: 1.5,
            backend: Some("avx2".into()),
        }),
    }
}

fn server_spec() -> TaskSpec {
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

fn node_spec() -> TaskSpec {
    let ProgramSpec::Server(server) = server_spec().kind else { unreachable!() };
    let access = |url: &str, user: Option<&str>, password: Option<&str>| NodeAccess {
        url: url.into(),
        user: user.map(Into::into),
        password: password.map(Into::into),
    };
    let node = NodeSpec {
        nodes: vec![
            access("http://[::1]:8332", Some("me"), Some("s3cret")),
            access("http://b:8332", None, None),
        ],
        address: Some("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080".into()),
        tag: b"/t/".to_vec(),
        early_min_difficulty: true,
    };
    let data_dir = Some("/var/lib/pool".into());
    let server = ServerSpec {
        block_source: BlockSourceSpec::Node(node),
        data_dir,
        max_connections: Some(16_777),
        ..server
    };
    TaskSpec { kind: ProgramSpec::Server(server), ..server_spec() }
}

fn secure_access() -> PoolAccess {
    let credentials = Some(("me".into(), "s3cret".into()));
    PoolAccess {
        authorities: Some("-----BEGIN CERTIFICATE-----".into()),
        fingerprints: vec![[7; 32], [8; 32]],
        proxy: Some(ProxyAccess { host: "::1".into(), port: 1080, credentials }),
        rules: PoolRules {
            no_extranonce: true,
            no_suggest: false,
            no_version_rolling: true,
            job_timeout: Some(Duration::from_millis(1500)),
        },
    }
}

fn secure_worker_spec() -> TaskSpec {
    let ProgramSpec::Worker(worker) = worker_spec().kind else { unreachable!() };
    TaskSpec { kind: ProgramSpec::Worker(WorkerSpec { access: secure_access(), ..worker }), ..worker_spec() }
}

#[test]
fn the_access_to_the_pool_survives_the_wire() {
    for spec in [secure_worker_spec(), upstream_spec(secure_access())] {
        assert_eq!(TaskSpec::decode(&spec.encode()).unwrap(), spec);
    }
}

fn upstream_spec(access: PoolAccess) -> TaskSpec {
    let ProgramSpec::Server(server) = server_spec().kind else { unreachable!() };
    let upstream = UpstreamSpec {
        pools: vec!["stratum+tcp://a:3333".into(), "stratum+ssl://b:3334".into()],
        user: "farm".into(),
        password: "s3cret".into(),
        access,
    };
    TaskSpec {
        kind: ProgramSpec::Server(ServerSpec { block_source: BlockSourceSpec::Upstream(upstream), ..server }),
        ..server_spec()
    }
}

#[test]
fn a_specification_shows_no_password() {
    let specs = [node_spec(), upstream_spec(secure_access()), worker_spec(), secure_worker_spec()];
    let shown = format!("{specs:?}");
    assert!(
        shown.contains("http://b:8332")
            && shown.contains("stratum+ssl://b:3334")
            && !shown.contains("s3cret")
            && !shown.contains("password"),
        "{shown}"
    );
}

#[test]
fn a_server_has_one_block_source() {
    // Protobuf merges the appended fields into the same server message, which then has two block sources.
    let mut both = node_spec().encode();
    both.extend(&server_spec().encode()[8..]);
    assert!(matches!(TaskSpec::decode(&both).unwrap_err(), DecodeError::Field { field: "block source", .. }));
}

#[test]
fn specifications_survive_the_wire() {
    for spec in [worker_spec(), server_spec(), node_spec(), upstream_spec(PoolAccess::default())] {
        assert_eq!(TaskSpec::decode(&spec.encode()).unwrap(), spec);
    }
}

#[test]
fn live_messages_survive_the_wire() {
    let worker = WorkerLive {
        hashrate: 4.2e7,
        threads: 2,
        backend: "avx512".into(),
        difficulty: 0.01,
        pool: "pool:3333".into(),
        ..WorkerLive::default()
    };
    let pool = PoolLive {
        connections: 3,
        height: 170,
        difficulty: 1.5,
        max_connections: Some(4096),
        ..PoolLive::default()
    };
    let intervals = Some(Intervals::new(Duration::from_millis(1), Duration::MAX));
    let worker_with_intervals = Live::Worker(WorkerLive { intervals, ..worker.clone() });
    let pool_with_intervals = Live::Pool(PoolLive { intervals, ..pool.clone() });
    for live in [Live::Worker(worker), Live::Pool(pool), worker_with_intervals, pool_with_intervals] {
        assert_eq!(Message::decode(&live.encode()).unwrap(), Message::Live(live.into()));
    }
}

#[test]
fn a_long_name_of_a_cpu_is_cut() {
    let live = |cpu_model: String| Live::Worker(WorkerLive { cpu_model, ..WorkerLive::default() });
    let decoded = Message::decode(&live("é".repeat(5_000)).encode()).unwrap();
    assert_eq!(decoded, Message::Live(live("é".repeat(100)).into()));
}

#[test]
fn intervals_stay_in_range() {
    let intervals = Intervals::new(Duration::ZERO, Duration::MAX);
    assert_eq!(intervals.live(), Duration::from_millis(1));
    assert_eq!(intervals.report(), Duration::from_millis(u32::MAX.into()));
    assert!(std::mem::size_of::<Option<Intervals>>() <= 8);
}

#[test]
fn a_message_holds_one_instruction() {
    let intervals =
        Instruction::SetIntervals(Intervals::new(Duration::from_secs(20), Duration::from_secs(60)));
    let mine_at = Instruction::MineAt { pool: "pool:3333".into(), alternatives: vec!["a:1".into()] };
    for instruction in [&intervals, &mine_at] {
        assert_eq!(Instruction::decode(&instruction.encode()).unwrap(), *instruction);
    }
    let mut both = mine_at.encode();
    both.extend(intervals.encode());
    let mut paused = mine_at.encode();
    paused.extend(Instruction::Pause(false).encode());
    for bytes in [both.as_slice(), &paused, &[0x08, 3]] {
        let error = Instruction::decode(bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Field { field: "content", .. }), "{error}");
    }
    // The bytes contain a live interval of 20 ms, but no report interval.
    let error = Instruction::decode(&[0x08, 3, 0x1a, 2, 0x08, 20]).unwrap_err();
    assert!(matches!(error, DecodeError::Field { field: "interval", .. }), "{error}");
}

#[test]
fn unknown_fields_are_skipped() {
    let mut bytes = worker_spec().encode();
    bytes.extend([0xfa, 0x01, 3, b'n', b'e', b'w']); // field 31, never used
    assert_eq!(TaskSpec::decode(&bytes).unwrap(), worker_spec());
}

#[test]
fn unknown_versions_are_refused() {
    let mut bytes = worker_spec().encode();
    bytes[1] = 9;
    let error = TaskSpec::decode(&bytes).unwrap_err();
    assert!(matches!(error, DecodeError::Version { version: 9, .. }), "{error}");
    assert!(matches!(Report::decode(&[]).unwrap_err(), DecodeError::Version { version: 0, .. }));
}

#[test]
fn a_specification_is_either_a_server_or_a_worker() {
    let neither = [0x08, 2];
    assert!(matches!(TaskSpec::decode(&neither).unwrap_err(), DecodeError::Field { field: "kind", .. }));
    let mut both = worker_spec().encode();
    both.extend(&server_spec().encode()[2..]);
    assert!(matches!(TaskSpec::decode(&both).unwrap_err(), DecodeError::Field { field: "kind", .. }));
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Accepted),
        Just(Verdict::Stale),
        Just(Verdict::Unanswered),
        (0u32..1 << 31).prop_map(Verdict::Rejected),
    ]
}

prop_compose! {
    fn rows()(
        job in "[0-9a-f]{0,40}",
        extranonce2 in prop::collection::vec(any::<u8>(), 0..16),
        (ntime, version, nonce) in any::<(u32, u32, u32)>(),
        difficulty in 0.0f64..1e20,
        verdict in verdicts(),
        micros in any::<u32>(),
    ) -> ShareRow {
        let round_trip = Duration::from_micros(micros.into());
        ShareRow { job, extranonce2, ntime, version, nonce, difficulty, verdict, round_trip }
    }
}

prop_compose! {
    fn totals()(
        (hashes, accepted_work) in any::<(u128, u128)>(),
        (accepted, rejected, stale, unanswered) in any::<(u64, u64, u64, u64)>(),
        (blocks, candidates, orphaned) in any::<(u64, u64, u64)>(),
    ) -> Totals {
        Totals {
            hashes,
            accepted_work,
            accepted,
            rejected,
            stale,
            unanswered,
            blocks,
            candidates,
            orphaned,
        }
    }
}

prop_compose! {
    fn reports()(
        sequence in any::<u64>(),
        accounts in prop::collection::vec(
            (".{0,20}", totals(), prop::collection::vec(rows(), 0..4), any::<u64>()),
            0..4,
        ),
        server in prop::option::of(("[a-z0-9.:]{1,20}", any::<(u16, u16)>())),
    ) -> Report {
        let accounts = accounts
            .into_iter()
            .map(|(worker, totals, rows, rows_omitted)| Account { worker, totals, rows, rows_omitted })
            .collect();
        let server = server
            .map(|(host, (stratum_port, http_port))| ServerAddress { host, stratum_port, http_port });
        Report { sequence, accounts, server }
    }
}

proptest! {
    #[test]
    fn reports_survive_the_wire(report in reports()) {
        prop_assert_eq!(Report::decode(&report.encode()).unwrap(), report);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = TaskSpec::decode(&bytes);
        let _ = Report::decode(&bytes);
        let _ = Message::decode(&bytes);
        let _ = Instruction::decode(&bytes);
        let _ = version(&bytes);
    }
}

#[test]
fn a_problem_of_a_later_version_keeps_its_text_and_a_long_text_is_cut() {
    let decode = |code: &str, text: &str| {
        let field = |tag: u8, bytes: &[u8]| {
            let mut field = vec![tag];
            prost::encoding::encode_varint(bytes.len() as u64, &mut field);
            field.extend(bytes);
            field
        };
        let problem = [field(0x0a, code.as_bytes()), field(0x12, text.as_bytes())].concat();
        // Field 20 has a key of two bytes.
        let bytes = [vec![0x08, 2, 0xa2], field(0x01, &problem)].concat();
        Message::decode(&bytes).unwrap()
    };
    let general = |text: &str| Message::Waiting(Problem::new(ProblemKind::TaskWaits, text));
    assert_eq!(decode("of-next-year", "no electricity"), general("no electricity"));
    let long = "é".repeat(5_000);
    assert_eq!(decode("task-waits", &long), general(&"é".repeat(1_000)));
}
