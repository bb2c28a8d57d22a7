//! Tasks that do not start: real agents that allow ten minutes for the start of an executor.

use std::fs::{File, Permissions, set_permissions, write};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::{LONG_DEADLINE, http, peer, until};

const PATIENT: [&str; 2] = ["--agent-flag", "executor_registration_timeout=10mins"];

/// For each task that the master knows: the task's id, the agent's id, and the task's last state.
fn tasks(mesos: &MesosBox) -> Vec<(String, String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = mesos.state();
    let of = |framework: Value| [list(&framework["tasks"]), list(&framework["completed_tasks"])].concat();
    let tasks = list(&state["frameworks"]).into_iter().flat_map(of);
    tasks.map(|task| (text(&task["id"]), text(&task["slave_id"]), text(&task["state"]))).collect()
}

fn wait_for(scheduler: &mut Process, text: &str) -> String {
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains(text).then(|| line.to_owned()))
}

/// The executors of the first server and of the first worker never subscribe at their agent.
#[test]
fn an_executor_that_never_registers_is_given_up_and_replaced() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, 2, &PATIENT);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("executor");
    let script = format!(
        "#!/bin/sh\ncase $MESOS_EXECUTOR_ID in miner-server-1 | miner-worker-3) exec sleep 600 ;; esac\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_mesos-miner")
    );
    write(&program, script).expect("a folder of our own");
    set_permissions(&program, Permissions::from_mode(0o755)).expect("a file of our own");
    let program = program.to_str().expect("plain text");
    let (master, api) = (mesos.master.to_string(), testing::ports::ReservedPorts::take(1));
    let http = format!("127.0.0.1:{}", api.first());
    let mut scheduler = mesos_miner([
        "scheduler",
        "--master",
        &master,
        "--executor-path",
        program,
        "--launch-timeout=30s",
        "--teardown-on-exit",
        "--http",
        &http,
    ]);
    let waits = "miner-server-1 on 127.0.0.1 has been launching for";
    assert!(wait_for(&mut scheduler, waits).contains(&format!("its agent starts {program}")));
    let http: SocketAddr = http.parse().expect("an address");
    let summary = http::get_json(http, "/api/v1/summary").expect("an answer");
    let remarks = summary["remarks"].as_array().expect("a list").iter().filter_map(Value::as_str);
    assert_eq!(remarks.filter(|text| text.contains("miner-server-1 on 127.0.0.1")).count(), 1, "{summary:#}");
    for task in ["miner-server-1", "miner-worker-3"] {
        let given_up = format!(
            "giving up on {task}: it was still in TASK_STAGING 30 s after its launch (--launch-timeout)"
        );
        wait_for(&mut scheduler, &given_up);
    }
    let all = until("all resources are used", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        let tasks = tasks(&mesos);
        let running = |kind: &str| {
            tasks.iter().filter(|(id, _, state)| id.starts_with(kind) && state == "TASK_RUNNING").count()
        };
        let (server, workers) = (running("miner-server-"), running("miner-worker-"));
        (server == 1 && workers == 2).then(|| tasks.clone())
    });
    let find = |id: &str| all.iter().find(|(task, ..)| task == id).expect("it was launched").clone();
    let (first, second) = (find("miner-server-1"), find("miner-server-2"));
    assert_ne!(first.1, second.1, "the next server is on the other agent: {all:#?}");
    for (task, _, state) in [first, find("miner-worker-3")] {
        assert_eq!(state, "TASK_KILLED", "{task}");
    }
    scheduler.signal(Signal::TERM);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
}

/// A web server that does not complete its answers until `may_end` is true.
struct SlowServer {
    address: SocketAddr,
    may_end: Arc<AtomicBool>,
}

impl SlowServer {
    fn serving(file: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, may_end) = (listener.local_addr().expect("bound"), Arc::new(AtomicBool::new(false)));
        let ends = Arc::clone(&may_end);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ends = Arc::clone(&ends);
                // Errors are ignored, because a client may close its connection at any time.
                std::thread::spawn(move || drop(answer(stream, Path::new(file), &ends)));
            }
        });
        Self { address, may_end }
    }
}

/// Answers HEAD and GET. Half of the file is sent at once, then single bytes until `may_end` is true, and then the rest.
fn answer(mut stream: TcpStream, file: &Path, may_end: &AtomicBool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut content = Vec::new();
    File::open(file)?.read_to_end(&mut content)?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    if request.starts_with("HEAD") {
        return Ok(());
    }
    let (mut sent, half) = (0, content.len() / 2);
    while !may_end.load(Ordering::Relaxed) {
        let until = half.max(sent + 1);
        stream.write_all(&content[sent..until])?;
        sent = until;
        std::thread::sleep(Duration::from_millis(100));
    }
    stream.write_all(&content[sent..])
}

#[test]
fn a_slow_fetch_is_told_of_and_waited_for() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, 1, &PATIENT);
    let server = SlowServer::serving(env!("CARGO_BIN_EXE_mesos-miner"));
    let uri = format!("http://{}/mesos-miner", server.address);
    let master = mesos.master.to_string();
    let mut scheduler = mesos_miner([
        "scheduler",
        "--master",
        &master,
        "--executor-uri",
        &uri,
        "--launch-timeout=60s",
        "--teardown-on-exit",
    ]);
    let waits = format!(
        "miner-server-1 on 127.0.0.1 has been launching for 30 s: its agent fetches or starts {uri}; it is given up after \
         60 s (--launch-timeout)"
    );
    wait_for(&mut scheduler, &waits);
    server.may_end.store(true, Ordering::Relaxed);
    wait_for(&mut scheduler, "miner-server-1 listens at");
    scheduler.signal(Signal::TERM);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success() && !ended.errors().contains("giving up"), "{ended:#?}");
}
