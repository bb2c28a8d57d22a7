//! `mesos-miner local`: everything on one machine with one command.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::process::{Ended, Process, mesos_miner, start};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// Waits for the end of `local`, and checks that it succeeded and left no process or file behind.
fn end(local: &mut Process) -> Summary {
    let family = local.family();
    let ended: Ended = local.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    local.assert_nothing_left(&family, DEADLINE);
    assert_eq!(left_behind(local), 0);
    Summary::of(&ended)
}

/// Waits until the processes of the server and of `workers` workers run and use the CPU.
fn mining(local: &Process, workers: usize) {
    until("a server and its workers run", LONG_DEADLINE, || {
        let busy = local.family().iter().filter(|p| cpu_ticks(p.pid) > 20).count();
        (local.family().len() > workers && busy >= workers).then_some(())
    });
}

/// The CPU time of a process so far, in ticks of 10 ms.
fn cpu_ticks(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum()
}

#[test]
fn mines_until_a_block_is_found() {
    let summary = end(&mut mesos_miner(["local", "--blocks", "1", "--json"]));
    assert!(summary.blocks >= 1, "{summary:?}");
    assert!(summary.shares.accepted > 0, "{summary:?}");
    assert_eq!(summary.workers, 1, "{summary:?}");
    assert!(summary.hashes > 0, "{summary:?}");
    // At its end, `local` kills its two tasks: the server and the worker.
    assert_eq!(summary.tasks.values().sum::<u64>(), 2, "{summary:?}");
    assert_eq!(summary.tasks.get("TASK_KILLED"), Some(&2), "{summary:?}");
}

#[test]
fn mines_for_a_duration() {
    let summary = end(&mut mesos_miner(["local", "--duration", "20s", "--json"]));
    assert!(summary.seconds >= 20.0, "{summary:?}");
    assert!(summary.tasks.keys().all(|state| state == "TASK_KILLED"), "{summary:?}");
}

#[test]
fn several_small_workers() {
    let mut local = mesos_miner(["local", "--workers", "2", "--blocks", "1", "--json"]);
    let summary = end(&mut local);
    assert_eq!(summary.workers, 2, "{summary:?}");
    assert_eq!(summary.tasks.values().sum::<u64>(), 3, "{summary:?}");
}

#[test]
fn an_interrupt_ends_it_with_a_summary() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut local = mesos_miner(["local", "--json"]);
        mining(&local, 1);
        // Send the signal twice, as `timeout` and wrappers do. The process handles the first signal during the pause.
        local.signal(signal);
        std::thread::sleep(Duration::from_millis(5));
        local.signal(signal);
        let summary = end(&mut local);
        assert_eq!(summary.workers, 1, "{summary:?}");
        assert!(summary.hashes > 0, "{summary:?}");
        assert_eq!(summary.tasks.get("TASK_KILLED"), Some(&2), "{summary:?}");
    }
}

#[test]
fn an_interrupt_ends_it_at_any_moment() {
    // The cluster and the scheduler are still starting when the process begins to handle signals.
    let mut local = mesos_miner(["local", "--json"]);
    until("it handles signals", DEADLINE, || handles_interrupt(local.id()).then_some(()));
    local.interrupt(LONG_DEADLINE);
    local.assert_nothing_left(&local.family(), DEADLINE);
}

/// Whether the process has a handler for SIGINT.
fn handles_interrupt(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0b10 != 0)
}

/// The number of entries in the temporary folder of `local`.
fn left_behind(local: &Process) -> usize {
    std::fs::read_dir(local.folder()).expect("a folder").count()
}

#[test]
fn no_process_survives_its_kill() {
    let mut local = mesos_miner(["local"]);
    mining(&local, 1);
    let family = local.family();
    local.signal(Signal::KILL);
    local.wait(DEADLINE);
    local.assert_nothing_left(&family, DEADLINE);
    // The next run removes the folder of the killed run.
    assert_eq!(left_behind(&local), 1);
    let folder = format!("TMPDIR={}", local.folder().display());
    let program = env!("CARGO_BIN_EXE_mesos-miner");
    let mut next =
        start("/usr/bin/env", [&folder, program, "local", "--cluster-only", "--duration", "100ms"]);
    let ended = next.wait(DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(left_behind(&local), 0);
}

/// The first SIGINT begins a clean shutdown, which takes long if executors do not respond. A second SIGINT kills them.
#[test]
fn a_second_interrupt_ends_it_at_once_and_removes_its_folder() {
    let mut local = mesos_miner(["local", "--workers", "2"]);
    mining(&local, 2);
    let family = local.family();
    for process in &family {
        kill_process(Pid::from_raw(process.pid).expect("not 0"), Signal::STOP).expect("it runs");
    }
    // Repeat the signal with a pause, because signals in quick succession count as one.
    until("it has ended", DEADLINE, || {
        if local.is_running() {
            local.signal(Signal::INT);
            std::thread::sleep(Duration::from_millis(200));
        }
        (!local.is_running()).then_some(())
    });
    let ended = local.wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(128 + 2), "{ended:#?}");
    local.assert_nothing_left(&family, DEADLINE);
    assert_eq!(left_behind(&local), 0);
}

/// The pipe is closed, as in `mesos-miner local | head`.
#[test]
fn it_ends_when_its_output_pipe_is_closed() {
    let line = format!("set -o pipefail; {} local | true", env!("CARGO_BIN_EXE_mesos-miner"));
    let mut shell = start("/bin/bash", ["-c", &line]);
    let ended = shell.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    shell.assert_nothing_left(&shell.family(), DEADLINE);
    assert_eq!(left_behind(&shell), 0);
}

#[test]
fn the_reason_is_printed_if_no_worker_fits() {
    let mut local = mesos_miner(["local", "--cpus", "0.15", "--duration", "3s", "--json"]);
    local.wait_for_error(DEADLINE, |line| line.contains("no worker will be launched").then_some(()));
    let summary = end(&mut local);
    assert_eq!(summary.workers, 0, "{summary:?}");
    assert_eq!(summary.hashes, 0, "{summary:?}");
}

#[test]
fn one_core_is_enough() {
    let summary = end(&mut mesos_miner(["local", "--cpus", "1", "--blocks", "1", "--json"]));
    assert_eq!(summary.workers, 1, "{summary:?}");
}
