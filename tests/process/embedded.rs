//! The embedded cluster is honest: the check that was written against a real Mesos passes on it, unchanged.

use std::path::Path;

use crate::support::mesos_box::MesosBox;
use crate::support::process::{mesos_miner, start};
use crate::support::{LATER, SOON, peer};

#[test]
fn the_real_mesos_check_passes_on_it() {
    let Some(python) = peer::python_protobuf() else { return };
    // The check runs tasks of 1.1 CPUs at once; on a machine of one they would not fit by default.
    let mut cluster = mesos_miner(["local", "--cluster-only", "--port", "0", "--cpus", "4"]);
    let master =
        cluster.wait_for_output(SOON, |line| line.strip_prefix("master: http://").map(str::to_owned));
    check(&python, &master);
    assert!(cluster.is_running());
}

/// The same on the real one, so that it is our .proto files that are checked.
#[test]
fn a_real_mesos_understands_our_messages() {
    let (Some(python), Some(command)) = (peer::python_protobuf(), peer::mesos()) else { return };
    let mesos = MesosBox::start(&command, 1);
    check(&python, &mesos.master.to_string());
}

/// Runs mesos-box's check in protobuf, with modules generated from our .proto files.
fn check(python: &Path, master: &str) {
    let script = format!(
        // The check's executor finds its modules only in that folder: agents hand no PYTHONPATH on.
        "set -e; export PYTHONPATH={python}; protos=$TMPDIR/protos; mkdir $protos; ln -s {python}/google $protos/; \
         python3 {root}/tests/generate_protos.py $protos {root}/mesos/proto {root}/local/proto; \
         exec python3 {root}/tests/mesos-box/check/run.py --master {master} --wire protobuf --protos $protos",
        python = python.display(),
        root = peer::root().display(),
    );
    let ended = start("/bin/bash", ["-c", &script]).wait(LATER);
    assert!(ended.status.success(), "{ended:#?}");
    let last = ended.stdout.last().expect("it prints a line for each check");
    let passed = last.strip_suffix(" passed, 0 failed").and_then(|n| n.parse::<u32>().ok());
    assert!(passed.is_some_and(|n| n > 30), "{ended:#?}");
}
