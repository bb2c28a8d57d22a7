//! The static build (`scripts/static`) on machines that have next to nothing, and what a scheduler says about a dynamic one.
//!
//! `tests/bare-machine` simulates such a machine: the file system is empty, and system calls that are newer than Linux 3.10 fail.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::real_mesos::{assert_clean, files, running};
use crate::standalone::Pool;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner, start};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The limits of what an agent fetches and unpacks, in bytes.
const FETCHED: u64 = 8_000_000;
const UNPACKED: u64 = 14_000_000;

/// A folder that contains nothing but the static build, as `mesos-miner`.
fn empty_root(program: &Path) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::copy(program, root.path().join("mesos-miner")).expect("the static build");
    root
}

/// Writes a file below a root.
fn write(root: &TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Starts the static build in `root`, on a machine with these further restrictions.
fn start_in_root(machine: &Path, root: &TempDir, restrictions: &[&str], arguments: &[&str]) -> Process {
    let root = root.path().to_str().expect("a plain path");
    let program = ["--root", root, "--", "/mesos-miner"];
    start(machine, restrictions.iter().chain(&program).chain(arguments))
}

/// Waits until the pool has accepted shares of this miner, and ends it.
fn assert_mines(mut miner: Process, pool: &Pool) {
    let before = pool.count("accepted");
    until("the pool accepts shares", LONG_DEADLINE, || {
        assert!(miner.is_running(), "{:#?}", miner.stderr());
        (pool.count("accepted") >= before + 3).then_some(())
    });
    let ended = miner.interrupt(DEADLINE);
    let summary = Summary::of(&ended);
    assert!(summary.shares.accepted > 0 && summary.shares.rejected == 0, "{summary:?}");
}

fn mine_at(pool: &str) -> [&str; 8] {
    ["mine", "-o", pool, "-u", "me", "-t", "1", "--json"]
}

#[test]
fn mines_in_an_empty_root_on_an_old_kernel() {
    let (Some(machine), Some(program)) = (peer::bare_machine(), peer::static_build()) else { return };
    let pool = Pool::start();
    let port = pool.stratum.parse::<SocketAddr>().expect("an address").port();
    let root = empty_root(&program);
    let localhost = format!("localhost:{port}");
    let mines = |restrictions: &[&str], at: &str| {
        assert_mines(start_in_root(&machine, &root, restrictions, &mine_at(at)), &pool);
    };
    mines(&[], &localhost);
    mines(&["--kernel-3.10"], &localhost);
    write(&root, "etc/hosts", "127.0.0.1 pool.example\n");
    mines(&["--kernel-3.10"], &format!("pool.example:{port}"));
}

#[test]
fn names_are_resolved_by_the_name_server_of_resolv_conf() {
    let (Some(machine), Some(program)) = (peer::bare_machine(), peer::static_build()) else { return };
    let root = empty_root(&program);
    let mut miner = start_in_root(&machine, &root, &[], &mine_at("pool.example:1"));
    miner.wait_for_error(DEADLINE, |line| {
        (line.contains("pool.example") && line.contains("/etc/resolv.conf")).then_some(())
    });
    write(&root, "etc/resolv.conf", "nameserver 127.0.0.1\nsearch example\n");
    // The miner runs in a network namespace without a pool, so a refused connection shows that the name was resolved.
    for (name, answer) in [
        ("pool.example:1", "refused"),
        ("pool:1", "refused"),
        ("unknown.example:1", "cannot resolve \"unknown.example\""),
    ] {
        let alone = ["--name-server", "pool.example"];
        let mut miner = start_in_root(&machine, &root, &alone, &mine_at(name));
        miner.wait_for_error(DEADLINE, |line| line.to_lowercase().contains(answer).then_some(()));
        let name_server = miner.family();
        assert_eq!(name_server.len(), 1, "{name_server:?}");
        miner.signal(Signal::KILL);
        miner.wait(DEADLINE);
        miner.assert_nothing_left(&name_server, DEADLINE);
    }
}

/// A script that passes its arguments to a command.
fn wrapper(folder: &TempDir, command: &str) -> PathBuf {
    let path = folder.path().join("wrapper");
    fs::write(&path, format!("#!/bin/sh\nexec {command} \"$@\"\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable script");
    path
}

/// Waits until the framework has a server and two workers, ends it, and checks that it has mined.
fn assert_mines_on(mesos: &MesosBox, scheduler: &mut Process) {
    until("one server and one worker per agent run", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        let state = mesos.state();
        (running(&state, "miner-server-") == 1 && running(&state, "miner-worker-") == 2).then_some(())
    });
    let ended = scheduler.interrupt(LONG_DEADLINE);
    let summary = Summary::of(&ended);
    assert!(summary.workers == 2 && summary.hashes > 0, "{summary:?}");
}

#[test]
fn agents_with_an_old_kernel_fetch_a_small_executable_and_run_it() {
    let (Some(mesos), Some(machine)) = (peer::mesos(), peer::bare_machine()) else { return };
    let Some(program) = peer::static_build() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Agents, fetchers and executors inherit the restrictions of `--kernel-3.10`.
    let command = format!("'{}' --kernel-3.10 -- '{}'", machine.display(), mesos.display());
    let mesos = MesosBox::start(&wrapper(&folder, &command), 2);
    let master = mesos.master.to_string();
    let address = "--artifact-address=localhost";
    let arguments = ["scheduler", "--master", &master, address, "--teardown-on-exit", "--json"];
    let mut scheduler = start(&program, arguments);
    assert_mines_on(&mesos, &mut scheduler);
    let stderr = scheduler.stderr();
    assert!(!stderr.iter().any(|line| line.contains("agents need")), "{stderr:#?}");
    let archives = files(&mesos.work_folder(), "mesos-miner.tar.gz");
    assert_eq!(archives.len(), 2, "one in the cache of each agent: {archives:?}");
    let fetched = fs::metadata(&archives[0]).expect("an archive").len();
    let unpacked = fs::metadata(&program).expect("the static build").len();
    assert!(fetched <= FETCHED && unpacked <= UNPACKED, "{fetched} bytes are fetched, {unpacked} unpacked");
    assert_clean(&mesos);
}

#[test]
fn tasks_run_in_an_empty_root_on_an_old_kernel() {
    let (Some(mesos), Some(machine)) = (peer::mesos(), peer::bare_machine()) else { return };
    let Some(program) = peer::static_build() else { return };
    let mesos = MesosBox::start(&mesos, 2);
    let root = empty_root(&program);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = root.path().display();
    let command = format!("'{}' --kernel-3.10 --root '{root}' -- /mesos-miner", machine.display());
    let path = wrapper(&folder, &command).display().to_string();
    let master = mesos.master.to_string();
    let arguments =
        ["scheduler", "--master", &master, "--executor-path", &path, "--teardown-on-exit", "--json"];
    assert_mines_on(&mesos, &mut mesos_miner(arguments));
    assert_clean(&mesos);
}

#[test]
fn a_scheduler_says_which_agents_can_run_what_it_serves() {
    let nobody = ["scheduler", "--master", "127.0.0.1:1"];
    // Agents on the scheduler's own machine may run in other root folders, where its libraries are missing. Without an option,
    // they are told 127.0.0.1, because that is where the master is.
    for address in [&["--artifact-address=localhost"][..], &["--artifact-address=127.0.0.1"], &[]] {
        let mut dynamic = mesos_miner(nobody.iter().chain(address));
        if !cfg!(target_feature = "crt-static") {
            let line = dynamic
                .wait_for_error(DEADLINE, |line| line.contains("agents need").then(|| line.to_owned()));
            assert!(line.contains("Linux with glibc 2.") && line.contains("scripts/static"), "{line}");
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = wrapper(&folder, "true").display().to_string();
    let mut scheduler = mesos_miner(nobody.iter().chain(&["--executor-file", &script]));
    scheduler.wait_for_error(DEADLINE, |line| line.contains("agents need /bin/sh").then_some(()));
}
