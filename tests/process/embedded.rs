//! The check script of `tests/mesos-box`, which was written for a real Mesos, also passes on the embedded cluster. Only the
//! operator API is left out, because the embedded cluster has none.

use std::path::Path;

use crate::support::mesos_box::MesosBox;
use crate::support::process::{mesos_miner, start};
use crate::support::{DEADLINE, LONG_DEADLINE, peer};

#[test]
fn the_real_mesos_check_passes_on_it() {
    let Some(python) = peer::python_protobuf() else { return };
    // The tasks of the check need 1.1 CPUs together. By default, a machine with one CPU would offer too little.
    let mut cluster = mesos_miner(["local", "--cluster-only", "--port", "0", "--cpus", "4"]);
    let master =
        cluster.wait_for_output(DEADLINE, |line| line.strip_prefix("master: http://").map(str::to_owned));
    check(&python, &master, false);
    assert!(cluster.is_running());
}

#[test]
fn a_real_mesos_understands_our_messages() {
    let (Some(python), Some(command)) = (peer::python_protobuf(), peer::mesos()) else { return };
    let mesos = MesosBox::start(&command, 1);
    check(&python, &mesos.master.to_string(), true);
}

/// Runs the check script of `tests/mesos-box` over protobuf, with Python modules generated from our .proto files.
fn check(python: &Path, master: &str, has_operator_api: bool) {
    // `--no-operator-api` leaves out five of the checks.
    let (option, left_out) = if has_operator_api { ("", 0) } else { ("--no-operator-api", 5) };
    let script = format!(
        // The check's executor finds Python's protobuf through a link in $protos, because agents do not pass PYTHONPATH on to
        // executors.
        "set -e; export PYTHONPATH={python}; protos=$TMPDIR/protos; mkdir $protos; ln -s {python}/google $protos/; \
         python3 {root}/tests/generate_protos.py $protos {root}/mesos/proto; \
         exec python3 {root}/tests/mesos-box/check/run.py --master {master} --wire protobuf --protos $protos {option}",
        python = python.display(),
        root = peer::root().display(),
    );
    let ended = start("/bin/bash", ["-c", &script]).wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let last = ended.stdout.last().expect("it prints a line for each check");
    let passed = last.strip_suffix(" passed, 0 failed").and_then(|n| n.parse::<u32>().ok());
    assert!(passed.is_some_and(|n| n + left_out > 30), "{ended:#?}");
}
