//! The log's one style in all subcommands, as text and as JSON; and that no text of a peer reaches a terminal raw.

use mesos::scheduler::Event;
use mesos::v1::scheduler::{call, event};
use mesos::v1::{Offer, TaskState, TaskStatus};
use serde_json::{Value, json};
use testing::mesos_peer::TestMaster;
use tokio::runtime::Runtime;

use crate::support::http::get;
use crate::support::log::{message, parts};
use crate::support::process::{Ended, mesos_miner, start};
use crate::support::{DEADLINE, LONG_DEADLINE};

/// What a peer says: it would clear the screen, set the window's title, turn the writing direction round, hide, and forge a line.
const HOSTILE: &str =
    "evil\x1b[2J\x1b]0;title\x07\u{9b}31m\u{202e}txt\u{200b}\n2026-01-01T00:00:00Z ERROR forged";

/// How the line begins that the text pretends to be.
const FORGED: &str = "2026-01-01T00:00:00Z ERROR";

/// The same as it is shown, up to its line break.
const SHOWN: &str = r"evil\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}txt\u{200b}";

/// An address at which nothing listens: a port below the ones that systems give out.
const NOBODY: &str = "127.0.0.1:1";

/// All lines of both outputs are free of what is not printable.
fn assert_printable(ended: &Ended) {
    for line in ended.stdout.iter().chain(&ended.stderr) {
        let harmful = |c: char| c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c);
        assert!(!line.contains(harmful), "{line:?}");
    }
}

/// Each line of standard error is in the log's style. The error that ends a program is `error: …`.
fn assert_style(ended: &Ended) {
    for line in &ended.stderr {
        let continues = line.starts_with("  | ");
        assert!(parts(line).is_some() || line.starts_with("error: ") || continues, "{line:?} in {ended:#?}");
        assert!(!line.starts_with(FORGED), "{ended:#?}");
    }
    assert_printable(ended);
}

/// Each line of standard error is a JSON object with time, level and message. Returns the messages.
fn json_messages(ended: &Ended) -> Vec<String> {
    let message = |line: &String| {
        let object: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?} in {ended:#?}"));
        let (time, level) = (object["time"].as_str().unwrap(), object["level"].as_str().unwrap());
        assert!(time.len() == 20 && time.ends_with('Z'), "{line}");
        assert!(["error", "warn", "info", "debug"].contains(&level), "{line}");
        object["message"].as_str().unwrap().to_owned()
    };
    ended.stderr.iter().map(message).collect()
}

/// Runs a subcommand, with the variable set that selects the format, until a line of standard error has the text. Ends it with
/// SIGTERM.
fn run(format: &str, arguments: &[&str], until: &str) -> Ended {
    let variables = [format!("MINER_LOG_FORMAT={format}"), "RUST_LOG=debug".to_owned()];
    let program = [env!("CARGO_BIN_EXE_mesos-miner").to_owned()];
    let arguments = arguments.iter().map(|argument| (*argument).to_owned());
    let all: Vec<_> = variables.into_iter().chain(program).chain(arguments).collect();
    let mut process = start("/usr/bin/env", all);
    if !until.is_empty() {
        process.wait_for_error(LONG_DEADLINE, |line| line.contains(until).then_some(()));
        process.signal(rustix::process::Signal::TERM);
    }
    process.wait(LONG_DEADLINE)
}

/// For each subcommand: a run that writes to standard error, and a text in one of its lines, if it must be told to end then.
fn runs(folder: &str) -> Vec<(Vec<&str>, &'static str)> {
    vec![
        (vec!["mine", "-o", NOBODY, "-t", "1"], "Connection refused"),
        (
            vec!["mine", "--bitcoind", "http://u:p@127.0.0.1:1", "-t", "1", "--address", ADDRESS],
            "Connection refused",
        ),
        (vec!["scheduler", "--master", NOBODY, "--state-dir", folder], "Connection refused"),
        (vec!["scheduler", "--master", NOBODY, "--state-dir", folder, "--no-retry"], ""),
        (vec!["scheduler", "plan", "--master", NOBODY], ""),
        (
            vec!["pool", "--upstream", NOBODY, "-u", "u", "--listen", "127.0.0.1:0", "--data-dir", folder],
            "retry_in",
        ),
        (vec!["local", "--duration", "3s"], ""),
        (vec!["bench", "--time", "1ms"], ""),
        (vec!["ledger", "--state-dir", "/no/such/folder"], ""),
        (vec!["accounts", "--data-dir", "/no/such/folder"], ""),
        (vec!["executor"], ""),
    ]
}

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

#[test]
fn every_line_of_every_subcommand_has_time_level_and_message() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, until) in runs(folder.path().to_str().unwrap()) {
        let ended = run("text", &arguments, until);
        assert_style(&ended);
        assert!(!ended.stderr.is_empty() || arguments[0] == "bench", "{arguments:?}: {ended:#?}");
    }
}

#[test]
fn every_line_of_every_subcommand_can_be_json() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, until) in runs(folder.path().to_str().unwrap()) {
        let ended = run("json", &arguments, until);
        let messages = json_messages(&ended);
        assert!(!messages.is_empty() || arguments[0] == "bench", "{arguments:?}: {ended:#?}");
    }
}

#[test]
fn the_tasks_of_a_cluster_log_in_the_same_style() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().to_str().unwrap();
    let ended = mesos_miner(["local", "--duration", "5s", "--work-dir", work]).wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    // Sandboxes have stdout, stderr and the executable.
    let found = start("find", [work, "-name", "stderr"]).wait(DEADLINE).stdout;
    let lines = |path: &String| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    let logs: Vec<Vec<String>> = found.iter().map(lines).collect();
    assert!(logs.len() >= 2 && logs.iter().all(|log| !log.is_empty()), "{found:?}: {logs:#?}");
    for line in logs.iter().flatten() {
        assert!(parts(line).is_some(), "{line:?}");
    }
}

/// A pool that says hostile things and refuses each share with them.
fn hostile_pool(refuse_user: bool) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut writer = stream.try_clone().unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let request: Value = serde_json::from_str(&line).unwrap();
                let id = &request["id"];
                let refused = json!({"id": id, "result": null, "error": [20, HOSTILE, null]});
                let answers = match request["method"].as_str().unwrap_or_default() {
                    "mining.subscribe" => {
                        vec![json!({"id": id, "result": [[], "00000001", 4], "error": null})]
                    }
                    "mining.authorize" if !refuse_user => vec![
                        json!({"id": id, "result": true, "error": null}),
                        json!({"id": null, "method": "client.show_message", "params": [HOSTILE]}),
                        json!({"id": null, "method": "mining.set_difficulty", "params": [1e-6]}),
                        job(),
                    ],
                    _ => vec![refused],
                };
                // Ignore errors, because the client may close the connection.
                let _ = answers.iter().try_for_each(|answer| writeln!(writer, "{answer}"));
            }
        }
    });
    address
}

fn job() -> Value {
    let (hash, coinbase) = ("00".repeat(32), "01".repeat(20));
    let params = json!(["j", hash, coinbase, coinbase, [], "20000000", "1d00ffff", "5f5e1000", true]);
    json!({"id": null, "method": "mining.notify", "params": params})
}

#[test]
fn a_pool_cannot_control_the_terminal_of_its_miner() {
    let address = hostile_pool(false);
    for format in ["text", "json"] {
        let arguments = ["mine", "-o", &address, "-u", "u", "-t", "1", "--json", "--log-format", format];
        let mut miner = mesos_miner(arguments);
        let says = |line: &str| line.contains("the pool says: ").then_some(());
        miner.wait_for_error(DEADLINE, says);
        miner.wait_for_error(LONG_DEADLINE, |line| line.contains("rejected").then_some(()));
        miner.signal(rustix::process::Signal::TERM);
        let ended = miner.wait(DEADLINE);
        assert_printable(&ended);
        match format {
            "text" => assert_style(&ended),
            _ => drop(json_messages(&ended)),
        }
    }
}

#[test]
fn the_reason_of_a_final_error_is_escaped() {
    let address = hostile_pool(true);
    let ended = mesos_miner(["mine", "-o", &address, "-u", "u", "-t", "1", "--no-retry"]).wait(LONG_DEADLINE);
    assert!(!ended.status.success(), "{ended:#?}");
    assert_style(&ended);
    assert!(
        ended.stderr.iter().any(|line| line.starts_with("error: ") && line.contains("evil")),
        "{ended:#?}"
    );
}

#[test]
fn a_pool_server_shows_what_its_upstream_says_with_escapes() {
    let address = hostile_pool(false);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let fixed = ["pool", "--upstream", &address, "-u", "u", "--listen", "127.0.0.1:0", "--data-dir", folder];
    let mut pool = mesos_miner(fixed);
    pool.wait_for_error(DEADLINE, |line| line.contains("message from the upstream pool").then_some(()));
    pool.signal(rustix::process::Signal::TERM);
    assert_style(&pool.wait(LONG_DEADLINE));
}

/// Mesos itself checks host names only where it resolves them, so a master of the test's own has such an agent.
#[test]
fn an_agent_cannot_control_the_terminal_of_the_scheduler() {
    let runtime = Runtime::new().unwrap();
    for json in [false, true] {
        let mut master = runtime.block_on(TestMaster::start());
        let folder = tempfile::tempdir().unwrap();
        let address = master.address().to_string();
        let fixed = [
            "scheduler",
            "--executor-path",
            "/opt/mesos-miner",
            "--http",
            "127.0.0.1:0",
            "--teardown-on-exit",
        ];
        let given = ["--master", &address, "--state-dir", folder.path().to_str().unwrap()];
        let format: &[&str] = if json { &["--json", "--log-format=json"] } else { &[] };
        let mut scheduler = mesos_miner([&fixed[..], &given, format].concat());
        let http = scheduler.wait_for_error(DEADLINE, |line| {
            let (_, rest) = line.split_once("HTTP on http://")?;
            rest.trim_end_matches(['"', '}']).parse().ok()
        });
        let (_, events) = runtime.block_on(master.subscription());
        let (framework_id, heartbeat_interval_seconds, master_info) = ("f".into(), None, None);
        events.send(Event::Subscribed(Box::new(event::Subscribed {
            framework_id,
            heartbeat_interval_seconds,
            master_info,
        })));
        events.send(Event::Offers(vec![offer()]));
        let accept = runtime.block_on(master.call_of(call::Type::Accept)).accept.unwrap();
        let task = accept.operations[0].launch.clone().unwrap().task_infos[0].task_id.clone();
        events.send(Event::Update(Box::new(TaskStatus {
            task_id: task,
            state: TaskState::TaskFailed.into(),
            agent_id: Some("a".into()),
            uuid: Some(vec![1; 16]),
            message: Some(HOSTILE.to_owned()),
            ..TaskStatus::default()
        })));
        scheduler.wait_for_error(DEADLINE, |line| line.contains("TASK_FAILED").then_some(()));
        if !json {
            // A line about the state, which is printed every ten seconds in place of the frame.
            scheduler.wait_for_output(LONG_DEADLINE, |line| message(line).contains("shares: ").then_some(()));
        }
        for path in ["/healthz", "/api/v1/summary", "/metrics"] {
            let body = String::from_utf8(get(http, path).expect("it answers")).expect("UTF-8");
            assert!(!body.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{body:?}");
        }
        scheduler.signal(rustix::process::Signal::TERM);
        let ended = scheduler.wait(LONG_DEADLINE);
        assert_printable(&ended);
        match json {
            true => assert!(json_messages(&ended).iter().any(|said| said.contains(HOSTILE)), "{ended:#?}"),
            false => {
                assert_style(&ended);
                assert!(ended.stderr.iter().any(|line| line.contains(SHOWN)), "{ended:#?}");
            }
        }
    }
}

fn offer() -> Offer {
    use mesos::resources::{Quantity, ranges, scalar};
    Offer {
        id: "o".into(),
        framework_id: "f".into(),
        agent_id: "a".into(),
        hostname: HOSTILE.to_owned(),
        resources: vec![
            scalar("cpus", Quantity::new(1.0)),
            scalar("mem", Quantity::whole(512)),
            ranges("ports", [31000..=31009]),
        ],
        ..Offer::default()
    }
}
