//! Executors that cannot run on a real Mesos: the scheduler says why, in its log, in `/healthz` and in the list of failures, with the
//! end of the executor's standard error.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Signal, geteuid};
use serde_json::Value;
use tempfile::TempDir;
use testing::ports::{ReservedPorts, closed_address};

use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::{LONG_DEADLINE, http, peer, until};

/// The byte of an ELF header that names the architecture, and ARM's number for 64 bits.
const MACHINE: (usize, u8) = (18, 183);

/// A real Mesos with one agent, and files of this test.
struct Cluster {
    mesos: MesosBox,
    folder: TempDir,
    http: ReservedPorts,
}

impl Cluster {
    fn start(flags: &[&str]) -> Option<Self> {
        let command = peer::mesos()?;
        let mesos = MesosBox::with_options(&command, 1, flags);
        let folder = tempfile::tempdir().expect("a temporary folder");
        // An executor that runs as another user must find its file.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our own folder");
        Some(Cluster { mesos, folder, http: ReservedPorts::take(1) })
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).mode(mode).open(&path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, content)).expect("a file");
        path
    }

    /// Starts a scheduler that ends its framework when it ends.
    fn scheduler(&self, arguments: &[&str]) -> Process {
        let (master, http) = (self.mesos.master.to_string(), self.http_address().to_string());
        let state = tempfile::tempdir_in(self.folder.path()).expect("a folder").keep();
        let state = state.to_str().expect("temporary folders are plain text").to_owned();
        let fixed = ["scheduler", "--master", &master, "--state-dir", &state, "--http", &http];
        let small = ["--server-cpus", "0.2", "--teardown-on-exit"];
        mesos_miner(fixed.iter().chain(&small).chain(arguments))
    }

    fn http_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http.first()))
    }

    /// Starts a scheduler, and waits until the first problem in its list has this code and these words. Also checks that `/healthz`
    /// has the same text. Returns the scheduler and the failure that is listed first.
    fn problem(&self, arguments: &[&str], code: &str, words: &[&str]) -> (Process, Value) {
        let mut scheduler = self.scheduler(arguments);
        let text = until(&format!("{code} {words:?}"), LONG_DEADLINE, || {
            assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
            let summary = http::get_json(self.http_address(), "/api/v1/summary")?;
            let first = &summary["reasons"][0];
            let text = first["text"].as_str().filter(|_| first["code"] == code)?.to_owned();
            words.iter().all(|word| text.contains(word)).then_some(text)
        });
        let healthz = http::get_text(self.http_address(), "/healthz").expect("an answer");
        assert!(healthz.contains(&format!("no worker mines: {text}")), "{healthz} {text}");
        let summary = http::get_json(self.http_address(), "/api/v1/summary").expect("an answer");
        let mut failures = summary["failures"].as_array().expect("a list").clone();
        (scheduler, failures.pop().expect("a failure"))
    }
}

fn end(mut scheduler: Process) -> Vec<String> {
    scheduler.signal(Signal::TERM);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    ended.errors().lines().map(str::to_owned).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders are plain text")
}

fn count(lines: &[String], part: &str) -> usize {
    lines.iter().filter(|line| line.contains(part)).count()
}

/// The exit status is 233, 127 or 2. Which of the causes it was is in the standard error, which the agent shows after the end.
#[test]
fn a_file_that_cannot_be_executed_is_told_with_the_end_of_its_stderr() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let mut program = fs::read("/bin/true").expect("every Linux has it");
    let not_executable = cluster.file("not-executable", &program, 0o644);
    program[MACHINE.0] = MACHINE.1;
    let of_arm = cluster.file("of-arm", &program, 0o755);
    let no_program = cluster.file("text", b"hello\n", 0o755);
    let no_interpreter = cluster.file("script", b"#!/no/such/interpreter\n", 0o755);
    let missing = cluster.folder.path().join("missing");
    for (path, code, status, words) in [
        (&missing, "executor-not-found", ": exit status 233: ", "No such file or directory"),
        (&no_interpreter, "executor-not-found", ": exit status 233: ", "No such file or directory"),
        (&not_executable, "executor-not-executable", ": exit status 233: ", "Permission denied"),
        (&of_arm, "executor-incompatible", ": exit status ", "of-arm"),
        (&no_program, "executor-incompatible", ": exit status 127: ", "hello: not found"),
    ] {
        let path = text(path);
        let arguments = ["--executor-path", path];
        let (scheduler, failure) =
            cluster.problem(&arguments, code, &["on 127.0.0.1", status, words, "--executor-path"]);
        assert!(failure["stderr"].as_str().is_some_and(|stderr| stderr.contains(path)), "{failure}");
        let sandbox = failure["sandbox"].as_str().expect("an address for the browser");
        let begins = format!("http://127.0.0.1:{}/#/agents/", cluster.mesos.master.port());
        assert!(
            sandbox.starts_with(&begins) && sandbox.ends_with("/executors/miner-server-1/browse"),
            "{sandbox}"
        );
        let lines = end(scheduler);
        assert_eq!(count(&lines, ", stderr: "), 1, "it is read once: {lines:#?}");
        assert_eq!(count(&lines, sandbox), 1, "{lines:#?}");
        assert_eq!(count(&lines, "the executor of"), 0, "FAILURE has no line of its own: {lines:#?}");
        let first =
            lines.iter().filter(|line| line.contains("miner-server-1 on ") && line.contains("TASK_FAILED"));
        assert_eq!(first.count(), 1, "the failure is told once: {lines:#?}");
    }
}

/// Mesos itself kills what it has not launched, so the status is 9 or that of Mesos' helper. Neither is shown.
#[test]
fn a_fetch_that_fails_is_told_with_the_address() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let uri = format!("http://{}/mesos-miner", closed_address());
    let words = ["on 127.0.0.1", "refused", "does this agent reach http://127.0.0.1", "--executor-uri"];
    let arguments = ["--executor-uri", &uri];
    let (scheduler, failure) = cluster.problem(&arguments, "executor-fetch-failed", &words);
    let failure = failure.to_string();
    assert!(failure.contains("REASON_CONTAINER_LAUNCH_FAILED") && !failure.contains("signal"), "{failure}");
    let lines = end(scheduler);
    assert_eq!(count(&lines, "signal"), 0, "{lines:#?}");
}

/// There was no process, so Mesos' status is -1, and there is no sandbox. Mesos' words tell the causes apart.
#[test]
fn an_executor_that_was_never_started_is_told_with_mesos_words() {
    let Some(cluster) = Cluster::start(&["--agent-flag=switch_user=true"]) else { return };
    let image = ["--executor-image", "no-such-image", "--containerizer", "docker"];
    let words = ["on 127.0.0.1: ", "unknown container", "no-such-image", "--containerizers"];
    let (scheduler, _) = cluster.problem(&image, "executor-no-container", &words);
    assert_eq!(count(&end(scheduler), "signal 127"), 0);
    if !geteuid().is_root() {
        println!("skipped: only agents that run as root switch users");
        return;
    }
    let user = ["--executor-path", env!("CARGO_BIN_EXE_mesos-miner"), "--user", "nosuchuser"];
    let words = ["on 127.0.0.1: No such user 'nosuchuser'", "--user"];
    let (scheduler, failure) = cluster.problem(&user, "executor-user-unknown", &words);
    assert!(failure["stderr"].is_null() && failure["sandbox"].is_null(), "there is no sandbox: {failure}");
    assert_eq!(count(&end(scheduler), "stderr"), 0);
}

/// An executor that runs and never registers: what it writes is shown while it lives.
#[test]
fn the_stderr_of_an_executor_that_hangs_is_shown_while_it_lives() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let alive = cluster.folder.path().join("alive");
    let script = format!(
        "#!/bin/sh\nprintf 'cannot reach the agent \\033[31m\\342\\200\\256\\n' >&2\necho $$ >{}\nexec sleep 1000\n",
        text(&alive)
    );
    let hangs = cluster.file("hangs", script.as_bytes(), 0o755);
    let mut scheduler = cluster.scheduler(&["--executor-path", text(&hangs), "--launch-timeout", "20s"]);
    let line =
        scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains(", stderr: ").then(|| line.to_owned()));
    assert!(line.ends_with("cannot reach the agent \\u{1b}[31m\\u{202e}"), "it is safe to show: {line:?}");
    let process = fs::read_to_string(&alive).expect("it has started");
    assert!(Path::new("/proc").join(process.trim()).exists(), "it still lives");
    end(scheduler);
}

/// Agents that ask for credentials refuse at first; then the agent's own secret is given, and corrected.
#[test]
fn agents_that_ask_for_credentials_get_their_own_and_a_refusal_is_told_once() {
    if peer::mesos().is_none() {
        return;
    }
    let secrets = tempfile::tempdir().expect("a temporary folder");
    let credentials = secrets.path().join("credentials");
    let list = br#"{"credentials": [{"principal": "reader", "secret": "of-agents"}]}"#;
    let mut options = fs::OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(&credentials);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, list)).expect("a file");
    let flags = [
        format!("--agent-flag=http_credentials={}", text(&credentials)),
        "--agent-flag=authenticate_http_readonly=true".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let Some(cluster) = Cluster::start(&flags) else { return };
    let missing = cluster.folder.path().join("missing");
    let path = ["--executor-path", text(&missing)];
    let words = ["most likely it is not there", "noexec"];
    let (mut scheduler, failure) = cluster.problem(&path, "executor-not-executed", &words);
    assert!(failure["stderr"].is_null(), "{failure}");
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains("launching miner-server-4").then_some(()));
    let lines = end(scheduler);
    let refused = "HTTP 401): give --agent-principal and --agent-secret-file";
    assert_eq!(count(&lines, refused), 1, "{lines:#?}");

    let secret = cluster.file("secret", b"wrong\n", 0o600);
    let with_secret = ["--agent-principal", "reader", "--agent-secret-file", text(&secret)];
    let mut scheduler = cluster.scheduler(&[&path[..], &with_secret].concat());
    scheduler.wait_for_error(LONG_DEADLINE, |line| {
        line.contains("--agent-principal reader with the secret in --agent-secret-file (HTTP 401)")
            .then_some(())
    });
    cluster.file("secret", b"of-agents\n", 0o600);
    scheduler.signal(Signal::HUP);
    scheduler.wait_for_error(LONG_DEADLINE, |line| {
        (line.contains(", stderr: ") && line.contains("No such file or directory")).then_some(())
    });
    let lines = end(scheduler);
    assert_eq!(count(&lines, "of-agents"), 0, "{lines:#?}");
}
