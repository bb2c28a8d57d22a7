//! Operators steer a scheduler on a real Mesos by its HTTP API, with `mesos-miner ctl`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::page::page_of;
use crate::support::ledger::Ledger;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::zookeeper::ZooKeeper;
use crate::support::{DEADLINE, LONG_DEADLINE, http, peer, until};

const EXECUTOR: &str = concat!("--executor-path=", env!("CARGO_BIN_EXE_mesos-miner"));

/// A framework on a real Mesos that operators steer.
struct Steered<'a> {
    mesos: &'a MesosBox,
    /// The state folders, and the tokens of the operators.
    folder: TempDir,
    more: Vec<String>,
}

/// What `ctl --json` has said: its exit status, and its answer.
type Said = (i32, Value);

impl<'a> Steered<'a> {
    fn new(mesos: &'a MesosBox, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("tokens"), "alice:0123456789abcdef0123456789abcdef\n")
            .expect("our folder");
        fs::write(folder.path().join("wrong"), "alice:ffffffffffffffffffffffffffffffff\n")
            .expect("our folder");
        Steered { mesos, folder, more: more.iter().map(|&option| option.to_owned()).collect() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a scheduler with this state folder. Returns the address of its HTTP API, too.
    fn start(&self, state: &str, options: &[&str]) -> (Process, SocketAddr) {
        let (tokens, state) =
            (self.path("tokens").display().to_string(), self.path(state).display().to_string());
        let mut line = vec!["scheduler", "--master", &self.mesos.address, "--state-dir", &state];
        line.extend(["--http", "127.0.0.1:0", "--http-token-file", &tokens, EXECUTOR]);
        line.extend([
            "--server-cpus=0.2",
            "--cpus-per-worker=0.3",
            "--report-interval=1s",
            "--live-interval=1s",
        ]);
        line.extend(self.more.iter().map(String::as_str));
        line.extend(options);
        let mut scheduler = mesos_miner(line);
        let page = page_of(&mut scheduler);
        (scheduler, page)
    }

    /// Runs `ctl` with this file of tokens.
    fn ctl(&self, tokens: Option<&str>, page: SocketAddr, command: &[&str]) -> Said {
        let url = format!("http://{page}");
        let mut line = vec!["ctl", "--json", "--url", &url];
        let tokens = tokens.map(|name| self.path(name).display().to_string());
        line.extend(tokens.iter().flat_map(|tokens| ["--token-file", tokens.as_str()]));
        let mut process = mesos_miner(line.iter().chain(command));
        let ended = process.wait(DEADLINE);
        let json = ended.stdout.last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        (ended.status.code().expect("no signal"), json)
    }

    /// Gives a command, which is recorded. The scheduler may still be starting.
    fn tell(&self, page: SocketAddr, command: &[&str]) -> Value {
        until(&format!("{command:?} is recorded"), LONG_DEADLINE, || {
            let (code, answer) = self.ctl(Some("tokens"), page, command);
            assert!(code == 0 || code == 1, "{command:?}: {code} {answer}");
            (code == 0).then_some(answer)
        })
    }

    /// Task id → agent id of the running tasks with this prefix.
    fn running(&self, prefix: &str) -> BTreeMap<String, String> {
        let state = self.mesos.state();
        let frameworks = state["frameworks"].as_array().cloned().unwrap_or_default();
        let tasks =
            frameworks.iter().flat_map(|framework| framework["tasks"].as_array().into_iter().flatten());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let running = tasks.filter(|task| task["state"] == "TASK_RUNNING");
        let ids = running.map(|task| (text(&task["id"]), text(&task["slave_id"])));
        ids.filter(|(id, _)| id.starts_with(prefix)).collect()
    }

    /// Waits until this many workers run, and returns their agents.
    fn workers(&self, count: usize) -> BTreeMap<String, String> {
        until(&format!("{count} workers run"), LONG_DEADLINE, || {
            Some(self.running("miner-worker-")).filter(|workers| workers.len() == count)
        })
    }
}

fn kill(mut scheduler: Process) {
    scheduler.signal(Signal::KILL);
    scheduler.wait(DEADLINE);
}

fn summary(page: SocketAddr) -> Value {
    http::get_json(page, "/api/v1/summary").unwrap_or_default()
}

/// Waits until `/healthz` says this.
fn health(page: SocketAddr, text: &str) {
    until(&format!("/healthz says {text:?}"), LONG_DEADLINE, || {
        http::get_text(page, "/healthz")?.contains(text).then_some(())
    });
}

fn log(scheduler: &mut Process, text: &str) {
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains(text).then_some(()));
}

/// The accepted shares, as the workers and as the servers count them.
fn accepted(page: SocketAddr) -> Option<(u64, u64)> {
    let summary = summary(page);
    let count = |column: &str| summary["accounts"][column]["shares"]["accepted"].as_u64();
    Some((count("workers")?, count("pool")?))
}

#[test]
fn the_scale_survives_a_kill_and_ends_with_other_options() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let steered = Steered::new(&mesos, &[]);
    let (scheduler, page) = steered.start("state", &["--max-workers=6"]);
    let six = steered.workers(6);
    let answer = steered.tell(page, &["scale", "--max-workers", "2"]);
    assert_eq!(
        (&answer["change"]["by"]["name"], &answer["limits"]["max_workers"]),
        (&"alice".into(), &2.into())
    );
    let two = steered.workers(2);
    assert!(two.keys().all(|worker| six.contains_key(worker)), "{six:?} {two:?}");
    kill(scheduler);

    let (mut scheduler, page) = steered.start("state", &["--max-workers=6"]);
    log(&mut scheduler, "max_workers 2 holds, as alice (127.0.0.1)");
    let listed = until("the change is listed", LONG_DEADLINE, || {
        let changes = http::get_json(page, "/api/v1/changes")?;
        (changes["total"] == 1).then_some(changes)
    });
    assert_eq!(listed["items"][0]["text"], "scale to max_workers 2");
    assert_eq!(steered.workers(2), two);
    steered.tell(page, &["scale", "--max-workers", "none"]);
    steered.workers(6);
    steered.tell(page, &["scale", "--max-workers", "3"]);
    steered.workers(3);
    kill(scheduler);

    let (mut scheduler, _) = steered.start("state", &["--max-workers=5", "--teardown-on-exit"]);
    log(&mut scheduler, "--max-workers or --max-cpus has changed, so max_workers 3");
    steered.workers(5);
    scheduler.signal(Signal::TERM);
    assert!(scheduler.wait(LONG_DEADLINE).status.success());
}

#[test]
fn a_pause_stops_the_search_and_loses_no_share() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    let steered = Steered::new(&mesos, &["--max-workers=2"]);
    let (scheduler, page) = steered.start("state", &[]);
    let workers = steered.workers(2);
    until("shares are counted", LONG_DEADLINE, || (accepted(page)?.0 > 3).then_some(()));
    steered.tell(page, &["pause"]);
    health(page, "warning: paused by alice (127.0.0.1)");
    until("nothing is searched", LONG_DEADLINE, || {
        (summary(page)["hashrate"].as_f64()? == 0.0).then_some(())
    });
    let counted = until("both count the same", LONG_DEADLINE, || {
        accepted(page).filter(|(workers, pool)| workers == pool && *pool > 3)
    });
    assert_eq!(steered.workers(2), workers, "they keep their tasks");

    // The pause outlives the scheduler.
    kill(scheduler);
    let (mut scheduler, page) = steered.start("state", &[]);
    log(&mut scheduler, "paused by alice (127.0.0.1) since");
    health(page, "warning: paused by alice");
    until("both still count the same", LONG_DEADLINE, || (accepted(page)? == counted).then_some(()));
    assert_eq!(steered.workers(2), workers);
    steered.tell(page, &["resume"]);
    until("they mine again", LONG_DEADLINE, || (accepted(page)?.1 > counted.1).then_some(()));
    assert_eq!(steered.workers(2), workers);

    let answer = steered.tell(page, &["pause", "--release"]);
    assert_eq!(answer["tasks"], 2);
    steered.workers(0);
    assert_eq!(steered.running("miner-server-").len(), 1);
    health(page, "warning: paused by alice");
    steered.tell(page, &["resume"]);
    steered.workers(2);
    until("the pause is over", LONG_DEADLINE, || (http::get_text(page, "/healthz")? == "ok\n").then_some(()));

    steered.tell(page, &["teardown"]);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let state = mesos.state();
    assert_eq!(state["frameworks"].as_array().map(Vec::len), Some(0), "{state}");
    let ledger = Ledger::read(&steered.path("state")).expect("a ledger");
    let (worker, pool) = (ledger.total.worker, ledger.total.pool);
    assert_eq!((worker.accepted, worker.unanswered), (pool.accepted, 0), "{ledger:?}");
}

#[test]
fn an_agent_is_avoided_a_task_is_killed_and_strangers_are_refused() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let steered = Steered::new(&mesos, &["--on-server-loss=repoint"]);
    let (mut scheduler, page) = steered.start("state", &["--max-workers=8"]);
    let workers = steered.workers(8);
    let server = steered.running("miner-server-");
    let agent =
        workers.values().find(|agent| !server.values().any(|it| it == *agent)).expect("a second agent");
    let there = workers.values().filter(|it| *it == agent).count();
    let answer = steered.tell(page, &["avoid", agent]);
    assert_eq!(answer["tasks"], there);
    until("nothing runs there", LONG_DEADLINE, || {
        let workers = steered.running("miner-worker-");
        (!workers.is_empty() && workers.values().all(|it| it != agent)).then_some(())
    });
    let listed = http::get_json(page, &format!("/api/v1/agents?search={agent}")).expect("it answers");
    assert_eq!(listed["items"][0]["state"], "avoided", "{listed}");
    assert!(listed["items"][0]["why"].as_str().is_some_and(|why| why.contains("alice")), "{listed}");
    steered.tell(page, &["allow", agent]);
    steered.workers(8);

    let workers = steered.workers(8);
    let first = workers.keys().next().expect("eight");
    assert_eq!(steered.tell(page, &["kill", first])["tasks"], 1);
    until("another one takes its place", LONG_DEADLINE, || {
        let now = steered.running("miner-worker-");
        (now.len() == 8 && !now.contains_key(first)).then_some(())
    });

    for (tokens, command, status) in [
        (None, vec!["pause"], 401),
        (Some("wrong"), vec!["pause"], 403),
        (Some("tokens"), vec!["kill", "miner-worker-9999"], 404),
        (Some("tokens"), vec!["kill", first], 409),
        (Some("tokens"), vec!["allow", "nobody"], 404),
        (Some("tokens"), vec!["resume"], 409),
        (Some("tokens"), vec!["scale", "--max-cpus=-1"], 422),
        (Some("tokens"), vec!["avoid", "with space"], 422),
    ] {
        let (code, answer) = steered.ctl(tokens, page, &command);
        assert_eq!((code, answer["status"].as_u64()), (3, Some(status)), "{command:?}: {answer}");
    }
    let (code, changes) = steered.ctl(None, page, &["changes"]);
    let codes = changes["items"].as_array().into_iter().flatten().filter_map(|it| it["command"].as_str());
    assert_eq!((code, codes.collect::<Vec<_>>()), (0, vec!["kill", "allow", "avoid"]));
    steered.tell(page, &["teardown"]);
    assert!(scheduler.wait(LONG_DEADLINE).status.success());
}

#[test]
fn the_next_leader_keeps_what_was_said_and_one_that_stands_by_names_the_leader() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let mesos = MesosBox::start(&command, 1);
    let zookeeper = ZooKeeper::start(&command);
    let zk = zookeeper.address("miner");
    let steered = Steered::new(&mesos, &["--zk", &zk, "--zk-session-timeout=4s", "--max-workers=3"]);
    let (leader, page) = steered.start("one", &["--webui-url=http://127.0.0.1:9/one"]);
    steered.workers(3);
    steered.tell(page, &["scale", "--max-workers", "1"]);
    steered.tell(page, &["pause"]);
    steered.workers(1);
    let (mut next, next_page) = steered.start("two", &["--webui-url=http://127.0.0.1:9/two"]);
    log(&mut next, "waiting for");
    let (code, answer) = steered.ctl(Some("tokens"), next_page, &["resume"]);
    assert_eq!(code, 1, "{answer}");
    let text = answer["error"].as_str().unwrap_or_default();
    assert!(text.contains("another scheduler leads") && text.contains("http://127.0.0.1:9/one"), "{text}");
    let url = || mesos.state()["frameworks"][0]["webui_url"].as_str().map(str::to_owned);
    assert_eq!(url().as_deref(), Some("http://127.0.0.1:9/one"));
    kill(leader);

    log(&mut next, "paused by alice (127.0.0.1) since");
    health(next_page, "warning: paused by alice");
    until("Mesos' page links to the new leader", LONG_DEADLINE, || {
        (url().as_deref() == Some("http://127.0.0.1:9/two")).then_some(())
    });
    steered.tell(next_page, &["resume"]);
    let before = accepted(next_page).unwrap_or_default();
    until("it mines", LONG_DEADLINE, || (accepted(next_page)?.1 > before.1).then_some(()));
    assert_eq!(steered.workers(1).len(), 1);
    let (_, changes) = steered.ctl(None, next_page, &["changes"]);
    assert_eq!(changes["total"], 3, "{changes}");
    steered.tell(next_page, &["teardown"]);
    assert!(next.wait(LONG_DEADLINE).status.success());
}
