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
use tempfile::TempDir;
use testing::ports::ReservedPorts;

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

/// A framework on two agents. One of its executors never subscribes. The launch timeout is long enough for the other executors on
/// a busy machine.
struct Stuck {
    mesos: MesosBox,
    scheduler: Process,
    http: SocketAddr,
    program: String,
    _folder: TempDir,
    _ports: ReservedPorts,
}

impl Stuck {
    fn start(task: &str) -> Option<Self> {
        let mesos = MesosBox::with_options(&peer::mesos()?, 2, &PATIENT);
        let (folder, ports) = (tempfile::tempdir().expect("a temporary folder"), ReservedPorts::take(1));
        let program = folder.path().join("executor");
        let script = format!(
            "#!/bin/sh\n[ \"$MESOS_EXECUTOR_ID\" != {task} ] || exec sleep 600\nexec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_mesos-miner")
        );
        write(&program, script).expect("a folder of our own");
        set_permissions(&program, Permissions::from_mode(0o755)).expect("a file of our own");
        let program = program.to_str().expect("plain text").to_owned();
        let http = SocketAddr::from(([127, 0, 0, 1], ports.first()));
        let scheduler = mesos_miner([
            "scheduler",
            "--master",
            &mesos.master.to_string(),
            "--executor-path",
            &program,
            "--launch-timeout=60s",
            "--teardown-on-exit",
            "--http",
            &http.to_string(),
        ]);
        Some(Self { mesos, scheduler, http, program, _folder: folder, _ports: ports })
    }

    /// Waits until the API of the scheduler shows a remark with this text.
    fn until_remarked(&mut self, wanted: &str) {
        until(wanted, LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            let summary = http::get_json(self.http, "/api/v1/summary")?;
            let remarks = summary["remarks"].as_array()?.iter().filter_map(Value::as_str);
            let found = remarks.filter(|text| text.contains(wanted)).count();
            assert!(found <= 1, "{summary:#}");
            (found == 1).then_some(())
        });
    }

    fn until_given_up(&mut self, task: &str) {
        let given_up =
            format!("giving up on {task}: it was still in TASK_STAGING after 1 min (--launch-timeout)");
        wait_for(&mut self.scheduler, &given_up);
    }

    /// Waits until the stuck task has been killed and all resources are used, ends the framework, and returns all tasks.
    fn until_replaced(mut self, stuck: &str) -> Vec<(String, String, String)> {
        let all = until("all resources are used", LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            let tasks = tasks(&self.mesos);
            let running = |kind: &str| {
                tasks.iter().filter(|(id, _, state)| id.starts_with(kind) && state == "TASK_RUNNING").count()
            };
            let killed = tasks.iter().any(|(id, _, state)| id == stuck && state == "TASK_KILLED");
            let (server, workers) = (running("miner-server-"), running("miner-worker-"));
            (server == 1 && workers == 2 && killed).then(|| tasks.clone())
        });
        self.scheduler.signal(Signal::TERM);
        let ended = self.scheduler.wait(LONG_DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
        all
    }
}

#[test]
fn a_server_whose_executor_never_registers_is_given_up_and_replaced_on_another_agent() {
    let Some(mut stuck) = Stuck::start("miner-server-1") else { return };
    // Without an update yet it "has not been answered for" some seconds, otherwise it "has been launching for" them.
    let waits = "miner-server-1 on 127.0.0.1 has ";
    // No worker mines, so this is told before half of the launch timeout, after which it would be told in any case.
    let told = stuck.scheduler.wait_for_error(LONG_DEADLINE, |line| {
        let seconds =
            line.split_once(waits)?.1.split_once(" for ")?.1.split_once(" s:")?.0.parse::<u32>().ok()?;
        Some((seconds, line.to_owned()))
    });
    assert!(told.0 < 30 && told.1.contains(&stuck.program), "{told:?}");
    stuck.until_remarked(waits);
    stuck.until_given_up("miner-server-1");
    let all = stuck.until_replaced("miner-server-1");
    let agent = |id: &str| &all.iter().find(|(task, ..)| task == id).expect("it was launched").1;
    assert_ne!(agent("miner-server-1"), agent("miner-server-2"), "{all:#?}");
}

#[test]
fn a_worker_whose_executor_never_registers_is_given_up_and_replaced() {
    let Some(mut stuck) = Stuck::start("miner-worker-2") else { return };
    let waits = "miner-worker-2 on 127.0.0.1 has been launching for";
    let told = wait_for(&mut stuck.scheduler, waits);
    let program = &stuck.program;
    let whole = format!("its agent starts {program}; it is given up after 1 min (--launch-timeout)");
    assert!(told.contains(&whole), "{told}");
    stuck.until_remarked(waits);
    stuck.until_given_up("miner-worker-2");
    stuck.until_replaced("miner-worker-2");
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
        "--launch-timeout=300s",
        "--teardown-on-exit",
    ]);
    // No worker mines, so this is told within ten seconds, and again.
    let waits = format!(": its agent fetches or starts {uri}; it is given up after 5 min (--launch-timeout)");
    for _ in 0..2 {
        let told = wait_for(&mut scheduler, &waits);
        assert!(told.contains("miner-server-1 on 127.0.0.1 has been launching for "), "{told}");
    }
    server.may_end.store(true, Ordering::Relaxed);
    wait_for(&mut scheduler, "miner-server-1 listens at");
    scheduler.signal(Signal::TERM);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success() && !ended.errors().contains("giving up"), "{ended:#?}");
}
