//! Schedulers that die, freeze, are replaced, or are refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use rustix::process::Signal;
use tempfile::TempDir;

use super::mining::{MiningHarness, WORKERS, scheduler};
use crate::support::cluster::Cluster;
use crate::support::mesos_box::{Member, MesosBox};
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

faults! { both: killed_scheduler frozen_scheduler forgotten_tasks second_scheduler_with_the_same_id }

/// The tasks continue without a scheduler. The next scheduler adopts them, and launches no task twice.
fn killed_scheduler(mut mining: MiningHarness) {
    let before = mining.tasks();
    mining.scheduler.signal(Signal::KILL);
    mining.scheduler.wait(DEADLINE);
    mining.until_these_mine_on(&mining.workers());
    let hit = Instant::now();
    mining.restart_scheduler();
    mining.recovers(hit, |mining| mining.tasks() == before);
    all_killed_at_the_end(mining);
}

/// Mesos cannot distinguish a frozen scheduler from a slow one, and repeats unacknowledged updates.
fn frozen_scheduler(mut mining: MiningHarness) {
    let before = mining.tasks();
    mining.scheduler.signal(Signal::STOP);
    let reported = mining.ledger().pool();
    until("the pool's count goes ahead of the ledger", LONG_DEADLINE, || {
        (mining.pool_count()? >= reported + 10).then_some(())
    });
    let hit = Instant::now();
    mining.scheduler.signal(Signal::CONT);
    mining.recovers(hit, |mining| mining.tasks() == before);
    all_killed_at_the_end(mining);
}

/// The state folder has lost its tasks, so Mesos reports unknown tasks. The scheduler records them in the ledger, and kills and
/// replaces them.
fn forgotten_tasks(mut mining: MiningHarness) {
    let before = mining.tasks();
    mining.scheduler.signal(Signal::KILL);
    mining.scheduler.wait(DEADLINE);
    let forgotten = database(&mining.state_dir()).execute("DELETE FROM task", []).expect("a table of tasks");
    assert_eq!(forgotten, 1 + WORKERS);
    let hit = Instant::now();
    mining.restart_scheduler();
    mining.recovers(hit, |mining| mining.tasks().is_disjoint(&before));
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_KILLED".into(), 6)]), "{ended:#?}");
}

/// A second scheduler takes over. The first one ends with a message, and the tasks continue.
fn second_scheduler_with_the_same_id(mut mining: MiningHarness) {
    let before = mining.tasks();
    let copy = copy_of(&mining.state_dir());
    let hit = Instant::now();
    let second = scheduler(&mining.cluster.address(), copy.path(), &[]);
    let first = mining.take_over(second, copy).wait(DEADLINE);
    assert_eq!(first.status.code(), Some(1), "{first:#?}");
    assert!(first.errors().contains("another scheduler has subscribed with this framework"), "{first:#?}");
    mining.recovers(hit, |mining| mining.tasks() == before);
    all_killed_at_the_end(mining);
}

fn all_killed_at_the_end(mining: MiningHarness) {
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_KILLED".into(), 3)]), "{ended:#?}");
}

fn database(state: &Path) -> Connection {
    Connection::open(state.join("scheduler.sqlite")).expect("a database")
}

/// Copies a state folder, so that the copy has the same framework id.
fn copy_of(state: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let into = copy.path().join("scheduler.sqlite");
    let into = into.to_str().expect("temporary folders are plain text");
    database(state).execute("VACUUM INTO ?1", [into]).expect("a copy");
    copy
}

/// A real Mesos with two principals, of which only one may register with the role.
fn strict() -> Option<(MiningHarness, TempDir)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        let file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
        path.display().to_string()
    };
    let credentials = r#"{"credentials": [{"principal": "miner", "secret": "right"}, {"principal": "guest", "secret": "guest"}]}"#;
    let acls = r#"{"register_frameworks": [{"principals": {"values": ["miner"]}, "roles": {"values": ["mining"]}},
        {"principals": {"type": "ANY"}, "roles": {"type": "NONE"}}]}"#;
    let (credentials, acls) = (write("credentials", credentials), write("acls", acls));
    let options = ["--cpus=1", "--credentials", &credentials, "--master-flag", &format!("acls={acls}")];
    let mesos = MesosBox::with_options(&peer::mesos()?, WORKERS as u16, &options);
    let secret = write("right", "right\n");
    write("wrong", "wrong\n");
    write("guest", "guest\n");
    let address = mesos.address.clone();
    let who = ["--role", "mining", "--principal", "miner", "--secret-file", &secret];
    Some((MiningHarness::at(Cluster::Real(mesos), &address, &who), folder))
}

/// A scheduler with a wrong secret is refused, even with the right framework id. The scheduler with the right secret continues.
#[test]
fn wrong_credentials_on_a_real_mesos() {
    let Some((mining, secrets)) = strict() else { return };
    let file = secrets.path().join("wrong").display().to_string();
    let who = ["--role", "mining", "--principal", "miner", "--secret-file", &file];
    let said = refused_without_harm(mining, &who);
    assert!(said.contains("401") && said.contains("credentials"), "{said}");
}

/// The master restarts with new credentials, and then accepts only the new secret. The scheduler uses the new secret as soon as
/// the secret file contains it.
#[test]
fn replaced_secret_on_a_real_mesos() {
    let Some((mut mining, secrets)) = strict() else { return };
    let before = mining.tasks();
    let credentials = secrets.path().join("credentials");
    let known = fs::read_to_string(&credentials).expect("the file that the master has read");
    mining.cluster.real().kill(Member::Master);
    fs::write(&credentials, known.replace("right", "new")).expect("written");
    mining.cluster.real().restart(Member::Master);
    mining.scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains("HTTP 401").then_some(()));
    let hit = Instant::now();
    fs::write(secrets.path().join("right"), "new\n").expect("written");
    mining.recovers(hit, |mining| mining.tasks() == before);
    all_killed_at_the_end(mining);
}

/// The master refuses the role with an ERROR event in a stream that begins normally.
#[test]
fn role_that_is_not_allowed_on_a_real_mesos() {
    let Some((mining, secrets)) = strict() else { return };
    let file = secrets.path().join("guest").display().to_string();
    let who = ["--role", "mining", "--principal", "guest", "--secret-file", &file];
    let said = refused_without_harm(mining, &who);
    assert!(said.contains("the master refuses the framework") && said.contains("mining"), "{said}");
}

/// Another scheduler with the same framework id is refused and ends. The first scheduler continues.
fn refused_without_harm(mut mining: MiningHarness, who: &[&str]) -> String {
    let before = mining.tasks();
    let copy = copy_of(&mining.state_dir());
    let hit = Instant::now();
    let ended = scheduler(&mining.cluster.address(), copy.path(), who).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    mining.recovers(hit, |mining| mining.tasks() == before);
    all_killed_at_the_end(mining);
    ended.errors()
}
