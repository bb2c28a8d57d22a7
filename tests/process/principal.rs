//! A real Mesos refuses a scheduler because of its principal. The principal is unknown, or is not the one of the framework's
//! first subscription, or there is none although authentication was turned on. The scheduler's message says what to do. When the
//! user has done this, the same framework and tasks continue.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::mesos_box::{Member, MesosBox};
use crate::support::process::{Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// A real Mesos that asks for credentials while the file `required` contains `true`.
struct Strict {
    mesos: MesosBox,
    folder: TempDir,
}

impl Strict {
    fn start(required: bool) -> Option<Self> {
        let command = peer::mesos()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in [
            (
                "credentials",
                r#"{"credentials": [{"principal": "a", "secret": "a"}, {"principal": "b", "secret": "b"}]}"#,
            ),
            ("a", "a\n"),
            ("b", "b\n"),
        ] {
            let path = folder.path().join(name);
            let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
        }
        let required_file = folder.path().join("required");
        fs::write(&required_file, required.to_string()).expect("written");
        let flags = [
            format!("--master-flag=credentials={}", folder.path().join("credentials").display()),
            "--master-flag=http_framework_authenticators=basic".to_owned(),
            // Mesos reads the value of a flag from a file.
            format!("--master-flag=authenticate_http_frameworks=file://{}", required_file.display()),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mesos = MesosBox::with_options(&command, 1, &flags);
        Some(Strict { mesos, folder })
    }

    /// Restarts the master. From now on, the master requires credentials if `required` is true. Waits until it knows the agent
    /// and its tasks.
    fn require(&mut self, required: bool) {
        self.mesos.kill(Member::Master);
        fs::write(self.folder.path().join("required"), required.to_string()).expect("written");
        self.mesos.restart(Member::Master);
        until("the master knows the framework's tasks", LONG_DEADLINE, || {
            (!tasks(&self.mesos.state()).is_empty()).then_some(())
        });
    }

    fn secret(&self, principal: &str) -> String {
        self.folder.path().join(principal).display().to_string()
    }

    /// Starts a scheduler whose state is in a folder of this test.
    fn scheduler(&self, who: &[&str]) -> Process {
        let (master, state) = (self.mesos.master.to_string(), self.folder.path().join("state"));
        let state = state.to_str().expect("temporary folders are plain text").to_owned();
        let fixed = ["scheduler", "--master", &master, "--state-dir", &state, "--server-cpus", "0.2"];
        mesos_miner(fixed.iter().chain(who))
    }

    /// Starts a scheduler that the master refuses, and returns what the scheduler wrote to standard error.
    fn refused(&self, who: &[&str]) -> String {
        let ended = self.scheduler(who).wait(DEADLINE);
        assert_eq!(ended.status.code(), Some(1), "{who:?}: {ended:#?}");
        ended.errors()
    }

    /// Waits until two tasks run under a subscribed framework. Returns the framework's id with the ids of the tasks.
    fn until_it_runs(&self, scheduler: &mut Process) -> (String, BTreeSet<String>) {
        until("a server and a worker run", LONG_DEADLINE, || {
            assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
            let state = self.mesos.state();
            let framework = &state["frameworks"][0];
            let ids = tasks(&state);
            (framework["active"] == true && ids.len() == 2)
                .then(|| (framework["id"].as_str().unwrap_or_default().to_owned(), ids))
        })
    }

    /// Ends the scheduler. Its tasks continue unless it has the option `--teardown-on-exit`.
    fn leave(&self, mut scheduler: Process) {
        scheduler.signal(Signal::TERM);
        let ended = scheduler.wait(LONG_DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
    }

    /// Starts a scheduler with the options `who`. It must continue the framework and the tasks in `before`. Then it ends them.
    fn continues(&self, who: &[&str], before: &(String, BTreeSet<String>)) {
        let mut scheduler = self.scheduler(&[who, &["--teardown-on-exit"]].concat());
        assert_eq!(&self.until_it_runs(&mut scheduler), before);
        self.leave(scheduler);
    }
}

/// The ids of the running tasks of the first framework.
fn tasks(state: &Value) -> BTreeSet<String> {
    let tasks = state["frameworks"][0]["tasks"].as_array().cloned().unwrap_or_default();
    let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
    running.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect()
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn another_or_an_unknown_principal_is_refused_and_the_first_one_continues() {
    let Some(strict) = Strict::start(true) else { return };
    let (a, b) = (strict.secret("a"), strict.secret("b"));
    let right = ["--principal", "a", "--secret-file", &a];
    let mut first = strict.scheduler(&right);
    let before = strict.until_it_runs(&mut first);
    strict.leave(first);
    let id = before.0.as_str();

    let said = strict.refused(&["--principal", "b", "--secret-file", &b]);
    has(&said, &["another principal than \"b\"", "never changes it", "--principal", id, "its tasks stay"]);
    let said = strict.refused(&["--principal", "stranger", "--secret-file", &b]);
    has(&said, &["401", "no principal \"stranger\"", &b, "--credentials", id]);
    let said = strict.refused(&["--principal", "a"]);
    has(&said, &["401", "--secret-file FILE with the secret of --principal a", id]);
    let said = strict.refused(&[]);
    has(&said, &["401", "requires authentication: give --principal NAME and --secret-file FILE", id]);
    assert_eq!(tasks(&strict.mesos.state()), before.1, "the refusals ended nothing");
    strict.continues(&right, &before);
}

/// A framework that has named its principal from the start can continue when the master begins to require authentication. A
/// scheduler without the secret tells the user to give it.
#[test]
fn authentication_turned_on_later_wants_the_secret_of_the_first_principal() {
    let Some(mut strict) = Strict::start(false) else { return };
    let mut first = strict.scheduler(&["--principal", "a"]);
    let before = strict.until_it_runs(&mut first);
    strict.require(true);
    first.wait_for_error(LONG_DEADLINE, |line| {
        line.contains("give --secret-file FILE with the secret of --principal a").then_some(())
    });
    strict.leave(first);
    let a = strict.secret("a");
    strict.continues(&["--principal", "a", "--secret-file", &a], &before);
}

/// Mesos never adds a principal to a framework that began without one. So such a framework can continue only if the master
/// requires no authentication.
#[test]
fn a_framework_without_a_principal_learns_how_to_go_on_under_authentication() {
    let Some(mut strict) = Strict::start(false) else { return };
    let mut first = strict.scheduler(&[]);
    let before = strict.until_it_runs(&mut first);
    strict.leave(first);
    strict.require(true);
    let said = strict.refused(&[]);
    has(&said, &["requires authentication", &before.0, "--authenticate_http_frameworks", "--new-framework"]);
    let a = strict.secret("a");
    let said = strict.refused(&["--principal", "a", "--secret-file", &a]);
    has(&said, &["another principal than \"a\", or with none", &before.0, "/master/teardown"]);
    strict.require(false);
    strict.continues(&[], &before);
}
